"""Set-up, the first act: ``check`` says all that is wrong with a run, before it costs anything.

What only the data or an epoch can show is asked for one by one, where it shows.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from segnet.base.classes import ClassTable
from segnet.base.device import autocast, move, pick_device, seeded
from segnet.base.distributed.rank import this_process
from segnet.base.errors import SegnetError, first_line, refuse, require_all
from segnet.data.sources import check_data, known_classes
from segnet.data.store.batch_shares import smallest_share
from segnet.data.store.batches import split_into_batches
from segnet.models import create_model, require_image_size
from segnet.models.names import is_own, name_of, short_name
from segnet.runs.run_folder import require_free
from segnet.training.configuration.config import TrainConfig
from segnet.training.outputs.trackers import require_trackers
from segnet.training.schedule import train_size, train_sizes
from segnet.training.start import require_encoder, require_start
from segnet.training.teacher import sketch_teacher
from segnet.training.unlabeled import require_unlabeled


def check(
    config: TrainConfig, model: nn.Module | None = None, *, new: bool = True
) -> tuple[torch.device, ClassTable | None]:
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
            if is_own(config.model):  # named like a class: only its owner can build it
                raise SegnetError(
                    f"segnet has no model {config.model}; a module of your own is trained through Python: "
                    f"segnet.train(config, model={short_name(config.model)}(...))"
                )
            with torch.device("meta"):
                sketch = create_model(config.model, in_channels=config.channels or 3, **config.model_options)
        require_all(
            lambda: require_encoder(config, sketch, new=new),
            lambda: require_size(config, config.model, sketch),
            lambda: require_start(config) if new and model is None and config.start_from else None,
        )

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
        lambda: (
            require_size(config, f"the teacher {config.teacher}", sketch_teacher(config))
            if config.teacher is not None
            else None
        ),
        lambda: require_unlabeled(config),
        lambda: require_spread(config),
        check_classes,
        check_device,
    )
    return device, classes


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
    needed, spread = processes * accumulate, f"{processes} processes, " if processes > 1 else ""
    refuse(
        (
            processes > count,
            f"{processes} processes are more than the {count} images of an epoch; start {count} or fewer",
        ),
        (
            size < needed,
            f"--batch-size {size} is the whole batch, too small for {spread}--accumulate {accumulate}: "
            f"give {needed} or more ({needed}, {2 * needed}, {3 * needed}, ... share evenly)",
        ),
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
    many = this_process().total > 1
    refuse(
        (
            config.unlabeled is not None and (many or config.accumulate > 1),
            "--unlabeled takes one process, without --accumulate",
        ),
        (config.compile and many, "--compile takes one process; leave it out"),
    )


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


def require_own(config: TrainConfig, model: nn.Module) -> None:
    """Check what a module of the user's own is before any data is read.

    Raises:
        SegnetError: no module, options that nobody would use, or weights that can't be kept.
    """
    name, kept = name_of(model), model.state_dict()
    foreign = next((key for key, value in kept.items() if not isinstance(value, Tensor)), None)
    refuse(
        (
            config.model_options,
            f"model_options are for segnet's models; build {short_name(name)}(...) with what it takes",
        ),
        (
            any(is_lazy(parameter) for parameter in model.parameters()),
            f"{name} has lazy parameters; run an image through it once, so that they get a shape",
        ),
        (
            foreign is not None,
            f"the state_dict of {name} must hold tensors alone, but {foreign} is none",
        ),
    )


def require_logits(
    model: nn.Module, config: TrainConfig, classes: Sequence[str], count: int, device: torch.device
) -> None:
    """Run a copy of the user's own module on noise and check what it gives, before it costs an epoch.

    It runs in training mode at every size of the run, and in evaluation mode at the full size, since some
    modules give something else there. The module itself and the random state stay as they are.

    Args:
        model: ``(N, C, H, W)`` float32 in [0, 1] to logits ``(N, len(classes), H, W)``.
        config: the run.
        classes: their names.
        count: training images.
        device: where the run computes.

    Raises:
        SegnetError: it fails, gives anything else, or has nothing to train.
    """
    name = name_of(model)
    batches = split_into_batches(range(count), config.batch_size)
    images = min((len(batch) for batch in batches), default=2)
    runs = [*(("training", size) for size in train_sizes(config)), ("evaluation", config.size)]
    with seeded(config.seed, device):
        try:
            trial = move(copy.deepcopy(model), device)
        except Exception as error:  # whatever the module does
            raise SegnetError(
                f"{name} can't be copied and moved to {device}: {type(error).__name__}: {first_line(error)}"
            ) from error
        for mode, size in runs:
            trial.train(mode == "training")
            shape = (min(images, 2), config.channels or 3, *size)
            noise = torch.rand(shape, device=device).contiguous(memory_format=torch.channels_last)
            try:
                with torch.set_grad_enabled(trial.training), autocast(device, config.precision):
                    output = trial(noise)
            except Exception as error:  # whatever the module does
                raise SegnetError(
                    f"{name} fails on images {shape} in {mode} mode: "
                    f"{type(error).__name__}: {first_line(error)}"
                ) from error
            _require_logits(name, output, shape, classes)
            if trial.training and not output.requires_grad:
                raise SegnetError(
                    f"{name} has nothing to train: its logits depend on no parameter with a gradient"
                )


def _require_logits(name: str, output: object, images: Sequence[int], classes: Sequence[str]) -> None:
    needed = (images[0], len(classes), *images[2:])
    if isinstance(output, Tensor):
        found = f"{tuple(output.shape)}" + (
            "" if output.is_floating_point() else f" of {str(output.dtype).removeprefix('torch.')}"
        )
        fits = tuple(output.shape) == needed and output.is_floating_point()
    else:
        kind = type(output).__name__
        inside = ", ".join(map(str, output)) if isinstance(output, Mapping) else ""
        size = f" of {len(output)}" if isinstance(output, tuple | list) else ""
        found, fits = f"a {kind}{size}{' with ' * bool(inside)}{inside}", False
    if not fits:
        raise SegnetError(
            f"{name} gives {found} for images {tuple(images)}; it must give one tensor of logits {needed}, "
            f"(N, classes, H, W) with a channel each for {', '.join(classes)}"
        )
