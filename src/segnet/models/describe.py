"""What a model costs and how far it sees, measured on the live module; nothing here is a table by hand.

Parameters, multiply-adds, layers and index bytes come from a run on the meta device, where nothing is
computed; memory for training from what autograd keeps in a real forward pass; the receptive field from one
gradient.
"""

from __future__ import annotations

import copy
import math
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from segnet.core.blocks import DecoderStage, EncoderStage
from segnet.core.pooling import Size
from segnet.core.recompute import get_rebuild


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
    statistics = ("running_mean", "running_var")
    return parameters | {name for name in model.state_dict() if name.endswith(statistics)}


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
    names = {module: name for name, module in duplicate.named_modules()}
    with torch.no_grad(), FlopCounterMode(display=False) as counter, ExitStack() as hooks:
        # One entry for each module that runs now: the count at its start, plus what its parts have taken.
        started: list[int] = []

        def before(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            if isinstance(module, DecoderStage):
                values, _, full = inputs
                shape = (values.shape[1], *full)
                layers.append(Layer(f"{names[module]}.unpool", "un-pool", shape))
            started.append(counter.get_total_flops())

        def after(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            total = counter.get_total_flops()
            own = total - started.pop()
            started[:] = [entry + own for entry in started]
            result = output[0] if isinstance(output, tuple) else output
            direct = dict(module.named_parameters(recurse=False))
            shape, leaf = tuple(result.shape[1:]), not any(module.children())
            if leaf and (direct or own):
                parameters = sum(weight.numel() for weight in direct.values())
                layers.append(Layer(names[module], _kind(module), shape, parameters, own // 2))
                return
            for name, weight in direct.items():
                full_name = f"{names[module]}.{name}".lstrip(".")
                layers.append(Layer(full_name, "parameter", tuple(weight.shape), weight.numel()))
            if own:
                layers.append(Layer(names[module], type(module).__name__, shape, 0, own // 2))
            if isinstance(module, EncoderStage):
                codes = output[1]
                layers.append(
                    Layer(f"{names[module]}.pool", "max-pool 2x2", shape, index_bytes=codes.numel())
                )

        for module in names:
            hooks.callback(module.register_forward_pre_hook(before).remove)
            hooks.callback(module.register_forward_hook(after).remove)
        duplicate(torch.empty(1, in_channels, *size, device="meta"))
    return layers


def _kind(module: nn.Module) -> str:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        kernel = "x".join(str(side) for side in module.kernel_size)
        depthwise = "depthwise " if module.groups == module.in_channels > 1 else ""
        kind = "transposed conv" if isinstance(module, nn.ConvTranspose2d) else "conv"
        return f"{depthwise}{kind} {kernel}"
    known = {nn.BatchNorm2d: "batch norm", nn.LayerNorm: "layer norm", nn.Linear: "linear"}
    return known.get(type(module), type(module).__name__)


def training_bytes(model: nn.Module, size: Size = (128, 128), in_channels: int = 3) -> int:
    """Return the bytes that a float32 forward pass keeps of one image for the backward pass.

    Half of what two images keep: batch norm can't be trained on a single value. Weights, gradients and the
    optimizer's averages come on top, and don't grow with the batch. The model may be on the meta device: what
    its weights are has no say.

    This is a real forward pass, which takes a multiple of the bytes that it counts.
    """
    duplicate = _on_cpu(model).train()
    images = torch.zeros(2, in_channels, *size)
    own = (*duplicate.parameters(), *duplicate.buffers(), images)
    given = {tensor.untyped_storage().data_ptr() for tensor in own}
    kept: dict[int, Tensor] = {}  # by address; the tensors too, lest one is freed and its address used again

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    def keep_source(stage: nn.Module, inputs: tuple[Any, ...]) -> None:
        if get_rebuild(inputs[0]) is None:  # then un-pooling it again needs it as it is
            keep(inputs[0])

    for stage in duplicate.modules():
        if isinstance(stage, DecoderStage):
            stage.register_forward_pre_hook(keep_source)
    with torch.random.fork_rng(devices=[]), saved_tensors_hooks(keep, lambda tensor: tensor):
        duplicate(images)
    return sum(kept[address].untyped_storage().nbytes() for address in kept.keys() - given) // 2


def receptive_field(model: nn.Module, in_channels: int = 3) -> float:
    """Return the side in pixels of what one value of the deepest map sees; infinity for the whole image.

    The deepest map is the last of the smallest ones. Its middle value sees the pixels to which it has a
    gradient, in a copy with positive weights, where no sum cancels and no ReLU blocks. A max-pool would still
    block: it has a gradient to the largest value of a window alone. So one image darkens to the right, which
    makes that the leftmost value, and another to the left.
    """
    duplicate = _on_cpu(model).eval()
    random = torch.Generator().manual_seed(0)  # equal weights would cancel in a layer norm or a softmax
    for module in duplicate.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    for parameter in duplicate.parameters():
        # divided by the inputs of a value, so that values stay near 1
        parameter.requires_grad_(False).uniform_(0.5, 1.5, generator=random).div_(parameter[0].numel())
    least = max(getattr(model, "minimum_size", 16), 16)
    width = 16 * least
    while width <= _WIDEST_PX:
        brightness = torch.linspace(2, 1, width)
        rows = torch.stack((brightness, brightness.flip(0))).view(2, 1, 1, width)
        images = rows.repeat(1, in_channels, least, 1).requires_grad_()
        deepest = _deepest_map(duplicate, images)
        middle = deepest[..., deepest.shape[-2] // 2, deepest.shape[-1] // 2]
        weights = torch.rand(middle.shape, generator=random)
        (gradient,) = torch.autograd.grad((middle * weights).sum(), images)
        seen: list[int] = gradient.sum((0, 1, 2)).nonzero().flatten().tolist()
        # next to the edges padding darkens an image, and a max-pool may take the wrong side
        if seen[0] >= least and seen[-1] < width - least:
            return seen[-1] - seen[0] + 1
        width *= 4
    return math.inf


_WIDEST_PX = 1 << 12  # what sees further sees all


def _deepest_map(model: nn.Module, images: Tensor) -> Tensor:
    deepest = images

    def look(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal deepest
        result = output[0] if isinstance(output, tuple) else output
        if math.prod(result.shape[-2:]) <= math.prod(deepest.shape[-2:]):
            deepest = result

    with ExitStack() as hooks:
        for module in model.modules():
            hooks.callback(module.register_forward_hook(look).remove)
        model(images)
    return deepest


def _on_cpu(model: nn.Module) -> nn.Module:
    """Return a float32 copy; of a model on the meta device one with arbitrary weights."""
    duplicate = copy.deepcopy(model)
    is_meta = any(parameter.is_meta for parameter in model.parameters())
    return (duplicate.to_empty(device="cpu") if is_meta else duplicate.to("cpu")).float()
