"""Files for ONNX Runtime, OpenVINO and torch's own programs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import helper

from segnet.core.kernels.exported import HALF_CONSTANTS
from segnet.export.onnx_graph import save_program, to_graph, to_program
from segnet.export.parity import Logits, Precision
from segnet.export.smaller import to_int8, with_half_weights
from segnet.export.target_files import Job
from segnet.inference.description import KEY
from segnet.inference.opening import load
from segnet.models.folding import fold_batch_norms

_PROGRAM = ".pt2"


def write(job: Job, path: Path) -> None:
    """Write a model as a graph of standard operations; OpenVINO's is two files."""
    segmenter, calibration, precision = job.segmenter, job.calibration, job.precision
    description, model = segmenter.description, segmenter.model
    channels = description.intensity.channels
    text = description.to_json()
    if job.to == "torch":
        save_program(to_program(model, description.size, channels), path, text)
        return
    if calibration is None:
        with HALF_CONSTANTS if precision == "float16" else nullcontext():
            graph = to_graph(model, description.size, channels=channels, fixed=job.fixed_size)
    else:
        graph = to_graph(
            fold_batch_norms(model),
            description.size,
            to_int8(calibration.pixels),
            channels=channels,
            fixed=job.fixed_size,
        )
    if precision != "float32":
        graph = with_half_weights(graph)
    helper.set_model_props(graph, {KEY: text})
    onnx.checker.check_model(graph)
    onnx.save(graph, path.with_suffix(".onnx"))
    if job.to == "openvino":
        import openvino

        converted = openvino.convert_model(path.with_suffix(".onnx"))
        path.with_suffix(".onnx").unlink()
        converted.set_rt_info(text, [KEY])
        openvino.save_model(converted, path, compress_to_fp16=precision != "float32")


@contextmanager
def opened(path: Path) -> Iterator[tuple[Logits, str]]:
    """Give what a file computes, and the name of the runtime that computes it."""
    if path.suffix != _PROGRAM:
        runtime = load(path).runtime
        yield runtime.logits, runtime.name
        return
    program = torch.export.load(path).module()

    def logits(images: Any) -> Any:
        with torch.inference_mode():
            batch = torch.from_numpy(images).permute(0, 3, 1, 2).float()
            return program(batch).numpy()

    yield logits, "torch"


def remarks_on(path: Path, size_bytes: int, stored: Precision, run_by: str) -> tuple[str, ...]:
    """Return nothing: these files keep all that their model says."""
    del path, size_bytes, stored, run_by
    return ()
