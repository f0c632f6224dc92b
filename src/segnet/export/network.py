"""A network as its layers and weights, for what runs it without torch; web/FORMAT.md describes each layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

Op = Literal["conv", "depthwise", "pool", "unpool", "upsample", "shuffle"]
Activation = Literal["none", "relu", "relu6"]

_WINDOW = ("kernel", "stride", "pad")
FIELDS: dict[Op, tuple[str, ...]] = {
    "conv": (*_WINDOW, "channels", "activation", "add"),
    "depthwise": (*_WINDOW, "activation"),
    "pool": (),
    "unpool": ("codes", "add"),
    "upsample": ("add",),
    "shuffle": ("factor",),
}
"""The header's fields of each kind of layer, besides ``op``, ``name`` and ``from``."""
_MAY_BE_ABSENT = "add"


@dataclass(frozen=True)
class NetworkLayer:
    """One layer. Tensor 0 is the scaled image, and layer ``i`` gives tensor ``i + 1``."""

    op: Op
    name: str
    """The module's name in PyTorch."""
    source: int
    """The tensor that it takes; ``from`` in the header."""
    kernel: int = 1
    stride: int = 1
    pad: tuple[int, int] = (0, 0)
    """Zeros before and after, in both directions."""
    channels: int = 1
    """Those that a convolution gives."""
    activation: Activation = "none"
    add: int | None = None
    """The tensor that is added before the activation."""
    codes: int = 0
    """The tensor of the pool whose positions an un-pool follows."""
    factor: int = 1

    def to_plain(self) -> dict[str, Any]:
        """Return what the header says of it."""
        said = {name: getattr(self, name) for name in FIELDS[self.op]}
        present = {name: value for name, value in said.items() if value is not None}
        return {"op": self.op, "name": self.name, "from": self.source, **present}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> NetworkLayer:
        """Return what ``to_plain`` gave.

        Raises:
            KeyError, TypeError, ValueError: it isn't that.
        """
        values = {name: plain[name] for name in FIELDS[plain["op"]] if name != _MAY_BE_ABSENT}
        values |= {"add": plain[_MAY_BE_ABSENT]} if _MAY_BE_ABSENT in plain else {}
        before, after = values.pop("pad", (0, 0))
        layer = cls(plain["op"], plain["name"], plain["from"], pad=(before, after), **values)
        numbers = (layer.source, layer.codes, layer.add or 0, before, after)
        if not all(isinstance(each, int) and each >= 0 for each in numbers):
            raise ValueError(f"{layer.name}: {dict(plain)}")
        sizes = (layer.kernel, layer.stride, layer.channels, layer.factor)
        if not all(isinstance(each, int) and each >= 1 for each in sizes):
            raise ValueError(f"{layer.name}: {dict(plain)}")
        if layer.activation not in get_args(Activation):
            raise ValueError(f"{layer.name}: activation {layer.activation!r}")
        return layer


@dataclass(frozen=True)
class Weights:
    """Kernel and biases of a layer."""

    kernel: npt.NDArray[np.float32]
    """``(kernel, kernel, taken, given)``, of a depthwise convolution ``(kernel, kernel, channels)``."""
    bias: npt.NDArray[np.float32]
    """``(given,)``"""
    norm: npt.NDArray[np.float32] | None = None
    """``(2, given)``: what the batch norm that is folded in multiplies by and then adds; not in a file."""


@dataclass(frozen=True)
class Scaling:
    """How an image is padded and scaled before the first layer."""

    channels: int
    multiple: int
    """The last row and column are repeated until both sides are multiples of this."""
    scale: tuple[float, ...]
    """A value ``v`` of 0 to 255 enters as ``v * scale[c] + shift[c]``."""
    shift: tuple[float, ...]


@dataclass(frozen=True)
class Network:
    """All that is needed to get logits of an image."""

    scaling: Scaling
    layers: tuple[NetworkLayer, ...]
    weights: tuple[Weights | None, ...]
    """One entry for each layer; None for those without."""


def kernel_shapes(scaling: Scaling, layers: tuple[NetworkLayer, ...]) -> list[tuple[int, ...] | None]:
    """Return the shape of each layer's kernel as ``Weights`` has it, None for layers without weights.

    Raises:
        ValueError: a layer that refers to a tensor after it, to a pool that is none, or adds a map of other
            channels.
    """
    channels, shapes = [scaling.channels], list[tuple[int, ...] | None]()
    for layer in layers:
        if max(layer.source, layer.codes, layer.add or 0) >= len(channels):
            raise ValueError(f"{layer.name} refers to a later tensor")
        if layer.op == "unpool" and (layer.codes < 1 or layers[layer.codes - 1].op != "pool"):
            raise ValueError(f"{layer.name} follows tensor {layer.codes}, which no pool gives")
        given, square = channels[layer.source], (layer.kernel, layer.kernel)
        if layer.op == "conv":
            shapes.append((*square, given, layer.channels))
            given = layer.channels
        elif layer.op == "depthwise":
            shapes.append((*square, given))
        else:
            shapes.append(None)
            given //= layer.factor**2
        if layer.add is not None and channels[layer.add] != given:
            raise ValueError(f"{layer.name} adds {channels[layer.add]} channels to {given}")
        channels.append(given)
    return shapes
