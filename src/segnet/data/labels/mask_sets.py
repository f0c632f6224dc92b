"""Datasets that hold masks already: Pascal VOC's and Cityscapes'."""

from __future__ import annotations

from pathlib import Path

from segnet.core.errors import SegnetError
from segnet.data.faults import Fault
from segnet.data.labels.shapes import Labelled, Labels, find_image

# http://host.robots.ox.ac.uk/pascal/VOC/voc2012/segexamples/index.html
_VOC = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep",
    "sofa", "train", "tvmonitor",
)  # fmt: skip

# Its label ids that are scored, in the order of their train ids: cityscapesScripts, helpers/labels.py
_CITYSCAPES = {
    7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole", 19: "traffic light",
    20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky", 24: "person", 25: "rider", 26: "car",
    27: "truck", 28: "bus", 31: "train", 32: "motorcycle", 33: "bicycle",
}  # fmt: skip


def is_voc(root: Path) -> bool:
    """Whether a folder is laid out like VOC's."""
    return (root / "JPEGImages").is_dir() and (root / "SegmentationClass").is_dir()


def read_voc(root: Path) -> Labels:
    """Read VOC's folder; its lists in ``ImageSets/Segmentation`` say the splits, if they are there.

    Masks are palette PNGs of class ids, 255 along the objects' outlines.
    """
    labels = Labels("Pascal VOC", [*_VOC], values={i: i for i in range(len(_VOC))})
    lists = root / "ImageSets" / "Segmentation"
    splits = {
        name: split
        for split in ("test", "train", "val")
        if (lists / f"{split}.txt").is_file()
        for name in (lists / f"{split}.txt").read_text().split()
    }
    for mask in sorted((root / "SegmentationClass").glob("*.png")):
        if splits and mask.stem not in splits:
            continue
        try:
            found = find_image(f"{mask.stem}.jpg", [root / "JPEGImages"], str(mask))
        except Fault as fault:
            labels.faults.append(fault)
            continue
        split = splits.get(mask.stem, "")
        labels.images.append(Labelled(found, mask.stem, str(mask), split, mask=mask))
    return labels


def is_cityscapes(root: Path) -> bool:
    """Whether a folder is laid out like Cityscapes'."""
    return (root / "leftImg8bit").is_dir() and (root / "gtFine").is_dir()


def read_cityscapes(root: Path) -> Labels:
    """Read Cityscapes' folders: the 19 classes that are scored, all else ignored.

    Its test split comes without labels and is left out.

    Raises:
        SegnetError: there are no masks of label ids.
    """
    values = {label: i for i, label in enumerate(_CITYSCAPES)}
    labels = Labels("Cityscapes", [*_CITYSCAPES.values()], values=values)
    masks = sorted((root / "gtFine").glob("*/*/*_gtFine_labelIds.png"))
    if not masks:
        raise SegnetError(
            f"{root / 'gtFine'} holds no */*/*_gtFine_labelIds.png; unpack gtFine_trainvaltest.zip"
        )
    for mask in masks:
        split, city = mask.parts[-3:-1]
        if split not in ("train", "val"):
            continue
        name = mask.name.removesuffix("_gtFine_labelIds.png")
        image = root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png"
        if not image.is_file():
            labels.faults.append(Fault("no-image", mask, f"has no image {image}"))
            continue
        labels.images.append(Labelled(image, f"{city}/{name}", str(mask), split, mask=mask))
    return labels
