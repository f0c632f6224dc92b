"""How an exported file compares with the model that it was made of, and whether that is equal enough."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from segnet.base.classes import ClassTable
from segnet.data.images.pixel_values import Pixels
from segnet.export.pictures import Pictures
from segnet.scoring.metrics import ScoreCounter

Precision = Literal["float32", "float16", "int8"]

EQUAL_PIXELS = 0.999  # of a file in floating point
# Mean IoU of an int8 file's masks with the model's, where there is no truth to lose mean IoU of. Pixels that
# change sides in doubt cost it several points and the score next to nothing: pets-lite has 0.964 on its own
# photographs and loses 0.03 points there. A file that was calibrated on the wrong images is far below.
AGREEMENT = 0.9
CALIBRATE = "calibrate on images like those that it will get (--calibrate)"

Logits = Callable[[Pixels], npt.NDArray[np.float32]]
"""From images ``(N, h, w, C)`` to logits ``(N, classes, h, w)``."""

_BATCH = 16
_TIMED = 15


@dataclass(frozen=True)
class Parity:
    """How an exported file compares with the model that it was made of."""

    images: str
    count: int
    largest_logit_difference: float
    equal_pixels: float
    """Share of the pixels that get the same class."""
    mean_iou_model: float | None
    """With the truth; None where it isn't known, or no class occurs."""
    mean_iou_file: float | None
    """With the truth, or with the model's own masks where that isn't known."""
    latency_ms_model: float
    """Median for one image, in PyTorch."""
    latency_ms_file: float

    @property
    def has_truth(self) -> bool:
        """Whether scores are taken with the truth, and not with the model's own masks."""
        return self.mean_iou_model is not None

    @property
    def mean_iou_lost(self) -> float:
        """How much worse the file is with the truth, 0 to 1; 0 where that isn't known."""
        if self.mean_iou_model is None or self.mean_iou_file is None:
            return 0.0
        return self.mean_iou_model - self.mean_iou_file


def judge(
    parity: Parity, precision: Precision, max_loss: float, remedy: str = CALIBRATE
) -> tuple[dict[str, float], str]:
    """Return what the file is measured by, with its limit, and why it failed, "" where it passed.

    Args:
        parity: how it compares.
        precision: in which the weights are kept.
        max_loss: int8: points of mean IoU that may be lost.
        remedy: int8: what to do where its masks are others than the model's.
    """
    if precision != "int8":
        failure = f"only {parity.equal_pixels:.4%} of the pixels are equal, {EQUAL_PIXELS:.1%} must be"
        return {"equal_pixels": EQUAL_PIXELS}, failure if parity.equal_pixels < EQUAL_PIXELS else ""
    if parity.has_truth:
        lost = 100 * parity.mean_iou_lost
        failure = f"{lost:.2f} points of mean IoU are lost, at most {max_loss:g} may be"
        return {"points_of_mean_iou": max_loss}, failure if lost > max_loss else ""
    agreement = 1.0 if parity.mean_iou_file is None else parity.mean_iou_file
    failure = (
        f"its masks and the model's have a mean IoU of {agreement:.3f}, at least {AGREEMENT:g} it must be; "
        f"{remedy}"
    )
    return {"mean_iou_with_the_models_masks": AGREEMENT}, failure if agreement < AGREEMENT else ""


def compare(model: Logits, file: Logits, images: Pictures, classes: ClassTable) -> Parity:
    """Run both on the images and count where they differ.

    Args:
        model: the model in PyTorch.
        file: the exported one.
        images: at least one.
        classes: of the masks.
    """
    counters = {name: ScoreCounter(classes, torch.device("cpu")) for name in ("model", "file")}
    differ, largest = 0, 0.0
    for first in range(0, len(images.pixels), _BATCH):
        some = slice(first, first + _BATCH)
        ours, theirs = model(images.pixels[some]), file(images.pixels[some])
        largest = max(largest, float(np.abs(ours - theirs).max()))
        chosen = ours.argmax(1)
        differ += int((chosen != theirs.argmax(1)).sum())
        masks = chosen.astype(np.uint8) if images.masks is None else images.masks[some]
        truth = torch.from_numpy(np.ascontiguousarray(masks))
        counters["model"].add(torch.from_numpy(ours), truth)
        counters["file"].add(torch.from_numpy(theirs), truth)
    scores = {name: counter.scores().mean_iou for name, counter in counters.items()}
    slow, quick = _latencies((model, file), images.pixels[:1])
    return Parity(
        images=images.what,
        count=len(images.pixels),
        largest_logit_difference=largest,
        equal_pixels=1 - differ / images.pixels[..., 0].size,
        mean_iou_model=None if images.masks is None else scores["model"],
        mean_iou_file=scores["file"],
        latency_ms_model=slow,
        latency_ms_file=quick,
    )


def _latencies(sides: Sequence[Logits], image: Pixels) -> list[float]:
    """Return the median milliseconds of each, taken in turns."""
    times: list[list[float]] = [[] for _ in sides]
    for _ in range(_TIMED):
        for side, seconds in zip(sides, times, strict=True):
            start = time.perf_counter()
            side(image)
            seconds.append(time.perf_counter() - start)
    return [round(statistics.median(each) * 1e3, 3) for each in times]
