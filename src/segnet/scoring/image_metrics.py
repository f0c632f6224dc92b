"""What a model gets wrong in each image, and how far its confidence can be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from segnet.base.classes import IGNORE_INDEX
from segnet.base.outline_tolerance import count_sides, mean_thickness_px
from segnet.runs.identity import ImageRecord
from segnet.runs.image_scores import ImageScores
from segnet.runs.scores import CalibrationBin, Scores, mean_of, ratio
from segnet.scoring.boundary import boundary_f1, edge_band, tolerances_px

CONFIDENT = 0.9
"""A model that gives its class at least this probability is called sure."""

BINS = 15
"""Bins of confidence in the calibration error: Guo et al.'s."""

_STEPS = 1 << 24  # as fine as float32 is below 1; 2^53 of them is where float64 ends


class ImageCounter:
    """Scores each image of one split, batch by batch, on the device where the logits are."""

    def __init__(
        self,
        classes: int,
        split: str,
        records: Sequence[ImageRecord],
        device: torch.device,
        own_sizes: npt.NDArray[np.int32] | None = None,
    ) -> None:
        """Score ``records``, the split's images in the order in which they come, in ``classes`` classes.

        ``own_sizes`` are the heights and widths ``(N, 2)`` of the pictures' own parts, where not all is.
        """
        self.images: list[ImageScores] = []
        self._classes, self._split, self._records = classes, split, records
        self._device = torch.device("cpu") if device.type == "mps" else device  # MPS has no float64
        self._bins = torch.zeros(3, BINS, dtype=torch.float64, device=self._device)
        self._boundary: list[Tensor] = []
        self._tolerances: list[Tensor] = []
        self._own_sizes = own_sizes
        self._pixels, self._sides = np.zeros(256, np.int64), np.zeros(256, np.int64)
        self._band = np.zeros(2, np.int64)

    def add(self, logits: Tensor, mask: Tensor) -> None:
        """Score one batch: logits ``(N, C, H, W)``, mask ``(N, H, W)`` of class ids, 255 = ignore."""
        logits, target = logits.to(self._device).float(), mask.to(self._device).long()
        known = target != IGNORE_INDEX
        predicted = logits.argmax(1)  # as ScoreCounter has it: probabilities tie where logits don't
        confidence = logits.softmax(1).gather(1, predicted[:, None])[:, 0]
        right = known & (predicted == target)
        band = edge_band(target)
        loss = F.cross_entropy(logits, target, ignore_index=IGNORE_INDEX, reduction="none")
        first = len(self.images)
        tolerances = self._measure(target, first)
        boundary = boundary_f1(predicted, target, self._classes, tolerances).cpu()
        self._boundary.append(boundary)
        self._add_to_bins(confidence[known], right[known])
        totals = {
            "pixels": known,
            "right": right,
            "band": band,
            "band_right": band & right,
            "loss": loss,
            "confidence": confidence * known,
            "disagreement": known & ~right & (confidence >= CONFIDENT),
        }
        rows = torch.stack([each.sum((1, 2), dtype=torch.float64) for each in totals.values()])
        sums = dict(zip(totals, rows.tolist(), strict=True))
        counts = [
            self._count(ids, where) for ids, where in ((target, right), (target, known), (predicted, known))
        ]
        for i, record in enumerate(self._records[first : first + len(mask)]):
            one = {name: values[i] for name, values in sums.items()}
            per_class = [tuple(int(pixels) for pixels in each[i]) for each in counts]
            self._band += np.array((one["band_right"], one["band"]), np.int64)
            self.images.append(
                ImageScores(
                    split=self._split,
                    image=record.name,
                    content=record.ids[0].hex(),
                    pixel_accuracy=ratio(one["right"], one["pixels"]),
                    mean_iou=mean_of(
                        r / union for r, t, p in zip(*per_class, strict=True) if (union := t + p - r)
                    ),
                    boundary_f1=mean_of(score for score in boundary[i].tolist() if not math.isnan(score)),
                    band_accuracy=ratio(one["band_right"], one["band"]),
                    loss=ratio(one["loss"], one["pixels"]),
                    confidence=ratio(one["confidence"], one["pixels"]),
                    confident_disagreement=ratio(one["disagreement"], one["pixels"]),
                    right=per_class[0],
                    truth=per_class[1],
                    predicted=per_class[2],
                )
            )

    def add_to(self, scores: Scores) -> Scores:
        """Return the split's scores with those of outlines and calibration."""
        per_class = dict(scores.per_class)
        for i, (name, entry) in enumerate(scores.per_class.items()):
            found = [
                (score, tolerance)
                for rows, tolerances in zip(self._boundary, self._tolerances, strict=True)
                for score, tolerance in zip(rows[:, i].tolist(), tolerances.tolist(), strict=True)
                if not math.isnan(score)
            ]
            per_class[name] = replace(
                entry,
                boundary_f1=mean_of(score for score, _ in found),
                boundary_tolerance_px=mean_of(tolerance for _, tolerance in found),
                thickness_px=mean_thickness_px(int(self._pixels[i]), int(self._sides[i])),
            )
        taken = torch.cat(self._tolerances).tolist() if self._tolerances else []
        calibration = tuple(
            CalibrationBin(int(pixels), ratio(confidence / _STEPS, pixels), ratio(right, pixels))
            for pixels, confidence, right in self._bins.T.tolist()
        )
        return replace(
            scores,
            boundary_f1=mean_of(each.boundary_f1 for each in self.images if each.boundary_f1 is not None),
            boundary_tolerance_px=(min(taken), max(taken)) if taken else None,
            band_accuracy=ratio(*self._band.tolist()),
            calibration=calibration,
            calibration_error=calibration_error(calibration),
            per_class=per_class,
        )

    def _measure(self, target: Tensor, first: int) -> Tensor:
        """Add up how thick classes are, and return how far outlines may be off in each image, ``(N,)``."""
        rows = slice(first, first + len(target))
        sizes = None if self._own_sizes is None else torch.from_numpy(self._own_sizes[rows].copy())
        for i, ids in enumerate(target.cpu().numpy()):
            height, width = ids.shape if sizes is None else sizes[i].tolist()
            self._pixels += np.bincount(ids[:height, :width].ravel(), minlength=256)
            self._sides += count_sides(ids[:height, :width], 256)
        tolerances = tolerances_px(target, sizes)
        self._tolerances.append(tolerances)
        return tolerances

    def _count(self, ids: Tensor, where: Tensor) -> list[list[int]]:
        """Count the pixels of each class in each image, ``[N][C]``, ``where`` it is true."""
        image = torch.arange(len(ids), device=ids.device)[:, None, None] * self._classes
        counts = torch.bincount((ids + image)[where], minlength=len(ids) * self._classes)
        return counts.view(len(ids), self._classes).tolist()

    def _add_to_bins(self, confidence: Tensor, right: Tensor) -> None:
        edges = torch.linspace(0, 1, BINS + 1, device=confidence.device)
        found = torch.bucketize(confidence, edges, right=True).sub_(1).clamp_(0, BINS - 1)
        # As whole numbers, whose sums are exact: on CUDA they are added in any order.
        whole = (confidence.double() * _STEPS).round()
        for row, weights in enumerate((torch.ones_like(whole), whole, right.double())):
            self._bins[row] += torch.bincount(found, weights, minlength=BINS)


def calibration_error(bins: Sequence[CalibrationBin]) -> float | None:
    """Return the expected calibration error: Guo et al., ICML 2017, equation 3, over pixels."""
    total = sum(each.pixels for each in bins)
    gaps = (
        each.pixels * abs(each.accuracy - each.confidence)
        for each in bins
        if each.accuracy is not None and each.confidence is not None
    )
    return ratio(math.fsum(gaps), total)
