"""A model as an ONNX graph: standard operations, floating point on the image's way, any size.

A compact SegNet pads its image, so that no map has an odd side. The graph of any other SegNet holds its
network twice with the same weights. Sides that all its pools can halve take the first, where nothing is ever
cropped or padded; other sizes take the second, in the branch of an ``If``, after the first has seen the image
cropped. That costs an odd size twice the time, but the sizes that people use save a sixth of theirs
(docs/how-to/deploy.md).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx_ir import Model
from onnx_ir.passes import Sequential, common
from onnxscript.optimizer import fold_constants_ir
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from segnet.base.errors import SegnetError, first_line
from segnet.base.quiet import quiet
from segnet.core.blocks import EncoderStage
from segnet.core.kernels.exported import EVEN_SIZES, FIXED_SIZE
from segnet.inference.description import KEY
from segnet.inference.runtimes import INPUT, OUTPUT
from segnet.models.compact import CompactSegNet
from segnet.models.efficient import SegNetEfficient

OPSET = 18  # what the exporter itself speaks; ONNX Runtime has had it since 1.14, OpenVINO since 2023.1
_MOST_STEPS = 512  # that a side may have; the exporter's arithmetic wants a bound, which the file hasn't

Made = TypeVar("Made")
Change = Callable[[ModelProto], ModelProto]


class _FromPixels(nn.Module):
    """A model that takes pixel values of 0 to 255, as images have them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        return self.model(image / 255)


def to_graph(
    model: nn.Module,
    size: tuple[int, int],
    change: Change = lambda graph: graph,
    *,
    channels: int = 3,
    fixed: bool = False,
) -> ModelProto:
    """Return a model as an ONNX graph.

    Its input ``image`` is float32 ``(batch, channels, height, width)`` of 0 to 255, its output ``logits``
    float32 ``(batch, classes, height, width)``. A module that can't be exported for all sizes is exported
    for one.

    Args:
        model: from images ``(N, channels, H, W)`` in [0, 1] to logits, on the CPU and in evaluation mode.
        size: ``(H, W)`` that the model was trained at.
        change: what is done to the network before it is put together, such as quantising it.
        channels: of an image.
        fixed: for one image of ``size`` at a time, so that nothing in the graph computes with sizes.

    Raises:
        SegnetError: a model that torch's exporter can't export; gives its reason.
    """
    pads_itself = isinstance(model, CompactSegNet | SegNetEfficient)  # so that no map is odd
    multiple = 2 ** sum(isinstance(module, EncoderStage) for module in model.modules())
    if pads_itself:
        multiple = int(model.minimum_size)  # type: ignore[arg-type]
    if fixed:
        is_even = multiple > 1 and not (size[0] % multiple or size[1] % multiple)
        with FIXED_SIZE, EVEN_SIZES if is_even else contextlib.nullcontext():
            return change(_traced(model, size, channels, None))
    if pads_itself:
        with EVEN_SIZES:
            return _padded(change(_traced(model, size, channels, multiple)), multiple, channels)
    if multiple > 1:
        with EVEN_SIZES:
            even = change(_traced(model, size, channels, multiple))
        return _either(even, change(_traced(model, size, channels)), multiple, channels)
    return change(_for_all_sizes(model, lambda step: _traced(model, size, channels, step)))


def to_program(model: nn.Module, size: tuple[int, int], channels: int = 3) -> ExportedProgram:
    """Return a model as torch's own exported program, from and to the same as ``to_graph``.

    Raises:
        SegnetError: as ``to_graph``.
    """
    return _for_all_sizes(model, lambda step: _exported_program(model, size, channels, step))


def _for_all_sizes(model: nn.Module, make: Callable[[int | None], Made]) -> Made:
    """Return what is made for sides that are multiples of a step, or, where that can't be, for one size."""
    try:
        return make(getattr(model, "size_multiple", 1))
    except SegnetError:
        return make(None)


def save_program(program: ExportedProgram, path: Path, description: str) -> None:
    """Write an exported program, with its description as ``segnet.json`` inside."""
    with quiet():
        torch.export.save(program, path, extra_files={f"{KEY}.json": description})


def _traced(model: nn.Module, size: tuple[int, int], channels: int, step: int | None = 1) -> ModelProto:
    """Return the graph for sides that are multiples of ``step``, or for one size alone."""
    program = _exported_program(model, size, channels, step)
    with _explained(model):
        graph = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            optimize=False,
            verbose=False,
        )
        assert graph is not None  # dynamo's exporter always returns one
        _simplify(graph.model)
    return _tidy(graph.model_proto)


def _exported_program(
    model: nn.Module, size: tuple[int, int], channels: int, step: int | None
) -> ExportedProgram:
    height, width = size
    if step is None:
        sides: tuple[object, object] = (None, None)
    elif step == 1:
        sides = (Dim.DYNAMIC, Dim.DYNAMIC)
    else:
        sides = (step * Dim("rows", max=_MOST_STEPS), step * Dim("columns", max=_MOST_STEPS))
        # the example's sides must be multiples; equal ones, or the trained ones, might be taken for special
        height, width = (max(height // step, 2) + 1) * step, (max(width // step, 2) + 2) * step
    with _explained(model):
        return torch.export.export(
            _FromPixels(model).eval(),
            (torch.zeros(1 if FIXED_SIZE.holds else 2, channels, height, width),),
            dynamic_shapes=({0: None if FIXED_SIZE.holds else Dim.DYNAMIC, 2: sides[0], 3: sides[1]},),
            strict=False,
        )


def _simplify(model: Model) -> None:
    """Compute what is constant and drop what is unused.

    The exporter's own optimiser folds batch norms too. Runtimes do that themselves when they open a file, and
    weights that are exactly float16, as a bundled model's are, would be so no more.
    """
    common.InlinePass()(model)
    for _ in range(2):  # the first round makes more things constant
        fold_constants_ir(model)
        common.RemoveUnusedNodesPass()(model)
    Sequential(
        common.RemoveUnusedOpsetsPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.DeduplicateInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
        common.NameFixPass(),
    )(model)


def _tidy(model: ModelProto) -> ModelProto:
    """Take out what the exporter notes for its developers, file names of this machine among it."""
    graph = model.graph
    for noted in (
        model,
        graph,
        *graph.node,
        *graph.input,
        *graph.output,
        *graph.value_info,
        *graph.initializer,
    ):
        noted.ClearField("doc_string")
        noted.ClearField("metadata_props")
    for input_ in graph.input:
        for axis, name in ((0, "batch"), (2, "height"), (3, "width")):
            if input_.type.tensor_type.shape.dim[axis].dim_param:
                input_.type.tensor_type.shape.dim[axis].dim_param = name
    model.producer_name, model.producer_version = "segnet", ""
    return model


def _padded(inner: ModelProto, multiple: int, channels: int) -> ModelProto:
    """Pad images for a network that takes sides in multiples, and crop its logits, as its model does.

    The model picks rows and columns by index, which ONNX Runtime does slowly: a sixth of segnet-lite's time.
    """
    graph = inner.graph
    _prefix(graph, "inner/")
    image, logits = graph.input[0], graph.output[0]
    _add_constants(graph, multiple=[multiple] * 2, zeros=[0, 0], sides=[2, 3])
    before = [
        _node("Shape", [INPUT], "size/pixels", start=2),
        _node("Neg", ["size/pixels"], "size/less"),
        _node("Mod", ["size/less", "size/multiple"], "size/missing"),
        _node("Concat", ["size/zeros", "size/missing"], "size/pads", axis=0),
        _node("Pad", [INPUT, "size/pads", "", "size/sides"], image.name, mode="edge"),
    ]
    after = _node("Slice", [logits.name, "size/zeros", "size/pixels", "size/sides"], OUTPUT)
    return _with_nodes([*before, *graph.node, after], inner, channels)


def _either(even: ModelProto, whole: ModelProto, multiple: int, channels: int) -> ModelProto:
    """Put a network for sides that are multiples and one for any size into one graph, weights once."""
    graph = even.graph
    _prefix(graph, "even/")
    _prefix(whole.graph, "any/")
    known = {_content(tensor): tensor.name for tensor in graph.initializer}
    for tensor in whole.graph.initializer:
        if _content(tensor) not in known:
            known[_content(tensor)] = tensor.name
            graph.initializer.append(tensor)
    same = {tensor.name: known[_content(tensor)] for tensor in whole.graph.initializer}
    _rename(whole.graph, same)
    del whole.graph.initializer[:]

    image, logits = graph.input[0], graph.output[0]
    _add_constants(graph, multiple=[multiple] * 2, zeros=[0, 0], sides=[2, 3], none=0)
    before = [
        _node("Shape", ["image"], "size/pixels", start=2),
        _node("Mod", ["size/pixels", "size/multiple"], "size/over"),
        _node("Sub", ["size/pixels", "size/over"], "size/even"),
        _node("Slice", ["image", "size/zeros", "size/even", "size/sides"], image.name),
        _node("ReduceSum", ["size/over"], "size/total", keepdims=0),
        _node("Equal", ["size/total", "size/none"], "size/is_even"),
    ]
    nodes = [*before, *graph.node]
    then = helper.make_graph(
        [_node("Identity", [logits.name], "even/out")],
        "even",
        [],
        [helper.make_tensor_value_info("even/out", TensorProto.FLOAT, None)],
    )
    other = helper.make_graph(
        whole.graph.node, "any", [], whole.graph.output, value_info=whole.graph.value_info
    )
    _rename(other, {whole.graph.input[0].name: INPUT})
    nodes.append(_node("If", ["size/is_even"], OUTPUT, then_branch=then, else_branch=other))
    return _with_nodes(nodes, even, channels)


def _add_constants(graph: GraphProto, **constants: int | list[int]) -> None:
    """Give a graph the whole numbers that nodes about sizes compute with, as ``size/NAME``."""
    graph.initializer.extend(
        numpy_helper.from_array(np.array(value, np.int64), f"size/{name}")
        for name, value in constants.items()
    )


def _with_nodes(nodes: list[NodeProto], inner: ModelProto, channels: int) -> ModelProto:
    """Return a model of these nodes, those of ``inner`` among them, for images of any size."""
    graph = inner.graph
    image, logits = graph.input[0], graph.output[0]
    classes = logits.type.tensor_type.shape.dim[1].dim_value
    inside, outside = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", count, "height", "width"])
        for name, count in ((INPUT, channels), (OUTPUT, classes))
    )
    put_together = helper.make_graph(
        nodes, "segnet", [inside], [outside], graph.initializer, value_info=[*graph.value_info, image, logits]
    )
    model = helper.make_model(put_together, opset_imports=inner.opset_import, producer_name="segnet")
    model.ir_version = inner.ir_version
    return model


def _node(kind: str, inputs: list[str], output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(kind, inputs, [output], output, **attributes)


def _content(tensor: TensorProto) -> tuple[int, tuple[int, ...], bytes]:
    return tensor.data_type, tuple(tensor.dims), numpy_helper.to_array(tensor).tobytes()


def _prefix(graph: GraphProto, prefix: str) -> None:
    """Make every name of a graph differ from those of another."""
    values = [*graph.input, *graph.output, *graph.initializer, *graph.value_info]
    names = {value.name for value in values} | {name for node in graph.node for name in node.output}
    for node in graph.node:
        node.name = prefix + node.name
    _rename(graph, {name: prefix + name for name in names if name})


def _rename(graph: GraphProto, names: dict[str, str]) -> None:
    """Give the values of a graph other names."""
    for node in graph.node:
        for listed in (node.input, node.output):
            listed[:] = [names.get(name, name) for name in listed]
    for value in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        value.name = names.get(value.name, value.name)


@contextmanager
def _explained(model: nn.Module) -> Iterator[None]:
    """Say in one line why torch's exporter can't go on; its advice to developers isn't shown."""
    try:
        with quiet():
            yield
    except Exception as error:  # whatever stops it, the user can't use the model
        reason: BaseException = error
        while reason.__cause__ is not None:
            reason = reason.__cause__
        raise SegnetError(
            f"{type(model).__name__} can't be exported; torch's exporter says: "
            f"{type(reason).__name__}: {first_line(reason)}"
        ) from error
