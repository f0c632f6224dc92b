"""ONNX Runtime: exported ``.onnx`` files on a CPU, or on a GPU with CUDA, without torch."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segnet.base.errors import SegnetError
from segnet.base.files import require_text_name
from segnet.base.forked import PerProcess, require_cpu
from segnet.inference.description import KEY, Description
from segnet.inference.runtimes import (
    INPUT,
    OUTPUT,
    Images,
    Logits,
    OpenedFile,
    describe_exported,
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


class OnnxRuntime:
    """A session of ONNX Runtime.

    Args:
        path: a file that segnet exported.
        device: "auto" and "cpu" are the CPU; "cuda" or "cuda:1" need the package onnxruntime-gpu.
        threads: how many compute; by default as many as ONNX Runtime sees fit, one a core.

    Raises:
        SegnetError: a device that isn't there, or a file that isn't ours, is damaged or of a later format.
    """

    name = "onnxruntime"

    def __init__(self, path: Path, device: str = "auto", threads: int | None = None) -> None:
        require_text_name(path, "ONNX Runtime")
        self.device = "cpu" if device == "auto" else device
        session = _open(path, self.device, threads)
        outputs = session.get_outputs()
        shape = outputs[0].shape if outputs else []
        self.description: Description = describe_exported(
            session.get_modelmeta().custom_metadata_map.get(KEY),
            [each.name for each in session.get_inputs()],
            [each.name for each in outputs],
            shape[1] if len(shape) > 1 else None,
            path,
        )
        self._file, self._threads = OpenedFile.at(path), threads
        self._session = PerProcess(
            session, partial(self._file.open_again, _open_forked, self.device, threads)
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return self._file.open_again, (OnnxRuntime, self.device, self._threads)

    def logits(self, images: Images) -> Logits:
        """Return float32 logits ``(N, classes, h, w)`` of uint8 images ``(N, h, w, C)``."""
        pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)
        logits: Logits = self._session.get().run([OUTPUT], {INPUT: pixels})[0]
        return logits


def _open(path: Path, device: str, threads: int | None) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ONLY_FATAL
    options.intra_op_num_threads = threads or 0
    # Threads that spin while they wait take the cores from whatever else the machine does.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = _providers(device)
    try:
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # the package's errors have nothing but Exception in common
        raise unreadable(path, "ONNX file", error) from error


def _open_forked(path: Path, device: str, threads: int | None) -> Any:
    require_cpu(device)
    return _open(path, device, threads)


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
