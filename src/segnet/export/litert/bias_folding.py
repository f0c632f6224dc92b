"""Biases of depthwise convolutions, moved into the pointwise ones after them: a file keeps zeros once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from segnet.export.network import Network


def with_biases_moved(network: Network) -> Network:
    """Return the same network, depthwise convolutions without biases where a pointwise one alone reads them.

    A pointwise convolution turns a constant into a constant, which its own bias can hold. In an int8 file the
    biases of a depthwise convolution and their scales take as much as its kernel.
    """
    weights = list(network.weights)
    for number, layer in enumerate(network.layers):
        given = number + 1
        if layer.op != "depthwise" or layer.activation != "none" or layer.add is not None:
            continue
        reading = [k for k, each in enumerate(network.layers) if given in (each.source, each.add)]
        reader = network.layers[reading[0]]
        if len(reading) > 1 or (reader.op, reader.kernel, reader.source) != ("conv", 1, given):
            continue
        depthwise, pointwise = weights[number], weights[reading[0]]
        assert depthwise is not None
        assert pointwise is not None
        moved = depthwise.bias.astype(np.float64) @ pointwise.kernel[0, 0]
        weights[number] = replace(depthwise, bias=np.zeros_like(depthwise.bias))
        weights[reading[0]] = replace(pointwise, bias=(pointwise.bias + moved).astype(np.float32))
    return replace(network, weights=tuple(weights))
