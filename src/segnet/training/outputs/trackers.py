"""A run's numbers in somebody's tracker: TensorBoard, MLflow, trackio or Weights & Biases.

A tracker looks on. It gets each epoch after it is safe on disk, changes no number and ends no run: one that
fails gets a line of warning and is left out from then on. A resumed run goes on in the same place.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from rich.console import Console

from segnet.base.distributed.rank import is_writer
from segnet.base.errors import did_you_mean, refuse
from segnet.base.extras import require_package
from segnet.base.files import write_text
from segnet.base.progress import say
from segnet.runs.records import EpochRecord, Outcome, read_mapping
from segnet.runs.run_folder import RunFolder
from segnet.runs.scores import Scores
from segnet.training.configuration.config import TrainConfig

NAMES = ("tensorboard", "mlflow", "trackio", "wandb")
"""Their packages are called like them."""

_PROJECT = "segnet"


class Tracker(NamedTuple):
    """One tracker at work on one run."""

    log: Callable[[Mapping[str, float], int], object]
    """Takes numbers by their names, and the epoch, counted from 1."""
    close: Callable[[bool], object]
    """Writes what is left; is told whether an error has ended the run."""


def parse_trackers(text: str | None) -> tuple[str, ...]:
    """Return the trackers that ``--track`` names, between commas.

    Raises:
        SegnetError: one that there isn't, or one twice.
    """
    names = tuple(name.strip() for name in text.split(",")) if text is not None else ()
    unknown = next((name for name in names if name not in NAMES), None)
    refuse(
        (unknown is not None, f"there is no tracker {unknown!r}{did_you_mean(str(unknown), NAMES)}"),
        (len(set(names)) < len(names), f"--track {text} names a tracker twice"),
    )
    return names


def require_trackers(config: TrainConfig) -> None:
    """Check, before any work is done, that the trackers of ``--track`` are installed.

    Raises:
        SegnetError: as ``parse_trackers``, or one isn't; says how to install it.
    """
    for name in parse_trackers(config.track):
        require_package(f"--track {name}", name)


class Tracking:
    """All trackers of a run."""

    def __init__(self, folder: RunFolder, config: TrainConfig, settings: Mapping[str, Any], console: Console):
        names = parse_trackers(config.track) if is_writer() else ()
        self._folder, self._console = folder, console
        nothing: dict[str, Any] = {"ids": {}, "epochs": 0, "ended": False}
        self._noted = nothing | read_mapping(folder.trackers)
        self._open: dict[str, Tracker] = {}
        for name in names:
            with self._excused(name):
                ids, logged = self._noted["ids"], self._noted["epochs"]
                self._open[name], ids[name] = _OPEN[name](folder, ids.get(name), settings, logged)
        if names:
            self._note()

    def epochs(self, records: Sequence[EpochRecord]) -> None:
        """Log the epochs that haven't been."""
        if not self._open or self._noted["epochs"] == len(records):
            return
        for record in records[self._noted["epochs"] :]:
            self._log(_numbers_of(record), record.epoch)
        self._noted |= {"epochs": len(records), "ended": False}
        self._note()

    def end(self, outcome: Outcome | None) -> None:
        """Log the final scores of a run that has ended, where they haven't been."""
        if self._open and outcome is not None and outcome.finished and not self._noted["ended"]:
            found = {"best/val": outcome.val} | ({"best/test": outcome.test} if outcome.test else {})
            numbers = {
                name: value for place, scores in found.items() for name, value in _scores(place, scores)
            }
            self._log(numbers, outcome.best_epoch)
            self._noted["ended"] = True
            self._note()

    def __enter__(self) -> Tracking:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close all, however the run ends."""
        failed = kind is not None and kind is not KeyboardInterrupt
        self._tell(lambda tracker: tracker.close(failed))

    def _log(self, numbers: Mapping[str, float], step: int) -> None:
        self._tell(lambda tracker: tracker.log(numbers, step))

    def _tell(self, what: Callable[[Tracker], object]) -> None:
        for name, tracker in [*self._open.items()]:
            with self._excused(name):
                what(tracker)

    def _note(self) -> None:
        write_text(self._folder.trackers, json.dumps(self._noted) + "\n")

    @contextmanager
    def _excused(self, name: str) -> Iterator[None]:
        """Leave a tracker out that fails."""
        try:
            yield
        except Exception as error:  # whatever a tracker raises, the run is worth more
            self._open.pop(name, None)
            reason = " ".join(str(error).split()) or type(error).__name__
            say(self._console, f"warning: {name} fails and is left out: {reason}")


def _numbers_of(record: EpochRecord) -> dict[str, float]:
    """Return an epoch's numbers by names with slashes, by which trackers group them."""
    own = {
        "train/loss": record.train_loss,
        "train/lr": record.lr,
        "time/seconds": record.seconds,
        "time/images_per_second": record.images_per_second,
        "time/data_wait_share": record.data_wait_share,
    }
    return {name: value for name, value in own.items() if value is not None} | dict(
        _scores("val", record.val)
    )


def _scores(place: str, scores: Scores) -> Iterator[tuple[str, float]]:
    plain = scores.to_dict()
    for name, value in plain.items():
        if isinstance(value, int | float):
            yield f"{place}/{name}", float(value)
    # trackers write _ for most signs, and two classes could become one
    spelt = [re.sub(r"\W", "_", name) for name in scores.per_class]
    for number, (name, entry) in enumerate(scores.per_class.items()):
        alike = spelt.count(spelt[number]) > 1
        if entry.iou is not None:
            yield f"{place}/iou/{name}{f' class {number}' if alike else ''}", entry.iou


# --- the trackers: each opens its own, and says by which id it is found again ---


def _open_tensorboard(
    folder: RunFolder, known: str | None, settings: Mapping[str, Any], logged: int
) -> tuple[Tracker, str]:
    from torch.utils.tensorboard import SummaryWriter

    # event files of a run that goes on are read together
    writer = SummaryWriter(str(folder.path / "tensorboard"), purge_step=logged + 1 if known else None)
    if not known:
        writer.add_text("configuration", f"```json\n{json.dumps(settings, indent=2)}\n```")

    def log(numbers: Mapping[str, float], step: int) -> None:
        for name, value in numbers.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    return Tracker(log, lambda failed: writer.close()), "tensorboard"


def _open_mlflow(
    folder: RunFolder, known: str | None, settings: Mapping[str, Any], logged: int
) -> tuple[Tracker, str]:
    from mlflow import MlflowClient

    client = MlflowClient()  # where MLFLOW_TRACKING_URI says, else its own place in this folder
    if known:
        run = known
        client.update_run(run, status="RUNNING")
    else:
        experiment = client.get_experiment_by_name(_PROJECT)
        place = experiment.experiment_id if experiment is not None else client.create_experiment(_PROJECT)
        run = client.create_run(place, run_name=folder.path.resolve().name).info.run_id
        for name, value in settings.items():
            client.log_param(run, name, value)

    def log(numbers: Mapping[str, float], step: int) -> None:
        for name, value in numbers.items():
            # what else a class's name may hold is refused
            client.log_metric(run, re.sub(r"[^\w\-. :/]", "_", name), value, step=step)

    return Tracker(log, lambda failed: client.set_terminated(run, "FAILED" if failed else "FINISHED")), run


def _open_trackio(
    folder: RunFolder, known: str | None, settings: Mapping[str, Any], logged: int
) -> tuple[Tracker, str]:
    import trackio

    name = known or f"{folder.path.resolve().name}-{secrets.token_hex(4)}"  # its runs are known by name
    trackio.init(project=_PROJECT, name=name, config=dict(settings), resume="allow", embed=False)
    return Tracker(
        lambda numbers, step: trackio.log(dict(numbers), step=step),
        lambda failed: trackio.finish(),  # its runs don't fail
    ), name


def _open_wandb(
    folder: RunFolder, known: str | None, settings: Mapping[str, Any], logged: int
) -> tuple[Tracker, str]:
    import wandb

    # it would ask for a login in the middle of a terminal; without one it writes files for `wandb sync`
    mode = os.environ.get("WANDB_MODE") or ("online" if _has_key() else "offline")
    number = known or secrets.token_hex(4)
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT", _PROJECT),
        name=folder.path.resolve().name,
        id=number,
        resume="allow",
        mode=mode,
        dir=str(folder.path),
        config=dict(settings),
        settings=wandb.Settings(console="off", silent=True, disable_git=True, disable_code=True),
    )
    return Tracker(
        lambda numbers, step: run.log(dict(numbers), step=step),
        lambda failed: run.finish(exit_code=int(failed)),
    ), number


def _has_key() -> bool:
    import netrc

    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False


_OPEN: dict[str, Callable[[RunFolder, str | None, Mapping[str, Any], int], tuple[Tracker, str]]] = {
    "tensorboard": _open_tensorboard,
    "mlflow": _open_mlflow,
    "trackio": _open_trackio,
    "wandb": _open_wandb,
}
