"""From the layers of a network to operations of Core ML's intermediate language (MIL).

A pool takes the corners of its windows by slices and says by maps of zeros and ones which corner has the
maximum; an un-pool puts four maps together as pixel shuffling does. These operations are chosen for their
documentation: what ``depth_to_space`` does with channels, for one, isn't in it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from coremltools.converters.mil import Builder as mb  # noqa: N813 - as its documentation calls it
from coremltools.converters.mil.mil import Program

from segnet.export.network import Network, NetworkLayer, Weights
from segnet.inference.runtimes import INPUT, OUTPUT

Tensor = Any  # coremltools has no types


def to_program(network: Network, size: tuple[int, int], target: Any) -> Program:
    """Return a program from float32 ``image`` ``(1, channels, H, W)`` of 0 to 255 to ``logits``.

    Args:
        network: the layers.
        size: ``(H, W)``
        target: the oldest system that runs it, an ``AvailableTarget`` of coremltools.
    """
    specs = [mb.TensorSpec(shape=(1, network.scaling.channels, *size))]

    @mb.program(input_specs=specs, opset_version=target)  # type: ignore[untyped-decorator]
    def program(image: Tensor) -> Tensor:
        logits = _Program(network, image).last
        if logits.shape[2:] != size:
            logits = mb.slice_by_index(x=logits, begin=[0] * 4, end=[*logits.shape[:2], *size])
        return mb.identity(x=logits, name=OUTPUT)

    program.functions["main"].inputs[INPUT]  # the name of the parameter above
    return program


class _Program:
    """The tensor that each layer gives."""

    def __init__(self, network: Network, image: Tensor) -> None:
        self._network = network
        self._codes: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
        self._tensors = [self._scaled(image)]
        for layer, weights in zip(network.layers, network.weights, strict=True):
            self._tensors.append(self._layer(layer, weights))
        self.last = self._tensors[-1]

    def _scaled(self, image: Tensor) -> Tensor:
        scaling = self._network.scaling
        below, right = (-side % scaling.multiple for side in image.shape[2:])
        if below or right:
            image = mb.pad(x=image, pad=[0, below, 0, right], mode="replicate")
        scale, shift = (
            np.array(each, np.float32).reshape(1, -1, 1, 1) for each in (scaling.scale, scaling.shift)
        )
        return mb.add(x=mb.mul(x=image, y=scale), y=shift)

    def _layer(self, layer: NetworkLayer, weights: Weights | None) -> Tensor:
        x = self._tensors[layer.source]
        if weights is not None:
            y = _convolution(layer, weights, x)
        elif layer.op == "pool":
            y = self._pool(x)
        elif layer.op == "unpool":
            full = self._tensors[self._network.layers[layer.codes - 1].source].shape[2:]
            y = self._unpool(x, self._codes[layer.codes], full)
        elif layer.op == "upsample":
            y = mb.upsample_nearest_neighbor(x=x, scale_factor_height=2, scale_factor_width=2)
        else:
            y = mb.pixel_shuffle(x=x, upscale_factor=layer.factor)
        if layer.add is not None:
            y = mb.add(x=y, y=self._tensors[layer.add])
        if layer.activation == "none":
            return y
        return mb.relu(x=y) if layer.activation == "relu" else mb.relu6(x=y)

    def _pool(self, x: Tensor) -> Tensor:
        channels, height, width = x.shape[1], x.shape[2] // 2 * 2, x.shape[3] // 2 * 2
        corners = [
            mb.slice_by_index(
                x=x, begin=[0, 0, row, column], end=[1, channels, height, width], stride=[1, 1, 2, 2]
            )
            for row in (0, 1)
            for column in (0, 1)
        ]
        right_above, above = _larger(*corners[:2])
        right_below, below = _larger(*corners[2:])
        is_below, values = _larger(above, below)
        self._codes[len(self._tensors)] = is_below, right_above, right_below
        return values

    def _unpool(self, x: Tensor, codes: tuple[Tensor, Tensor, Tensor], full: tuple[int, ...]) -> Tensor:
        is_below, *is_right = codes
        below = mb.mul(x=x, y=is_below)
        rows = mb.sub(x=x, y=below), below
        corners = []
        for row, is_right_here in zip(rows, is_right, strict=True):
            right = mb.mul(x=row, y=is_right_here)
            corners += [mb.sub(x=row, y=right), right]
        _, channels, height, width = x.shape
        stacked = mb.reshape(x=mb.stack(values=corners, axis=2), shape=[1, 4 * channels, height, width])
        whole = mb.pixel_shuffle(x=stacked, upscale_factor=2)
        missing = [large - small for large, small in zip(full, whole.shape[2:], strict=True)]
        return mb.pad(x=whole, pad=[0, missing[0], 0, missing[1]]) if any(missing) else whole


def _convolution(layer: NetworkLayer, weights: Weights, x: Tensor) -> Tensor:
    is_depthwise = layer.op == "depthwise"
    ordered = (
        weights.kernel.transpose(2, 0, 1)[:, None] if is_depthwise else weights.kernel.transpose(3, 2, 0, 1)
    )
    return mb.conv(
        x=x,
        weight=np.ascontiguousarray(ordered),
        bias=weights.bias,
        strides=[layer.stride] * 2,
        pad_type="custom",
        pad=[*layer.pad, *layer.pad],
        groups=len(ordered) if is_depthwise else 1,
    )


def _larger(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return a map that is 1 where the second is larger and 0 elsewhere, and the larger of both."""
    more = mb.relu(x=mb.sub(x=second, y=first))
    return mb.ceil(x=mb.minimum(x=more, y=np.float32(1))), mb.maximum(x=first, y=second)
