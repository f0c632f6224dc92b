"""What a model costs and how far it sees, measured on the live module; nothing here is a table by hand.

Parameters, multiply-adds, layers and index bytes come from a run on the meta device, where nothing is
computed; memory for training from what autograd keeps in a real forward pass; the receptive field from a
twin in which every layer is reduced to its footprint.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F
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
    twin = copy.deepcopy(model).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        twin(torch.empty(1, in_channels, *size, device="meta"))
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
    twin = copy.deepcopy(model).to("meta").eval()
    layers: list[Layer] = []
    names = {module: name for name, module in twin.named_modules()}
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
        twin(torch.empty(1, in_channels, *size, device="meta"))
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
    twin = copy.deepcopy(model)
    twin = (twin.to_empty(device="cpu") if _is_meta(twin) else twin.to("cpu")).float().train()
    images = torch.zeros(2, in_channels, *size)
    given = {tensor.untyped_storage().data_ptr() for tensor in (*twin.parameters(), *twin.buffers(), images)}
    kept: dict[int, Tensor] = {}  # by address; the tensors too, lest one is freed and its address used again

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    def keep_source(stage: nn.Module, inputs: tuple[Any, ...]) -> None:
        if get_rebuild(inputs[0]) is None:  # then un-pooling it again needs it as it is
            keep(inputs[0])

    for stage in twin.modules():
        if isinstance(stage, DecoderStage):
            stage.register_forward_pre_hook(keep_source)
    with torch.random.fork_rng(devices=[]), saved_tensors_hooks(keep, lambda tensor: tensor):
        twin(images)
    return sum(kept[address].untyped_storage().nbytes() for address in kept.keys() - given) // 2


def receptive_field(model: nn.Module, in_channels: int = 3) -> float:
    """Return the side in pixels of what one value of the deepest map sees; infinity for the whole image.

    The deepest map is the last of the smallest ones. In a twin of the model every layer is reduced to its
    footprint, a convolution to the pixels that it covers: marked columns of the image then show in the map
    where they have an influence.

    Raises:
        ValueError: a layer whose footprint isn't known, in a model where not everything sees everything; or a
            step that marks don't survive, such as a sigmoid that is no layer.
    """
    try:
        twin = _footprints(model)
    except ValueError:
        if _sees_everything(model, in_channels):
            return math.inf
        raise
    least = max(getattr(model, "minimum_size", 16), 16)
    width = 16 * least
    if _deepest_map(twin, torch.zeros(1, in_channels, 2 * least, width)).any():
        raise ValueError("a step outside of layers turns nothing into something, so marks can't be followed")
    while width <= _WIDEST_PX:
        left, right = _influence(twin, (2 * least, width), in_channels)
        if left > 0 and right < width:
            return right - left
        width *= 2
    return math.inf


def _influence(twin: nn.Module, size: Size, in_channels: int) -> Size:
    """Return the first column that the middle value of the deepest map sees, and the one after the last."""
    columns = torch.arange(size[1])

    def seen(marked: Tensor) -> bool:
        image = marked.float().expand(1, in_channels, *size)
        deepest = _deepest_map(twin, image)
        return bool(deepest[..., deepest.shape[-2] // 2, deepest.shape[-1] // 2].any())

    def first(condition: Callable[[int], bool]) -> int:
        low, high = 0, size[1]
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if condition(middle) else (middle + 1, high)
        return low

    left = first(lambda end: seen(columns <= end))
    right = first(lambda start: not seen(columns >= start))
    return left, right


def _deepest_map(twin: nn.Module, image: Tensor) -> Tensor:
    deepest = image

    def look(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal deepest
        result = output[0] if isinstance(output, tuple) else output
        if math.prod(result.shape[-2:]) <= math.prod(deepest.shape[-2:]):
            deepest = result

    with torch.no_grad(), ExitStack() as hooks:
        for module in twin.modules():
            hooks.callback(module.register_forward_hook(look).remove)
        twin(image)
    return deepest


class _Footprint(nn.Module):
    """A convolution that marks the outputs in which a marked value has a part: ``(N, any, H, W)`` to one."""

    def __init__(self, conv: nn.Conv2d | nn.ConvTranspose2d) -> None:
        super().__init__()
        transposed = isinstance(conv, nn.ConvTranspose2d)
        self.convolve = F.conv_transpose2d if transposed else F.conv2d
        self.settings = {name: getattr(conv, name) for name in ("stride", "padding", "dilation")}
        self.register_buffer("ones", torch.ones(1, 1, *conv.kernel_size))

    def forward(self, x: Tensor) -> Tensor:
        marked = x.amax(1, keepdim=True)
        return (self.convolve(marked, self.ones, **self.settings) > 0).float()  # type: ignore[arg-type]


class _Marks(nn.Module):
    """A pool or an enlargement, whose results are marks again."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        marks: Tensor = self.layer(x) > 0
        return marks.float()


_WIDEST_PX = 1 << 14  # what sees further sees all
_POINTWISE = (nn.BatchNorm2d, nn.ReLU, nn.Dropout, nn.Identity, nn.GELU)
_RESAMPLING = (nn.MaxPool2d, nn.AvgPool2d, nn.Upsample)


def _footprints(model: nn.Module) -> nn.Module:
    """Return a twin of the model in which layers keep nothing but what they cover."""
    with torch.device("cpu"):
        twin = copy.deepcopy(model).to("meta").eval()
        for name, module in list(twin.named_modules()):
            if any(module.children()):
                continue
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                twin.set_submodule(name, _Footprint(module))
            elif isinstance(module, _POINTWISE):
                twin.set_submodule(name, nn.Identity())
            elif isinstance(module, _RESAMPLING):
                twin.set_submodule(name, _Marks(module))
            else:
                raise ValueError(f"{name} is a {type(module).__name__}, whose footprint isn't known")
    if any(True for _ in twin.parameters()):
        raise ValueError("parameters outside of layers, whose part isn't known")
    return twin


def _sees_everything(model: nn.Module, in_channels: int) -> bool:
    """Say whether one pixel that is not a number spoils every logit, in an image of about 128 px."""
    multiple = getattr(model, "size_multiple", 1)
    side = math.ceil(128 / multiple) * multiple
    twin = copy.deepcopy(model).to_empty(device="cpu").float().eval()
    with torch.no_grad():
        for tensor in (*twin.parameters(), *twin.buffers()):
            tensor.fill_(1)
        image = torch.zeros(1, in_channels, side, side)
        image[..., 0, 0] = math.nan
        return bool(twin(image).isnan().all())


def _is_meta(model: nn.Module) -> bool:
    return any(parameter.is_meta for parameter in model.parameters())
