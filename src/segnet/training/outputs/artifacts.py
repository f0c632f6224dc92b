"""What a run leaves in its folder: at its start, after each epoch, and when it ends."""

from __future__ import annotations

import copy
import os
import platform
import shlex
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segnet import __version__
from segnet.base.device import cpu_name
from segnet.base.distributed.rank import this_process
from segnet.base.files import replacing
from segnet.data.images.pixel_values import visible
from segnet.data.store.split import Split
from segnet.inference.description import Description
from segnet.inference.model_file import read_model, write_model_file
from segnet.models.inspection.costs import count_macs, count_parameters
from segnet.models.names import is_own
from segnet.report.gif import write_learning_gif
from segnet.report.panel import preview_panel
from segnet.runs.image_scores import ImageScores, rank_worst, write_image_scores
from segnet.runs.records import EpochRecord, Outcome
from segnet.runs.run_folder import RunFolder
from segnet.runs.scores import Scores
from segnet.scoring.mistakes import WORST, draw_mistakes
from segnet.scoring.score_split import evaluate_images, is_articles, predict_split, predictor
from segnet.training.setup import Setup, fit_of, open_split
from segnet.training.state import State


def begin(setup: Setup, folder: RunFolder) -> None:
    """Write what the run is made of: its settings, its data and what else its numbers depend on."""
    folder.write_config(setup.settings)
    folder.write_manifest(setup.manifest)
    folder.write_json(folder.environment, _environment(setup))


def keep_epoch(setup: Setup, folder: RunFolder, state: State, preview: Split) -> None:
    """Write the last epoch's line and picture, and its model where it is the best so far."""
    record = state.records[-1]
    if state.best is record:
        write_model_file(folder.model, setup.eval_model.state_dict(), _describe(setup, record))
    _write_preview(setup, folder, record, preview)
    folder.write_epochs([each.to_dict() for each in state.records])


def _write_preview(setup: Setup, folder: RunFolder, record: EpochRecord, preview: Split) -> None:
    """Draw an epoch's picture, always of the same images, as the article's figures show them.

    What it shows is kept as numbers too, its images once: ``segnet show learning`` draws them anew.
    """
    images, masks = visible(np.asarray(preview.images)), np.asarray(preview.masks)
    batches = predict_split(predictor(setup.eval_model), preview, setup.device)
    predicted = np.concatenate([logits.argmax(1).to(torch.uint8).cpu().numpy() for logits, _ in batches])
    title, scores = f"Epoch {record.epoch} of {setup.config.epochs}", record.val.line()
    panel = preview_panel(images, masks, predicted, setup.dataset.classes, title=title, scores=scores)
    with replacing(folder.preview(record.epoch)) as temporary:
        panel.save(temporary)
    with replacing(folder.predictions(record.epoch)) as temporary:
        np.savez_compressed(temporary, predicted=predicted)
    if not folder.preview_images.is_file():
        with replacing(folder.preview_images) as temporary:
            np.savez_compressed(temporary, images=images, masks=masks, names=np.array(preview.names))


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
        splits = {name: len(records) for name, records in setup.manifest.splits.items()}
        val, test = found.get("val", best.val), found.get("test")
        outcome = Outcome(finished, best.epoch, setup.dataset.val_is, val, test, splits)
        folder.write_json(folder.scores, outcome.to_dict())
        write_learning_gif(folder.previews(), folder.gif)
    return outcome


def _score_best(setup: Setup, folder: RunFolder) -> dict[str, Scores]:
    """Score the best model on the splits that were held out; leave images.csv and the worst in pictures."""
    dataset, config = setup.dataset, setup.config
    # the user's own module keeps the last epoch's weights
    own = copy.deepcopy(setup.eval_model) if is_own(config.model) else None
    model, description = read_model(folder.model, own)
    predict = predictor(model.to(setup.device))
    splits = {"val": setup.val}
    if dataset.test:
        splits["test"] = open_split(dataset.test, dataset, config, setup.console, "test images")
    found: dict[str, Scores] = {}
    images: list[ImageScores] = []
    for name, split in splits.items():  # the last is the one that the run is reported on
        scored_on, records = setup.scored_on(name), setup.manifest.splits[name]
        found[name], own_images = evaluate_images(
            predict,
            split,
            dataset.classes,
            setup.device,
            scored_on,
            records,
            article=is_articles(dataset.name, config.recipe),
            threshold=description.threshold,
        )
        images += own_images
    write_image_scores(folder.images, images, dataset.classes.names)
    chosen = rank_worst(own_images, "iou", WORST)
    pictures = draw_mistakes(predict, split, dataset.classes, setup.device, chosen)
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


def _environment(setup: Setup) -> dict[str, Any]:
    """Return the command, the versions, the machine, and what is known of the model."""
    names = ("torch", "numpy", "pillow", "kornia", "safetensors")
    classes, device = setup.dataset.classes, setup.device
    return {
        "command": _command(),
        "segnet": __version__,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in names},
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processes": this_process().total,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": {
            "name": setup.config.model,
            "parameters": count_parameters(setup.model),
            "macs": _macs(setup),
        },
        "notice": setup.notice,
        "colours": dict(zip(classes.names, classes.colours, strict=True)),
        "class_weights": None if setup.class_weights is None else setup.class_weights.tolist(),
    }


def _command() -> str | None:
    """Return the command line, also of ``python -m segnet``; None where a program of the user's trains."""
    program = Path(sys.argv[0])
    ours = program.stem == "segnet" or (program.name == "__main__.py" and program.parent.name == "segnet")
    return shlex.join(["segnet", *sys.argv[1:]]) if ours else None


def _macs(setup: Setup) -> int | None:
    """Return the multiply-adds of one image; None for a module of the user's own that can't be counted."""
    try:
        return count_macs(setup.model, setup.config.size, setup.dataset.intensity.channels) or None
    except Exception:  # whatever a module does where tensors have no values
        if not is_own(setup.config.model):
            raise
        return None
