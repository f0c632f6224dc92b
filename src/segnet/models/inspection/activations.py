"""What a model's layers look for and what they find: first kernels, feature maps, strongest places."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from segnet.base.errors import SegnetError, did_you_mean
from segnet.models.inspection.costs import kind_of, watched

_BATCH = 8


@dataclass(frozen=True)
class FirstKernels:
    """What the first layer that learns looks for."""

    layer: str
    kind: str
    weights: Tensor
    """``(K, C, k, k)``: of a depthwise convolution C is 1, of all others that of the image."""


@dataclass(frozen=True)
class Strongest:
    """Where in each of some images a layer's channels are largest; ``(N, C)`` each."""

    values: Tensor
    rows: Tensor
    columns: Tensor
    """Of the map, not of the image."""


def first_kernels(model: nn.Module, in_channels: int = 3) -> FirstKernels:
    """Return the weights of the first convolution, or of the layer that takes patches of a transformer.

    Args:
        model: any.
        in_channels: channels of its images.

    Raises:
        SegnetError: a model that begins with neither.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            return FirstKernels(name, kind_of(module), module.weight.detach())
        side = math.isqrt(module.in_features // in_channels) if isinstance(module, nn.Linear) else 0
        if isinstance(module, nn.Linear) and in_channels * side * side == module.in_features:
            patches = module.weight.detach().unflatten(1, (in_channels, side, side))
            return FirstKernels(name, f"linear, of patches {side}x{side}", patches)
    raise SegnetError("this model has no convolution whose kernels could be shown")


def map_shapes(model: nn.Module, images: Tensor) -> dict[str, tuple[int, int, int]]:
    """Return every module that gives feature maps of these images, in order, with their ``(C, H, W)``."""
    return _of_each_module(model, images[:1], lambda name, maps: tuple(maps.shape[1:]))


def usual_layers(shapes: dict[str, tuple[int, int, int]], first: str) -> tuple[str, str]:
    """Return two layers that say much: the unit of the first convolution, and the deepest maps.

    A unit is the module right above a layer that gives maps of the same shape: after norm and ReLU. The
    deepest maps are the smallest; of several those with most channels, of several of these the last.

    Args:
        shapes: what ``map_shapes`` returns.
        first: the name of the first convolution.
    """
    unit = first.rpartition(".")[0]
    early = unit if shapes.get(unit) == shapes[first] else first
    inner = {name: shape for name, shape in shapes.items() if name}
    least = min(height * width for _, height, width in inner.values())
    deepest = [name for name, shape in inner.items() if shape[1] * shape[2] == least]
    most = max(inner[name][0] for name in deepest)
    return early, [name for name in deepest if inner[name][0] == most][-1]


def require_layer(shapes: dict[str, tuple[int, int, int]], layer: str, channel: int | None) -> None:
    """Check that a model has a layer of this name, and this channel in it.

    Raises:
        SegnetError: it hasn't.
    """
    if layer not in shapes or not layer:
        raise SegnetError(f"the model has no layer {layer!r} that gives maps{_instead(layer, shapes)}")
    if channel is not None and not 0 <= channel < shapes[layer][0]:
        raise SegnetError(f"{layer} has channels 0 to {shapes[layer][0] - 1}, got {channel}")


def _instead(layer: str, shapes: dict[str, tuple[int, int, int]]) -> str:
    """Name the nearest layer, or of many the stages alone."""
    near = did_you_mean(layer, filter(None, shapes))
    return near if "did you mean" in near or len(shapes) < 12 else "; segnet models NAME lists them"


def feature_maps(model: nn.Module, images: Tensor, layer: str) -> Tensor:
    """Return what a layer gives, ``(N, K, h, w)``, for images ``(N, C, H, W)`` in [0, 1].

    Of a stage that pools, these are the pooled maps; tokens are put where their patches were.
    """
    # a clone, since what follows may work in place
    return _of_each_module(model, images, lambda name, maps: maps.clone() if name == layer else None)[layer]


def strongest_places(model: nn.Module, images: Tensor, layer: str) -> Strongest:
    """Return for each image and channel the largest value of a layer, and where it stands."""
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for batch in images.split(_BATCH):
        maps = feature_maps(model, batch, layer)
        values, places = maps.flatten(2).max(2)
        found.append((values, places // maps.shape[3], places % maps.shape[3]))
    values, rows, columns = (torch.cat(each) for each in zip(*found, strict=True))
    return Strongest(values, rows, columns)


@dataclass(frozen=True)
class UnitSteps:
    """What a unit of convolution, batch norm and ReLU does, step by step: maps ``(N, C, h, w)``."""

    unit: str
    convolved: Tensor
    normed: Tensor
    given: Tensor
    """What the unit gives: after ReLU, where it has one, and after what it may add."""


def norm_units(model: nn.Module) -> dict[str, nn.BatchNorm2d]:
    """Return the units that have a batch norm, by name, outermost first: what is right above one."""
    modules = dict(model.named_modules())
    norms = {name: module for name, module in modules.items() if isinstance(module, nn.BatchNorm2d)}
    return {name.rpartition(".")[0]: norm for name, norm in norms.items() if "." in name}


def unit_steps(model: nn.Module, images: Tensor, unit: str | None = None) -> UnitSteps:
    """Return the steps of one unit, by default the first, for images ``(N, C, H, W)`` in [0, 1].

    Raises:
        SegnetError: no unit of this name, or a model without batch norms inside.
    """
    units = norm_units(model)
    if not units:
        raise SegnetError("this model has no batch norm between its layers, so there are no steps to show")
    unit = next(iter(units)) if unit is None else unit
    if unit not in units:
        near = did_you_mean(unit, units)
        near = near if "did you mean" in near else f"; the first is {next(iter(units))!r}"
        raise SegnetError(f"the model has no unit {unit!r} with a batch norm{near}")
    norm, steps = units[unit], list[Tensor]()

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        steps.extend((inputs[0].clone(), output.clone()))  # ReLU works in place

    with torch.no_grad():
        hook = norm.register_forward_hook(keep)
        try:
            given = feature_maps(model, images, unit)
        finally:
            hook.remove()
    return UnitSteps(unit, steps[0], steps[1], given)


def most_telling(maps: Tensor, count: int) -> list[int]:
    """Return the channels of ``(C, h, w)`` that vary most over one image, by rising number."""
    spread = maps.flatten(1).std(1, correction=0)
    chosen: Sequence[int] = spread.argsort(descending=True, stable=True)[:count].tolist()
    return sorted(chosen)


def _of_each_module(model: nn.Module, images: Tensor, take: Callable[[str, Tensor], Any]) -> dict[str, Any]:
    """Run the model; return what is taken of the feature maps, channels first, that each module gives."""
    taken: dict[str, Any] = {}

    def look(name: str, module: nn.Module, output: Any, result: Tensor) -> None:
        maps = _as_maps(module, result, images)
        if maps is not None:
            taken[name] = take(name, maps)

    with watched(model, look), torch.no_grad():
        model.eval()(images)
    return taken


def _as_maps(module: nn.Module, result: Tensor, images: Tensor) -> Tensor | None:
    """Bring what a module gives to ``(N, C, h, w)``; None where it is no maps."""
    if result.ndim == 4:
        is_last = isinstance(module, nn.Linear | nn.LayerNorm)
        return result.movedim(-1, 1) if is_last else result
    if result.ndim != 3:
        return None
    height, width = images.shape[-2:]
    patch = math.isqrt(height * width // result.shape[1])
    rows, columns = height // patch, width // patch
    if rows * columns != result.shape[1]:
        return None
    return result.movedim(-1, 1).unflatten(2, (rows, columns))
