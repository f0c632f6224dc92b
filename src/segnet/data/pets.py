"""Oxford-IIIT Pet: photographs of cats and dogs with trimaps (Parkhi et al., "Cats and Dogs", CVPR 2012).

The article's convention: train on the official ``trainval`` list, validate on the official ``test`` list.
A trimap marks 1 pet, 2 background and 3 the border between them, where annotators weren't sure; our class
ids are one less. Published results differ in what they make of the border, and only results of the same
`BorderPolicy` compare. The data is CC BY-SA 4.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from segnet.base.classes import IGNORE_INDEX, ClassTable
from segnet.base.colours import NIGHT_BLUE
from segnet.base.errors import SegnetError, did_you_mean, refuse
from segnet.base.files import cache_folder
from segnet.data.dataset import Dataset, Mask
from segnet.data.download import Archive, install
from segnet.data.faults import Fault
from segnet.data.images.file_records import file_digest, fingerprint
from segnet.data.images.reading import open_rgb
from segnet.data.masks.stored_values import read_index_mask, require_same_size
from segnet.data.options import BorderPolicy
from segnet.runs.identity import image_id

# Told apart by hue and by lightness alone, so also by colour-blind readers and in grey print; over a
# photograph the background darkens, the pet glows and the border stands out.
PET, BACKGROUND, BORDER = (240, 140, 0), NIGHT_BLUE, (150, 232, 255)

PET_CLASSES = ClassTable(("pet", "background", "border"), (PET, BACKGROUND, BORDER))
"""Where the border is a class of its own."""

_WITHOUT_BORDER = ClassTable(("pet", "background"), (PET, BACKGROUND))

# The class ids of the trimap values 1, 2 and 3.
_POLICIES: dict[BorderPolicy, tuple[ClassTable, tuple[int, int, int]]] = {
    "class": (PET_CLASSES, (0, 1, 2)),
    "pet": (_WITHOUT_BORDER, (0, 1, 0)),
    "ignore": (_WITHOUT_BORDER, (0, 1, IGNORE_INDEX)),
}

_FORMAT = 1  # raise when `PetSample.read` gives other pixels for the same files

OFFICIAL = (
    Archive(
        "images.tar.gz",
        folder="images",
        sha256="67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
        urls=(
            "https://www.robots.ox.ac.uk/~vgg/data/pets/data/images.tar.gz",
            "https://thor.robots.ox.ac.uk/~vgg/data/pets/images.tar.gz",
        ),
    ),
    Archive(
        "annotations.tar.gz",
        folder="annotations",
        sha256="52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
        urls=(
            "https://www.robots.ox.ac.uk/~vgg/data/pets/data/annotations.tar.gz",
            "https://thor.robots.ox.ac.uk/~vgg/data/pets/annotations.tar.gz",
        ),
    ),
)

NOTICE = (
    "Trained on Oxford-IIIT Pet by O. M. Parkhi, A. Vedaldi, A. Zisserman and C. V. Jawahar "
    '("Cats and Dogs", CVPR 2012), CC BY-SA 4.0'
)

_ADVICE = (
    "try again later (what has arrived is kept), or get the files elsewhere and go on with "
    "--archive images.tar.gz --archive annotations.tar.gz, or with --data-root and a folder that holds "
    "images/ and annotations/"
)


def official_id(name: str) -> bytes:
    """Return the id that all copies of a photograph have, by its official name."""
    return image_id(f"oxford-iiit-pet {name}".encode())


@dataclass(frozen=True)
class PetSample:
    """One photograph with its trimap."""

    image: Path
    trimap: Path
    border: BorderPolicy

    @property
    def name(self) -> str:
        """The official name, such as ``Abyssinian_1``; those of cats begin with a capital."""
        return self.image.stem

    def image_ids(self) -> tuple[bytes, ...]:
        """Return the ids of the content and of the official name: a smaller copy is the same photograph."""
        return image_id(file_digest(self.image)), official_id(self.name)

    def fingerprint(self) -> bytes:
        """Digest both files and the border policy."""
        return fingerprint((self.image, self.trimap), f"pets {_FORMAT} {self.border}")

    def read(self) -> tuple[Image.Image, Mask]:
        """Return the photograph in RGB and its mask ``(H, W)`` of class ids, 255 = ignore.

        Raises:
            SegnetError: a file that can't be read, sizes that differ, or trimap values other than 1, 2, 3.
        """
        image, trimap = open_rgb(self.image), read_index_mask(self.trimap)
        require_same_size(image, trimap, self.image, self.trimap)
        outside = trimap[(trimap < 1) | (trimap > 3)]
        if outside.size:
            raise Fault(
                "unknown-value",
                f"trimap {self.trimap}",
                f"holds the value {outside[0]} ({outside.size} pixels are not 1 to 3)",
                "a trimap marks 1 pet, 2 background, 3 border",
            )
        _, ids = _POLICIES[self.border]
        return image, np.array((IGNORE_INDEX, *ids), np.uint8)[trimap]


def pets_classes(border: BorderPolicy) -> ClassTable:
    """Return the classes that a border policy leaves.

    Raises:
        SegnetError: an unknown policy.
    """
    if border not in _POLICIES:
        raise SegnetError(f"unknown border policy {border!r}{did_you_mean(border, _POLICIES)}")
    return _POLICIES[border][0]


def load_pets(
    data_root: Path | None,
    *,
    border: BorderPolicy = "class",
    extra_list: Path | None = None,
    archives: Sequence[Path] = (),
    source: Sequence[Archive] = OFFICIAL,
) -> Dataset:
    """Load Oxford-IIIT Pet from a folder, or from the cache after downloading it once (811 MB).

    Samples are taken from the split lists alone: the archives also hold files that belong to no sample.

    Args:
        data_root: a folder that holds ``images/`` and ``annotations/``, or ``oxford-iiit-pet/`` with them;
            None for the cache folder (`cache_folder`). Without ``annotations/trainval.txt`` there is nothing
            to train on, but a test split to score.
        border: what border pixels count as.
        extra_list: more training samples in the format of the official lists; a file, or the name of one in
            ``annotations/``. They become ``Dataset.extra``.
        archives: copies of the official archives, used instead of downloading them.
        source: where the archives are and what their checksums must be.

    Raises:
        SegnetError: a missing folder, list or file, an empty list, a validation image among those to train
            on, or a download that failed; says how to go on.
    """
    classes = pets_classes(border)
    if data_root and archives:
        raise SegnetError(
            f"--data-root {data_root} is a folder to use as it is, --archive a file to unpack; give only one"
        )
    root = _official_layout(data_root) if data_root else _from_archives(archives, source)
    lists = root / "annotations"
    images = _names_in(root / "images", ".jpg")
    trimaps = _names_in(lists / "trimaps", ".png")

    def samples(split_list: Path) -> list[PetSample]:
        names = _read_list(split_list)
        for there, file in ((images, "images/{}.jpg"), (trimaps, "annotations/trimaps/{}.png")):
            missing = [name for name in names if name not in there]
            if missing:
                raise SegnetError(
                    f"{split_list} names {missing[0]}, but there is no {root / file.format(missing[0])} "
                    f"({len(missing)} of {len(names)} are missing); take them out of the list. To score a "
                    "model annotations/test.txt alone is enough, without trainval.txt"
                )
        return [
            PetSample(root / "images" / f"{name}.jpg", lists / "trimaps" / f"{name}.png", border)
            for name in names
        ]

    val = samples(lists / "test.txt")
    train = samples(lists / "trainval.txt") if (lists / "trainval.txt").exists() else []
    extra = samples(_find_list(extra_list, lists)) if extra_list else []
    held_out = {sample.name for sample in val}
    leaked = [sample.name for sample in (*train, *extra) if sample.name in held_out]
    if leaked:
        raise SegnetError(
            f"{leaked[0]} ({len(leaked)} images in all) of {lists / 'test.txt'} would also be trained on; "
            "take it out of the training list"
        )
    return Dataset("oxford-pets", classes, train, val, extra=extra, notice=NOTICE)


def is_official_layout(folder: Path) -> bool:
    """Say whether a folder is laid out as the official archives are."""
    return (folder / "images").is_dir() and (folder / "annotations" / "trimaps").is_dir()


def is_downloaded() -> bool:
    """Say whether the archives are unpacked in the cache."""
    return all((_in_cache() / archive.folder).is_dir() for archive in OFFICIAL)


def _in_cache() -> Path:
    return cache_folder() / "oxford-iiit-pet"


def _official_layout(data_root: Path) -> Path:
    for root in (data_root, data_root / "oxford-iiit-pet"):
        if (root / "images").is_dir() and (root / "annotations").is_dir():
            return root
    raise SegnetError(
        f"no folders images/ and annotations/ in {data_root} or in {data_root / 'oxford-iiit-pet'}; give the "
        "folder that holds them, or leave --data-root out to download the data (811 MB)"
    )


def _from_archives(archives: Sequence[Path], source: Sequence[Archive]) -> Path:
    """Return the folder with the official layout in the cache, filled from local archives or the network."""
    root = _in_cache()
    local = {file.name: file for file in archives}
    published = [archive.name for archive in source]
    for name, file in local.items():
        near = did_you_mean(name, published)
        refuse(
            (name not in published, f"--archive {file} is none of the official archives{near}"),
            (not file.is_file(), f"--archive {file} does not exist; check the path"),
        )
    for archive in source:
        install(archive, root, _ADVICE, local.get(archive.name))
    return root


def _names_in(folder: Path, suffix: str) -> set[str]:
    """List a folder once: 7,349 names are looked up in it, on disks that may be far away."""
    try:
        return {entry.stem for entry in folder.iterdir() if entry.suffix == suffix}
    except OSError as error:
        raise SegnetError(f"can't list the folder {folder}: {error.strerror}") from error


def _find_list(wanted: Path, lists: Path) -> Path:
    for file in (wanted, lists / wanted):
        if file.is_file():
            return file
    known = [file.name for file in lists.glob("[!.]*.txt")]
    raise SegnetError(f"there is no list {wanted}, here or in {lists}{did_you_mean(wanted.name, known)}")


def _read_list(file: Path) -> list[str]:
    """Return the names in a split list: the first word of each line that is neither blank nor a comment."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SegnetError(f"can't read the list {file}: {error}") from error
    names = [words[0] for line in lines if (words := line.split()) and not words[0].startswith("#")]
    if not names:
        raise SegnetError(f"the list {file} names no image; a line reads 'Abyssinian_1 1 1 1'")
    return names
