"""A model over a whole split, into one set of scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from segnet.base.classes import ClassTable
from segnet.base.distributed.rank import this_process
from segnet.data.store.batches import load_batches
from segnet.data.store.split import Split
from segnet.inference.runtimes import Images, Logits
from segnet.inference.tiles import Tiles
from segnet.runs.identity import ImageRecord
from segnet.runs.image_scores import ImageScores
from segnet.runs.scores import ScoredOn, Scores
from segnet.scoring.image_metrics import ImageCounter
from segnet.scoring.metrics import ScoreCounter

_BATCH = 32  # has no say in the scores: they come from one matrix over the split


Predictor = Callable[[Tensor], Tensor]
"""Gives logits ``(N, C, H, W)`` for uint8 images ``(N, C, H, W)`` that lie on the device."""


def predictor(model: nn.Module) -> Predictor:
    """Put a model into evaluation mode, leave it there, and return what predicts with it."""
    model.eval()
    return lambda images: model(images.float().div_(255))


def predict_split(
    predict: Predictor, split: Split, device: torch.device, only: Sequence[int] | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield logits ``(N, C, H, W)`` and masks ``(N, H, W)`` batch by batch, in the split's order.

    Nothing is augmented. Predicts in inference mode. Images of another size than the network's come one by
    one, put together from tiles. ``only`` names the images by number; None is all.
    """
    numbers = range(len(split)) if only is None else only
    yield from _predict_batches(predict, split, device, split.whole_batches(numbers, _BATCH))


def _predict_batches(
    predict: Predictor, split: Split, device: torch.device, batches: Sequence[Sequence[Any]]
) -> Iterator[tuple[Tensor, Tensor]]:
    for images, masks in load_batches(split.take, batches, device):
        with torch.inference_mode():
            fits = images.shape[2:] == split.size
            logits = predict(images) if fits else _predict_tiles(predict, images, split.size)
        yield logits, masks


def _predict_tiles(predict: Predictor, images: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the logits of one image ``(1, C, H, W)``, put together from tiles of ``size``."""

    def logits(tiles: Images) -> Logits:
        found = predict(torch.from_numpy(tiles).permute(0, 3, 1, 2).to(images.device))
        return found.float().cpu().numpy()

    pixels = images[0].permute(1, 2, 0).cpu().numpy()
    return torch.from_numpy(Tiles(pixels, size, logits).whole())[None].to(images.device)


def evaluate_split(
    predict: Predictor,
    split: Split,
    classes: ClassTable,
    device: torch.device,
    scored_on: ScoredOn | None = None,
    *,
    article: bool = False,
) -> Scores:
    """Score what predicts on a split at the split's size, in float32 whatever it was trained in.

    Of two classes, the foreground's best threshold is chosen on the split. ``article`` adds the article's
    two IoUs, which only compare with the article's. Each of many processes predicts its share of the batches,
    and all return the scores of the split.
    """
    counter = ScoreCounter(classes, device, article=article, threshold="chosen here")
    batches = split.whole_batches(range(len(split)), _BATCH)
    own = batches[this_process().rank :: this_process().total]
    for logits, masks in _predict_batches(predict, split, device, own):
        counter.add(logits, masks)
    counter.sum_up()
    return counter.scores(scored_on)


def evaluate_images(
    predict: Predictor,
    split: Split,
    classes: ClassTable,
    device: torch.device,
    scored_on: ScoredOn,
    records: Sequence[ImageRecord],
    *,
    article: bool = False,
    threshold: float | None = None,
) -> tuple[Scores, tuple[ImageScores, ...]]:
    """Score as ``evaluate_split`` does, and outlines, calibration and each image too, in the split's order.

    Args:
        predict: gives the logits.
        split: the images, at the size that is scored.
        classes: their names.
        device: where to predict and count.
        scored_on: what the images are.
        records: how each is known again, in the split's order.
        article: add the article's two IoUs.
        threshold: of two classes, the one that the model file keeps: it was chosen on other images.
    """
    counter = ScoreCounter(classes, device, article=article, threshold=threshold)
    images = ImageCounter(len(classes), scored_on.split, records, device, split.own_sizes)
    for logits, masks in predict_split(predict, split, device):
        counter.add(logits, masks)
        images.add(logits, masks)
    return images.add_to(counter.scores(scored_on)), tuple(images.images)


def with_flip(predict: Predictor) -> Predictor:
    """Return what predicts by the mean of the probabilities for an image and for its mirror image."""

    def both(images: Tensor) -> Tensor:
        straight = predict(images).float().softmax(1)
        mirrored = predict(images.flip(-1)).float().softmax(1).flip(-1)
        mean = (straight + mirrored) / 2
        return mean.clamp_min(torch.finfo(torch.float32).tiny).log()  # the log of 0 would not be finite

    return both


def is_articles(data: str, recipe: object) -> bool:
    """Say whether scores are the article's to compare with: its data, and its recipe."""
    return data == "oxford-pets" and recipe == "article"
