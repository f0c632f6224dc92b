"""Files for ONNX Runtime, OpenVINO and torch's own programs."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import onnx
import torch
from onnx import helper

from segnet.core.kernels.exported import HALF_CONSTANTS
from segnet.export.onnx_graph import save_program, to_graph, to_program
from segnet.export.parity import Logits, Precision
from segnet.export.pictures import Pictures
from segnet.export.smaller import to_int8, with_half_weights
from segnet.inference.description import KEY
from segnet.inference.opening import load
from segnet.inference.segmenter import Segmenter
from segnet.models.folding import fold_batch_norms

GraphTarget = Literal["onnx", "openvino", "torch"]


def write_graph(
    segmenter: Segmenter,
    to: GraphTarget,
    precision: Precision,
    calibration: Pictures | None,
    path: Path,
    *,
    fixed_size: bool = False,
) -> None:
    """Write a model as a graph of standard operations; OpenVINO's is two files.

    Args:
        segmenter: the model.
        to: whose format.
        precision: in which the weights are kept.
        calibration: int8: images to calibrate on.
        path: the file.
        fixed_size: for one image of the model's size at a time.
    """
    description, model = segmenter.description, segmenter.model
    channels = description.intensity.channels
    text = description.to_json()
    if to == "torch":
        save_program(to_program(model, description.size, channels), path, text)
        return
    if calibration is None:
        with HALF_CONSTANTS if precision == "float16" else nullcontext():
            graph = to_graph(model, description.size, channels=channels, fixed=fixed_size)
    else:
        graph = to_graph(
            fold_batch_norms(model),
            description.size,
            to_int8(calibration.pixels),
            channels=channels,
            fixed=fixed_size,
        )
    if precision != "float32":
        graph = with_half_weights(graph)
    helper.set_model_props(graph, {KEY: text})
    onnx.checker.check_model(graph)
    onnx.save(graph, path.with_suffix(".onnx"))
    if to == "openvino":
        import openvino

        converted = openvino.convert_model(path.with_suffix(".onnx"))
        path.with_suffix(".onnx").unlink()
        converted.set_rt_info(text, [KEY])
        openvino.save_model(converted, path, compress_to_fp16=precision != "float32")


def open_graph(path: Path, target: GraphTarget) -> tuple[Logits, str]:
    """Return what a file computes, and the name of the runtime that computes it."""
    if target != "torch":
        runtime = load(path).runtime
        return runtime.logits, runtime.name
    program = torch.export.load(path).module()

    def logits(images: Any) -> Any:
        with torch.inference_mode():
            batch = torch.from_numpy(images).permute(0, 3, 1, 2).float()
            return program(batch).numpy()

    return logits, "torch"
