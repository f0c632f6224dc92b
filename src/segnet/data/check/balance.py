"""What the classes' pixels show to be wrong: nothing to learn, a class that never occurs, none to score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from segnet.base.classes import IGNORE_INDEX
from segnet.data.faults import Fault
from segnet.data.masks.mask_code import as_entry

if TYPE_CHECKING:
    from segnet.data.store.split import Split  # which imports torch

FEW = 5
"""Fewer images than this to validate on are hardly any."""

_CHOOSE = (
    "its IoU is 0 as soon as one pixel is taken for it, which lowers the mean, and else it has no score; "
    "hold out more with --holdout, or name an image of it in a file for --val-list"
)
_HOLD_OUT_MORE = "its score is chance: hold out more with --holdout 0.3, or give --fold 1/5, 2/5 .. in turn"

Counts = npt.NDArray[np.int64]


def count_values(split: Split) -> Counts:
    """Return the pixels of each mask value in all masks, ``(256,)``."""
    return np.asarray(split.counts.sum(0))


def no_images(data: str, what: str) -> Fault:
    """Return what is wrong where there are no images to train or to validate on."""
    return Fault("too-few-images", data, f"has no {what}")


def balance_faults(
    data: str, classes: Sequence[str], train: Counts, val: Counts, images: int, *, held_out: bool
) -> list[Fault]:
    """Return what is wrong with how often the classes occur.

    Args:
        data: the folder or dataset, for messages.
        classes: names by class id.
        train: the training masks' pixels of each value ``(256,)``, as ``count_values`` gives them.
        val: the same of the validation masks.
        images: how many there are to validate on.
        held_out: whether these are a part of the training images, so that options choose them.
    """
    ids, faults = range(len(classes)), []
    trained = [classes[i] for i in ids if train[i]]
    if len(trained) > 1 or trained == [*classes]:
        for i in ids:
            if not train[i]:
                where = "the validation masks alone" if val[i] else "no mask at all"
                faults.append(Fault("never-occurs", data, f"has {classes[i]} in {where}"))
    elif trained and train[IGNORE_INDEX]:
        said = f"has training masks of {trained[0]} and ignored pixels alone: {IGNORE_INDEX} means ignore"
        other = next(name for name in classes if name != trained[0])
        meant = as_entry("values", {0: trained[0], IGNORE_INDEX: other})
        remedy = f"write to dataset.yaml what the masks store, where that is a class: '{meant}'"
        faults.append(Fault("ignored-class", data, said, remedy))
    else:
        what = trained[0] if trained else "ignored pixels"
        faults.append(Fault("nothing-to-learn", data, f"has training masks of nothing but {what}"))
    if images and not any(val[i] for i in ids):
        faults.append(Fault("nothing-to-learn", data, "has validation masks of nothing but ignored pixels"))
    elif images:
        where, remedy = ("mask that is held out", _CHOOSE) if held_out else ("validation mask", "")
        unseen = [classes[i] for i in ids if train[i] and not val[i]]
        faults += [Fault("not-validated", data, f"has {name} in no {where}", remedy) for name in unseen]
    if 0 < images < FEW:
        few = "a single image" if images == 1 else f"{images} images"
        remedy = _HOLD_OUT_MORE if held_out else ""
        faults.append(Fault("few-to-validate", data, f"has {few} to validate on", remedy))
    return faults
