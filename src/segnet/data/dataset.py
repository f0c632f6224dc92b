"""What a dataset is: a class table and, for each split, a sequence of samples that can be read."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from segnet.core.classes import ClassTable
from segnet.core.errors import SegnetError

Mask = npt.NDArray[np.uint8]


class Sample(Protocol):
    """One image with its mask; cheap to hold, read only when asked."""

    @property
    def name(self) -> str:
        """What error messages and reports call it, mostly the file's stem."""

    def fingerprint(self) -> bytes:
        """Bytes that change when the pixels, or what the mask's values mean, change."""

    def read(self) -> tuple[Image.Image, Mask]:
        """Return the image in mode RGB and its mask ``(H, W)`` of class ids, 255 = ignore, of the same size.

        Raises:
            SegnetError: a file that is missing or damaged, or a mask that doesn't fit; names the file.
        """


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

    notice: str = ""
    """Licence and attribution; travels inside every model trained on it."""


def hold_out(samples: Sequence[Sample], fraction: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Cut ``fraction`` of the samples off for validation: ``(rest, held out)``, both in their first order.

    Raises:
        SegnetError: a fraction outside [0, 1), or one that leaves a side empty.
    """
    if not 0 <= fraction < 1:
        raise SegnetError(f"the fraction to hold out must be at least 0 and below 1, got {fraction}")
    count = round(len(samples) * fraction)
    if fraction and not 0 < count < len(samples):
        raise SegnetError(f"holding out {fraction:g} of {len(samples)} samples leaves a split empty")
    chosen = set(random.Random(seed).sample(range(len(samples)), count))
    rest = [sample for index, sample in enumerate(samples) if index not in chosen]
    return rest, [samples[index] for index in sorted(chosen)]
