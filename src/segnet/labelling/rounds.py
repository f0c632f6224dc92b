"""``segnet label train``: train on the masks, score on what was set aside, say what the masks brought."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from segnet.base.errors import SegnetError, refuse
from segnet.base.files import new_folder, write_text
from segnet.data.check.pairing import DESCRIPTION
from segnet.data.folder import load_folder
from segnet.data.images.file_records import file_digest
from segnet.inference.model_file import read_description, write_model_file
from segnet.inference.opening import find_model, load
from segnet.labelling.learning_curve import Point, sentences
from segnet.labelling.project import Photo, Project, Round, listed, now
from segnet.models.encoders.efficientnet_weights import PUBLISHED
from segnet.runs.run_folder import RunFolder
from segnet.scoring.evaluate import score_model
from segnet.training.configuration.config import TrainConfig
from segnet.training.run import train
from segnet.training.state import read_newest

LAST = "last.safetensors"
_HOLDOUT = 0.01  # one image: training wants one, and it chooses nothing here
PRETRAINED, PLAIN = "segnet-efficient", "segnet-lite"


@dataclass(frozen=True)
class Plan:
    """How a project is trained."""

    model: str | None = None
    """None: segnet-efficient where its pretrained encoder is installed, else segnet-lite."""
    start_from: str | None = None
    """A model, or ``last``; None: the pretrained encoder, or else the last run of the same model."""
    unlabeled: bool = False
    """Learn from the photos without masks too."""
    epochs: int | None = None
    size: int = 128
    seed: int = 0
    more: int = 20
    """Masks that the forecast speaks of."""


def train_round(project: Project, plan: Plan, say: Callable[[str], object]) -> Round | None:
    """Train on the masks of a project, score every training on the photos set aside, and note it.

    Args:
        project: an open project.
        plan: how to train.
        say: is told what happens, a sentence at a time.

    Returns:
        What was trained; None where Ctrl-C has stopped it, which leaves the run folder alone.

    Raises:
        SegnetError: too few masks, or what training refuses.
    """
    data, masks, scored = lay_out(project, say)
    say("the last epoch is kept: the one image that training holds out chooses nothing")
    numbers = [int(each.name) for each in project.folder.glob("runs/*") if each.name.isdecimal()]
    run = project.folder / "runs" / f"{max(numbers, default=0) + 1:03d}"
    done = train(_config(project, plan, data, run, say))
    if not done.finished:
        say("the project goes on from the training before; segnet label train begins a new one")
        return None
    keep_last(run)
    found = Round(run.relative_to(project.folder).as_posix(), masks, scored, None, now())
    project.rounds.append(found)
    project.model = f"{found.run}/{LAST}"
    project.save()  # whatever happens to the scores
    project.said = score_rounds(project, data, plan.more)
    project.save()
    return found


def keep_last(run: Path) -> Path:
    """Write the averaged weights of a run's last epoch to ``LAST`` in its folder, and return where that is.

    With few masks no image can be spared to choose an epoch by: of 40 photographs of pets, the epoch that was
    best on 4 scored 0.558 on 411 others, the last 0.653.
    """
    folder = RunFolder(run)
    checkpoint, _ = read_newest(folder)
    description = replace(read_description(folder.model), scores={}, threshold=None)
    write_model_file(run / LAST, checkpoint.parts["ema"]["module"], description)
    return run / LAST


def lay_out(project: Project, say: Callable[[str], object]) -> tuple[Path, int, int]:
    """Write ``data/``, the masks with links to their photos, as ``segnet train --data`` takes it.

    Returns:
        The folder, and the numbers of images to train on and to score on, which are its ``test`` split.

    Raises:
        SegnetError: too few of either.
    """
    parts = {name: _sound(project, scored=name == "test", say=say) for name in ("train", "test")}
    train, test = (len(each) for each in parts.values())
    refuse(
        (
            train < 2,
            f"{train} photos to train on have masks, and it takes 2; segnet label next gives more out",
        ),
        (test < 1, "no photo set aside for scoring has a mask; segnet label next gives them out first"),
    )
    data = project.folder / "data"
    shutil.rmtree(data, ignore_errors=True)
    with new_folder(data) as partial:
        for part, photos in parts.items():
            for kind in ("images", "masks"):
                (partial / part / kind).mkdir(parents=True)
            for each in photos:
                _link(project.photo(each), partial / part / "images" / f"{each.name}{Path(each.file).suffix}")
                _link(project.mask(each), partial / part / "masks" / f"{each.name}.png")
        write_text(partial / DESCRIPTION, yaml.safe_dump({"classes": project.classes}, allow_unicode=True))
    return data, train, test


def score_rounds(project: Project, data: Path, more: int) -> list[str]:
    """Score all trainings on the photos set aside that have masks by now; return what the masks brought."""
    dataset, points, gone = load_folder(data), [], []
    for each in project.rounds:
        model = project.folder / each.run / LAST
        if not model.is_file():
            gone.append(each.run)
            continue
        found = score_model(load(model), dataset, split="test")
        each.mean_iou, each.scored_on = found.scores.mean_iou, len(found.images)
        points.append(Point(each.masks, found.images))
    lost = [f"{len(gone)} trainings aren't in the curve, since their folders are gone: {listed(gone)}"]
    return [*sentences(points, more), *(lost if gone else [])]


def _sound(project: Project, *, scored: bool, say: Callable[[str], object]) -> list[Photo]:
    """Return the photos with masks that are still as they were, and say which aren't."""
    found: list[Photo] = []
    changed: list[Photo] = []
    for each in project.chosen(scored=scored, labelled=True):
        photo = project.photo(each)
        is_same = photo.is_file() and file_digest(photo).hex() == each.sha256
        (found if is_same and project.mask(each).is_file() else changed).append(each)
    if changed:
        names = listed([each.file for each in changed])
        say(f"left out {len(changed)} photos that are gone, changed, or without their mask's file: {names}")
    return found


def _config(project: Project, plan: Plan, data: Path, run: Path, say: Callable[[str], object]) -> TrainConfig:
    model, start = plan.model, plan.start_from
    if model is None:
        model = PLAIN if PUBLISHED["efficientnet-lite0"].find() is None else PRETRAINED
    if start == "last" and not project.rounds:
        raise SegnetError("--start-from last: the project has no training yet; leave it out")
    last = project.model_path()
    if start == "last" or (start is None and model == PLAIN and project.rounds and _is_of(last, model)):
        start = last
    say(f"trains {model}{f' from {start}' if start else ''}")
    epochs: dict[str, Any] = {} if plan.epochs is None else {"epochs": plan.epochs}
    return TrainConfig(
        data=str(data),
        model=model,
        recipe="modern",
        holdout=_HOLDOUT,
        start_from=start,
        unlabeled=project.photos if plan.unlabeled else None,
        size=(plan.size, plan.size),
        seed=plan.seed,
        out=run,
        **epochs,
    )


def _is_of(path: str, model: str) -> bool:
    return read_description(find_model(path, exported=False)).model == model


def _link(source: Path, target: Path) -> None:
    """Link to a file, or copy it where the system makes no links."""
    try:
        target.symlink_to(source.resolve())
    except OSError:
        shutil.copyfile(source, target)
