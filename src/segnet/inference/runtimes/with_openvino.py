"""OpenVINO: exported ``.onnx`` files and its own ``.xml`` with ``.bin``, on Intel's CPUs and GPUs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from segnet.base.errors import SegnetError
from segnet.base.forked import PerProcess
from segnet.inference.description import KEY, Description
from segnet.inference.runtimes import (
    INPUT,
    OUTPUT,
    ExportedRuntime,
    Images,
    Logits,
    describe_exported,
    unreadable,
)

_REPORTER = "openvino_telemetry"


def _imported() -> tuple[Any, Any]:
    """Import OpenVINO as where its optional reporter isn't installed.

    With that it reports its import to Google Analytics, from a process that it forks.
    """
    absent = _REPORTER not in sys.modules
    if absent:
        sys.modules[_REPORTER] = None  # type: ignore[assignment] # Python's way to say that there is none
    try:
        import openvino
        from openvino.frontend import FrontEndManager
    finally:
        if absent:
            del sys.modules[_REPORTER]
    return openvino, FrontEndManager


openvino, FrontEndManager = _imported()

# By suffix: OpenVINO's name of the format, ours, and where in rt_info the description is.
_FORMATS = {
    ".onnx": ("onnx", "ONNX file", ["framework", KEY]),  # its reader puts metadata_props there
    ".xml": ("ir", "OpenVINO model with its .bin beside it", [KEY]),
}


# The process's one core, which keeps devices' plugins for all models. The plugin for CPUs gives the thread
# that first uses it another stack for signals, and at its end puts back the one that it found. Of several
# that don't end in reverse order one puts back a stack that is gone, and the next signal, such as Ctrl-C,
# ends the process with a segmentation fault.
_CORE: PerProcess[Any] = PerProcess(openvino.Core(), openvino.Core)


class OpenVino(ExportedRuntime[Any]):
    """A compiled model of OpenVINO, on "gpu" and "npu" too where it finds one; nothing is cached on disk."""

    name, library = "openvino", "OpenVINO"

    def logits(self, images: Images) -> Logits:
        """Return float32 logits ``(N, classes, h, w)`` of uint8 images ``(N, h, w, C)``."""
        # A request of its own for each call: what it gives is a copy, and threads don't meet in it.
        pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)
        found = self._opened.get().create_infer_request().infer({INPUT: pixels})
        return found[OUTPUT].copy()

    @staticmethod
    def open_file(path: Path, device: str, threads: int | None) -> tuple[Any, Description]:
        """Compile a model, and read the description in the file."""
        core = _CORE.get()
        known = [each.lower() for each in core.available_devices]
        if device not in known:
            raise SegnetError(
                f"the device {device!r} can't be used by OpenVINO here; there is {', '.join(sorted(known))}"
            )
        format_name, words, place = _FORMATS[path.suffix.lower()]
        try:
            # Core.read_model lets the readers of all formats try a damaged file; they print what they think.
            reader = FrontEndManager().load_by_framework(format_name)
            model = reader.convert(reader.load(str(path)))
            text = model.get_rt_info(place).astype(str) if model.has_rt_info(place) else None
            inputs, outputs = ([_name(each) for each in side] for side in (model.inputs, model.outputs))
            channels = [each.get_partial_shape()[1] for each in model.outputs]
        except Exception as error:  # of many kinds, with nothing but Exception in common
            raise unreadable(path, words, error) from error
        classes = channels[0].get_length() if channels and channels[0].is_static else None
        description = describe_exported(text, inputs, outputs, classes, path)
        # OpenVINO takes bfloat16 unasked where the processor has it.
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            return core.compile_model(model, device.upper(), settings), description
        except RuntimeError as error:
            raise unreadable(path, words, error) from error


def _name(tensor: Any) -> str:
    """Return what a tensor is called; of several names the one of ours."""
    names: set[str] = tensor.get_names()
    return next(
        (name for name in (INPUT, OUTPUT) if name in names), min(names, default="a tensor without name")
    )
