"""Training, read from top to bottom: set up, fit, and leave a folder that is complete in itself."""

from __future__ import annotations

import copy
import random
import shutil
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import nn

from segnet.core.device import autocast, peak_memory_mib
from segnet.core.errors import SegnetError
from segnet.core.files import replacing
from segnet.core.own_model import is_own, name_of, short_name
from segnet.data.batches import load_batches, shuffled_order, split_into_batches
from segnet.data.cache import CachedSplit
from segnet.data.dataset import Dataset
from segnet.inference.bundle import Description, read_model, write_bundle
from segnet.inference.evaluate import evaluate_split
from segnet.models.describe import count_macs, count_parameters
from segnet.objectives.losses import LOSSES
from segnet.objectives.metrics import Scores, scores_from_confusion
from segnet.report.gif import write_learning_gif
from segnet.report.html import write_report
from segnet.training.checkpoint import (
    RunFolder,
    State,
    describe_environment,
    held,
    load_state,
    new_run_folder,
    open_run_folder,
    require_free,
    save_state,
)
from segnet.training.checks import require_finite
from segnet.training.config import TrainConfig
from segnet.training.interrupt import interrupts_wait
from segnet.training.own_model import require_own
from segnet.training.preview import choose_preview, draw_preview
from segnet.training.progress import epoch_progress, say_epoch, step_status
from segnet.training.schedule import learning_rate, train_size
from segnet.training.setup import Setup, open_split, set_up
from segnet.training.statistics import recompute_statistics


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


def train(config: TrainConfig, *, model: nn.Module | None = None, console: Console | None = None) -> Run:
    """Train a model and leave a run folder.

    Ctrl-C ends the run cleanly: the best and the last epoch are kept and ``finished`` is False.

    Args:
        config: the settings.
        model: a module of your own, trained in place of ``config.model``: float32 images ``(N, 3, H, W)`` in
            [0, 1] to logits ``(N, classes, H, W)``. Its weights are where training starts, so seed before you
            build it. It is trained in place, on ``config.device``, and afterwards holds the last epoch's
            weights, not averaged, in evaluation mode; ``load(run.folder, model=...)`` opens the best epoch's.
        console: where progress is printed.

    Raises:
        SegnetError: data, model or settings that can't be trained with. Nothing is left behind then, unless
            an epoch was done before a run diverged.
    """
    require_free(config.out)
    if model is not None:
        require_own(config, model)
        config = replace(config, model=name_of(model))
    setup = set_up(config, console or Console(), model)
    folder, state = new_run_folder(config), State()
    try:
        folder.write_config(config)
        folder.write_json("environment.json", describe_environment(setup.device) | _facts(setup))
        save_state(folder.state, state, setup.parts())  # from here on it can be resumed
        return _fit(setup, folder, state)
    except Exception:
        if state.epoch == 0:
            shutil.rmtree(folder.path, ignore_errors=True)
        raise


def resume(path: Path, *, model: nn.Module | None = None, console: Console | None = None) -> Run:
    """Go on with a run that was stopped or killed; ends with the same bits as one that never was.

    Args:
        path: the run folder.
        model: where the run trains a module of your own, that module, built as it was; see ``train``.
        console: where progress is printed.

    Raises:
        SegnetError: no run folder there, one whose files are damaged, or a module where there should be none,
            none where there should be one, or one that the weights don't fit.
    """
    folder, config = open_run_folder(path)
    if model is None and is_own(config.model):
        raise SegnetError(
            f"{path} trains a module of your own ({config.model}); go on through Python: "
            f"segnet.resume(path, model={short_name(config.model)}(...))"
        )
    if model is not None and not is_own(config.model):
        raise SegnetError(f"{path} trains {config.model}, which segnet builds itself; leave model= out")
    if model is not None:
        require_own(config, model)
    setup = set_up(config, console or Console(), model, from_scratch=False)
    state = load_state(folder.state, setup.parts())
    if state.epoch >= config.epochs or _stopped_improving(state, config):
        how = "more epochs" if model is not None else f"--config {path / 'config.yaml'} --epochs N"
        setup.console.print(
            f"{path} had finished after {state.epoch} epochs; for more, start a new run with {how}",
            highlight=False,
            soft_wrap=True,
        )
    return _fit(setup, folder, state)


def _fit(setup: Setup, folder: RunFolder, state: State) -> Run:
    with held(folder):
        return _fit_held(setup, folder, state)


def _fit_held(setup: Setup, folder: RunFolder, state: State) -> Run:
    config, console = setup.config, setup.console
    network: nn.Module = torch.compile(setup.model) if config.compile else setup.model  # type: ignore[assignment]
    preview = choose_preview(setup.val)
    finished = True
    console.print(
        f"{config.model} ({count_parameters(setup.model):,} parameters) on {setup.dataset.name}: "
        f"{len(setup.train):,} training and {len(setup.val):,} validation images, {setup.device}, "
        f"in {folder.path}",
        highlight=False,
        soft_wrap=True,
    )
    if setup.class_weights is not None:
        weights = zip(setup.dataset.classes.names, setup.class_weights.tolist(), strict=True)
        shown = ", ".join(f"{name} {weight:.3g}" for name, weight in weights)
        console.print(f"class weights: {shown}", highlight=False, soft_wrap=True)
    try:
        while state.epoch < config.epochs and not _stopped_improving(state, config):
            record = _train_epoch(setup, network, state.epoch)
            started = time.perf_counter()
            scores = _validate(setup)
            record["validation_seconds"] = round(time.perf_counter() - started, 3)
            with interrupts_wait():  # state and files change together or not at all
                state.epoch += 1
                state.records.append(record | {"val": scores.to_dict()})
                if (scores.mean_iou or 0.0) > state.best_mean_iou:
                    state.best_mean_iou, state.best_epoch = scores.mean_iou or 0.0, state.epoch
                    write_bundle(folder.model, setup.judged.state_dict(), _describe(setup, state, scores))
                _write_preview(setup, preview, folder, state, scores)
                folder.write_records(state.records)
                save_state(folder.state, state, setup.parts())
                say_epoch(console, state, config, scores)
    except KeyboardInterrupt:
        finished = False
    return _finish(setup, folder, state, finished=finished)


def _train_epoch(setup: Setup, network: nn.Module, epoch: int) -> dict[str, Any]:
    """Train for one epoch; every random choice is a function of (seed, epoch, step)."""
    config, device = setup.config, setup.device
    size = train_size(config, epoch)
    order = shuffled_order(len(setup.train), _seed(config.seed, epoch, "order"))
    batches = split_into_batches(order, config.batch_size)
    total = torch.zeros((), device=device)
    seen, waited, lr = 0, 0.0, 0.0
    started = asked = time.perf_counter()
    network.train()
    with epoch_progress(setup.console, f"epoch {epoch + 1}/{config.epochs}", len(batches)) as advance:
        for step, (images, masks) in enumerate(load_batches(setup.train, batches, device)):
            waited += time.perf_counter() - asked
            lr = learning_rate(config, epoch, step / len(batches))
            for group in setup.optimizer.param_groups:
                group["lr"] = lr

            images, masks = setup.augment(images, masks, size, _seed(config.seed, epoch, step))
            with autocast(device, config.precision):
                logits = network(images)
            loss = LOSSES[config.loss](logits, masks, setup.class_weights)
            setup.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if config.clip_norm:
                nn.utils.clip_grad_norm_(setup.model.parameters(), config.clip_norm)
            setup.optimizer.step()
            if setup.average is not None:
                setup.average.update_parameters(setup.model)

            total += loss.detach() * len(images)
            seen += len(images)
            advance(partial(step_status, total, seen, started, waited, device))
            asked = time.perf_counter()
    train_loss = float(total) / seen
    seconds = time.perf_counter() - started
    require_finite(train_loss, setup.judged, epoch + 1)
    return {
        "epoch": epoch + 1,
        "train_loss": train_loss,
        "lr": lr,
        "size": list(size),
        "seconds": round(seconds, 3),
        "images_per_second": round(seen / seconds, 2),
        "data_wait_share": round(waited / seconds, 4),
        "peak_memory_mib": round(peak_memory_mib(device), 1),
    }


def _validate(setup: Setup) -> Scores:
    config = setup.config
    if config.recompute_statistics:
        recompute_statistics(setup.judged, setup.train, config.size, setup.device)
    return evaluate_split(setup.judged, setup.val, setup.dataset.classes, setup.device)


def _finish(setup: Setup, folder: RunFolder, state: State, *, finished: bool) -> Run:
    """Test the best model once if there is a split for it, and write what people look at."""
    dataset = setup.dataset
    val = test = None
    if state.best_epoch:
        val = _recorded_scores(state, dataset)
        if finished and dataset.test:
            split = open_split(dataset.test, dataset, setup.config, setup.console, "test images")
            # the user's own module keeps the last epoch's weights
            twin = copy.deepcopy(setup.judged) if is_own(setup.config.model) else None
            best = read_model(folder.model, twin)[0].to(setup.device)
            test = evaluate_split(best, split, dataset.classes, setup.device)
        majority, share = val.majority
        folder.write_json(
            "scores.json",
            {
                "best_epoch": state.best_epoch,
                "selected_by": "mean_iou",
                "val_is": dataset.val_is,
                "val": val.to_dict(),
                "test": test.to_dict() if test else None,
                "majority": {"class": majority, "pixel_accuracy": share},
                "splits": {"train": len(setup.train), "val": len(setup.val), "test": len(dataset.test)},
            },
        )
        write_learning_gif(folder.previews(), folder.path / "learning.gif")
    write_report(folder.path)
    setup.model.eval()
    return Run(folder.path, setup.config, finished, state.best_epoch, val, test)


def _recorded_scores(state: State, dataset: Dataset) -> Scores:
    """Return the best epoch's scores from its record, which holds the confusion matrix."""
    record = state.records[state.best_epoch - 1]["val"]
    return scores_from_confusion(
        np.array(record["confusion"], np.int64),
        dataset.classes,
        loss=record["loss"],
        custom_iou=record["article_custom_iou"],
    )


def _stopped_improving(state: State, config: TrainConfig) -> bool:
    return 0 < config.early_stop <= state.epoch - state.best_epoch


def _seed(seed: int, epoch: int, what: int | str) -> int:
    return random.Random(f"{seed}/{epoch}/{what}").getrandbits(31)


def _write_preview(
    setup: Setup, preview: CachedSplit, folder: RunFolder, state: State, scores: Scores
) -> None:
    panel = draw_preview(
        setup.judged,
        preview,
        setup.dataset.classes,
        setup.device,
        title=f"Epoch {state.epoch} of {setup.config.epochs}",
        scores=scores.line(),
    )
    with replacing(folder.preview(state.epoch)) as temporary:
        panel.save(temporary)


def _describe(setup: Setup, state: State, scores: Scores) -> Description:
    """Return what the model file says about itself; nothing in it may change from run to run."""
    config = setup.config
    return Description(
        model=config.model,
        options=config.model_options,
        classes=setup.dataset.classes,
        size=config.size,
        resize=config.resize,
        scores={"epoch": state.epoch, "val": scores.to_dict()},
        training={
            "data": setup.dataset.name,
            "recipe": config.recipe,
            "epochs": config.epochs,
            "seed": config.seed,
            "holdout": config.holdout,
            "images": len(setup.train),
            "border": config.border if config.data == "oxford-pets" else None,
        },
        versions={"torch": torch.__version__},
        notice=setup.dataset.notice,
    )


def _facts(setup: Setup) -> dict[str, Any]:
    classes = setup.dataset.classes
    return {
        "model": {
            "name": setup.config.model,
            "parameters": count_parameters(setup.model),
            "macs": _macs(setup),
        },
        "colours": dict(zip(classes.names, classes.colours, strict=True)),
        "class_weights": None if setup.class_weights is None else setup.class_weights.tolist(),
    }


def _macs(setup: Setup) -> int | None:
    """Return the multiply-adds of one image; None for a module of the user's own that can't be counted."""
    try:
        return count_macs(setup.model, setup.config.size) or None
    except Exception:  # whatever a module does where tensors have no values
        if not is_own(setup.config.model):
            raise
        return None
