"""Which images to use, as typed by a user: shared by training and evaluation, and cheap to import.

No postponed annotations here: the command line reads the inherited fields' types from another module.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

BorderPolicy = Literal["class", "pet", "ignore"]


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Which images to use."""

    data: str = "oxford-pets"
    """oxford-pets, synthetic (drawn by the package, no download), or a folder of images and masks."""

    data_root: Path | None = None
    """oxford-pets: a folder already in the official layout; without it the archives are downloaded."""

    archive: tuple[Path, ...] = ()
    """oxford-pets: images.tar.gz and annotations.tar.gz that are already here; give it twice."""

    extra_list: str | None = None
    """oxford-pets: one more list of training images, such as trainval_extra.txt; a path or a name."""

    border: BorderPolicy = "class"
    """oxford-pets: the border as a class, as part of the pet, or ignored. Don't compare across these."""
