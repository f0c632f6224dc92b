"""Evaluation: a model over a whole split, into one set of scores."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from segnet.core.classes import ClassTable
from segnet.core.errors import SegnetError, did_you_mean
from segnet.data.batches import load_batches, split_into_batches
from segnet.data.cache import CachedSplit, open_cached
from segnet.data.dataset import Dataset
from segnet.inference.segmenter import Segmenter
from segnet.objectives.metrics import ScoreCounter, Scores

_BATCH = 32  # has no say in the scores: they come from one matrix over the split


def predict_split(
    model: nn.Module, split: CachedSplit, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield logits ``(N, C, H, W)`` and masks ``(N, H, W)`` batch by batch, in the split's order.

    Nothing is augmented. The model is put into evaluation mode and left there.
    """
    model.eval()
    batches = split_into_batches(range(len(split)), _BATCH)
    for images, masks in load_batches(split, batches, device):
        with torch.inference_mode():
            yield model(images.float().div_(255)), masks


def evaluate_split(model: nn.Module, split: CachedSplit, classes: ClassTable, device: torch.device) -> Scores:
    """Score a model on a split at the split's size, in float32 whatever it was trained in."""
    counter = ScoreCounter(classes, device)
    for logits, masks in predict_split(model, split, device):
        counter.add(logits, masks)
    return counter.scores()


def evaluate(segmenter: Segmenter, dataset: Dataset, *, split: str | None = None) -> Scores:
    """Score a segmenter on a split of a dataset, at the size and with the resizing it was trained with.

    Args:
        segmenter: what ``segnet.load`` opened.
        dataset: with the same class names in the same order.
        split: "train", "val" or "test"; by default the one that ``default_split`` gives.

    Raises:
        SegnetError: other classes, or a split that is unknown or empty.
    """
    if dataset.classes.names != segmenter.classes.names:
        raise SegnetError(
            f"the model knows {', '.join(segmenter.classes.names)}, but {dataset.name} has "
            f"{', '.join(dataset.classes.names)}; take data with the model's classes in this order "
            "(for oxford-pets, --border decides)"
        )
    splits = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    name = split or default_split(dataset)
    if name not in splits:
        raise SegnetError(f"there is no split {name!r}{did_you_mean(name, splits)}")
    if not splits[name]:
        filled = ", ".join(name for name, samples in splits.items() if samples)
        raise SegnetError(f"{dataset.name} has no {name} split; there is {filled}")
    description = segmenter.description
    cached = open_cached(splits[name], dataset.classes, size=description.size, resize=description.resize)
    return evaluate_split(segmenter.model, cached, dataset.classes, segmenter.device)


def default_split(dataset: Dataset) -> str:
    """Return "test", or "val" where there is no test split."""
    return "test" if dataset.test else "val"
