"""Scores from one int64 confusion matrix over a whole split: nothing is averaged over batches.

A class that a split's truth and predictions both lack has no score (None) and is left out of the means;
toolkits that give it 1 or 0 report another number for the same predictions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from segnet.base.classes import IGNORE_INDEX, ClassTable
from segnet.base.distributed.collectives import total
from segnet.runs.scores import ClassScores, ScoredOn, Scores, mean_of, ratio
from segnet.scoring.threshold import ThresholdCounter

Matrix = npt.NDArray[np.int64]


class ScoreCounter:
    """Adds up batches of one split on the device where the logits are."""

    def __init__(
        self,
        classes: ClassTable,
        device: torch.device,
        *,
        article: bool = False,
        threshold: float | Literal["chosen here"] | None = None,
    ) -> None:
        """Count in ``classes`` on ``device``.

        Args:
            classes: their names.
            device: where the logits are.
            article: add the article's two IoUs.
            threshold: of two classes, score the foreground at this probability too, or at the best one.
        """
        self.classes = classes
        foreground = None if threshold is None else classes.foreground
        self._threshold = threshold
        self._lines = None if foreground is None else ThresholdCounter(foreground, device)
        self._article = article
        self._matrix = torch.zeros(len(classes), len(classes), dtype=torch.int64, device=device)
        self._loss = torch.zeros((), dtype=torch.float64)
        self._custom_iou = torch.zeros((), dtype=torch.float64)
        self._images = torch.zeros((), dtype=torch.int64)

    def add(self, logits: Tensor, mask: Tensor) -> None:
        """Count one batch: logits ``(N, C, H, W)``, mask ``(N, H, W)`` of class ids, 255 = ignore."""
        logits = logits.float()
        target = mask.long()
        self._matrix += confusion(logits.argmax(1), target, len(self.classes))
        if self._lines is not None:
            self._lines.add(logits, target)
        loss = F.cross_entropy(logits, target, ignore_index=IGNORE_INDEX, reduction="sum")
        self._loss += loss.cpu().double()
        if self._article:
            # an image that is all ignore has no IoU; with the article's 0.001 it would count as 1
            scored = (target != IGNORE_INDEX).any(-1).any(-1)
            self._custom_iou += (article_custom_iou(logits, target) * scored).cpu().double().sum()
            self._images += scored.cpu().sum()

    def sum_up(self) -> None:
        """Add what the other processes have counted, each a part of the split."""
        lines = [] if self._lines is None else [self._lines.counts]
        for each in (self._matrix, *lines, self._loss, self._custom_iou, self._images):
            total(each)

    def scores(self, scored_on: ScoredOn | None = None) -> Scores:
        """Return the scores of everything counted so far, with what it was."""
        matrix = self._matrix.cpu().numpy()
        pixels = int(matrix.sum())
        scores = scores_from_confusion(
            matrix, self.classes, loss=ratio(float(self._loss), pixels), scored_on=scored_on
        )
        if self._lines is not None:
            at = self._lines.best() if self._threshold == "chosen here" else self._threshold
            iou = None if at is None else self._lines.iou(float(at))
            scores = replace(
                scores, threshold=None if at is None else float(at), foreground_iou_at_threshold=iou
            )
        if not self._article:
            return scores
        return replace(
            scores,
            article_iou=article_iou(matrix, self.classes),
            article_custom_iou=ratio(float(self._custom_iou), int(self._images)),
        )


def confusion(predicted: Tensor, target: Tensor, classes: int) -> Tensor:
    """Count pixels by truth and prediction.

    Args:
        predicted: class ids, of any shape.
        target: class ids of the same shape, 255 = ignore.
        classes: how many there are.

    Returns:
        int64 ``(classes, classes)``; row: truth, column: prediction.
    """
    ignored = classes * classes  # a bin of its own spares the device a wait for how many there are
    bins = torch.where(target == IGNORE_INDEX, ignored, target * classes + predicted)
    return torch.bincount(bins.flatten(), minlength=ignored + 1)[:ignored].view(classes, classes)


def scores_from_confusion(
    matrix: Matrix,
    classes: ClassTable,
    *,
    loss: float | None = None,
    scored_on: ScoredOn | None = None,
) -> Scores:
    """Derive every score from pixel counts ``(C, C)``; row: truth, column: prediction."""
    right = matrix.diagonal().astype(np.float64)
    truth = matrix.sum(1).astype(np.float64)
    predicted = matrix.sum(0).astype(np.float64)
    total = float(truth.sum())
    share = [float(pixels) / total if total else 0.0 for pixels in truth]
    iou = _ratios(right, truth + predicted - right)
    dice = _ratios(2 * right, truth + predicted)
    precision = _ratios(right, predicted)
    recall = _ratios(right, truth)
    others = [score for score, name in zip(iou, classes.names, strict=True) if name != "border"]
    return Scores(
        pixel_accuracy=_ratios(right.sum(keepdims=True), total)[0],
        mean_iou=mean_of(iou),
        mean_dice=mean_of(dice),
        article_iou=None,
        article_custom_iou=None,
        loss=loss,
        per_class={
            name: ClassScores(iou[i], dice[i], precision[i], recall[i], share[i])
            for i, name in enumerate(classes.names)
        },
        confusion=tuple(tuple(int(count) for count in row) for row in matrix),
        scored_on=scored_on,
        mean_class_accuracy=mean_of(recall),
        mean_iou_without_border=mean_of(others) if "border" in classes.names else None,
        foreground_iou=None if classes.foreground is None else iou[classes.foreground],
    )


def article_iou(matrix: Matrix, classes: ClassTable) -> float | None:
    """Return the article's IoU: torchmetrics' micro Jaccard with ``ignore_index=background``.

    None for a class table without a class of that name.
    """
    if "background" not in classes.names:
        return None
    background = classes.names.index("background")
    kept = matrix.astype(np.float64)
    kept[background] = 0
    right = kept.diagonal()
    union = kept.sum(0) + kept.sum(1) - right
    # torchmetrics also leaves the union of the ignored class out: pet taken for background counts once.
    return _ratios(right.sum(keepdims=True), union.sum() - union[background])[0]


def article_custom_iou(logits: Tensor, target: Tensor) -> Tensor:
    """Return the article's custom IoU of each image, ``(N,)``: (Σ p·y + 0.001) / (Σ p + y - p·y + 0.001).

    ``p`` is the softmax of the logits ``(N, C, H, W)``, ``y`` the one-hot truth; both sums run over classes
    and pixels that aren't ignored.
    """
    scored = (target != IGNORE_INDEX).unsqueeze(1)
    probability = logits.softmax(1) * scored
    at_truth = probability.gather(1, target.masked_fill(target == IGNORE_INDEX, 0).unsqueeze(1)) * scored
    intersection = at_truth.sum((1, 2, 3))
    union = probability.sum((1, 2, 3)) + scored.sum((1, 2, 3)) - intersection
    return (intersection + 0.001) / (union + 0.001)


def _ratios(above: npt.NDArray[np.float64], below: Any) -> list[float | None]:
    below = np.broadcast_to(np.asarray(below, np.float64), above.shape)
    return [ratio(a, b) for a, b in zip(above, below, strict=True)]
