"""Evaluation: a segmenter on images of a dataset, and all that this tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from segnet.base.classes import ClassTable
from segnet.data.by_name import in_order_of
from segnet.data.dataset import Dataset, Sample
from segnet.data.groups import groups_of
from segnet.data.store.open_split import open_pixels
from segnet.data.store.split import Split
from segnet.inference.segmenter import Segmenter
from segnet.runs.image_scores import GroupScores, ImageScores, score_groups
from segnet.runs.scores import ScoredOn, Scores
from segnet.scoring.data_to_score import choose_samples
from segnet.scoring.mistakes import draw_mistakes
from segnet.scoring.score_split import Predictor, evaluate_images, is_articles, predictor, with_flip


@dataclass(frozen=True)
class ModelScores:
    """What a model gets right and wrong on the images of a dataset."""

    scores: Scores
    """Of all images together."""
    images: tuple[ImageScores, ...]
    """Of each image."""
    groups: tuple[GroupScores, ...]
    """Of each group, where groups were asked for."""
    classes: ClassTable
    draw: Callable[[Sequence[int]], Iterator[Image.Image]]
    """Yields pictures of the images named by number: input, truth, prediction and mistakes side by side."""


def evaluate(
    segmenter: Segmenter,
    dataset: Dataset,
    *,
    split: str | None = None,
    allow_trained_on: bool = False,
) -> Scores:
    """Score a segmenter on a split of a dataset, with images brought to their size as in its training.

    ``Scores.scored_on`` says which images that was.

    Args:
        segmenter: what ``segnet.load`` opened.
        dataset: with the model's classes, in any order, or some of them; see ``in_order_of``.
        split: train, val, test, all or unseen; see ``choose_samples``, which also says what the default is.
        allow_trained_on: score images that the model was trained on too.

    Raises:
        SegnetError: as ``in_order_of`` and ``choose_samples``.
    """
    return score_model(segmenter, dataset, split=split, allow_trained_on=allow_trained_on).scores


def score_model(
    segmenter: Segmenter,
    dataset: Dataset,
    *,
    split: str | None = None,
    allow_trained_on: bool = False,
    flip: bool = False,
    group_by: str | None = None,
    group_table: Path | None = None,
    begin: Callable[[ScoredOn], object] = lambda scored_on: None,
) -> ModelScores:
    """Score a segmenter as ``evaluate`` does, each image and groups of images too: all of ``segnet eval``.

    Args:
        segmenter: what ``segnet.load`` opened.
        dataset: with the model's classes, in any order, or some of them; see ``in_order_of``.
        split: train, val, test, all or unseen; see ``choose_samples``.
        allow_trained_on: score images that the model was trained on too.
        flip: predict by the mean of the probabilities for each image and its mirror image.
        group_by: what groups images; see ``groups_of``.
        group_table: a CSV file with that column.
        begin: told what is scored before the first prediction.

    Raises:
        SegnetError: as ``in_order_of``, ``choose_samples`` and ``groups_of``.
    """
    dataset = in_order_of(segmenter.classes, dataset)
    samples, records, scored_on = choose_samples(segmenter, dataset, split, allow_trained_on=allow_trained_on)
    names = [record.name for record in records]
    group_names = None if group_by is None else groups_of(dataset, names, group_by, group_table)
    begin(scored_on)
    predict, pixels, device = open_chosen(segmenter, dataset, samples)
    if flip:
        predict = with_flip(predict)
    scores, images = evaluate_images(
        predict,
        pixels,
        dataset.classes,
        device,
        scored_on,
        records,
        article=is_articles(dataset.name, segmenter.description.training.get("recipe")),
        threshold=segmenter.description.threshold,
    )
    return ModelScores(
        scores,
        images,
        () if group_names is None else tuple(score_groups(images, group_names)),
        dataset.classes,
        lambda numbers: draw_mistakes(predict, pixels, dataset.classes, device, numbers),
    )


def open_chosen(
    segmenter: Segmenter, dataset: Dataset, samples: Sequence[Sample]
) -> tuple[Predictor, Split, torch.device]:
    """Return what predicts, the images that ``choose_samples`` chose, for this model, and its device."""
    cached = open_pixels(samples, dataset.classes, segmenter.description.fit, data=dataset.name)
    runtime = segmenter.runtime
    if runtime.name == "torch":
        return predictor(segmenter.model), cached, torch.device(segmenter.device)

    def predict(images: Tensor) -> Tensor:  # in main memory, wherever an exported model computes
        return torch.from_numpy(runtime.logits(images.permute(0, 2, 3, 1).numpy()))

    return predict, cached, torch.device("cpu")
