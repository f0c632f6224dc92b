"""LiteRT: exported ``.tflite`` files on a CPU, without torch and without TensorFlow."""

from __future__ import annotations

import zipfile
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from segnet.base.errors import SegnetError
from segnet.inference.description import KEY, Description
from segnet.inference.runtimes import (
    ExportedRuntime,
    Images,
    Logits,
    describe_exported,
    require_size,
    unreadable,
)


class LiteRt(ExportedRuntime[Any]):
    """An interpreter with XNNPACK's kernels; one image at a time, since it isn't safe between threads."""

    name, library = "litert", "LiteRT"

    def logits(self, images: Images) -> Logits:
        """Return float32 logits ``(N, classes, h, w)`` of uint8 images ``(N, h, w, C)``."""
        interpreter, lock = self._opened.get()
        image, logits = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        require_size((images.shape[1], images.shape[2]), (image["shape"][1], image["shape"][2]))
        found = []
        with lock:
            for each in images:
                interpreter.set_tensor(image["index"], each[None].astype(np.float32))
                interpreter.invoke()
                found.append(interpreter.get_tensor(logits["index"]).transpose(0, 3, 1, 2))
        return np.ascontiguousarray(np.concatenate(found))

    @staticmethod
    def open_file(path: Path, device: str, threads: int | None) -> tuple[Any, Description]:
        """Open an interpreter, and read the description in the file."""
        if device != "cpu":
            raise SegnetError(f"the device {device!r} can't be used by LiteRT here; there is cpu")
        try:
            interpreter = Interpreter(model_path=str(path), num_threads=threads or 1)
            interpreter.allocate_tensors()
            inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        except (RuntimeError, ValueError) as error:
            raise unreadable(path, "LiteRT file", error) from error
        channels = int(outputs[0]["shape"][-1]) if outputs else None
        takes, gives = ([each["name"] for each in side] for side in (inputs, outputs))
        description = describe_exported(_description(path), takes, gives, channels, path)
        return (interpreter, Lock()), description


def _description(path: Path) -> str | None:
    """Return what stands at the end of the file, where MediaPipe keeps labels; None where nothing does."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(f"{KEY}.json").decode()
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError):
        return None
