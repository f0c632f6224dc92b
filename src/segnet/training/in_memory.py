"""Trainings of seconds for figures: a small segnet-lite and a few drawn pets, all of it in memory.

Settings were chosen so that one sees it learn in ten seconds of one core; they are no recipe.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from segnet.base.classes import IGNORE_INDEX
from segnet.data.augment import Augmentation
from segnet.data.dataset import Sample
from segnet.data.identify import records_of
from segnet.data.pets import PET_CLASSES
from segnet.data.store.batches import evenly_spread, load_batches, shuffled_order, split_into_batches
from segnet.data.store.fit_to_size import Fit
from segnet.data.store.split import Split
from segnet.data.synthetic import load_synthetic
from segnet.figures.figure import class_colours
from segnet.figures.learning import IN_STRIP, LearnedBy, LearningFigure, choose_image
from segnet.figures.unpooling_figure import UnpoolingFigure, compare_ways
from segnet.models import create_model
from segnet.models.inspection.unpooling import unpooling
from segnet.report.panel import PREVIEW_IMAGES
from segnet.runs.scores import ScoredOn
from segnet.scoring.score_split import evaluate_split, predict_split, predictor
from segnet.training.losses.class_weights import median_frequency_weights
from segnet.training.losses.losses import cross_entropy

CPU = torch.device("cpu")

_LEARN_FROM, _LOOK_AT, _SIDE_PX, _EPOCHS = 120, 32, 64, 8
# larger, since outlines are compared: of 64 px a boundary F1 forgives no pixel, of 96 px one
_COMPARE_FROM, _COMPARE_ON, _COMPARE_PX, _COMPARE_EPOCHS = 120, 60, 96, 6

# Positions alone go from encoder to decoder: what they are good for is what some of the figures ask.
_OPTIONS: dict[str, Any] = {
    "stages": ((16, 1), (32, 1), (64, 1), (128, 1)),
    "bottleneck": (128, 4, 5),
    "features": False,
    "stride": 1,
}
_BATCH, _LR, _WARM_UP_STEPS, _WEIGHT_DECAY = 8, 2e-2, 20, 0.02


def small_segnet(seed: int) -> nn.Module:
    """Return an untrained compact SegNet at full resolution, for the classes of drawn pets."""
    torch.manual_seed(seed)
    return create_model("segnet-lite", len(PET_CLASSES), **_OPTIONS)


def read_samples(samples: Sequence[Sample], side_px: int) -> Split:
    """Read samples at ``side_px`` by ``side_px``, into memory alone."""
    fit = Fit((side_px, side_px), "area")
    read = [sample.read() for sample in samples]
    return Split(
        np.stack([fit.image(image) for image, _ in read]),
        np.stack([fit.mask(mask, beyond=IGNORE_INDEX) for _, mask in read]),
        tuple(sample.name for sample in samples),
    )


def learn(model: nn.Module, train: Split, epochs: int, seed: int) -> Iterator[float]:
    """Train a model, and after each epoch give its mean training loss; AdamW, warm-up, cosine.

    Classes are weighted as the SegNet paper does, by median frequency: the border is thin.

    The same seed gives the same weights on one machine, whatever is done with the model between epochs.
    """
    augment = Augmentation(flip=0.5, contrast=0.3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=_LR, weight_decay=_WEIGHT_DECAY)
    weights = torch.tensor(median_frequency_weights(counts[: len(PET_CLASSES)] for counts in train.counts))
    steps = epochs * len(split_into_batches(range(len(train)), _BATCH))
    step = 0
    for epoch in range(epochs):
        batches = split_into_batches(shuffled_order(len(train), seed + epoch), _BATCH)
        model.train()
        total = 0.0
        for images, masks in load_batches(train.take, batches, CPU):
            share = min((step + 1) / _WARM_UP_STEPS, 1) * (1 + math.cos(math.pi * step / steps)) / 2
            for group in optimizer.param_groups:
                group["lr"] = _LR * share
            pictures, truth = augment(images, masks, train.size, 1000 * seed + step)
            loss = cross_entropy(model(pictures), truth, weights)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(masks)
            step += 1
        yield total / len(train)


def train_and_watch(image: str | None = None, most: int = IN_STRIP) -> LearningFigure:
    """Train for eight epochs and keep what the network makes of one image after each.

    Args:
        image: which of the held-out pets that a run would draw: a name, or a number counted from 1; None is
            the first.
        most: how many epochs are shown, evenly spread.

    Raises:
        SegnetError: no such image.
    """
    pets = load_synthetic(train=_LEARN_FROM, val=_LOOK_AT)
    number = choose_image(image, [sample.name for sample in pets.val[:PREVIEW_IMAGES]])
    train, val = read_samples(pets.train, _SIDE_PX), read_samples(pets.val, _SIDE_PX)
    model = small_segnet(seed=0)
    epochs = []
    for epoch, loss in enumerate(learn(model, train, _EPOCHS, seed=0), 1):
        predict = predictor(model)
        scores = evaluate_split(predict, val, PET_CLASSES, CPU)
        logits, _ = next(predict_split(predict, val, CPU, [number]))
        painted = PET_CLASSES.paint(logits[0].argmax(0).byte().numpy())
        epochs.append(LearnedBy(epoch, scores.mean_iou, loss, painted))
    return LearningFigure(
        "a small segnet-lite",
        val.names[number],
        f"{_LOOK_AT} drawn pets, learnt from {_LEARN_FROM} others",
        val.images[number],
        PET_CLASSES.paint(val.masks[number]),
        tuple(epochs[place] for place in evenly_spread(_EPOCHS, most)),
        {each.epoch: each.mean_iou for each in epochs},
        class_colours(PET_CLASSES),
    )


def compare_trained(ways: Sequence[str], seed: int = 0) -> UnpoolingFigure:
    """Train a model for each way to un-pool, by the indices first, and compare them as they have learnt.

    All begin with the same weights and see the same images in the same order; ``seed`` decides both.
    """
    pets = load_synthetic(train=_COMPARE_FROM, val=_COMPARE_ON)
    train, val = read_samples(pets.train, _COMPARE_PX), read_samples(pets.val, _COMPARE_PX)

    def trained(way: str) -> nn.Module:
        model = small_segnet(seed)
        with unpooling(model, way):
            for _ in learn(model, train, _COMPARE_EPOCHS, seed):
                pass
        return model

    return compare_ways(
        "a small segnet-lite trained in each way",
        trained,
        val,
        PET_CLASSES,
        ScoredOn("synthetic", "val", len(val), 0),
        records_of(pets.val),
        ways,
        f"Each began with the same weights and learnt in its own way, {_COMPARE_EPOCHS} epochs of "
        f"{_COMPARE_FROM} drawn pets at {_COMPARE_PX}x{_COMPARE_PX}: seconds of training, one seed ({seed}). "
        "Compare several with --seed before you believe a small difference.",
    )
