"""What a model costs, measured on the live module; nothing here is a table by hand.

Parameters, multiply-adds, layers and index bytes come from a run on the meta device, where nothing is
computed; memory for training from what autograd keeps in a real forward pass. How far a model sees is in
``receptive.py``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from segnet.core.blocks import DecoderStage, EncoderStage
from segnet.core.pooling import Size
from segnet.core.recompute import get_recompute


@contextmanager
def watched(
    model: nn.Module,
    ended: Callable[[str, nn.Module, Any, Tensor], None],
    begins: Callable[[str, nn.Module, tuple[Any, ...]], None] | None = None,
) -> Iterator[None]:
    """While this is open, call functions with each module of a model that runs, in that order.

    Args:
        model: its modules, and itself.
        ended: called with a module's name, the module, its output, and the map in that: the first of several.
        begins: called with a module's name, the module and its inputs.
    """

    def after(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        ended(name, module, output, output[0] if isinstance(output, (tuple, list)) else output)

    with ExitStack() as hooks:
        for name, module in model.named_modules():
            if begins is not None:
                hooks.callback(module.register_forward_pre_hook(partial(begins, name)).remove)
            hooks.callback(module.register_forward_hook(partial(after, name)).remove)
        yield


def count_parameters(model: nn.Module) -> int:
    """Return the number of trained values; batch-norm statistics are not among them."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_macs(model: nn.Module, size: Size = (128, 128), in_channels: int = 3) -> int:
    """Return the multiply-adds of one image ``(in_channels, *size)`` in convolutions and matrix products.

    Runs on the meta device: nothing is computed and the model stays as it is.
    """
    duplicate = copy.deepcopy(model).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        duplicate(torch.empty(1, in_channels, *size, device="meta"))
    return int(counter.get_total_flops()) // 2


def learned_names(model: nn.Module) -> set[str]:
    """Return the names in the ``state_dict`` that training changes: parameters and batch-norm statistics.

    Other buffers are constants, in which infinity may well have its place: the mask of an attention.
    """
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    return parameters | {name for name in model.state_dict() if is_statistic(name)}


def is_statistic(name: str) -> bool:
    """Whether a buffer of this name is a running statistic of a batch norm."""
    return name.endswith(("running_mean", "running_var"))


@dataclass(frozen=True)
class Layer:
    """One line of a model: a layer that holds weights or multiplies, or the pool or un-pool of a stage."""

    name: str
    kind: str
    shape: tuple[int, ...]
    """What it gives for one image: ``(C, H, W)``, or ``(tokens, width)`` and the like."""
    parameters: int = 0
    macs: int = 0
    index_bytes: int = 0
    """Positions that a pool hands to the decoder for one image."""


def list_layers(model: nn.Module, size: Size = (128, 128), in_channels: int = 3) -> list[Layer]:
    """Return the layers in the order in which they end; parameters and multiply-adds sum to the model's.

    Activations, dropout and other steps without weights are left out.
    """
    duplicate = copy.deepcopy(model).to("meta").eval()
    layers: list[Layer] = []
    # One entry for each module that runs now: the count at its start, plus what its parts have taken.
    started: list[int] = []
    counter = FlopCounterMode(display=False)

    def begins(name: str, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if isinstance(module, DecoderStage):
            values, _, full, *_ = inputs
            layers.append(Layer(f"{name}.unpool", "un-pool", (values.shape[1], *full)))
        started.append(counter.get_total_flops())

    def ended(name: str, module: nn.Module, output: Any, result: Tensor) -> None:
        own = counter.get_total_flops() - started.pop()
        started[:] = [entry + own for entry in started]
        direct = dict(module.named_parameters(recurse=False))
        shape, leaf = tuple(result.shape[1:]), not any(module.children())
        if leaf and (direct or own):
            parameters = sum(weight.numel() for weight in direct.values())
            layers.append(Layer(name, kind_of(module), shape, parameters, own // 2))
            return
        for parameter, weight in direct.items():
            full_name = f"{name}.{parameter}".lstrip(".")
            layers.append(Layer(full_name, "parameter", tuple(weight.shape), weight.numel()))
        if own:
            layers.append(Layer(name, type(module).__name__, shape, 0, own // 2))
        if isinstance(module, EncoderStage):
            layers.append(Layer(f"{name}.pool", "max-pool 2x2", shape, index_bytes=output.codes.numel()))

    with torch.no_grad(), counter, watched(duplicate, ended, begins):
        duplicate(torch.empty(1, in_channels, *size, device="meta"))
    return layers


def kind_of(module: nn.Module) -> str:
    """Return what a layer is in a table: "depthwise conv 3x3"."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        kernel = "x".join(str(side) for side in module.kernel_size)
        depthwise = "depthwise " if module.groups == module.in_channels > 1 else ""
        kind = "transposed conv" if isinstance(module, nn.ConvTranspose2d) else "conv"
        return f"{depthwise}{kind} {kernel}"
    known = {nn.BatchNorm2d: "batch norm", nn.LayerNorm: "layer norm", nn.Linear: "linear"}
    return known.get(type(module), type(module).__name__)


def part_of(model: nn.Module, layer: str) -> str:
    """Return which part of a model a layer stands in: a module of its own, "bottleneck", or "encoder.2"."""
    first, *others = layer.split(".")
    is_list = isinstance(getattr(model, first, None), nn.ModuleList)
    return f"{first}.{others[0]}" if is_list and others else first


def training_bytes(model: nn.Module, size: Size = (128, 128), in_channels: int = 3) -> int:
    """Return the bytes that a float32 forward pass keeps of one image for the backward pass.

    Half of what two images keep: batch norm can't be trained on a single value. Weights, gradients and the
    optimizer's averages come on top, and don't grow with the batch. The model may be on the meta device: what
    its weights are has no say.

    This is a real forward pass, which takes a multiple of the bytes that it counts.
    """
    duplicate = on_cpu(model).train()
    images = torch.zeros(2, in_channels, *size)
    own = (*duplicate.parameters(), *duplicate.buffers(), images)
    given = {tensor.untyped_storage().data_ptr() for tensor in own}
    kept: dict[int, Tensor] = {}  # by address; the tensors too, lest one is freed and its address used again

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    def keep_source(stage: nn.Module, inputs: tuple[Any, ...]) -> None:
        if get_recompute(inputs[0]) is None:  # then un-pooling it again needs it as it is
            keep(inputs[0])

    for stage in duplicate.modules():
        if isinstance(stage, DecoderStage):
            stage.register_forward_pre_hook(keep_source)
    with torch.random.fork_rng(devices=[]), saved_tensors_hooks(keep, lambda tensor: tensor):
        duplicate(images)
    return sum(kept[address].untyped_storage().nbytes() for address in kept.keys() - given) // 2


def on_cpu(model: nn.Module) -> nn.Module:
    """Return a float32 copy; of a model on the meta device one with arbitrary weights."""
    duplicate = copy.deepcopy(model)
    is_meta = any(parameter.is_meta for parameter in model.parameters())
    return (duplicate.to_empty(device="cpu") if is_meta else duplicate.to("cpu")).float()
