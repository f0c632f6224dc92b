"""What a run says of itself, typed: its epochs, its outcome, its settings; read from its folder with care.

A killed run leaves half a line, a person edits a file, an older version of this package wrote other names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from segnet.base.errors import SegnetError
from segnet.base.files import expand_home
from segnet.runs.identity import Manifest
from segnet.runs.run_folder import RunFolder
from segnet.runs.scores import Scores


@dataclass(frozen=True)
class EpochRecord:
    """One epoch: a line of metrics.jsonl."""

    epoch: int
    """Counted from 1."""
    val: Scores
    train_loss: float | None = None
    lr: float | None = None
    """Of the last step."""
    size: tuple[int, int] | None = None
    """``(H, W)`` of the training batches."""
    seconds: float | None = None
    images_per_second: float | None = None
    data_wait_share: float | None = None
    """Share of the time in which the device waited for data."""
    peak_memory_mib: float | None = None
    validation_seconds: float | None = None
    skipped: int | None = None
    """Steps that were dropped since their loss wasn't finite; None where there was none."""
    unlabeled_loss: float | None = None
    """On images without masks, before its weight; None where there are none."""
    confident_share: float | None = None
    """Share of their pixels that were targets."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; of what few runs have only where there is any."""
        silent = {"val", *(name for name in _RARE if getattr(self, name) is None)}
        plain = {name: value for name, value in vars(self).items() if name not in silent}
        return plain | {"size": None if self.size is None else list(self.size), "val": self.val.to_dict()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> EpochRecord:
        """Return what ``to_dict`` gave; what isn't there, as in old files, is None.

        Raises:
            ValueError, TypeError, KeyError: something else.
        """
        size = plain.get("size")
        numbers = {name: None if plain.get(name) is None else float(plain[name]) for name in _NUMBERS}
        return cls(
            epoch=int(plain["epoch"]),
            val=Scores.from_dict(plain["val"]),
            size=None if size is None else (int(size[0]), int(size[1])),
            skipped=int(plain["skipped"]) if plain.get("skipped") else None,
            **numbers,
        )


_RARE = ("skipped", "unlabeled_loss", "confident_share")
_NUMBERS = [entry.name for entry in fields(EpochRecord) if entry.type == "float | None"]


def best_of(epochs: Sequence[EpochRecord]) -> EpochRecord | None:
    """Return the epoch that is kept: highest mean IoU, of equal ones lowest loss, of these the first."""

    def worth(record: EpochRecord) -> tuple[float, float]:
        loss = float("inf") if record.val.loss is None else record.val.loss
        return record.val.mean_iou or 0.0, -loss

    return max(epochs, key=worth, default=None)


@dataclass(frozen=True)
class Outcome:
    """How a run ended, or was stopped: scores.json."""

    finished: bool
    """False after Ctrl-C."""
    best_epoch: int
    val_is: str
    """What the validation split is, in words."""
    val: Scores
    test: Scores | None
    splits: Mapping[str, int]
    """Images in each split."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with the score of predicting the most frequent class everywhere."""
        majority, share = self.val.majority
        return dict(vars(self)) | {
            "selected_by": "mean_iou, of equal ones loss",
            "val": self.val.to_dict(),
            "test": None if self.test is None else self.test.to_dict(),
            "majority": {"class": majority, "pixel_accuracy": share},
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Outcome:
        """Return what ``to_dict`` gave.

        Raises:
            ValueError, TypeError, KeyError: something else.
        """
        test = plain.get("test")
        return cls(
            finished=bool(plain.get("finished", True)),
            best_epoch=int(plain["best_epoch"]),
            val_is=str(plain.get("val_is", "")),
            val=Scores.from_dict(plain["val"]),
            test=None if test is None else Scores.from_dict(test),
            splits={name: int(count) for name, count in plain.get("splits", {}).items()},
        )


@dataclass(frozen=True)
class RunRecord:
    """Everything that people look at of a run, finished or not."""

    name: str
    """Its folder as it was given."""
    config: Mapping[str, Any]
    """The settings; older runs have fewer."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    """What its numbers depend on besides; ``model`` has its name, parameters and macs."""
    epochs: tuple[EpochRecord, ...] = ()
    """By rising epoch."""
    outcome: Outcome | None = None
    manifest: Manifest | None = None
    """Its data image by image; None for a run of an older version."""
    unreadable: int = 0
    """Lines of metrics.jsonl that could not be read."""

    @property
    def best(self) -> EpochRecord:
        """The epoch that was kept; there must be one."""
        best = best_of(self.epochs)
        assert best is not None, f"{self.name} has no epoch"
        return best

    @property
    def model(self) -> Mapping[str, Any]:
        """name, parameters and macs of the model, as far as they are known."""
        model = self.environment.get("model")
        return model if isinstance(model, Mapping) else {}


def read_run(path: str | Path) -> RunRecord:
    """Read a run folder, of a run that may still go on; what isn't there yet is empty.

    Raises:
        SegnetError: no folder, or a file in it that is damaged.
    """
    folder = RunFolder(expand_home(path))
    if not folder.path.is_dir():
        raise SegnetError(f"there is no run folder {path}; give one that segnet train wrote")
    lines = folder.metrics.read_text("utf-8", "replace").splitlines() if folder.metrics.is_file() else []
    epochs, unreadable = parse_epochs(lines)
    scores = read_mapping(folder.scores)
    try:
        outcome = Outcome.from_dict(scores) if scores else None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SegnetError(
            f"{folder.scores} is damaged ({error!r}); delete it, segnet resume makes it"
        ) from None
    return RunRecord(
        name=str(path),
        config=read_mapping(folder.config),
        environment=read_mapping(folder.environment),
        epochs=epochs,
        outcome=outcome,
        manifest=folder.read_manifest(),
        unreadable=unreadable,
    )


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML or JSON file that holds a mapping; a missing one is empty.

    Raises:
        SegnetError: a file that is damaged or holds something else.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SegnetError(f"can't read {path}: {error}; correct the file or delete it") from error
    try:
        content = yaml.safe_load(text) if path.suffix == ".yaml" else json.loads(text)
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise SegnetError(f"can't read {path}: {reason}; correct the file or delete it") from error
    if not isinstance(content, dict):
        raise SegnetError(f"{path} should hold names and values, not {type(content).__name__}")
    return content


def parse_epochs(lines: Iterable[str]) -> tuple[tuple[EpochRecord, ...], int]:
    """Return the epochs in the lines of a metrics.jsonl by rising number, and how many lines are none.

    Of an epoch with several lines the last counts.
    """
    epochs: dict[int, EpochRecord] = {}
    unreadable = 0
    for line in filter(str.strip, lines):
        try:
            record = EpochRecord.from_dict(json.loads(line))
            epochs[record.epoch] = record
        except (ValueError, TypeError, KeyError, AttributeError):
            unreadable += 1
    return tuple(epochs[number] for number in sorted(epochs)), unreadable
