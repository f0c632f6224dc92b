"""Which images a model may be scored on: none that it was trained on, unless told to."""

from __future__ import annotations

from typing import NamedTuple

from segnet.base.errors import SegnetError, did_you_mean
from segnet.data.dataset import Dataset, Sample
from segnet.data.identify import records_of
from segnet.inference.segmenter import Segmenter
from segnet.runs.identity import SPLITS, ImageRecord, NotWholeError
from segnet.runs.scores import ScoredOn


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
        is_users = dataset.options is not None and dataset.options.source in ("folder", "hf")
        name = own.held_out if own else "all" if is_users else default
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


def _require_samples(dataset: Dataset, split: str) -> None:
    """Raise SegnetError where a split that is needed is empty."""
    if not dataset.splits[split]:
        there = ", ".join(f"{name} ({len(each)})" for name, each in dataset.splits.items() if each)
        raise SegnetError(f"{dataset.name} has no {split} split; there is {there or 'no image at all'}")
