"""From what the user typed to a dataset: the one place where a new source of data is added."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from segnet.base.classes import ClassTable
from segnet.base.errors import SegnetError, did_you_mean
from segnet.data.check.pairing import require_folder
from segnet.data.dataset import Dataset
from segnet.data.folder import load_folder
from segnet.data.holdout import hold_out
from segnet.data.huggingface.hf_dataset import load_hf, require_hf
from segnet.data.options import DATASET_NAMES, DataOptions
from segnet.data.pets import PET_CLASSES, is_downloaded, load_pets, pets_classes
from segnet.data.synthetic import load_synthetic


def _pets(options: DataOptions) -> Dataset:
    extra = Path(options.extra_list) if options.extra_list else None
    dataset = load_pets(options.data_root, border=options.border, extra_list=extra, archives=options.archive)
    if not options.holdout and options.fold is None and options.val_list is None:
        if options.group_by is not None:
            raise SegnetError("--group-by is for images that are held out; give --holdout or --fold too")
        return replace(
            dataset,
            val_is="the official test split, as the article validates; the best epoch was picked on it, so "
            "its score is a little optimistic",
        )
    train, val, how = hold_out(dataset.train, options, options.holdout)
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
        val_is=f"{how}; the test split had no say",
        held_out=True,
    )


DATASETS: dict[str, Callable[[DataOptions], Dataset]] = {
    "oxford-pets": _pets,
    "synthetic": lambda options: load_synthetic(seed=options.seed),
    "folder": lambda options: load_folder(_existing_folder(options), options),
    "hf": load_hf,
}


def known_classes(options: DataOptions) -> ClassTable | None:
    """Return the classes where the options alone decide them, before anything is downloaded or read."""
    if options.source == "oxford-pets":
        return pets_classes(options.border)
    return PET_CLASSES if options.source == "synthetic" else None


def check_data(options: DataOptions) -> None:
    """Say what is wrong with the options themselves, before anything is downloaded or read.

    Raises:
        SegnetError: a dataset or folder that isn't there, or options that this data doesn't take.
    """
    wrong = options.unused()
    try:
        if options.source == "folder":
            _existing_folder(options)
        elif options.source == "hf":
            require_hf(options)
    except SegnetError as error:
        wrong.insert(0, str(error))
    for name, files in (("data-root", [options.data_root]), ("archive", options.archive)):
        wrong += [f"--{name} {file} does not exist" for file in files if file and not file.exists()]
    for name, file in (("val-list", options.val_list), ("dataset-yaml", options.dataset_yaml)):
        if file is not None and not file.is_file():
            wrong.append(f"--{name} {file} is no file")
    if wrong:
        raise SegnetError("; ".join(wrong))


def needs_download(options: DataOptions) -> bool:
    """Say whether opening this data would first fetch it from the network, or at least ask there for it."""
    if options.source == "hf":
        return options.place is None
    return (
        options.source == "oxford-pets"
        and options.data_root is None
        and not options.archive
        and not is_downloaded()
    )


def load_dataset(options: DataOptions) -> Dataset:
    """Open a dataset by name, a folder by path, or a Hugging Face dataset by either.

    Args:
        options: what the user typed. With oxford-pets a ``holdout`` of 0 means the official test split, as in
            the article; otherwise that split becomes ``Dataset.test``. ``seed`` decides which images are held
            out, and what synthetic draws.

    Raises:
        SegnetError: no such dataset or folder, options that it doesn't take, or a file in it that is missing
            or wrong.
    """
    check_data(options)
    return replace(DATASETS[options.source](options), options=options)


def _existing_folder(options: DataOptions) -> Path:
    folder = options.place
    assert folder is not None  # of a folder it is the path, whether there or not
    if not folder.exists():
        known = did_you_mean(options.data, DATASET_NAMES)
        raise SegnetError(f"{options.data!r} is neither a dataset nor a folder here{known}")
    require_folder(folder)
    return folder
