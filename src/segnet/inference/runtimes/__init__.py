"""What computes logits: torch for models as they are trained, three other runtimes for exported ones.

What an exported file must be, whoever opens it: one image in, logits out, and the description inside.

Input ``image``: float32 ``(batch, channels, height, width)`` of 0 to 255, RGB where there are three; scaling
to [0, 1] is part of the graph. What brings values of more than 8 bits to 0 to 255 isn't: the description has
the ranges, and the segmenter applies them.

Output ``logits``: float32 ``(batch, classes, height, width)``. The description is the text under ``KEY``: in
``metadata_props`` of ONNX, in ``rt_info`` of OpenVINO's own format. LiteRT has channels last, a batch of one,
and the description in the archive at the file's end.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from segnet.base.errors import SegnetError
from segnet.base.files import require_text_name
from segnet.base.forked import PerProcess, require_cpu
from segnet.inference.description import Description

RUNTIMES = ("auto", "onnxruntime", "openvino", "litert", "torch")

INPUT, OUTPUT = "image", "logits"

Images = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float32]

T = TypeVar("T")
Opened = TypeVar("Opened")

_REMEDY = "export the model anew with segnet export"


class Runtime(Protocol):
    """A model that is opened on a device and predicts."""

    @property
    def name(self) -> str:
        """What computes: torch, onnxruntime, openvino or litert."""

    @property
    def device(self) -> str:
        """Where it computes, in the package's own words in lower case: cpu, cuda:0, gpu."""

    def logits(self, images: Images) -> Logits:
        """Return float32 logits ``(N, classes, h, w)`` of uint8 images ``(N, h, w, C)``.

        What an image gets depends on its neighbours in the batch by float rounding at most.
        """


class ExportedRuntime(ABC, Generic[T]):
    """What opens an exported file; another process, forked or spawned, opens the same file again.

    Args:
        path: a file that segnet exported.
        device: "auto" and "cpu" are the CPU; others as the library calls them.
        threads: how many compute on the CPU; by default as many as the library sees fit.

    Raises:
        SegnetError: a device that isn't there, or a file that isn't ours, is damaged or of a later format.
    """

    name: str
    library: str
    """The name of the package for people."""

    def __init__(self, path: Path, device: str = "auto", threads: int | None = None) -> None:
        require_text_name(path, self.library)
        self.device = "cpu" if device == "auto" else device
        opened, self.description = self.open_file(path, self.device, threads)
        # from the root, since another process may work in another folder
        self._again = path.absolute(), _digest(path), self.device, threads
        self._opened = PerProcess(opened, partial(_opened_in_fork, self.open_file, *self._again))

    @abstractmethod
    def logits(self, images: Images) -> Logits:
        """Return float32 logits ``(N, classes, h, w)`` of uint8 images ``(N, h, w, C)``."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _open_again, (type(self), *self._again)

    @staticmethod
    @abstractmethod
    def open_file(path: Path, device: str, threads: int | None) -> tuple[T, Description]:
        """Open a file by the library, and return with it what it says about itself."""


def _opened_in_fork(
    open_: Callable[[Path, str, int | None], tuple[T, Description]],
    path: Path,
    digest: str,
    device: str,
    threads: int | None,
) -> T:
    require_cpu(device)
    return _open_again(open_, path, digest, device, threads)[0]


def _open_again(
    open_: Callable[[Path, str, int | None], Opened],
    path: Path,
    digest: str,
    device: str,
    threads: int | None,
) -> Opened:
    """Open a file in another process.

    Raises:
        SegnetError: it isn't there, or not what it was.
    """
    try:
        found = _digest(path)
    except OSError as error:
        raise SegnetError(
            f"another process can't open the model file {path} ({error.strerror}); put it there, or "
            "call segnet.load in that process"
        ) from error
    if found != digest:
        raise SegnetError(f"the model file {path} has changed since it was opened; call segnet.load again")
    return open_(path, device, threads)


def _digest(path: Path) -> str:
    parts = [path, path.with_suffix(".bin")] if path.suffix.lower() == ".xml" else [path]
    return "".join(hashlib.sha256(part.read_bytes()).hexdigest() for part in parts)


def describe_exported(
    text: str | None, inputs: Sequence[str], outputs: Sequence[str], channels: object, path: Path
) -> Description:
    """Check what a file holds against what we export, and return its description.

    Args:
        text: what the file has under ``KEY``; None where it has nothing.
        inputs: names of the graph's inputs.
        outputs: names of its outputs.
        channels: of the output, an int where the file says it.
        path: the file, for the error.

    Raises:
        SegnetError: not exported by segnet, damaged, or of a later format.
    """
    if text is None:
        raise SegnetError(
            f"{path} says nothing of its classes and its image size: no model exported by segnet; {_REMEDY}"
        )
    description = Description.from_json(text, path, _REMEDY)
    if [*inputs] != [INPUT] or [*outputs] != [OUTPUT]:
        raise SegnetError(
            f"{path} takes {', '.join(inputs) or 'nothing'} and gives {', '.join(outputs) or 'nothing'}, "
            f"where a model exported by segnet takes {INPUT} and gives {OUTPUT}; {_REMEDY}"
        )
    if isinstance(channels, int) and channels != len(description.classes):
        raise SegnetError(
            f"{path} gives {channels} logits a pixel but names {len(description.classes)} classes; {_REMEDY}"
        )
    return description


def require_size(found: tuple[int, int], needed: tuple[int, int]) -> None:
    """Check the size of images for a file that takes one alone.

    Raises:
        SegnetError: they are of another.
    """
    if found != tuple(needed):
        (height, width), (rows, columns) = needed, found
        raise SegnetError(
            f"the model's file is for images of {height}x{width} pixels alone, and got {rows}x{columns}; "
            "take --to onnx without --fixed-size, whose file takes any"
        )


def unreadable(path: Path, format_name: str, error: Exception) -> SegnetError:
    """Return the error for a file that its library can't open, with the library's last word on it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[-1].rstrip(".") if lines else type(error).__name__
    return SegnetError(f"{path} is damaged or no {format_name} ({reason}); {_REMEDY}")
