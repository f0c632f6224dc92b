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
from segnet.data.store.batch_shares import share_of
from segnet.data.store.batches import load_batches
from segnet.report.html import write_report
from segnet.report.panel import PREVIEW_IMAGES
from segnet.runs.records import EpochRecord
from segnet.runs.run_folder import RunFolder
from segnet.runs.scores import Scores
from segnet.scoring.score_split import evaluate_split, is_articles, predictor
from segnet.training.batch_norm import recompute_statistics
from segnet.training.check import require_finite, require_finite_logits
from segnet.training.checkpoint import Position, State
from segnet.training.configuration.config import TrainConfig
from segnet.training.epoch import epoch_batches, seed_of
from segnet.training.gradients import take_gradients
from segnet.training.in_step import in_step
from segnet.training.interrupt import interrupts_wait
from segnet.training.loss_watch import LossWatch, Step
from segnet.training.losses.step_loss import Moment
from segnet.training.outputs.artifacts import finish, keep_epoch, say_end, say_start
from segnet.training.outputs.console import epoch_progress, say_epoch, step_status
from segnet.training.outputs.trackers import Tracking, parse_trackers
from segnet.training.saves import Saves
from segnet.training.schedule import learning_rate, train_size
from segnet.training.setup import Setup


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
    trackers = parse_trackers(setup.config.track) if is_writer() else ()
    with in_step(setup), Tracking(folder, trackers, setup.settings, setup.console) as tracking:
        return _fit(setup, folder, state, tracking)


def _fit(setup: Setup, folder: RunFolder, state: State, tracking: Tracking) -> Run:
    config, console, writes = setup.config, setup.console, is_writer()
    network: nn.Module = torch.compile(setup.model) if config.compile else setup.model  # type: ignore[assignment]
    preview = setup.val.examples(PREVIEW_IMAGES)
    say_start(setup, folder)
    watch = LossWatch(setup, folder, state)
    saves, finished = Saves(setup, folder, state, watch), True
    try:
        tracking.epochs(state.records)  # a kill may have come between a save and its line
        while not state.is_over(config):
            now, state.position = state.position or Position(), None
            with interrupts_wait() as stopped:  # a step is whole or it is not done
                after_step = partial(saves.after_step, now, stopped)
                measured = _train_epoch(setup, network, state.epoch, now, watch, after_step)
                state.position = now
            started = time.perf_counter()
            scores = _validate(setup)
            require_finite_logits(scores, state.epoch + 1)
            seconds = round(time.perf_counter() - started, 3)
            record = EpochRecord(**measured, val=scores, validation_seconds=seconds)
            with interrupts_wait():  # state and files change together or not at all
                state.records.append(record)
                state.position = None
                if writes:
                    keep_epoch(setup, folder, state, preview)
                saves.save()
                say_epoch(console, state, config)
            tracking.epochs(state.records)
    except KeyboardInterrupt:
        finished = False
        saves.save_where_stopped()
    leave()  # what is left is the writer's
    if not writes:
        best = state.best
        return Run(folder.path, config, finished, best.epoch if best else 0, best.val if best else None, None)
    try:
        outcome = finish(setup, folder, state, finished=finished)
        tracking.end(outcome)
        write_report(folder.path)
        if outcome is not None and outcome.finished:
            say_end(setup, state.epoch, outcome)
    except KeyboardInterrupt:
        console.print(f"stopped; go on with: segnet resume {folder.path}", highlight=False, soft_wrap=True)
        raise
    setup.model.eval()
    if outcome is None:
        return Run(folder.path, config, finished, 0, None, None)
    return Run(folder.path, config, finished, outcome.best_epoch, outcome.val, outcome.test)


def _train_epoch(
    setup: Setup,
    network: nn.Module,
    epoch: int,
    now: Position,
    watch: LossWatch,
    after_step: Callable[[], None],
) -> dict[str, Any]:
    """Train one epoch from where it stands; every random choice is a function of (seed, epoch, step)."""
    config, device = setup.config, setup.device
    size = train_size(config, epoch)
    batches = epoch_batches(config, setup.train, epoch)
    here = this_process()
    shares = [
        share_of(len(batch), config.batch_size, config.accumulate, here.rank, here.total) for batch in batches
    ]
    own = [share.of(batch) for share, batch in zip(shares, batches, strict=True)]
    now.loss_sum = total = now.loss_sum.to(device)
    asked = time.perf_counter()
    started, begun = asked - now.seconds, now.step
    network.train()
    watch.begin_epoch()
    if config.freeze_encoder:
        _freeze_encoder(setup.model, setup.optimizer, frozen=epoch < config.freeze_encoder)
    network = shared(network)
    with epoch_progress(setup.console, f"epoch {epoch + 1}/{config.epochs}", len(batches), begun) as advance:
        for step, (images, masks) in enumerate(load_batches(setup.train.take, own[begun:], device), begun):
            now.waited += time.perf_counter() - asked
            now.lr = learning_rate(config, epoch, step / len(batches))
            for group in setup.optimizer.param_groups:
                group["lr"] = now.lr

            share, count = shares[step], len(batches[step])
            images, masks = setup.augment(images, masks, size, seed_of(config.seed, epoch, step), share)
            setup.optimizer.zero_grad(set_to_none=True)
            moment = Moment(epoch, step, len(batches))
            loss, measured = take_gradients(network, setup.step_loss, images, masks, moment, share)
            if watch.lets_learn(loss, Step(epoch, step, batches[step])):
                if config.clip_norm:
                    nn.utils.clip_grad_norm_(setup.model.parameters(), config.clip_norm)
                setup.optimizer.step()
                if setup.ema is not None:
                    setup.ema.update(setup.model)
                total += loss * count
                now.add(measured, count)
                now.seen += count
            else:
                now.skipped += 1

            now.step, now.seconds = step + 1, time.perf_counter() - started
            advance(partial(step_status, total, now.seen, started, now.waited, device))
            after_step()
            asked = time.perf_counter()
    watch.settle()
    train_loss = float(total) / now.seen if now.seen else math.nan  # every step was dropped
    seconds = now.seconds = time.perf_counter() - started
    require_finite(train_loss, setup.eval_model, epoch + 1)
    return {
        "epoch": epoch + 1,
        "train_loss": train_loss,
        "lr": now.lr,
        "size": size,
        "seconds": round(seconds, 3),
        "images_per_second": round(now.seen / seconds, 2),
        "data_wait_share": round(now.waited / seconds, 4),
        "peak_memory_mib": round(peak_memory_mib(device), 1),
        "skipped": now.skipped or None,
        **now.means(),
    }


def _freeze_encoder(model: nn.Module, optimizer: torch.optim.Optimizer, *, frozen: bool) -> None:
    """Keep the encoder's weights, and the statistics of its batch norm, as they are; or let them learn.

    What the owner of a module has frozen isn't the optimizer's, and stays so.
    """
    encoder = model.get_submodule("encoder")
    encoder.train(not frozen)
    learnt = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    for parameter in encoder.parameters():
        parameter.requires_grad_(not frozen and id(parameter) in learnt)


def _validate(setup: Setup) -> Scores:
    config = setup.config
    if config.recompute_statistics:
        recompute_statistics(setup.eval_model, setup.train, config.size, setup.device)
    predict, scored_on = predictor(setup.eval_model), setup.scored_on("val")
    article = is_articles(setup.dataset.name, config.recipe)
    return evaluate_split(predict, setup.val, setup.dataset.classes, setup.device, scored_on, article=article)
