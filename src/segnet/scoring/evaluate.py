"""Evaluation: a model over a whole split, into one set of scores; on what it was trained on if told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from segnet.base.classes import ClassTable
from segnet.base.distributed.rank import place
from segnet.base.errors import SegnetError, did_you_mean
from segnet.data.by_name import in_order_of
from segnet.data.dataset import Dataset, Sample
from segnet.data.identify import records_of
from segnet.data.store.batches import load_batches, split_into_batches
from segnet.data.store.full_size import FullSizeSplit
from segnet.data.store.open_split import Split, open_pixels
from segnet.inference.runtimes import Images, Logits, Runtime
from segnet.inference.segmenter import Segmenter
from segnet.inference.tiles import Tiles
from segnet.runs.identity import SPLITS, ImageRecord, NotWholeError
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

    Nothing is augmented. Predicts in inference mode. Images at their own size come one by one, put together
    from tiles. ``only`` names the images by number; None is all.
    """
    numbers = range(len(split)) if only is None else only
    if isinstance(split, FullSizeSplit):
        yield from _predict_tiles(predict, split, device, numbers)
        return
    batches = split_into_batches(numbers, _BATCH) if numbers else []  # one of many processes may have none
    for images, masks in load_batches(split.take, batches, device):
        with torch.inference_mode():
            yield predict(images), masks


def _predict_tiles(
    predict: Predictor, split: FullSizeSplit, device: torch.device, numbers: Sequence[int]
) -> Iterator[tuple[Tensor, Tensor]]:
    def logits(tiles: Images) -> Logits:
        with torch.inference_mode():
            found = predict(torch.from_numpy(tiles).permute(0, 3, 1, 2).to(device))
        return found.float().cpu().numpy()

    for number in numbers:
        whole = Tiles(split.images[number], split.patch, logits).whole()
        mask = torch.from_numpy(np.array(split.masks[number]))
        yield torch.from_numpy(whole)[None].to(device), mask[None].to(device)


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
    batches = split_into_batches(range(len(split)), 1 if isinstance(split, FullSizeSplit) else _BATCH)
    own = [number for batch in batches[place().rank :: place().total] for number in batch]
    for logits, masks in predict_split(predict, split, device, own):
        counter.add(logits, masks)
    counter.sum_up()
    return counter.scores(scored_on)


@dataclass(frozen=True)
class Evaluation:
    """All that one pass over a split finds."""

    scores: Scores
    images: tuple[ImageScores, ...]
    """In the split's order."""


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
) -> Evaluation:
    """Score as ``evaluate_split`` does, and outlines, calibration and each image too.

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
    own_sizes = None if isinstance(split, FullSizeSplit) else split.own_sizes
    images = ImageCounter(len(classes), scored_on.split, records, device, own_sizes)
    for logits, masks in predict_split(predict, split, device):
        counter.add(logits, masks)
        images.add(logits, masks)
    return Evaluation(images.add_to(counter.scores(scored_on)), tuple(images.images))


def with_flip(predict: Predictor) -> Predictor:
    """Return what predicts by the mean of the probabilities for an image and for its mirror image."""

    def both(images: Tensor) -> Tensor:
        straight = predict(images).float().softmax(1)
        mirrored = predict(images.flip(-1)).float().softmax(1).flip(-1)
        mean = (straight + mirrored) / 2
        return mean.clamp_min(torch.finfo(torch.float32).tiny).log()  # the log of 0 would not be finite

    return both


class Chosen(NamedTuple):
    """The images to score a model on."""

    samples: list[Sample]
    records: list[ImageRecord]
    """How each is known again."""
    scored_on: ScoredOn


def choose_samples(
    segmenter: Segmenter, dataset: Dataset, split: str | None = None, *, allow_trained_on: bool = False
) -> Chosen:
    """Return the images to score a model on, told by their content wherever they lie, and what they are.

    Of data that the model was trained with, ``train``, ``val`` and ``test`` are the model's own splits, and
    the default is the one it is reported on. Of other data they are the dataset's, and the default is all
    images of a folder or a Hugging Face dataset, or a named dataset's test split, or its validation split
    where there is none. Data with a part of the model's own split and nothing that it was trained on, such as
    a test folder alone, counts as other data.

    Args:
        segmenter: what ``segnet.load`` opened.
        dataset: any.
        split: train, val, test; ``all``; or ``unseen``, all that the model was not trained on.
        allow_trained_on: score images that the model was trained on too.

    Raises:
        SegnetError: a split that is unknown, empty or no longer what it was, or images that the model was
            trained on; says how many.
    """
    known = (*SPLITS, "all", "unseen")
    if split is not None and split not in known:
        raise SegnetError(f"there is no split {split!r}{did_you_mean(split, known)}")
    identity = segmenter.description.data
    placed = [(place, sample) for place, each in dataset.splits.items() for sample in each]
    places, samples = [place for place, _ in placed], [sample for _, sample in placed]
    records = records_of(samples)
    own = identity if identity is not None and identity.knows(records) else None
    name, note = split, dataset.matched
    if own and name is None and not own.trained_on(records):
        try:
            own.own(own.held_out, records, places)
        except NotWholeError as error:
            own, note = None, "; ".join(filter(None, (note, error.what)))
    if name is None:
        default = "test" if dataset.test else "val"
        name = own.held_out if own else "all" if _is_users(dataset) else default
    if name == "all":
        chosen = list(range(len(samples)))
    elif name == "unseen":
        chosen = [i for i, record in enumerate(records) if not (identity and identity.trained_on([record]))]
    elif own and (own.splits[name].count or name not in places):
        chosen = own.own(name, records, places)
    else:
        _require_samples(dataset, name)
        chosen = [i for i, place in enumerate(places) if place == name]
    if not chosen:
        raise SegnetError(f"{dataset.name} holds no image to score the model on: the split {name!r} is empty")
    if identity is None and not allow_trained_on and _may_be_trained_on(segmenter, dataset, name):
        raise SegnetError(
            "the model's file, of an older segnet, doesn't say which images it was trained on, and these may "
            "be among them; train it anew, or give --allow-trained-on to score them all the same"
        )
    trained_on = None if identity is None else identity.trained_on(records[i] for i in chosen)
    if trained_on and not allow_trained_on:
        raise SegnetError(
            f"the model was trained on {trained_on} of these {len(chosen)} images, {name} of {dataset.name}: "
            "scores on them say nothing; take --split unseen, other data, or --allow-trained-on to see them"
        )
    scored_on = ScoredOn(dataset.name, name, len(chosen), trained_on, note)
    return Chosen([samples[i] for i in chosen], [records[i] for i in chosen], scored_on)


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
    dataset = in_order_of(segmenter.classes, dataset)
    chosen = choose_samples(segmenter, dataset, split, allow_trained_on=allow_trained_on)
    predict, images, device = open_chosen(segmenter, dataset, chosen)
    article = is_articles(dataset.name, segmenter.description.training.get("recipe"))
    return evaluate_images(
        predict,
        images,
        dataset.classes,
        device,
        chosen.scored_on,
        chosen.records,
        article=article,
        threshold=segmenter.description.threshold,
    ).scores


def open_chosen(
    segmenter: Segmenter, dataset: Dataset, chosen: Chosen
) -> tuple[Predictor, Split, torch.device]:
    """Return what predicts, the images that ``choose_samples`` chose, for this model, and its device."""
    cached = open_pixels(chosen.samples, dataset.classes, segmenter.description.fit, data=dataset.name)
    if segmenter.runtime.name == "torch":
        return predictor(segmenter.model), cached, torch.device(segmenter.device)
    return _exported_predictor(segmenter.runtime), cached, torch.device("cpu")


def _exported_predictor(runtime: Runtime) -> Predictor:
    """Return what predicts with an exported model, wherever that computes, for images in main memory."""
    return lambda images: torch.from_numpy(runtime.logits(images.permute(0, 2, 3, 1).numpy()))


def is_articles(data: str, recipe: object) -> bool:
    """Say whether scores are the article's to compare with: its data, and its recipe."""
    return data == "oxford-pets" and recipe == "article"


def _may_be_trained_on(segmenter: Segmenter, dataset: Dataset, split: str) -> bool:
    """Say whether a model of an older version may know these images: all but those that none trains on."""
    options = dataset.options
    if not segmenter.description.training:  # put together by a program, not trained by a run
        return False
    if options is None or options.source in ("folder", "hf"):
        return True
    if options.source == "synthetic":
        return split != "val"
    held_out = options.holdout or options.fold or options.val_list
    return split not in (("test",) if held_out else ("val", "test"))


def _is_users(dataset: Dataset) -> bool:
    """Say whether the user has brought the data, a folder or from Hugging Face."""
    return dataset.options is not None and dataset.options.source in ("folder", "hf")


def _require_samples(dataset: Dataset, split: str) -> None:
    """Raise SegnetError where a split that is needed is empty."""
    if not dataset.splits[split]:
        there = ", ".join(f"{name} ({len(each)})" for name, each in dataset.splits.items() if each)
        raise SegnetError(f"{dataset.name} has no {split} split; there is {there or 'no image at all'}")
