"""From what the user typed to a dataset: the one place where a new source of data is added."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from segnet.core.classes import ClassTable
from segnet.core.errors import SegnetError, did_you_mean
from segnet.core.files import expand_home
from segnet.data.dataset import Dataset, hold_out
from segnet.data.folder import load_folder
from segnet.data.options import DataOptions
from segnet.data.pets import PET_CLASSES, load_pets, pets_classes
from segnet.data.synthetic import load_synthetic

_FOLDER_HOLDOUT = 0.2


def _pets(options: DataOptions, holdout: float, seed: int) -> Dataset:
    extra = Path(options.extra_list) if options.extra_list else None
    dataset = load_pets(options.data_root, border=options.border, extra_list=extra, archives=options.archive)
    if holdout == 0:
        return replace(
            dataset,
            val_is="the official test split, as the article validates; the best epoch was picked on it, so "
            "its score is a little optimistic",
        )
    train, val = hold_out(dataset.train, holdout, seed)
    names = {sample.name for sample in val}
    repeated = [sample.name for sample in dataset.extra if sample.name in names]
    if repeated:
        raise SegnetError(
            f"{repeated[0]} ({len(repeated)} images in all) is held out and also in {options.extra_list}; "
            "take what trainval.txt holds out of the extra list"
        )
    return replace(
        dataset,
        train=train,
        val=val,
        test=dataset.val,
        val_is=f"{holdout:g} of trainval, held out with seed {seed}; the test split had no say",
    )


def _synthetic(options: DataOptions, holdout: float, seed: int) -> Dataset:
    return load_synthetic(seed=seed)


DATASETS: dict[str, Callable[[DataOptions, float, int], Dataset]] = {
    "oxford-pets": _pets,
    "synthetic": _synthetic,
}


def known_classes(options: DataOptions) -> ClassTable | None:
    """Return the classes where the options alone decide them, before anything is downloaded or read."""
    if options.data == "oxford-pets":
        return pets_classes(options.border)
    return PET_CLASSES if options.data == "synthetic" else None


def load_dataset(options: DataOptions, *, holdout: float = 0.0, seed: int = 0) -> Dataset:
    """Open a dataset by name, or a folder by path.

    Args:
        options: what the user typed.
        holdout: share of the training images to validate on where the data has no validation split of its
            own. With oxford-pets 0 means the official test split, as in the article; otherwise that split
            becomes ``Dataset.test``. A folder without splits takes 0.2 for 0.
        seed: decides which images are held out, and what synthetic draws. A model remembers both, so that
            it is never scored on images it was trained on.

    Raises:
        SegnetError: no such dataset or folder, or a file in it that is missing or wrong.
    """
    if options.data in DATASETS:
        return DATASETS[options.data](options, holdout, seed)
    folder = expand_home(options.data)
    if not folder.exists():
        known = did_you_mean(options.data, DATASETS)
        raise SegnetError(f"{options.data!r} is neither a dataset nor a folder here{known}")
    return load_folder(folder, val_fraction=holdout or _FOLDER_HOLDOUT, seed=seed)
