"""ONNX Runtime: exported ``.onnx`` files on a CPU, or on a GPU with CUDA, without torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from segnet.base.errors import SegnetError
from segnet.inference.description import KEY, Description
from segnet.inference.runtimes import (
    INPUT,
    OUTPUT,
    ExportedRuntime,
    Images,
    Logits,
    describe_exported,
    require_size,
    unreadable,
)

_NO_REPORTS = "ORT_DISABLE_TELEMETRY"


def _imported() -> Any:
    """Import ONNX Runtime without the thread that reports its use to Microsoft (from version 1.29 on).

    A forked process would wait for that thread for ever when it ends.
    """
    before = os.environ.get(_NO_REPORTS)
    os.environ[_NO_REPORTS] = before or "1"
    try:
        import onnxruntime
    finally:
        os.environ.pop(_NO_REPORTS) if before is None else os.environ.update({_NO_REPORTS: before})
    return onnxruntime


onnxruntime = _imported()
_ONLY_FATAL = 4  # what goes wrong is raised as well


class OnnxRuntime(ExportedRuntime[Any]):
    """A session of ONNX Runtime; "cuda" or "cuda:1" need the package onnxruntime-gpu."""

    name, library = "onnxruntime", "ONNX Runtime"

    def logits(self, images: Images) -> Logits:
        """Return float32 logits ``(N, classes, h, w)`` of uint8 images ``(N, h, w, C)``."""
        pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)
        session = self._opened.get()
        batch, _, *size = session.get_inputs()[0].shape
        if batch != 1:  # a name where it may be any number
            return session.run([OUTPUT], {INPUT: pixels})[0]
        require_size((images.shape[1], images.shape[2]), (size[0], size[1]))
        return np.concatenate([session.run([OUTPUT], {INPUT: each[None]})[0] for each in pixels])

    @staticmethod
    def open_file(path: Path, device: str, threads: int | None) -> tuple[Any, Description]:
        """Open a session, and read the description in the file."""
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ONLY_FATAL
        options.intra_op_num_threads = threads or 0
        # Threads that spin while they wait take the cores from whatever else the machine does.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = _providers(device)
        try:
            session = onnxruntime.InferenceSession(path, options, providers=providers)
        except Exception as error:  # the package's errors have nothing but Exception in common
            raise unreadable(path, "ONNX file", error) from error
        outputs = session.get_outputs()
        shape = outputs[0].shape if outputs else []
        return session, describe_exported(
            session.get_modelmeta().custom_metadata_map.get(KEY),
            [each.name for each in session.get_inputs()],
            [each.name for each in outputs],
            shape[1] if len(shape) > 1 else None,
            path,
        )


def _providers(device: str) -> list[str | tuple[str, dict[str, str]]]:
    kind, _, number = device.partition(":")
    if device == "cpu":
        return ["CPUExecutionProvider"]
    if kind == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        return [("CUDAExecutionProvider", {"device_id": number or "0"}), "CPUExecutionProvider"]
    raise SegnetError(
        f"the device {device!r} can't be used by this ONNX Runtime; try --device cpu"
        + ("; GPUs need the package onnxruntime-gpu in place of onnxruntime" if kind == "cuda" else "")
    )
