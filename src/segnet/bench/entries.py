"""Who takes part in ``segnet bench models``: models as files for each runtime, and other people's files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import ModelProto, TensorProto
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from segnet.base.classes import ClassTable
from segnet.base.errors import SegnetError
from segnet.base.files import expand_home
from segnet.base.quiet import quiet
from segnet.bench.pooling import stock_copy
from segnet.bench.side import Side
from segnet.core.pooling import Size
from segnet.data.images.pixel_values import Pixels
from segnet.data.synthetic import SyntheticSample
from segnet.export.layers import LITERT, network_of
from segnet.export.onnx_graph import OPSET, to_graph
from segnet.export.smaller import to_int8
from segnet.inference.description import KEY, Description
from segnet.inference.opening import load
from segnet.models import MODELS, create_model, require_image_size
from segnet.models.folding import fold_batch_norms
from segnet.models.inspection.costs import count_parameters

STOCK = ", stock"
"""What is put behind a model's name to call the same network of stock layers."""

_TORCH = ("torch", "torch-compiled")
_FLOAT, _INT8 = ("onnxruntime", "openvino"), ("onnxruntime-int8", "openvino-int8")
_LITERT = ("litert", "litert-int8")
_ANY_CLASSES = ClassTable.named(("any", "other"))
_INTEGERS = (TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL)  # shapes and places, no weights


@dataclass(frozen=True)
class Model:
    """A model of ours by the name that the table gives it."""

    name: str
    module: nn.Module
    file: Path | None
    """What it was opened from; None for one with fresh weights."""


def draw_pictures(count: int, size: Size) -> Pixels:
    """Return the package's own pictures, uint8 ``(count, H, W, 3)``."""
    height, width = size
    images = (SyntheticSample(0, index).read()[0] for index in range(count))
    return np.stack([np.asarray(image.resize((width, height))) for image in images])


def open_model(source: str, size: Size, pictures: Pixels) -> Model:
    """Open a run folder, a file or a bundled name, or build a model by name with fresh weights.

    Latency doesn't ask what the weights are, with one exception: what dies to zeros or to denormal numbers
    is computed at another speed. So fresh ones get the batch norm statistics of a few pictures.

    Raises:
        SegnetError: nothing of that name, or a size that the model can't take.
    """
    if source not in MODELS or Path(source).exists():
        segmenter = load(source, runtime="torch", device="cpu")
        require_image_size(source, segmenter.model, size)
        if segmenter.description.intensity.channels != 3:
            raise SegnetError(
                f"{source} takes {segmenter.description.intensity.channels} channels; RGB models are measured"
            )
        path = expand_home(source)
        files = [path, path / "model.safetensors"]
        return Model(source, segmenter.model.eval(), next(filter(Path.is_file, files), None))
    torch.manual_seed(0)
    module = create_model(source)
    require_image_size(source, module, size)
    scaled = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div_(255)
    update_bn(scaled.split(8), module)
    return Model(source, module.eval(), None)


def sides_of_model(
    model: Model, runtimes: Sequence[str], size: Size, batch_sizes: Sequence[int], pictures: Pixels, to: Path
) -> list[Side]:
    """Write a model for each runtime that is asked for.

    Args:
        model: the model.
        runtimes: some of ``latency.RUNTIMES``.
        size: ``(H, W)``.
        batch_sizes: ascending.
        pictures: what int8 is calibrated on.
        to: a folder that is there for as long as the sides are.

    Raises:
        SegnetError: a model that can't be exported.
    """
    parameters, sides = count_parameters(model.module), []
    if asked := [runtime for runtime in runtimes if runtime in _TORCH]:
        shipped = model.file or to / "weights.safetensors"
        if model.file is None:
            save_file({name: each.contiguous() for name, each in model.module.state_dict().items()}, shipped)
        module = to / "module.pt"
        torch.save(model.module, module)
        sides += [(runtime, module, 1.0, shipped.stat().st_size) for runtime in asked]
    for kind, name in ((_FLOAT, "float32.onnx"), (_INT8, "int8.onnx")):
        if asked := [runtime for runtime in runtimes if runtime in kind]:
            path = to / name
            int8 = [] if kind is _FLOAT else [to_int8(pictures)]
            onnx.save(to_graph(fold_batch_norms(model.module) if int8 else model.module, size, *int8), path)
            sides += [(runtime, path, 255.0, path.stat().st_size) for runtime in asked]
    for runtime in (each for each in runtimes if each in _LITERT):
        path = to / f"{runtime}.tflite"
        path.write_bytes(_litert_file(model, size, pictures if runtime.endswith("int8") else None))
        sides.append((runtime, path, 255.0, path.stat().st_size))
    return [
        Side(model.name, runtime, path, scale, parameters, size_bytes, batch_sizes)
        for runtime, path, scale, size_bytes in sides
    ]


def _litert_file(model: Model, size: Size, calibration: Pixels | None) -> bytes:
    from segnet.export.litert.litert_target import graph_bytes  # with LiteRT, which isn't everywhere

    # of the description only the model's name and the channels are looked at
    about = Description(model.name, _ANY_CLASSES, size, "area")
    return graph_bytes(network_of(model.module, about, LITERT), size, calibration)


def sides_of_stock(
    model: Model, runtimes: Sequence[str], size: Size, batch_sizes: Sequence[int], to: Path
) -> list[Side]:
    """Do the same with the network made of stock layers, exported as stock PyTorch does, not to int8.

    Stock PyTorch's file is for images of this one size, in batches of any.

    Raises:
        TypeError: a model without a stock copy.
        SegnetError: one that stock PyTorch can't export.
    """
    stock = stock_copy(model.module).eval()
    name = model.name + STOCK
    sides = sides_of_model(
        Model(name, stock, None), [each for each in runtimes if each in _TORCH], size, batch_sizes, _NONE, to
    )
    if asked := [runtime for runtime in runtimes if runtime in _FLOAT]:
        path = to / "stock.onnx"
        try:
            export_by_torch(stock, torch.zeros(2, 3, *size), path, any_batch=True)
        except Exception as error:  # whatever stops the exporter, there is no file
            raise SegnetError(f"stock PyTorch can't export {model.name}") from error
        parameters, size_bytes = count_parameters(stock), path.stat().st_size
        sides += [Side(name, each, path, 1.0, parameters, size_bytes, batch_sizes) for each in asked]
    return sides


def export_by_torch(module: nn.Module, example: Tensor, path: Path, *, any_batch: bool) -> None:
    """Write a module as PyTorch's own exporter does, for images of the example's size."""
    with quiet():
        torch.onnx.export(
            module,
            (example,),
            path,
            dynamo=True,
            external_data=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},) if any_batch else None,
        )


_NONE: Pixels = np.empty((0, 0, 0, 3), np.uint8)


def sides_of_file(
    path: Path,
    runtimes: Sequence[str],
    size: Size,
    batch_sizes: Sequence[int],
    say: Callable[[str], None],
    *,
    is_beside: bool,
) -> list[Side]:
    """Read what an ONNX file takes, whoever wrote it.

    Its parameters are the values in its weights, batch norm's statistics among them, but for integers.

    Args:
        path: the file.
        runtimes: some of ``latency.RUNTIMES``.
        size: ``(H, W)``.
        batch_sizes: ascending; those that the file doesn't take are left out, which is said.
        say: takes a line for the user.
        is_beside: whether ours are compared with it.

    Raises:
        SegnetError: no ONNX file, one that takes something else than one float image, or another size.
    """
    path = expand_home(path)
    if not path.is_file():
        raise SegnetError(f"there is no file {path}")
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's, whose package has no types
        raise SegnetError(f"{path} is damaged or no ONNX file") from error
    batch = _require_image(model, path, size)
    fitting = [each for each in batch_sizes if batch in (None, each)]
    if not fitting:
        raise SegnetError(f"{path} takes batches of {batch} alone; give --batch-sizes {batch}")
    if left := [str(each) for each in batch_sizes if each not in fitting]:
        say(f"left out: {path.name} with batches of {', '.join(left)}; it takes batches of {batch} alone")
    weights = [each for each in _weights(model) if each.data_type not in _INTEGERS]
    parameters = sum(int(np.prod(each.dims)) for each in weights)
    beside_it = {entry.value for each in weights for entry in each.external_data if entry.key == "location"}
    parts = [path, *(path.parent / name for name in beside_it)]
    size_bytes = sum(part.stat().st_size for part in parts if part.is_file())
    # Ours say in their metadata that they take pixels; of others most take 0 to 1.
    scale = 255.0 if any(entry.key == KEY for entry in model.metadata_props) else 1.0
    return [
        Side(path.name, runtime, path, scale, parameters, size_bytes, fitting, is_beside)
        for runtime in runtimes
        if runtime in _FLOAT
    ]


def _require_image(model: ModelProto, path: Path, size: Size) -> int | None:
    """Check a file's input; return the number of images that it takes, None where that is any."""
    known = {tensor.name for tensor in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in known]
    shapes = [each.type.tensor_type.shape.dim for each in inputs]
    taken = "; ".join(
        f"{TensorProto.DataType.Name(each.type.tensor_type.elem_type).lower()} "
        f"({', '.join(str(dim.dim_value or dim.dim_param or '?') for dim in shape)})"
        for each, shape in zip(inputs, shapes, strict=True)
    )
    is_float = [each.type.tensor_type.elem_type == TensorProto.FLOAT for each in inputs]
    if is_float != [True] or len(shapes[0]) != 4 or shapes[0][1].dim_value not in (0, 3):
        raise SegnetError(f"{path} takes {taken or 'nothing'}, where one float (N, 3, H, W) is needed")
    batch, _, *sides = (dim.dim_value or None for dim in shapes[0])
    if any(side not in (None, asked) for side, asked in zip(sides, size, strict=True)):
        only = "x".join(str(side or asked) for side, asked in zip(sides, size, strict=True))
        raise SegnetError(f"{path} takes images of {only} alone; give --size {only}")
    return batch


def _weights(model: ModelProto) -> Iterable[TensorProto]:
    """Return what a file holds as initializers, or as constants, as some exporters have it."""
    yield from model.graph.initializer
    for node in model.graph.node:
        if node.op_type == "Constant":
            yield from (attribute.t for attribute in node.attribute if attribute.name == "value")
