"""What each model was published with, and what it reaches here; docs/reproduction.md has the whole story."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figures:
    """One published figure with its source, and ours.

    The two don't compare: ours is on the 411-image part of Oxford-IIIT Pet's test images, border as a class,
    trained on the 653 images of trainval's part with seed 0 where nothing else is said.
    """

    published: str = "–"
    source: str = ""
    ours: str = "–"


# Pixel accuracy in %, as the series has it; of CamVid the mean IoU over 11 classes in %.
FIGURES = {
    "segnet": Figures("88.28 % of pixels", "Part 2, 20 epochs", "76.6 %, mIoU 0.536, 20 epochs"),
    "segnet-dsc": Figures("86.96 % of pixels", "Part 3, 20 epochs", "79.8 %, mIoU 0.584, 20 epochs"),
    "vit": Figures("85.89 % of pixels", "Part 4, 50 epochs", "75.4 %, mIoU 0.493, 20 epochs"),
    "unet": Figures("91.3 % of pixels", "Part 3, 100 epochs"),
    "segnet-vgg16": Figures("CamVid mIoU 60.10", "SegNet paper, 140K steps"),
    "segnet-basic": Figures("CamVid mIoU 47.7", "SegNet paper"),
    "fcn": Figures("CamVid mIoU 49.83", "SegNet paper"),
    "segnet-nano": Figures(ours="85.7 %, mIoU 0.659, pets-nano: 1,302 images"),
    "segnet-lite": Figures(ours="89.2 %, mIoU 0.722, pets-lite: 1,302 images"),
}
