"""Smaller files: weights kept as float16, convolutions in int8 by ONNX Runtime's own static quantisation."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from segnet.base.quiet import quiet
from segnet.export.onnx_graph import Change
from segnet.inference.runtimes import INPUT

# A convolution with less than this part of a model's weights stays in floating point: those are the ones at
# full resolution, where turning maps to int8 and back costs more time than it saves, and accuracy besides.
_SMALLEST_SHARE = 0.005


def with_half_weights(model: ModelProto) -> ModelProto:
    """Keep the weights of convolutions and linear layers as float16; runtimes still compute in float32.

    They turn them back once, when the file is opened, so the file is half as large and as fast as before.
    """
    weights = [tensor for tensor in model.graph.initializer if _is_weight(tensor)]
    casts = []
    for tensor in weights:
        half = numpy_helper.to_array(tensor).astype(np.float16)
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}/half"))
        casts.append(
            helper.make_node("Cast", [f"{name}/half"], [name], f"{name}/float", to=TensorProto.FLOAT)
        )
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def to_int8(images: npt.NDArray[np.uint8]) -> Change:
    """Return what turns a network's larger convolutions to int8, calibrated on images ``(N, h, w, C)``.

    Weights get a scale for each output channel, activations one for each map (the range they have on the
    images). Depthwise convolutions stay in floating point: their channels' ranges differ too much for one
    scale, and they hold few weights.
    """

    def change(model: ModelProto) -> ModelProto:
        with tempfile.TemporaryDirectory() as folder:
            before, after = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
            onnx.save(model, before)
            with quiet():  # its advice to preprocess, which the exporter has done
                quantize_static(
                    before,
                    after,
                    _Calibration(images),
                    quant_format=QuantFormat.QDQ,
                    op_types_to_quantize=["Conv"],
                    nodes_to_quantize=_larger_convolutions(model),
                    per_channel=True,
                    activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8,
                )
            return onnx.load(after)

    return change


class _Calibration(CalibrationDataReader):  # type: ignore[misc] # onnxruntime has no types
    def __init__(self, images: npt.NDArray[np.uint8]) -> None:
        self._images = iter(images)

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        image = next(self._images, None)
        return None if image is None else {INPUT: image.transpose(2, 0, 1)[None].astype(np.float32)}


def _larger_convolutions(model: ModelProto) -> list[str]:
    weights = {tensor.name: tensor for tensor in model.graph.initializer if _is_weight(tensor)}
    total = sum(int(np.prod(tensor.dims)) for tensor in weights.values())

    def is_larger(node: NodeProto) -> bool:
        if node.op_type != "Conv" or node.input[1] not in weights:
            return False
        shape = weights[node.input[1]].dims
        return shape[1] > 1 and int(np.prod(shape)) >= _SMALLEST_SHARE * total

    return [node.name for node in model.graph.node if is_larger(node)]


def _is_weight(tensor: TensorProto) -> bool:
    """Say whether this is one of the model's own, and no small vector, nor the graph's pooling constants."""
    return tensor.data_type == TensorProto.FLOAT and len(tensor.dims) > 1 and ".weight" in tensor.name
