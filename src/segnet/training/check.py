"""Set-up, the first act: ``check`` says all that is wrong with a run, before it costs anything.

What only the data or an epoch can show is asked for one by one, where it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from segnet.base.classes import ClassTable
from segnet.base.device import pick_device
from segnet.base.distributed.rank import this_process
from segnet.base.errors import SegnetError, require_all
from segnet.data.sources import check_data, known_classes
from segnet.data.store.batch_shares import smallest_share
from segnet.data.store.batches import split_into_batches
from segnet.models import create_model, require_image_size
from segnet.runs.run_folder import require_free
from segnet.training.configuration.config import TrainConfig
from segnet.training.outputs.trackers import require_trackers
from segnet.training.own_module import require_known, require_own
from segnet.training.schedule import train_size, train_sizes
from segnet.training.start import require_encoder, require_start
from segnet.training.teacher import sketch_teacher
from segnet.training.unlabeled import require_unlabeled


class Checked(NamedTuple):
    """What has been found out of a run before anything of it is built."""

    device: torch.device
    classes: ClassTable | None
    """None where only the data tells them."""


def check(config: TrainConfig, model: nn.Module | None = None, *, new: bool = True) -> Checked:
    """Say everything that is wrong with a run before anything is built, read or downloaded.

    Args:
        config: the run.
        model: the user's own in place of ``config.model``.
        new: it needs a folder of its own; False where a run goes on.

    Returns:
        Its device and, where the options tell them, its classes.

    Raises:
        SegnetError: all mistakes in one; those that only the data shows are found by ``build``.
    """

    def check_model() -> None:
        if model is not None:
            require_own(config, model)
            sketch = model
        else:
            require_known(config)
            with torch.device("meta"):
                sketch = create_model(config.model, in_channels=config.channels or 3, **config.model_options)
        require_all(
            lambda: require_encoder(config, sketch, new=new),
            lambda: require_size(config, config.model, sketch),
            lambda: require_start(config) if new and model is None and config.start_from else None,
        )

    def check_teacher() -> None:
        if config.teacher is not None:
            require_size(config, f"the teacher {config.teacher}", sketch_teacher(config))

    def check_classes() -> ClassTable | None:
        classes = known_classes(config)
        if classes is not None:
            require_weights(config, classes.names)
        return classes

    def check_device() -> torch.device:
        device = pick_device(config.device)
        if config.compile and this_process().total == 1:  # else require_spread refuses
            require_compiler(device)
        return device

    *_, classes, device = require_all(
        lambda: require_free(config.out) if new else None,
        lambda: check_data(config),
        lambda: require_trackers(config),
        check_model,
        check_teacher,
        lambda: require_unlabeled(config),
        lambda: require_spread(config),
        check_classes,
        check_device,
    )
    return Checked(device, classes)


def require_size(config: TrainConfig, name: str, model: nn.Module) -> None:
    """Raise SegnetError where a model, called ``name``, can't take the images of some epoch."""
    for size in train_sizes(config):
        try:
            require_image_size(name, model, size)
        except SegnetError as error:
            small_first = ", or set --no-progressive" if size != config.size else ""
            said = str(error).replace("--size", size_option(config))
            raise SegnetError(f"{said}{small_first}") from error


def size_option(config: TrainConfig) -> str:
    """Return the option that says how large the images are that the network gets."""
    return "--size" if config.patch is None else "--patch"


def require_batch(config: TrainConfig, count: int, least: int) -> None:
    """Raise SegnetError where a process, or batch norm, would get too little of a batch.

    Args:
        config: the run.
        count: images or patches of an epoch.
        least: pixels that a side of the network's smallest map stands for.
    """
    processes, accumulate, size = this_process().total, config.accumulate, config.batch_size
    if processes > count:
        raise SegnetError(
            f"{processes} processes are more than the {count} images of an epoch; start {count} or fewer"
        )
    if size < (needed := processes * accumulate):
        spread = f"{processes} processes, " if processes > 1 else ""
        raise SegnetError(
            f"--batch-size {size} is the whole batch, too small for {spread}--accumulate {accumulate}: "
            f"give {needed} or more ({needed}, {2 * needed}, {3 * needed}, ... share evenly)"
        )
    apart = 1 if config.sync_batch_norm else processes  # who batch norm's images are shared between
    batches = {len(batch) for batch in split_into_batches(range(count), size)}
    smallest = min(smallest_share(images, size, accumulate, apart) for images in batches)
    if smallest == 1 and max(train_size(config, 0)) < 2 * least:
        together = ", or --sync-batch-norm" if apart > 1 else ""
        raise SegnetError(
            f"one image of {max(train_size(config, 0))} px in a batch leaves batch norm a single value; "
            f"raise --batch-size or {size_option(config)}{together}"
        )


def require_spread(config: TrainConfig) -> None:
    """Raise SegnetError for what a batch that is spread over processes, or parts, doesn't go with."""
    if config.unlabeled is not None and (this_process().total > 1 or config.accumulate > 1):
        raise SegnetError("--unlabeled takes one process, without --accumulate")
    if config.compile and this_process().total > 1:
        raise SegnetError("--compile takes one process; leave it out")


def require_weights(config: TrainConfig, classes: Sequence[str]) -> None:
    """Raise SegnetError where class weights were given for another number of classes."""
    weights = config.class_weights
    if isinstance(weights, tuple) and len(weights) != len(classes):
        raise SegnetError(
            f"--class-weights needs {len(classes)} numbers, one each for {', '.join(classes)}; "
            f"got {len(weights)}"
        )


def require_compiler(device: torch.device) -> None:
    """Raise SegnetError where torch.compile can't work; that shows only when something compiled is run."""
    try:
        torch.compile(nn.Hardswish())(torch.ones(2, device=device))
    except Exception as error:  # whatever stands between torch and a compiler
        here = Path(torch.__file__).parent
        if device.type == "cpu" and " " in str(here):  # torch gives the linker this path without quotes
            raise SegnetError(
                f"--compile can't work with the PyTorch in {here}, since its path has a space; make an "
                "environment below a path without one, or leave --compile out"
            ) from error
        raise SegnetError(
            "--compile needs a working C++ compiler (and Triton on a GPU), such as g++; install one or leave "
            "--compile out"
        ) from error
