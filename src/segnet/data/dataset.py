"""What a dataset is: a class table and, for each split, a sequence of samples that can be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from PIL import Image

from segnet.base.classes import ClassTable
from segnet.data.images.intensity import RGB, Intensity
from segnet.data.images.pixel_values import Pixels, Values
from segnet.data.options import DataOptions

Mask = npt.NDArray[np.uint8]

Progress = Callable[[int], AbstractContextManager[Callable[[], object]]]
"""Called with a number of things; its context gives a function to call after each of them."""


@contextmanager
def uncounted(total: int) -> Iterator[Callable[[], object]]:
    """Show no progress: a ``Progress`` for where nobody watches."""
    yield lambda: None


class Sample(Protocol):
    """One image with its mask; cheap to hold, read only when asked."""

    @property
    def name(self) -> str:
        """What error messages and reports call it, mostly the file's stem."""

    def image_ids(self) -> tuple[bytes, ...]:
        """Short ids: first that of the image's content, then any by which a copy of it is known."""

    def fingerprint(self) -> bytes:
        """Bytes that change when the pixels, or what the mask's values mean, change."""

    def read(self) -> tuple[Image.Image, Mask]:
        """Return the image in mode RGB and its mask ``(H, W)`` of class ids, 255 = ignore, of the same size.

        Raises:
            SegnetError: a file that is missing or damaged, or a mask that doesn't fit; names the file.
        """


@runtime_checkable
class HasValues(Protocol):
    """A sample whose image may have other channels than RGB, and more bits."""

    @property
    def is_deep(self) -> bool:
        """Whether the image holds more than 8 bits a channel."""

    def read_as(self, intensity: Intensity) -> tuple[Image.Image | Pixels, Mask]:
        """Return the image in these channels and ranges, mode RGB or ``(H, W, C)``, and its mask."""

    def read_values(self, channels: int) -> Values:
        """Return the image's values ``(H, W, channels)`` as they are stored."""


@dataclass(frozen=True)
class Dataset:
    """The splits of one dataset.

    ``test`` is empty where ``val`` is the split that gets reported; ``extra`` is trained on and never
    held out (pets with reconstructed borders, say).
    """

    name: str
    classes: ClassTable
    train: Sequence[Sample]
    val: Sequence[Sample]
    test: Sequence[Sample] = ()
    extra: Sequence[Sample] = ()
    val_is: str = "its own validation split"
    """What the validation split is, as reports say it."""

    held_out: bool = False
    """Whether the validation split is a part of the training images, which options choose."""

    notice: str = ""
    """Licence and attribution; travels inside every model trained on it."""

    options: DataOptions | None = None
    """What it was opened with; None where a program has made it."""

    intensity: Intensity = RGB
    """What a network that is trained on it is given of an image; a run measures the ranges."""

    matched: str = ""
    """How its classes were matched with a model's, where they aren't the same in the same order."""

    warnings: tuple[str, ...] = ()
    """What is odd about the data, a line each, where training goes on all the same."""

    @property
    def splits(self) -> dict[str, list[Sample]]:
        """Every sample by the split that it is in; extra ones are trained on."""
        return {"train": [*self.train, *self.extra], "val": [*self.val], "test": [*self.test]}
