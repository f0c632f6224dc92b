"""What one evaluation found: typed, and as JSON has it. `scoring/metrics.py` computes it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from segnet.base.class_roles import foreground_of


@dataclass(frozen=True)
class ClassScores:
    """One class: each score in [0, 1], None where its denominator is empty."""

    iou: float | None = None
    dice: float | None = None
    precision: float | None = None
    recall: float | None = None
    share: float | None = None
    """Share of the scored pixels that are this class in truth."""
    boundary_f1: float | None = None
    """Mean over the images in whose truth it has an outline; None too where outlines weren't scored."""
    boundary_tolerance_px: float | None = None
    """How far its outlines could be off there, the mean over these images."""
    thickness_px: float | None = None
    """Mean width of its regions in truth, area / half the outline, in pixels of the size that was scored."""


@dataclass(frozen=True)
class CalibrationBin:
    """The pixels whose predicted class had a probability in one of equal ranges from 0 to 1."""

    pixels: int
    confidence: float | None
    """Mean of that probability; a trustworthy model's equals the accuracy."""
    accuracy: float | None
    """Share of these pixels whose class is right."""


@dataclass(frozen=True)
class ScoredOn:
    """Which images scores were taken on: no score is worth more than this."""

    data: str
    """The dataset's name."""
    split: str
    images: int
    trained_on: int | None
    """How many of the images the model was trained on; None where its file doesn't say."""
    note: str = ""
    """What else there is to know of them: how their classes were matched with the model's by name, say."""

    def __str__(self) -> str:
        images = f"{self.images:,} image{'s' * (self.images != 1)}"
        place = f"all of {self.data}" if self.split == "all" else f"the {self.split} split of {self.data}"
        return f"{images}, {place}{self.warning}"

    @property
    def warning(self) -> str:
        """Return what must stand beside every number that isn't an honest one; "" where it is."""
        if self.trained_on is None:
            return " (the model file doesn't say what it was trained on)"
        return f" ({self.trained_on:,} of them TRAINED ON)" if self.trained_on else ""


@dataclass(frozen=True)
class Scores:
    """What one evaluation found, each in [0, 1] and None where it isn't defined."""

    pixel_accuracy: float | None
    """Share of the scored pixels whose class is right."""

    mean_iou: float | None
    mean_dice: float | None
    """Means over the classes that occur in truth or prediction."""

    article_iou: float | None
    """See ``article_iou`` of the metrics. Can overstate: pet predicted on background costs nothing. None but
    for the article's recipe on its data."""

    article_custom_iou: float | None
    """See ``article_custom_iou``; none likewise. Can overstate: large easy classes outweigh the border."""

    loss: float | None
    """Mean cross-entropy over the scored pixels, in nats, whatever training made small."""

    per_class: Mapping[str, ClassScores]
    confusion: tuple[tuple[int, ...], ...]
    """Pixel counts; row: truth, column: prediction."""

    scored_on: ScoredOn | None = None

    mean_class_accuracy: float | None = None
    """Mean recall of the classes that occur in truth: the SegNet paper's class average accuracy."""

    mean_iou_without_border: float | None = None
    """Mean IoU of the classes but the one named border; None where none is."""

    boundary_f1: float | None = None
    """Mean over images, each the mean over the classes with an outline in its truth; see
    ``scoring/boundary.py``. It and what follows are None where only the confusion matrix was taken."""

    boundary_tolerance_px: tuple[float, float] | None = None
    """How far outlines may be off in it, at least and at most over the images, whose sizes may differ."""

    band_accuracy: float | None = None
    """Pixel accuracy at most 3 pixels from a true edge."""

    calibration_error: float | None = None
    """Expected calibration error: mean over pixels of how far their bin's confidence and accuracy differ."""

    foreground_iou: float | None = None
    """Of two classes, the IoU of the one that is looked for (``base/class_roles.py``), by argmax; it and what
    follows are None for more classes."""

    threshold: float | None = None
    """The foreground's probability above which a pixel is taken for it, as chosen on validation images."""

    foreground_iou_at_threshold: float | None = None
    """The foreground's IoU then."""

    calibration: tuple[CalibrationBin, ...] = ()
    others: Mapping[str, float | None] = field(default_factory=dict)
    """Scores that a newer version has written, by name."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, without what only a full evaluation or the article's takes."""
        silent = {"others", *(name for name in _WHERE_THEY_APPLY if getattr(self, name) is None)}
        silent |= set() if self.calibration else {*_OF_IMAGES, "calibration"}
        outlines = () if self.calibration else _CLASS_OUTLINES
        where = self.scored_on
        plain = vars(self) | {
            "confusion": [list(row) for row in self.confusion],
            "per_class": {name: _without(outlines, vars(entry)) for name, entry in self.per_class.items()},
            "boundary_tolerance_px": self.boundary_tolerance_px and list(self.boundary_tolerance_px),
            "calibration": [dict(vars(each)) for each in self.calibration],
            "scored_on": where and _without(() if where.note else ("note",), vars(where)),
        }
        return _without(silent, plain) | dict(self.others)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Scores:
        """Return what ``to_dict`` gave; a score that isn't there, as in old files, is None.

        Raises:
            ValueError, TypeError: something else.
        """
        per_class = {
            str(name): ClassScores(**{key: _number(scores.get(key)) for key in vars(ClassScores())})
            for name, scores in dict(plain["per_class"]).items()
        }
        scored_on = plain.get("scored_on")
        known = {entry.name for entry in fields(cls)}
        others = {name: _number(value) for name, value in plain.items() if name not in known}
        return cls(
            **{name: _number(plain.get(name)) for name in _NUMBERS},
            per_class=per_class,
            confusion=tuple(tuple(int(count) for count in row) for row in plain.get("confusion", ())),
            scored_on=None
            if scored_on is None
            else ScoredOn(
                **{name: scored_on[name] for name in _SCORED_ON}, note=str(scored_on.get("note", ""))
            ),
            boundary_tolerance_px=_range(plain.get("boundary_tolerance_px")),
            calibration=tuple(
                CalibrationBin(int(each["pixels"]), _number(each["confidence"]), _number(each["accuracy"]))
                for each in plain.get("calibration", ())
            ),
            others=others,
        )

    def line(self) -> str:
        """Return the scores in one line for people: the worst and the best class, or how many are at zero."""
        line = f"pixel accuracy {score_text(self.pixel_accuracy)} · mean IoU {score_text(self.mean_iou)}"
        foreground = foreground_of(self.per_class)
        if foreground is not None:
            return f"{_cut(foreground)} IoU {score_text(self.per_class[foreground].iou)} · {line}"
        ranked = sorted((entry.iou, name) for name, entry in self.per_class.items() if entry.iou is not None)
        if len(ranked) < 2:
            return line
        (low, worst), (high, best) = ranked[0], ranked[-1]
        if (zero := len(self.at_zero)) > 1:
            return f"{line} ({zero} of {len(self.in_truth)} classes at 0, best {_cut(best)} {high:.3f})"
        return f"{line} ({_cut(worst)} {low:.3f} to {_cut(best)} {high:.3f})"

    def classes(self) -> Iterator[tuple[str, ClassScores]]:
        """Yield the classes' names and scores; of two, the one that is looked for comes first."""
        foreground = foreground_of(self.per_class)
        yield from sorted(self.per_class.items(), key=lambda item: item[0] != foreground)

    @property
    def in_truth(self) -> list[str]:
        """Return the classes that the truth has."""
        return [name for name, entry in self.per_class.items() if entry.share]

    @property
    def at_zero(self) -> list[str]:
        """Return the classes that the truth has and whose IoU is printed as 0.000."""
        return [name for name in self.in_truth if score_text(self.per_class[name].iou) == "0.000"]

    @property
    def majority(self) -> tuple[str, float]:
        """Return the most frequent class and the pixel accuracy of predicting nothing else."""
        shares = {name: scores.share or 0.0 for name, scores in self.per_class.items()}
        name = max(shares, key=lambda name: shares[name])
        return name, shares[name]


_NUMBERS = [entry.name for entry in fields(Scores) if entry.type == "float | None"]
_WHERE_THEY_APPLY = (
    "article_iou", "article_custom_iou", "foreground_iou", "threshold", "foreground_iou_at_threshold",
)  # fmt: skip
_SCORED_ON = ("data", "split", "images", "trained_on")
_OF_IMAGES = ("boundary_f1", "boundary_tolerance_px", "band_accuracy", "calibration_error")
_CLASS_OUTLINES = ("boundary_f1", "boundary_tolerance_px", "thickness_px")


def _without(names: Collection[str], plain: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in plain.items() if name not in names}


def _number(value: object) -> float | None:
    if value is None or isinstance(value, int | float):
        return value
    raise TypeError(f"{value!r} is no number")


def _range(value: Any) -> tuple[float, float] | None:
    if value is None:
        return None
    low, high = map(_number, value)
    return None if low is None or high is None else (low, high)


def _cut(name: str) -> str:
    return name if len(name) <= 16 else f"{name[:15]}…"


def ratio(above: float, below: float) -> float | None:
    """Return how much of the one is the other; None where there is nothing to be a part of."""
    return float(above / below) if below else None


def mean_of(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are there; None where none is."""
    present = [value for value in values if value is not None]
    return math.fsum(present) / len(present) if present else None


def share_text(value: float | None) -> str:
    """Return a share as per cent for people."""
    return "absent" if value is None else f"{100 * value:.1f} %"


def score_text(value: float | None, digits: int = 3) -> str:
    """Return a score for people; one that has no value is called absent, never 0."""
    return "absent" if value is None else f"{value:.{digits}f}"
