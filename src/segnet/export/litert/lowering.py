"""From the layers of a network to LiteRT's operations, in floating point or in int8.

LiteRT has no un-pooling. A pool here takes its map apart into four, one for each corner of its windows, and
says by maps of zeros and ones which corner has the maximum; the un-pool puts four maps together again.
XNNPACK, which computes on CPUs, and LiteRT's GPU delegate list all of these operations, so either takes the
whole network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from segnet.export.litert.flat_graph import FlatGraph, FlatTensor, Quantised
from segnet.export.litert.ranges import Ranges
from segnet.export.network import Activation, Network, NetworkLayer, Weights
from segnet.inference.runtimes import INPUT, OUTPUT

Floats = npt.NDArray[np.float32]

_NONE, _RELU, _RELU6 = 0, 1, 3  # the schema's ActivationFunctionType
_FUSED: dict[Activation, int] = {"none": _NONE, "relu": _RELU, "relu6": _RELU6}
_SAME, _VALID = 0, 1  # the schema's Padding
_TRUE_OR_FALSE = Quantised((1 / 255,), -128)


class _Codes(NamedTuple):
    """Where the maximum of each window is, as maps of zeros and ones of the size after the pool."""

    is_below: FlatTensor
    is_right_above: FlatTensor
    """In the upper row the right one is the larger; of equals the left one counts."""
    is_right_below: FlatTensor


def lowered(
    network: Network,
    size: tuple[int, int],
    *,
    half_weights: bool = False,
    ranges: Ranges | None = None,
) -> tuple[FlatGraph, FlatTensor, FlatTensor]:
    """Return a graph for images of one size, with its input and its output.

    The image is float32 ``(1, height, width, channels)`` of 0 to 255, the logits are float32
    ``(1, height, width, classes)``.

    Args:
        network: the layers.
        size: ``(H, W)`` of the image.
        half_weights: keep weights as float16; what runs the file computes in float32, or as it likes.
        ranges: int8: which values each map has; by default all is floating point.
    """
    made = _Lowering(network, half_weights, ranges)
    image = made.graph.tensor((1, *size, network.scaling.channels))
    made.graph.name(image, INPUT)
    made.tensors.append(made.scaled(image))
    for layer, weights in zip(network.layers, network.weights, strict=True):
        made.tensors.append(made.layer(layer, weights))
    logits = made.tensors[-1]
    return made.graph, image, made.given_back(logits, (1, *size, logits.shape[3]))


class _Lowering:
    """The graph so far, with the tensor that each layer gives."""

    def __init__(self, network: Network, half_weights: bool, ranges: Ranges | None) -> None:
        self.graph = FlatGraph()
        self.tensors: list[FlatTensor] = []
        self._network, self._half_weights, self._ranges = network, half_weights, ranges
        self._codes: dict[int, _Codes] = {}
        self._layers: dict[str, Callable[[NetworkLayer], FlatTensor]] = {
            "pool": self._pool,
            "unpool": self._unpool,
            "upsample": lambda layer: self._corners([self.tensors[layer.source]] * 4),
            "shuffle": self._shuffle,
        }

    def layer(self, layer: NetworkLayer, weights: Weights | None) -> FlatTensor:
        """Add a layer with what is added after it, and return what it gives."""
        activation = _FUSED[layer.activation]
        if weights is not None:
            x = self._convolution(layer, weights, activation if layer.add is None else _NONE)
        else:
            x = self._layers[layer.op](layer)
        if layer.add is None:
            return x
        return self._map("ADD", [x, self.tensors[layer.add]], self._quantised(), activation)

    def scaled(self, image: FlatTensor) -> FlatTensor:
        """Pad an image by its last row and column, and scale it."""
        scaling = self._network.scaling
        for axis in (1, 2):
            side = image.shape[axis]
            if side % scaling.multiple:
                image = self._repeat_last(image, axis, -side % scaling.multiple)
        scale, shift = (np.array(each, np.float32) for each in (scaling.scale, scaling.shift))
        x = self._map("MUL", [image, self.graph.constant(scale)])
        x = self._map("ADD", [x, self.graph.constant(shift)])
        return x if self._ranges is None else self._cast("QUANTIZE", x, np.int8, self._quantised())

    def given_back(self, logits: FlatTensor, shape: tuple[int, ...]) -> FlatTensor:
        """Crop the logits to the image and give them their name."""
        if logits.shape != shape:
            logits = self._slice(logits, shape)
        if self._ranges is not None:
            logits = self._cast("DEQUANTIZE", logits, np.float32)
        self.graph.name(logits, OUTPUT)
        return logits

    # The layers.

    def _convolution(self, layer: NetworkLayer, weights: Weights, activation: int) -> FlatTensor:
        x = self.tensors[layer.source]
        padding, x = self._padded(layer, x)
        sides = [
            -(-side // layer.stride) if padding == _SAME else (side - layer.kernel) // layer.stride + 1
            for side in x.shape[1:3]
        ]
        kernel, bias = weights.kernel, weights.bias
        order = self._shuffled_order(len(bias))
        if layer.op == "depthwise":
            kind, options = "DEPTHWISE_CONV_2D", {"depthMultiplier": 1}
            kernel, axis = kernel[None], 3  # (1, kernel, kernel, channels)
        else:
            kind, options = "CONV_2D", {}
            kernel, axis = kernel.transpose(3, 0, 1, 2)[order], 0  # (given, kernel, kernel, taken)
            bias = bias[order]
        quantised = self._quantised(before_adding=layer.add is not None)
        return self.graph.operation(
            kind,
            [x, *self._constants(kernel, bias, axis, x.quantised)],
            [self._tensor((1, *sides, len(bias)), quantised)],
            padding=padding,
            strideH=layer.stride,
            strideW=layer.stride,
            fusedActivationFunction=activation,
            **options,
        )

    def _padded(self, layer: NetworkLayer, x: FlatTensor) -> tuple[int, FlatTensor]:
        """Return how LiteRT pads by itself for this layer, and the map, padded where that isn't enough."""
        if layer.pad == (0, 0):
            return _VALID, x
        missing = [
            max((-(-side // layer.stride) - 1) * layer.stride + layer.kernel - side, 0)
            for side in x.shape[1:3]
        ]
        if all((each // 2, each - each // 2) == layer.pad for each in missing):
            return _SAME, x
        pads = np.array([(0, 0), layer.pad, layer.pad, (0, 0)], np.int32)
        shape = (1, *(side + sum(layer.pad) for side in x.shape[1:3]), x.shape[3])
        return _VALID, self._moved("PAD", [x, self.graph.constant(pads)], shape)

    def _pool(self, layer: NetworkLayer) -> FlatTensor:
        x = self.tensors[layer.source]
        height, width, channels = x.shape[1] // 2, x.shape[2] // 2, x.shape[3]
        even = (1, 2 * height, 2 * width, channels)
        if x.shape != even:
            x = self._slice(x, even)
        apart = self._moved("SPACE_TO_DEPTH", [x], (1, height, width, 4 * channels), blockSize=2)
        corners = [self._tensor((1, height, width, channels), x.quantised) for _ in range(4)]
        self.graph.operation(
            "SPLIT", [self.graph.constant(np.array(3, np.int32)), apart], corners, numSplits=4
        )
        right_above, above = self._larger(*corners[:2])
        right_below, below = self._larger(*corners[2:])
        is_below, values = self._larger(above, below)
        self._codes[len(self.tensors)] = _Codes(is_below, right_above, right_below)
        return values

    def _larger(self, first: FlatTensor, second: FlatTensor) -> tuple[FlatTensor, FlatTensor]:
        """Return a map that is 1 where the second is larger and 0 elsewhere, and the larger of both."""
        more = self._map("SUB", [second, first], _from_zero(first.quantised), _RELU)
        if first.quantised is None:
            more = self._map("MINIMUM", [more, self.graph.constant(np.array([1], np.float32))])
            return self._map("CEIL", [more]), self._map("MAXIMUM", [first, second])
        # int8 has no CEIL: one step of the scale, times this, is 1, and more can't be held
        step = Quantised((1 / first.quantised.scale[0] / 127,))
        by = self.graph.constant(np.array([127], np.int8), step)
        code = self._map("MUL", [more, by], _TRUE_OR_FALSE)
        return code, self._map("ADD", [first, more], first.quantised)

    def _unpool(self, layer: NetworkLayer) -> FlatTensor:
        x, codes = self.tensors[layer.source], self._codes[layer.codes]
        below = self._map("MUL", [x, codes.is_below], x.quantised)
        above = self._map("SUB", [x, below], x.quantised)
        corners = []
        for row, is_right in ((above, codes.is_right_above), (below, codes.is_right_below)):
            right = self._map("MUL", [row, is_right], x.quantised)
            corners += [self._map("SUB", [row, right], x.quantised), right]
        whole = self._corners(corners)
        full = (1, *self.tensors[self._network.layers[layer.codes - 1].source].shape[1:3], x.shape[3])
        if whole.shape == full:
            return whole
        pads = np.array(
            [(0, large - small) for large, small in zip(full, whole.shape, strict=True)], np.int32
        )
        return self._moved("PAD", [whole, self.graph.constant(pads)], full)

    def _corners(self, corners: Sequence[FlatTensor]) -> FlatTensor:
        """Put four maps together: every window of two by two gets a value of each, in reading order."""
        _, height, width, channels = corners[0].shape
        stacked = self._moved("CONCATENATION", corners, (1, height, width, 4 * channels), axis=3)
        return self._moved("DEPTH_TO_SPACE", [stacked], (1, 2 * height, 2 * width, channels), blockSize=2)

    def _shuffle(self, layer: NetworkLayer) -> FlatTensor:
        x, factor = self.tensors[layer.source], layer.factor
        shape = (1, x.shape[1] * factor, x.shape[2] * factor, x.shape[3] // factor**2)
        return self._moved("DEPTH_TO_SPACE", [x], shape, blockSize=factor)

    def _shuffled_order(self, channels: int) -> npt.NDArray[np.int64]:
        """Return the order of channels that this layer gives, for the pixel shuffle that may follow.

        PyTorch's takes a pixel's parts class by class, LiteRT's part by part.
        """
        order = np.arange(channels)
        following = self._network.layers[len(self.tensors) :]
        if following and following[0].op == "shuffle":
            order = order.reshape(-1, following[0].factor ** 2).T.flatten()
        return order

    # Their parts.

    def _repeat_last(self, x: FlatTensor, axis: int, times: int) -> FlatTensor:
        side = x.shape[axis]
        rows = np.minimum(np.arange(side + times), side - 1).astype(np.int32)
        shape = (*x.shape[:axis], side + times, *x.shape[axis + 1 :])
        return self._moved("GATHER", [x, self.graph.constant(rows)], shape, axis=axis)

    def _slice(self, x: FlatTensor, shape: tuple[int, ...]) -> FlatTensor:
        begin, extent = (self.graph.constant(np.array(each, np.int32)) for each in ([0] * 4, shape))
        return self._moved("SLICE", [x, begin, extent], shape)

    def _constants(
        self, kernel: Floats, bias: Floats, axis: int, entering: Quantised | None
    ) -> list[FlatTensor]:
        """Return a convolution's kernel and bias as tensors."""
        if entering is not None:
            whole, scale = to_int8(kernel, axis)
            # zeros are zeros by any scale, and the kernel's stands in the file already
            products = [entering.scale[0] * each for each in scale] if bias.any() else scale
            added = np.round(bias / np.array(products)).astype(np.int32)
            return [
                self.graph.constant(whole, Quantised(tuple(scale), 0, axis)),
                self.graph.constant(added, Quantised(tuple(products))),
            ]
        if self._half_weights:
            half = self.graph.constant(kernel.astype(np.float16))
            return [self._cast("DEQUANTIZE", half, np.float32), self.graph.constant(bias)]
        return [self.graph.constant(kernel), self.graph.constant(bias)]

    def _quantised(self, *, before_adding: bool = False) -> Quantised | None:
        """Return what int8 stands for in the map that this layer gives."""
        if self._ranges is None:
            return None
        number = len(self.tensors)
        return _for_range(*(self._ranges.sums[number] if before_adding else self._ranges.maps[number]))

    def _map(
        self,
        kind: str,
        inputs: Sequence[FlatTensor],
        quantised: Quantised | None = None,
        activation: int | None = None,
    ) -> FlatTensor:
        """Add an operation on each value; the first input has the shape of what it gives."""
        fuses = kind in ("ADD", "SUB", "MUL")
        options = {"fusedActivationFunction": activation or _NONE} if fuses else {}
        return self.graph.operation(kind, inputs, [self._tensor(inputs[0].shape, quantised)], **options)

    def _moved(
        self, kind: str, inputs: Sequence[FlatTensor], shape: tuple[int, ...], **options: Any
    ) -> FlatTensor:
        """Add an operation that gives the values of its first input at other places."""
        return self.graph.operation(kind, inputs, [self._tensor(shape, inputs[0].quantised)], **options)

    def _cast(
        self, kind: str, x: FlatTensor, dtype: npt.DTypeLike, quantised: Quantised | None = None
    ) -> FlatTensor:
        return self.graph.operation(kind, [x], [self.graph.tensor(x.shape, dtype, quantised)])

    def _tensor(self, shape: Sequence[int], quantised: Quantised | None) -> FlatTensor:
        return self.graph.tensor(shape, np.float32 if quantised is None else np.int8, quantised)


def to_int8(kernel: Floats, axis: int) -> tuple[npt.NDArray[np.int8], list[float]]:
    """Return a kernel in whole numbers of -127 to 127, and what 1 stands for along an axis, by channel."""
    others = tuple(each for each in range(kernel.ndim) if each != axis)
    largest = np.maximum(np.abs(kernel).max(axis=others), np.finfo(np.float32).tiny)
    scale = largest.astype(np.float64) / 127
    shape = [-1 if each == axis else 1 for each in range(kernel.ndim)]
    return np.round(kernel / scale.reshape(shape)).astype(np.int8), scale.tolist()


def _for_range(least: float, most: float) -> Quantised:
    """Return the finest steps that hold these values; zero is exact, since convolutions pad with it."""
    least, most = min(least, 0.0), max(most, 0.0)
    scale = max(most - least, float(np.finfo(np.float32).tiny)) / 255
    return Quantised((scale,), int(np.clip(round(-128 - least / scale), -128, 127)))


def _from_zero(quantised: Quantised | None) -> Quantised | None:
    """Return the same steps for values that begin at 0."""
    return None if quantised is None else Quantised(quantised.scale, -128)
