"""What a run leaves in its folder: at its start, after each epoch, and when it ends."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch

from segnet import __version__
from segnet.base.class_roles import foreground_of
from segnet.base.distributed.rank import this_process
from segnet.base.files import replacing
from segnet.data.augment import ON_COLOURS
from segnet.data.store.batch_shares import share_of
from segnet.data.store.cache import CachedSplit
from segnet.inference.bundle import read_model, write_bundle
from segnet.inference.description import Description
from segnet.models.inspection.costs import count_macs, count_parameters
from segnet.models.names import is_own
from segnet.report.gif import write_learning_gif
from segnet.runs.image_scores import rank_worst, write_image_scores
from segnet.runs.records import EpochRecord, Outcome
from segnet.runs.remarks import shortcomings
from segnet.runs.run_folder import RunFolder
from segnet.scoring.mistakes import WORST, draw_mistakes
from segnet.scoring.score_split import Evaluation, evaluate_images, is_articles, predictor
from segnet.training.checkpoint import State
from segnet.training.configuration.config import TrainConfig
from segnet.training.configuration.derived import derived_lines, plan_line, too_few_steps
from segnet.training.epoch import epoch_length
from segnet.training.outputs.environment import describe_environment
from segnet.training.outputs.preview import draw_preview, predict_preview, write_predictions
from segnet.training.restart import note_job
from segnet.training.setup import Setup, fit_of, open_split


def begin(setup: Setup, folder: RunFolder) -> None:
    """Write what the run is made of: its settings, its data and what else its numbers depend on."""
    folder.write_config(setup.settings)
    folder.write_manifest(setup.manifest)
    folder.write_json(folder.environment, describe_environment(setup.device) | _facts(setup))
    note_job(folder)


def say_start(setup: Setup, folder: RunFolder) -> None:
    """Print what is trained on what, and what isn't as it should be."""
    config, dataset = setup.config, setup.dataset
    lines = [
        f"{config.model} ({count_parameters(setup.model):,} parameters) on {dataset.name}: "
        f"{len(setup.train):,} training and {len(setup.val):,} validation images, {setup.device}, "
        f"in {folder.path}"
    ]
    if config.patch is not None:
        number, (height, width) = epoch_length(config, setup.train), config.size
        scale = "" if config.patch_scale == 1 else f" of images at {config.patch_scale:g} of their size"
        lines.append(f"{number:,} patches of {height}x{width} px{scale} in an epoch")
    if (foreground := foreground_of(dataset.classes.names)) is not None:
        lines.append(f"foreground: {foreground}, whose scores come first")
    lines += setup.notes
    if setup.step_loss.teacher is not None:
        lines.append(setup.step_loss.teacher.line())
    if setup.step_loss.unlabeled is not None:
        lines.append(setup.step_loss.unlabeled.line)
    lines += [*derived_lines(config), plan_line(config, epoch_length(config, setup.train))]
    lines += _on_too_few_steps(setup, config.epochs)
    lines += _on_spread(config)
    if setup.class_weights is not None:
        weights = zip(dataset.classes.names, setup.class_weights.tolist(), strict=True)
        lines.append(f"class weights: {', '.join(f'{name} {weight:.3g}' for name, weight in weights)}")
    lines += _on_channels(setup)
    lines += [f"warning: {warning}" for warning in setup.warnings]
    of_this_run = replace(setup.identity, before=frozenset())  # of the others a warning has told
    for split in ("val", "test"):
        repeated = of_this_run.trained_on(setup.manifest.splits[split])
        if repeated:
            lines.append(
                f"warning: {repeated} of the {split} images are trained on too; their scores flatter"
            )
    for line in lines:
        setup.console.print(line, highlight=False, soft_wrap=True)


def say_end(setup: Setup, epochs: int, outcome: Outcome) -> None:
    """Print where a run that is over was short, and where its scores hide that it has learnt little.

    Args:
        setup: the run.
        epochs: how many were done.
        outcome: how it ended.
    """
    reported = outcome.test or outcome.val
    for line in (*_on_too_few_steps(setup, epochs), *shortcomings(reported)):
        setup.console.print(f"warning: {line}", highlight=False, soft_wrap=True)


def _on_too_few_steps(setup: Setup, epochs: int) -> list[str]:
    line = too_few_steps(setup.config, epoch_length(setup.config, setup.train), epochs)
    return [line] if line else []


def _on_spread(config: TrainConfig) -> list[str]:
    """Return how a batch is spread over processes and parts."""
    processes, size, lines = this_process().total, config.batch_size, []
    if processes > 1:
        shares = {len(share_of(size, size, 1, rank, processes).rows) for rank in range(processes)}
        each = " or ".join(map(str, sorted(shares)))
        over = "all of them" if config.sync_batch_norm else "each process's own"
        lines.append(f"{processes} processes take {each} of {size} images a step; batch norm over {over}")
    if config.accumulate > 1:
        lines.append(f"a step's {size} images in {config.accumulate} parts, which batch norm sees one by one")
    return lines


def _on_channels(setup: Setup) -> list[str]:
    """Return what there is to say of images that aren't RGB of 8 bits."""
    config, intensity, lines = setup.config, setup.dataset.intensity, []
    if intensity.ranges is not None:
        ranges = ", ".join(f"{low:g} to {high:g}" for low, high in dict.fromkeys(intensity.ranges))
        lines.append(f"values of {ranges} are black to white, by percentiles of the training images")
    if intensity.channels != 3 and any(getattr(config, name) for name in ON_COLOURS):
        lines.append(
            f"{intensity.channels}-channel images have no colours for --saturation, --hue and --grayscale"
        )
    return lines


def keep_epoch(setup: Setup, folder: RunFolder, state: State, preview: CachedSplit) -> None:
    """Write the last epoch's line and picture, and its model where it is the best so far."""
    record = state.records[-1]
    if state.best is record:
        write_bundle(folder.model, setup.eval_model.state_dict(), _describe(setup, record))
    predicted = predict_preview(setup.eval_model, preview, setup.device)
    panel = draw_preview(
        preview,
        predicted,
        setup.dataset.classes,
        title=f"Epoch {record.epoch} of {setup.config.epochs}",
        scores=record.val.line(),
    )
    with replacing(folder.preview(record.epoch)) as temporary:
        panel.save(temporary)
    write_predictions(folder, record.epoch, preview, predicted)
    folder.write_epochs([each.to_dict() for each in state.records])


def finish(setup: Setup, folder: RunFolder, state: State, *, finished: bool) -> Outcome | None:
    """Score the best model image by image where the run is over, and write what people look at.

    All but the report, without which a run isn't over: who resumes one that was killed before it was written
    sees by that that there is more to do.

    Returns:
        How the run ended, None before its first epoch was done.
    """
    best, outcome = state.best, None
    folder.report.unlink(missing_ok=True)
    if best is not None:
        found = _score_best(setup, folder) if finished else {}
        val = found["val"].scores if found else best.val
        test = found["test"].scores if "test" in found else None
        splits = {name: len(records) for name, records in setup.manifest.splits.items()}
        outcome = Outcome(finished, best.epoch, setup.dataset.val_is, val, test, splits)
        folder.write_json(folder.scores, outcome.to_dict())
        write_learning_gif(folder.previews(), folder.gif)
    return outcome


def _score_best(setup: Setup, folder: RunFolder) -> dict[str, Evaluation]:
    """Score the best model on the splits that were held out; leave images.csv and the worst in pictures."""
    dataset, config = setup.dataset, setup.config
    # the user's own module keeps the last epoch's weights
    own = copy.deepcopy(setup.eval_model) if is_own(config.model) else None
    model, description = read_model(folder.model, own)
    predict = predictor(model.to(setup.device))
    splits = {"val": setup.val}
    if dataset.test:
        splits["test"] = open_split(dataset.test, dataset, config, setup.console, "test images")
    found = {}
    for name, split in splits.items():
        scored_on, records = setup.scored_on(name), setup.manifest.splits[name]
        found[name] = evaluate_images(
            predict,
            split,
            dataset.classes,
            setup.device,
            scored_on,
            records,
            article=is_articles(dataset.name, config.recipe),
            threshold=description.threshold,
        )
    images = [image for evaluation in found.values() for image in evaluation.images]
    write_image_scores(folder.images, images, dataset.classes.names)
    reported = list(found)[-1]
    chosen = rank_worst(found[reported].images, "iou", WORST)
    pictures = draw_mistakes(predict, splits[reported], dataset.classes, setup.device, chosen)
    for rank, picture in enumerate(pictures, 1):
        with replacing(folder.worst(rank)) as temporary:
            picture.save(temporary)
    return found


def _describe(setup: Setup, record: EpochRecord) -> Description:
    """Return what the model file says about itself; nothing in it may change from run to run."""
    config = setup.config
    return Description(
        model=config.model,
        options=config.model_options,
        classes=setup.dataset.classes,
        **vars(fit_of(config, setup.dataset.intensity)),
        scores={"epoch": record.epoch, "val": record.val.to_dict()},
        training={
            "recipe": config.recipe,
            "epochs": config.epochs,
            "seed": config.seed,
            "images": len(setup.train),
        }
        | ({"unlabeled": len(setup.manifest.unlabeled)} if setup.manifest.unlabeled else {}),
        data=setup.identity,
        versions={"segnet": __version__, "torch": torch.__version__},
        notice=setup.notice,
        threshold=record.val.threshold,
    )


def _facts(setup: Setup) -> dict[str, Any]:
    classes = setup.dataset.classes
    return {
        "model": {
            "name": setup.config.model,
            "parameters": count_parameters(setup.model),
            "macs": _macs(setup),
        },
        "notice": setup.notice,
        "colours": dict(zip(classes.names, classes.colours, strict=True)),
        "class_weights": None if setup.class_weights is None else setup.class_weights.tolist(),
    }


def _macs(setup: Setup) -> int | None:
    """Return the multiply-adds of one image; None for a module of the user's own that can't be counted."""
    try:
        return count_macs(setup.model, setup.config.size, setup.dataset.intensity.channels) or None
    except Exception:  # whatever a module does where tensors have no values
        if not is_own(setup.config.model):
            raise
        return None
