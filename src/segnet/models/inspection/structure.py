"""What a model is made of and what passes from its encoder to its decoder, read off the live module.

Nothing is told of any model: parts are its own modules, sizes come from a run on the meta device, and what
passes from where to where is followed in autograd's graph of that run.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

import torch
from torch import Tensor, nn

from segnet.core.pooling import Size
from segnet.models.inspection.costs import Layer, list_layers, part_of, watched

Side = Literal["down", "bottom", "up"]


@dataclass(frozen=True)
class ModelPart:
    """One module of a model, or one of a list of modules: a stage, say."""

    name: str
    side: Side
    layers: tuple[Layer, ...]

    @property
    def parameters(self) -> int:
        """The number of trained values."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def multiplying(self) -> tuple[Layer, ...]:
        """Its convolutions and linear layers, in order."""
        return tuple(layer for layer in self.layers if "conv" in layer.kind or layer.kind == "linear")

    @property
    def places(self) -> tuple[int, ...]:
        """``(H, W)`` of its maps, before any pool; of tokens ``(tokens,)``."""
        return places_of((self.multiplying or self.layers)[-1])


@dataclass(frozen=True)
class Passed:
    """What goes from a part of the encoder to one of the decoder, past what lies between them."""

    source: str
    target: str
    kind: Literal["codes", "maps"]
    """Two bits for each window of a pool; or maps as they are."""
    shape: tuple[int, int, int]
    """``(C, H, W)`` of one image: of codes the windows, of maps the values."""
    bytes: int
    """Of one image; maps in float32."""
    is_alone: bool = False
    """Whether the target takes nothing else."""


@dataclass(frozen=True)
class Structure:
    """The parts of a model in the order in which they run, and what passes between encoder and decoder."""

    parts: tuple[ModelPart, ...]
    passed: tuple[Passed, ...]

    @property
    def parameters(self) -> int:
        """The number of trained values."""
        return sum(part.parameters for part in self.parts)


def describe_structure(model: nn.Module, size: Size = (128, 128), in_channels: int = 3) -> Structure:
    """Run a copy on the meta device and return what it is made of; the model stays as it is.

    The decoder begins where maps first grow. What is before it goes down, but for what works on the smallest
    maps alone.
    """
    layers = list_layers(model, size, in_channels)
    named = [(name, tuple(each)) for name, each in groupby(layers, lambda layer: part_of(model, layer.name))]
    # a parameter of the model's own is listed when the model ends, whatever uses it
    running = [(name, each) for name, each in named if each[0].kind != "parameter"]
    owned = [ModelPart(name, "bottom", each) for name, each in named if each[0].kind == "parameter"]
    areas = [[math.prod(places_of(layer)) for layer in each] for _, each in running]
    growing = (place for place in range(1, len(areas)) if areas[place][0] > areas[place - 1][-1])
    first_up = next(growing, len(areas))
    least = min(min(each) for each in areas[:first_up])
    parts = []
    for place, (name, each) in enumerate(running):
        on_way_down = max(areas[place]) > least
        side: Side = "up" if place >= first_up else "down" if on_way_down else "bottom"
        parts.append(ModelPart(name, side, each))
    passed = (*_codes(model, layers), *_maps(model, parts, size, in_channels))
    order = [part.name for part in parts]
    return Structure((*parts, *owned), tuple(sorted(passed, key=lambda each: order.index(each.source))))


def places_of(layer: Layer) -> tuple[int, ...]:
    """Return a layer's shape without its channels: ``(H, W)``, or ``(tokens,)`` of a transformer."""
    if len(layer.shape) == 3 and layer.kind not in ("linear", "layer norm"):
        return layer.shape[1:]
    return (math.prod(layer.shape[:-1]),)


def channels_of(layer: Layer) -> int:
    """Return how many values a layer gives for each place."""
    return layer.shape[0] if len(places_of(layer)) == 2 else layer.shape[-1]


def _codes(model: nn.Module, layers: Sequence[Layer]) -> Iterator[Passed]:
    """Yield what pools hand to un-pools: the last to the first, as from a stack."""
    pools = [layer for layer in layers if layer.index_bytes]
    for layer in layers:
        if layer.kind == "un-pool" and pools:
            pool = pools.pop()
            channels, height, width = pool.shape
            source, target = (part_of(model, each.name) for each in (pool, layer))
            yield Passed(source, target, "codes", (channels, height, width), pool.index_bytes)


def _maps(model: nn.Module, parts: Sequence[ModelPart], size: Size, in_channels: int) -> Iterator[Passed]:
    """Yield the maps that the decoder takes from the way down, past the deepest one."""
    sides = {part.name: part.side for part in parts}
    before_up = [part.name for part in parts if part.side != "up"][-1]
    seen: set[tuple[str, str]] = set()
    for target, given, sources in _edges(model, size, in_channels):
        for source, shape in sources:
            goes_past = sides.get(source) == "down" and sides.get(target) == "up" and source != before_up
            if goes_past and (source, target) not in seen:
                seen.add((source, target))
                # what one source gives may have been pooled on the way; of several, each gives its own
                channels, height, width = given if len(sources) == 1 else shape
                size_bytes = 4 * channels * height * width
                yield Passed(source, target, "maps", (channels, height, width), size_bytes, len(sources) == 1)


_Shape = tuple[int, ...]
_Edge = tuple[str, _Shape, list[tuple[str, _Shape]]]


def _edges(model: nn.Module, size: Size, in_channels: int) -> list[_Edge]:
    """Return for each layer its part, the shape that it takes, and the parts that this came from."""
    duplicate = copy.deepcopy(model).to("meta").eval().requires_grad_(True)
    owners: dict[Any, tuple[str, _Shape]] = {}  # by the step of autograd that gave a module's output
    edges: list[_Edge] = []

    def begins(name: str, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if not any(module.children()):
            part = part_of(duplicate, name)
            edges.append((part, tuple(inputs[0].shape[1:]), _sources(inputs[0].grad_fn, owners)))

    def ended(name: str, module: nn.Module, output: Any, result: Tensor) -> None:
        if result.grad_fn is not None:
            owners[result.grad_fn] = (part_of(duplicate, name), tuple(result.shape[1:]))

    with watched(duplicate, ended, begins), torch.enable_grad():
        duplicate(torch.empty(1, in_channels, *size, device="meta"))
    return edges


def _sources(step: Any, owners: dict[Any, tuple[str, _Shape]]) -> list[tuple[str, _Shape]]:
    """Walk back to the modules whose outputs went into a tensor."""
    found: list[tuple[str, _Shape]] = []
    waiting, done = [step], set()
    while waiting:
        step = waiting.pop()
        if step is None or step in done:
            continue
        done.add(step)
        if step in owners:
            found.append(owners[step])
        else:
            waiting += [each for each, _ in step.next_functions]
    return found
