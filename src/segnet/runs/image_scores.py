"""What an evaluation found in each image, a row of ``images.csv`` for each.

Rows hold the pixel counts that the split's scores are sums of, so that whatever reads the file can add them
up again over any images: a group of them, or the draws of a bootstrap.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from segnet.base.errors import SegnetError
from segnet.base.files import write_csv
from segnet.runs.scores import mean_of, ratio

COUNTS = ("right", "truth", "predicted")


@dataclass(frozen=True)
class ImageScores:
    """One image: each score in [0, 1] but the loss, None where it isn't defined."""

    split: str
    image: str
    """What reports call it, mostly the file's stem."""
    content: str
    """The id of the image's content in hexadecimal digits, by which two evaluations know it as the same."""
    pixel_accuracy: float | None
    mean_iou: float | None
    """Mean over the classes in this image's truth or prediction."""
    boundary_f1: float | None
    band_accuracy: float | None
    """Pixel accuracy near the edges of the truth."""
    loss: float | None
    """Mean cross-entropy over its pixels, in nats."""
    confidence: float | None
    """Mean over its pixels of the probability of the class that was predicted."""
    confident_disagreement: float | None
    """Share of its pixels at which the model is wrong and at least 0.9 sure."""
    right: tuple[int, ...]
    truth: tuple[int, ...]
    predicted: tuple[int, ...]
    """Scored pixels of each class that are right, that are it in truth, and that were given it."""

    @property
    def iou(self) -> tuple[float | None, ...]:
        """IoU of each class; None where truth and prediction lack it."""
        return _iou(self.right, self.truth, self.predicted)


@dataclass(frozen=True)
class GroupScores:
    """Images of one kind together, from the sums of their pixels; None where a score isn't defined."""

    group: str
    images: int
    pixel_accuracy: float | None
    mean_iou: float | None
    boundary_f1: float | None
    """Mean over the images that have one."""
    iou: tuple[float | None, ...]


Worst = Literal["iou", "loss", "boundary", "confident-disagreement"]

_WORST: dict[Worst, tuple[str, int]] = {
    "iou": ("mean_iou", 1),
    "loss": ("loss", -1),
    "boundary": ("boundary_f1", 1),
    "confident-disagreement": ("confident_disagreement", -1),
}


def rank_worst(images: Sequence[ImageScores], by: Worst, count: int) -> list[int]:
    """Return which images are worst, worst first; those without this score are left out.

    Scores are compared as ``images.csv`` has them, so that the order is the same before and after it.
    """
    name, sign = _WORST[by]
    values = [getattr(image, name) for image in images]
    ranked = [i for i, value in enumerate(values) if value is not None]
    return sorted(ranked, key=lambda i: sign * float(_text(values[i])))[:count]


def score_group(group: str, images: Sequence[ImageScores]) -> GroupScores:
    """Return the scores of some images together, at least one."""
    right, truth, predicted = (
        [sum(pixels) for pixels in zip(*(getattr(each, kind) for each in images), strict=True)]
        for kind in COUNTS
    )
    pixels, iou = sum(truth), _iou(right, truth, predicted)
    return GroupScores(
        group=group,
        images=len(images),
        pixel_accuracy=sum(right) / pixels if pixels else None,
        mean_iou=mean_of(iou),
        boundary_f1=mean_of(each.boundary_f1 for each in images),
        iou=iou,
    )


def score_groups(images: Sequence[ImageScores], groups: Sequence[str]) -> list[GroupScores]:
    """Return the scores of each group of images, by name; ``groups`` says which group each image is in."""
    members: dict[str, list[ImageScores]] = {}
    for image, group in zip(images, groups, strict=True):
        members.setdefault(group, []).append(image)
    return [score_group(group, members[group]) for group in sorted(members)]


def _iou(right: Sequence[int], truth: Sequence[int], predicted: Sequence[int]) -> tuple[float | None, ...]:
    unions = [t + p - r for r, t, p in zip(right, truth, predicted, strict=True)]
    return tuple(ratio(r, union) for r, union in zip(right, unions, strict=True))


_TEXTS = ("split", "image", "content")
_NUMBERS = tuple(
    entry.name for entry in fields(ImageScores) if entry.name not in (*_TEXTS, *COUNTS)
)  # fmt: skip


def write_image_scores(path: Path, images: Sequence[ImageScores], classes: Sequence[str]) -> None:
    """Write ``images.csv``: the fields, then IoU and the pixel counts of every class; empty for no value."""
    per_class = [f"{kind} {name}" for kind in ("iou", *COUNTS) for name in classes]
    rows = [[*_TEXTS, *_NUMBERS, *per_class]]
    for image in images:
        own = [getattr(image, name) for name in (*_TEXTS, *_NUMBERS)]
        counted = [count for kind in COUNTS for count in getattr(image, kind)]
        rows.append([_text(value) for value in (*own, *image.iou, *counted)])
    write_csv(path, rows)


def read_image_scores(path: Path) -> tuple[tuple[str, ...], list[ImageScores]]:
    """Return the class names and the images of an ``images.csv``.

    Raises:
        SegnetError: no such file, or one that ``write_image_scores`` didn't write.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except FileNotFoundError:
        raise SegnetError(
            f"there is no {path}; segnet eval --out writes it, and every run as it ends"
        ) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SegnetError(f"can't read {path}: {error}") from error
    names = tuple(name.removeprefix("iou ") for name in (rows[0] if rows else ()) if name.startswith("iou "))
    try:
        return names, [_parse(row, names) for row in rows]
    except (ValueError, TypeError, KeyError) as error:
        raise SegnetError(f"{path} is no table of image scores ({error!r}); write it anew") from None


def _parse(row: dict[str, str], names: Sequence[str]) -> ImageScores:
    values: dict[str, Any] = {name: row[name] for name in _TEXTS}
    values |= {name: float(row[name]) if row[name] else None for name in _NUMBERS}
    values |= {kind: tuple(int(row[f"{kind} {name}"]) for name in names) for kind in COUNTS}
    return ImageScores(**values)


def _text(value: object) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
