"""Where to draw the line between two classes: the probability of the foreground above which a pixel is it.

Argmax draws it at 0.5. Where the foreground is rare, or the loss weighs one mistake more than the other,
another line gives a better IoU; it is chosen on validation images, never on those that are scored.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from segnet.base.classes import IGNORE_INDEX

STEPS = 100
"""Lines are tried at 0.01, 0.02 .. 0.99."""


class ThresholdCounter:
    """Counts the pixels of two classes by their probability, on the device where the logits are."""

    def __init__(self, foreground: int, device: torch.device) -> None:
        """Count for the class ``foreground``, 0 or 1."""
        self._foreground = foreground
        self._edges = torch.linspace(0, 1, STEPS + 1, device=device)
        self.counts = torch.zeros(2, STEPS + 2, dtype=torch.int64, device=device)

    def add(self, logits: Tensor, target: Tensor) -> None:
        """Count a batch: logits ``(N, 2, H, W)``, class ids ``(N, H, W)``, 255 = ignore."""
        known = target != IGNORE_INDEX
        probability = logits.softmax(1)[:, self._foreground][known]
        is_foreground = (target[known] == self._foreground).long()
        step = torch.bucketize(probability, self._edges)  # i: above edge i - 1, and not above edge i
        counts = torch.bincount(is_foreground * (STEPS + 2) + step, minlength=2 * (STEPS + 2))
        self.counts += counts.view(2, STEPS + 2)

    def best(self) -> float | None:
        """Return the line with the best IoU, of equal ones the nearest to 0.5; None without foreground."""
        ious = [self.iou(step / STEPS) for step in range(1, STEPS)]
        found = [(iou, -abs(step - STEPS / 2), step) for step, iou in enumerate(ious, 1) if iou is not None]
        return max(found)[2] / STEPS if found and self.counts[1].any() else None

    def iou(self, threshold: float) -> float | None:
        """Return the foreground's IoU if it is what has a probability above this, to hundredths."""
        background, foreground = self.counts.cpu().numpy().astype(np.int64)
        above = round(threshold * STEPS) + 1
        hits, false = int(foreground[above:].sum()), int(background[above:].sum())
        union = int(foreground.sum()) + false
        return hits / union if union else None
