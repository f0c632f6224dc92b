"""Cityscapes' folders: https://github.com/mcordts/cityscapesScripts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from segnet.base.classes import IGNORE_INDEX
from segnet.base.errors import SegnetError
from segnet.data.labels.coded import MaskTable, add_pairs
from segnet.data.labels.finding import files_below, images_below, key_below
from segnet.data.labels.shapes import Labels

# Its label ids that are scored, in the order of their train ids: cityscapesScripts, helpers/labels.py
_CLASSES = {
    7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole", 19: "traffic light",
    20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky", 24: "person", 25: "rider", 26: "car",
    27: "truck", 28: "bus", 31: "train", 32: "motorcycle", 33: "bicycle",
}  # fmt: skip
_VALUES = dict.fromkeys((*range(34), 255), IGNORE_INDEX) | {label: id_ for id_, label in enumerate(_CLASSES)}
_TRAIN_IDS = {id_: id_ for id_ in (*range(len(_CLASSES)), IGNORE_INDEX)}
_TABLES = {
    "labelIds": MaskTable("Cityscapes", _VALUES),
    "labelTrainIds": MaskTable("Cityscapes", _TRAIN_IDS),
}
_SPLITS = {"train": "train", "train_extra": "train", "val": "val"}
_IMAGES, _FINE, _COARSE = "leftImg8bit", "gtFine", "gtCoarse"


def is_cityscapes(root: Path) -> bool:
    """Whether a folder is laid out like Cityscapes'."""
    return any((root / name).is_dir() for name in (_FINE, _COARSE))


def read_cityscapes(root: Path, folders: Sequence[Path]) -> Labels:
    """Read Cityscapes' folders: the 19 classes that are scored, all else ignored.

    Where an image has masks in both, that of ``gtFine`` counts. The test split comes without labels and is
    left out.

    Args:
        root: the folder with ``leftImg8bit`` and ``gtFine`` or ``gtCoarse``.
        folders: where images may be besides.

    Raises:
        SegnetError: there are no masks of label ids.
    """
    labels = Labels("Cityscapes", [*_CLASSES.values()])
    masks = _masks(root)
    if not masks:
        raise SegnetError(
            f"{root / _FINE} holds no */*/*_{_FINE}_labelIds.png; unpack gtFine_trainvaltest.zip there"
        )
    images = {
        key_below(file, folder).removesuffix(f"_{_IMAGES}"): file
        for folder in (*folders, root / _IMAGES)
        for file in images_below(folder)
    }
    missing = f"has no image {_IMAGES}/{{key}}_{_IMAGES}.png"
    add_pairs(labels, masks, images, _place, missing, "unpack leftImg8bit_trainvaltest.zip there")
    return labels


def _place(key: str) -> tuple[str, str, str]:
    """Return the name and the split of a frame, and why it is left out, if so."""
    split, _, name = key.partition("/")
    return name, _SPLITS.get(split, ""), "" if split in _SPLITS else f"split {split}, without labels"


def _masks(root: Path) -> dict[str, tuple[Path, MaskTable]]:
    """Return mask file and table by split, city and frame; label ids before train ids, fine before coarse."""
    found: dict[str, tuple[Path, MaskTable]] = {}
    for kind in (_FINE, _COARSE):
        files = files_below(root / kind)
        for coding, table in _TABLES.items():
            end = f"_{kind}_{coding}"
            for file in files:
                if file.stem.endswith(end):
                    found.setdefault(key_below(file, root / kind).removesuffix(end), (file, table))
    return found
