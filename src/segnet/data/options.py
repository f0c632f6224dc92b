"""Which images to use, as typed by a user; cheap to import.

No postponed annotations here: the command line reads the inherited fields' types from another module.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from segnet.base.errors import SegnetError, refuse, require_all
from segnet.base.files import expand_home
from segnet.base.settings import (
    Whole,
    expand_paths,
    on_command_line,
    option,
    plain_values,
    require_choices,
    require_ranges,
    setting,
)

BorderPolicy = Literal["class", "pet", "ignore"]

DATA = Group("Data", sort_key=1)

# Which of the options below each source of data takes; a folder takes those of "folder".
_HELD_OUT_BY = ("holdout", "val_list", "group_by", "fold", "seed")
TAKES = {
    "oxford-pets": ("data_root", "archive", "extra_list", "border", *_HELD_OUT_BY),
    "synthetic": ("seed",),
    "folder": (*_HELD_OUT_BY, "channels"),
    "hf": (*_HELD_OUT_BY, "channels", "image_column", "mask_column", "dataset_yaml"),
}
DATASET_NAMES = ("oxford-pets", "synthetic")  # in place of a path
MOST_CHANNELS = 64
HF = "hf:"  # what a Hugging Face dataset's name or folder begins with


def source_of(data: str) -> str:
    """Return the key of ``TAKES`` for what ``--data`` names: a dataset's name, "hf" or "folder"."""
    if data.startswith(HF):
        return "hf"
    return data if data in DATASET_NAMES else "folder"


def cut_data(data: str) -> tuple[str, str, str]:
    """Return ``("hf:", "my/pets", ":small")`` for hf:my/pets:small, and ``("", "my/pets", "")`` for a folder.

    A colon in the name of a folder that is there belongs to that name.
    """
    if not data.startswith(HF):
        return "", data, ""
    named = data.removeprefix(HF)
    name, colon, config = named.rpartition(":")
    return (HF, name, f":{config}") if colon and not expand_home(named).exists() else (HF, named, "")


@on_command_line
@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Which images to use, and which of them are held out for validation.

    Paths may be given as text, and ``~`` stands for the home folder.

    Raises:
        SegnetError: a value outside its range, or options that contradict each other.
    """

    # fmt: off
    data: str = setting(
        "oxford-pets", group=DATA, path="where it is there", around=cut_data,
        help="oxford-pets, synthetic (drawn by the package, no download), a folder of images and masks, or "
        "hf:OWNER/NAME, hf:OWNER/NAME:CONFIG or hf:FOLDER, a Hugging Face dataset from the hub or from "
        "here.")

    data_root: Path | None = setting(
        group=DATA, path="always",
        help="oxford-pets: a folder already in the official layout; without it the archives are "
        "downloaded.")

    archive: Annotated[tuple[Path, ...], Parameter(negative=(), show_default=False)] = setting(
        (), group=DATA, path="always",
        help="oxford-pets: images.tar.gz and annotations.tar.gz that are already here; give it twice.")

    extra_list: str | None = setting(
        group=DATA, path="where it is there",
        help="oxford-pets: one more list of training images, such as trainval_extra.txt; a path or a name.")

    border: BorderPolicy = setting(
        "class", group=DATA,
        help="oxford-pets: the border as a class, as part of the pet, or ignored. Don't compare across "
        "these.")

    holdout: float = setting(
        0.0, group=DATA, at_least=0, at_most=0.9,
        help="Share of the training images to validate on where the data has no validation split. Each "
        "image is in it or not by its own content, so a file more or less moves no other. With oxford-pets "
        "0 validates on the official test split as the article does; a folder without splits takes 0.2 for "
        "0.")

    val_list: Path | None = setting(
        group=DATA, path="always",
        help="A text file that names the training images to validate on, one a line, in place of "
        "--holdout.")

    group_by: str | None = setting(
        group=DATA,
        help="A pattern (regular expression) of an image's name: images with the same match, or the same "
        "first group of it, stay together when a part is held out, such as '^scene[0-9]+' for the frames of "
        "a scene.")

    fold: str | None = setting(
        group=DATA,
        help="Which part of how many to validate on, such as 2/5, in place of --holdout: cross-validation.")

    image_column: str | None = setting(
        group=DATA,
        help="hf: the column of images, where its name and type don't tell.")

    mask_column: str | None = setting(
        group=DATA,
        help="hf: the column of masks, where its name and type don't tell.")

    dataset_yaml: Path | None = setting(
        group=DATA, path="always",
        help="hf: a file that says what the masks' values mean, as dataset.yaml does in a folder; not "
        "needed where they are 0, 1, 2 ..")

    channels: Whole | None = setting(
        group=DATA,
        help="folder, hf: channels of the images; without it they are RGB, and grey is read as RGB. 1 is "
        "grey; 2, 4 and more are TIFFs of as many samples, 4 also PNGs with transparency.")

    seed: Whole = setting(
        0, group=DATA, at_least=0, at_most=2**31 - 1,
        help="Decides which images are held out, and what synthetic draws.")
    # fmt: on

    def __post_init__(self) -> None:
        require_all(*self._checks())

    def _checks(self) -> list[Callable[[], object]]:
        """Return what must be asked of all options; each raises SegnetError."""
        return [self._require_data, lambda: require_choices(self), lambda: require_ranges(self)]

    def _require_data(self) -> None:
        expand_paths(self)
        for name in ("data", "extra_list", "image_column", "mask_column"):
            value = getattr(self, name)
            if (value is not None or name == "data") and (not isinstance(value, str) or not value.strip()):
                raise SegnetError(f"{option(name)} is empty; name one there, or leave it out")
        channels, is_listed = self.channels, self.val_list is not None
        is_count = isinstance(channels, int) and 1 <= channels <= MOST_CHANNELS
        refuse(
            (
                not cut_data(self.data)[1].strip(),
                f"--data {self.data} names no dataset; give {HF}OWNER/NAME or {HF}FOLDER",
            ),
            (
                channels is not None and not is_count,
                f"--channels must be a whole number from 1 to {MOST_CHANNELS}, got {channels}",
            ),
        )
        if self.fold is not None:
            self.fold_of()
        refuse(
            (
                self.fold is not None and is_listed,
                "--fold and --val-list both say what to validate on; give only one",
            ),
            (
                self.group_by is not None and is_listed,
                "--val-list names each image to validate on and takes no --group-by",
            ),
        )
        if self.group_by is not None:
            try:
                re.compile(self.group_by)
            except (re.error, TypeError) as error:
                raise SegnetError(f"--group-by {self.group_by!r} is no regular expression: {error}") from None

    @property
    def source(self) -> str:
        """A key of ``TAKES``: the dataset's name, "hf" or "folder"."""
        return source_of(self.data)

    @property
    def place(self) -> Path | None:
        """The folder or file that ``data`` names; None for a dataset by name, also one of the hub."""
        if self.source in DATASET_NAMES:
            return None
        path = expand_home(cut_data(self.data)[1])
        return path if self.source == "folder" or path.exists() else None

    @property
    def data_name(self) -> str:
        """What reports call the data: its name, or that of its folder."""
        _, name, config = cut_data(self.data)
        return (name if self.place is None else self.place.resolve().name) + config

    def fold_of(self) -> tuple[int, int]:
        """Return ``(2, 5)`` for the fold "2/5".

        Raises:
            SegnetError: no such pair, or a part outside them.
        """
        match = re.fullmatch(r"(\d+)/(\d+)", str(self.fold))
        part, parts = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= part <= parts or parts < 2:
            raise SegnetError(f"--fold is a part of so many, such as 2/5, not {self.fold}")
        return part, parts

    def unused(self) -> list[str]:
        """Return a line for each option that was given but that this data doesn't take."""
        lines = []
        for entry in fields(DataOptions):
            if entry.name == "data" or entry.name in TAKES[self.source]:
                continue
            if getattr(self, entry.name) != entry.default:
                *others, last = (name for name, names in TAKES.items() if entry.name in names)
                takers = f"{', '.join(others)} and {last}" if others else last
                lines.append(f"{option(entry.name)} is for {takers}; with --data {self.data} leave it out")
        return lines

    def data_dict(self) -> dict[str, Any]:
        """Return these options alone as plain values, also of a configuration that holds more."""
        names = {entry.name for entry in fields(DataOptions)}
        plain = {name: value for name, value in plain_values(self).items() if name in names}
        if plain["channels"] is None:  # as in every run before there was a choice
            del plain["channels"]
        return plain
