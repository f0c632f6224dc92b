"""What each model was published with, and what it reaches here; docs/reproduction.md has the whole story."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figures:
    """One published figure with its source, and ours.

    The two don't compare: ours is on the 411-image part of Oxford-IIIT Pet's test images, border as a class.
    """

    published: str = "–"
    source: str = ""
    ours: str = "–"


FIGURES = {
    "segnet": Figures("pixel accuracy 88.28 %", "Part 2, 20 epochs"),
    "segnet-dsc": Figures("pixel accuracy 86.96 %", "Part 3, 20 epochs"),
    "vit": Figures("pixel accuracy 85.89 %", "Part 4, 50 epochs"),
    "unet": Figures("pixel accuracy 91.3 %", "Part 3, 100 epochs"),
    "segnet-vgg16": Figures("CamVid mIoU 60.10", "SegNet paper, 140K steps"),
    "segnet-basic": Figures("CamVid mIoU 47.7", "SegNet paper"),
    "fcn": Figures("CamVid mIoU 49.83", "SegNet paper"),
}
