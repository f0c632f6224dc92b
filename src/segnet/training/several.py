"""One run for each of several seeds, in one folder: trained one after another, and gone on with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from segnet.base.errors import SegnetError
from segnet.base.files import expand_home, write_text
from segnet.base.settings import absolute_paths
from segnet.data.options import DATASET_NAMES
from segnet.models.names import short_name
from segnet.runs.records import read_run
from segnet.runs.run_folder import RunFolder, locked, new_run_folder
from segnet.runs.seeds import SeedFolder, write_summary
from segnet.training.check import check
from segnet.training.configuration.config import TrainConfig
from segnet.training.configuration.config_file import read_config
from segnet.training.run import resume, train


def train_seeds(config: TrainConfig, seeds: Sequence[int], *, console: Console | None = None) -> Path:
    """Train one run for each seed and leave them in one folder, with a summary once all have ended.

    Each is the run that ``train`` makes with that seed. Ctrl-C ends the one that is going on, and
    ``resume_seeds`` goes on with it and then with the others.

    Args:
        config: the settings; its seed has no say.
        seeds: two or more.
        console: where progress is printed.

    Raises:
        SegnetError: as ``train``.
    """
    check(config, None)
    stem = f"{config.data_name}-{short_name(config.model)}-{config.recipe}-seeds"
    folder = SeedFolder(new_run_folder(config.out, stem).path)
    write_text(folder.group, json.dumps({"seeds": list(seeds)}) + "\n")
    # it goes on from any working directory
    anywhere = replace(config, **absolute_paths(config, DATASET_NAMES))
    RunFolder(folder.path).write_config(anywhere.to_dict())
    try:
        _train_missing(folder, config, console or Console())
    except Exception:
        if not any(folder.run(seed).exists() for seed in seeds):
            shutil.rmtree(folder.path, ignore_errors=True)
        raise
    return folder.path


def resume_seeds(path: str | Path, *, console: Console | None = None) -> Path:
    """Go on with a folder of seeds: ended runs stay, the one that was stopped goes on, the others begin.

    Raises:
        SegnetError: a damaged file, or as ``resume`` and ``train``.
    """
    folder = SeedFolder(expand_home(path))
    _train_missing(folder, read_config(RunFolder(folder.path).config), console or Console())
    return folder.path


def _train_missing(folder: SeedFolder, config: TrainConfig, console: Console) -> None:
    """Train what a folder of seeds lacks, then sum it up; stops where a run was stopped."""
    seeds = folder.seeds()
    with locked(folder.lock, folder.path):
        folder.summary.unlink(missing_ok=True)  # until all have ended, nothing says that they have
        for number, seed in enumerate(seeds, 1):
            run = RunFolder(folder.run(seed))
            outcome = read_run(run.path).outcome if run.scores.is_file() else None
            if outcome is not None and outcome.finished and run.report.is_file():
                continue
            console.print(f"seed {seed}, {number} of {len(seeds)}", highlight=False)
            try:
                if run.has_state:
                    ended = resume(run.path, console=console)
                else:  # what a kill before its first state has left
                    shutil.rmtree(run.path, ignore_errors=True)
                    ended = train(replace(config, seed=seed, out=run.path), console=console)
            except KeyboardInterrupt:  # before its first epoch began
                return
            if not ended.finished:
                return
        write_summary(folder.path)


def require_seedless(config: TrainConfig) -> None:
    """Check that the settings leave the seed open.

    Raises:
        SegnetError: they name one.
    """
    if config.seed != TrainConfig.seed:
        raise SegnetError(
            f"the seed {config.seed} and --seeds are one too many; leave --seed, or seed in --config, out"
        )
