"""A dataset in the order of a model's classes: matched by name, and with masks of the model's ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from segnet.base.classes import IGNORE_INDEX, ClassTable
from segnet.base.errors import SegnetError
from segnet.data.dataset import Dataset, HasValues, Mask, Sample
from segnet.data.faults import Fault
from segnet.data.images.intensity import Intensity
from segnet.data.images.pixel_values import Pixels, Values

_NO_CLASS = -1


def in_order_of(classes: ClassTable, dataset: Dataset) -> Dataset:
    """Return a dataset whose masks hold a model's class ids; the same one where they do already.

    Names match where they are equal, and else where they differ in case, underscores, hyphens and spaces
    alone. A class that the data lacks is absent in the truth. ``Dataset.matched`` says what was done.

    Args:
        classes: the model's.
        dataset: any.

    Raises:
        SegnetError: the data has a class that the model doesn't know; or it is one of the named datasets,
            where another option gives the model's classes.
    """
    if dataset.classes.names == classes.names:
        return dataset
    ids = _match(dataset.classes.names, classes.names)
    unknown = [name for name, known in zip(dataset.classes.names, ids, strict=True) if known is None]
    source = "folder" if dataset.options is None else dataset.options.source
    is_named = source in ("oxford-pets", "synthetic")
    if unknown or (is_named and len(dataset.classes) != len(classes)):
        also = f"has {', '.join(unknown or dataset.classes.names)}"
        raise SegnetError(
            f"the model knows {', '.join(classes.names)}, but {dataset.name} {also}; {_REMEDIES[source]}"
        )
    table = np.full(256, _NO_CLASS, np.int16)
    table[: len(ids)], table[IGNORE_INDEX] = cast("list[int]", ids), IGNORE_INDEX
    train, val, test, extra = (
        tuple(_OtherIds(sample, table) for sample in samples)
        for samples in (dataset.train, dataset.val, dataset.test, dataset.extra)
    )
    said = _in_words(dataset, classes, cast("list[int]", ids))
    return replace(dataset, classes=classes, matched=said, train=train, val=val, test=test, extra=extra)


_IN_FILE = (
    "give classes the model's names in {}, list there under ignore the values of those that the model can't "
    "know, or take a model that was trained on them"
)
_REMEDIES = {
    "oxford-pets": "--border class, pet or ignore decides which classes there are",
    "synthetic": "the drawn pets have these classes alone; name other data with --data",
    "folder": _IN_FILE.format("its dataset.yaml"),
    "hf": _IN_FILE.format("the file of --dataset-yaml"),
}


def _match(data: Sequence[str], model: Sequence[str]) -> list[int | None]:
    """Return for each of the data's classes its place among the model's; None where there is none."""
    free = [name for name in model if name not in data]
    alike = {_spelling(name): model.index(name) for name in free}
    ids: list[int | None] = []
    for name in data:
        ids.append(model.index(name) if name in model else alike.pop(_spelling(name), None))
    return ids


def _spelling(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _in_words(dataset: Dataset, classes: ClassTable, ids: Sequence[int]) -> str:
    """Return how classes were matched, and which of the model's the data lacks."""
    given = [
        name if name == classes.names[i] else f"{name} as {classes.names[i]}"
        for name, i in zip(dataset.classes.names, ids, strict=True)
    ]
    said = f"classes of {dataset.name} are matched by name, in its order: {', '.join(given)}"
    lacking = [name for i, name in enumerate(classes.names) if i not in ids]
    if lacking:
        said += f"; it has no {', '.join(lacking)}: pixels that are given such a class count as wrong"
    return said


@dataclass(frozen=True, eq=False)
class _OtherIds:
    """A sample whose mask's ids are looked up in a table."""

    sample: Sample
    table: npt.NDArray[np.int16]
    """The id ``(256,)`` that each id becomes; ``_NO_CLASS`` where the data has no class of that id."""

    @property
    def name(self) -> str:
        return self.sample.name

    def image_ids(self) -> tuple[bytes, ...]:
        return self.sample.image_ids()

    def fingerprint(self) -> bytes:
        return self.sample.fingerprint() + self.table.tobytes()

    def read(self) -> tuple[Image.Image, Mask]:
        image, mask = self.sample.read()
        return image, self._looked_up(mask)

    @property
    def is_deep(self) -> bool:
        return isinstance(self.sample, HasValues) and self.sample.is_deep

    def read_as(self, intensity: Intensity) -> tuple[Image.Image | Pixels, Mask]:
        if isinstance(self.sample, HasValues):
            image, mask = self.sample.read_as(intensity)
            return image, self._looked_up(mask)
        rgb, mask = self.read()  # of a source that has nothing but RGB
        return intensity.open(rgb)[0], mask

    def read_values(self, channels: int) -> Values:
        assert isinstance(self.sample, HasValues)  # others hold 8 bits
        return self.sample.read_values(channels)

    def _looked_up(self, mask: Mask) -> Mask:
        found = self.table[mask]
        if (found == _NO_CLASS).any():
            value, count = mask[found == _NO_CLASS][0], np.sum((self.table >= 0)[:IGNORE_INDEX])
            raise Fault(
                "unknown-value",
                f"the mask of {self.name}",
                f"holds the value {value}, but there are {count} classes",
                f"give ids from 0 to {count - 1}, {IGNORE_INDEX} = ignore",
            )
        return found.astype(np.uint8)
