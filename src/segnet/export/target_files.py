"""What the exporter asks of each target: a module that writes its files, opens them, knows their limits."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from segnet.export.network import Network
from segnet.export.parity import Logits, Precision
from segnet.export.pictures import Pictures
from segnet.inference.segmenter import Segmenter

Target = Literal["onnx", "openvino", "litert", "coreml", "torch", "web", "html"]


@dataclass(frozen=True)
class Job:
    """What is to be written."""

    to: Target
    segmenter: Segmenter
    """The model, with its description."""
    network: Network | None
    """Its layers, for targets that are made of them."""
    precision: Precision
    """In which weights are kept, or of int8 maps too."""
    fixed_size: bool = False
    """For one image of the model's size at a time, where the target has a choice."""
    calibration: Pictures | None = None
    """int8: images that show which values to expect, where the target asks for them."""

    @property
    def layers(self) -> Network:
        """The network of a target that is made of layers."""
        assert self.network is not None
        return self.network


class TargetFiles(Protocol):
    """The module of one or more targets."""

    def write(self, job: Job, path: Path) -> None:
        """Write a file, or a folder that is one to its users."""

    def opened(self, path: Path) -> AbstractContextManager[tuple[Logits, str]]:
        """Give what a file computes, and in words what computes it."""

    def remarks_on(self, path: Path, size_bytes: int, stored: Precision, run_by: str) -> tuple[str, ...]:
        """Return what else there is to know of a file that was written, in sentences."""


def why_float32(stored: Precision) -> str:
    """Return the reason that a remark on float32 weights ends with; "" for other weights."""
    return ", since float16 gives too many pixels another class" if stored == "float32" else ""
