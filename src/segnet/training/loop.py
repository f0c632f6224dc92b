"""The loop: train and validate epoch after epoch, and leave a folder that is complete in itself."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from segnet.base.device import peak_memory_mib
from segnet.base.distributed.collectives import leave, shared
from segnet.base.distributed.rank import is_writer, this_process
from segnet.base.progress import say
from segnet.data.store.batch_shares import share_of
from segnet.data.store.batches import load_batches
from segnet.report.html import write_report
from segnet.report.panel import PREVIEW_IMAGES
from segnet.runs.records import EpochRecord, Outcome
from segnet.runs.run_folder import RunFolder
from segnet.runs.scores import Scores
from segnet.scoring.score_split import evaluate_split, is_articles, predictor
from segnet.training.batch_norm import recompute_statistics
from segnet.training.configuration.config import TrainConfig
from segnet.training.epoch import epoch_batches
from segnet.training.interrupt import interrupts_wait
from segnet.training.loss_watch import LossWatch, require_finite, require_finite_logits
from segnet.training.outputs.artifacts import finish, keep_epoch
from segnet.training.outputs.console import epoch_progress, say_end, say_epoch, start_lines, step_status
from segnet.training.outputs.trackers import Tracking
from segnet.training.schedule import Step, train_size
from segnet.training.setup import Learner, Setup
from segnet.training.start import freeze_encoder
from segnet.training.state import Position, Saves, State
from segnet.training.step import take_step


@dataclass(frozen=True)
class Run:
    """A run that has come to an end, or was stopped."""

    folder: Path
    config: TrainConfig
    finished: bool
    """False after Ctrl-C; ``segnet resume`` goes on."""
    best_epoch: int
    val: Scores | None
    """Scores of the best epoch on the validation split; None before the first epoch is done."""
    test: Scores | None
    """The best model on the test split, where it isn't the validation split."""


def fit(setup: Setup, folder: RunFolder, state: State) -> Run:
    """Train epoch after epoch from where a run stands, and leave a folder that is complete in itself.

    Raises:
        SegnetError: the run diverged, or a file can't be written; the folder holds the last good state.
    """
    writes = is_writer()
    with Tracking(folder, setup.config, setup.settings, setup.console) as tracking:
        say(setup.console, *start_lines(setup, folder))
        finished = _train(setup, folder, state, tracking)
        leave()  # what is left is the writer's; to itself, each is now alone
        outcome = _finish(setup, folder, state, tracking, finished) if writes else None
    setup.model.eval()
    if outcome is not None:
        return Run(folder.path, setup.config, finished, outcome.best_epoch, outcome.val, outcome.test)
    epoch, val = (state.best.epoch, state.best.val) if state.best else (0, None)
    return Run(folder.path, setup.config, finished, epoch, val, None)


def _train(setup: Setup, folder: RunFolder, state: State, tracking: Tracking) -> bool:
    """Train and validate the epochs that are left; False where Ctrl-C has stopped it."""
    config = setup.config
    network: nn.Module = torch.compile(setup.model) if config.compile else setup.model  # type: ignore[assignment]
    preview = setup.val.examples(PREVIEW_IMAGES)
    watch = LossWatch(setup, folder, state)
    saves = Saves(setup, folder, state, watch.require_sound)
    try:
        tracking.epochs(state.records)  # a kill may have come between a save and its line
        while not state.is_over(config):
            now, state.position = state.position or Position(), None
            with interrupts_wait() as stopped:  # a step is whole or it is not done
                after_step = partial(saves.after_step, now, stopped)
                trained = train_epoch(setup, network, state.epoch, now, watch, after_step)
                state.position = now
            record = EpochRecord(**trained, **_validate(setup, state.epoch + 1))
            with interrupts_wait():  # state and files change together or not at all
                state.records.append(record)
                state.position = None
                if is_writer():
                    keep_epoch(setup, folder, state, preview)
                saves.save()
                say_epoch(setup.console, state, config)
            tracking.epochs(state.records)
    except KeyboardInterrupt:
        saves.save_where_stopped()
        return False
    return True


def train_epoch(
    learner: Learner,
    network: nn.Module,
    epoch: int,
    now: Position,
    watch: LossWatch,
    after_step: Callable[[], None],
) -> dict[str, Any]:
    """Train one epoch from where it stands, and return what its record says of that.

    Args:
        learner: what learns, and from what.
        network: its model, compiled where it is.
        epoch: epochs done before it.
        now: where in it the run stands; moves on with each step.
        watch: looks at each step's loss.
        after_step: is called between steps, and may raise KeyboardInterrupt.
    """
    config, device, here = learner.config, learner.device, this_process()
    batches = epoch_batches(config, learner.train, epoch)
    shares = [
        share_of(len(batch), config.batch_size, config.accumulate, here.rank, here.total) for batch in batches
    ]
    own = [share.of(batch) for share, batch in zip(shares, batches, strict=True)]
    now.loss_sum = now.loss_sum.to(device)
    asked = time.perf_counter()
    started, begun = asked - now.seconds, now.step
    network.train()
    watch.keep_buffers()  # those before validation may have been others
    freeze_encoder(learner.model, learner.optimizer, config, epoch)
    network = shared(network)
    title = f"epoch {epoch + 1}/{config.epochs}"
    with epoch_progress(learner.console, title, len(batches), begun) as advance:
        loaded = load_batches(learner.train.take, own[begun:], device)
        for number, (images, masks) in enumerate(loaded, begun):
            now.waited += time.perf_counter() - asked
            step = Step(epoch, number, len(batches), batches[number])
            taken = take_step(learner, network, images, masks, step, shares[number], watch)
            if taken is None:
                now.skipped += 1
            else:
                now.add(*taken, len(step.batch))
            now.step, now.seconds = number + 1, time.perf_counter() - started
            now.lr = learner.optimizer.param_groups[0]["lr"]
            advance(partial(step_status, now, device))
            after_step()
            asked = time.perf_counter()
    watch.settle()
    train_loss = float(now.loss_sum) / now.seen if now.seen else math.nan  # every step was dropped
    seconds = now.seconds = time.perf_counter() - started
    require_finite(train_loss, learner.eval_model, epoch + 1)
    return {
        "epoch": epoch + 1,
        "train_loss": train_loss,
        "lr": now.lr,
        "size": train_size(config, epoch),
        "seconds": round(seconds, 3),
        "images_per_second": round(now.seen / seconds, 2),
        "data_wait_share": round(now.waited / seconds, 4),
        "peak_memory_mib": round(peak_memory_mib(device), 1),
        "skipped": now.skipped or None,
        **now.means(),
    }


def _validate(setup: Setup, epoch: int) -> dict[str, Any]:
    """Score the model after an epoch, counted from 1, and return what its record says of that."""
    config, started = setup.config, time.perf_counter()
    if config.recompute_statistics:
        recompute_statistics(setup.eval_model, setup.train, config.size, setup.device)
    predict, scored_on = predictor(setup.eval_model), setup.scored_on("val")
    article = is_articles(setup.dataset.name, config.recipe)
    scores = evaluate_split(
        predict, setup.val, setup.dataset.classes, setup.device, scored_on, article=article
    )
    require_finite_logits(scores, epoch)
    return {"val": scores, "validation_seconds": round(time.perf_counter() - started, 3)}


def _finish(
    setup: Setup, folder: RunFolder, state: State, tracking: Tracking, finished: bool
) -> Outcome | None:
    """Leave what people look at, and return how the run ended; None before its first epoch was done."""
    try:
        outcome = finish(setup, folder, state, finished=finished)
        tracking.end(outcome)
        write_report(folder.path)
        if outcome is not None and outcome.finished:
            say_end(setup, state.epoch, outcome)
    except KeyboardInterrupt:
        say(setup.console, f"stopped; go on with: segnet resume {folder.path}")
        raise
    return outcome
