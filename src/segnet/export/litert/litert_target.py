"""``segnet export --to litert``: write the file."""

from __future__ import annotations

from dataclasses import replace

from segnet.data.images.pixel_values import Pixels
from segnet.export.litert.lowering import lowered
from segnet.export.litert.metadata import files, tables
from segnet.export.litert.ranges import ranges_of
from segnet.export.network import Network
from segnet.export.parity import Precision
from segnet.inference.description import Description

REMARK = (
    "the file doesn't say which images the model was trained on, so segnet eval can't tell which of them it "
    "has seen: score the model it was exported from"
)


def litert_bytes(
    description: Description, network: Network, precision: Precision, calibration: Pixels | None
) -> bytes:
    """Return a model as a ``.tflite`` file for images of its size.

    The file doesn't say which images the model was trained on: 30 kB of a thousand images' digests, which no
    device needs.

    Args:
        description: what the file says of itself.
        network: the model's layers.
        precision: of the weights, of int8 of the maps too.
        calibration: int8: images ``(N, h, w, C)`` that show which values to expect.
    """
    description = replace(description, data=None)
    ranges = None if calibration is None else ranges_of(network, calibration)
    half = precision == "float16"
    graph, image, logits = lowered(network, description.size, half_weights=half, ranges=ranges)
    return graph.to_bytes(image, logits, tables(description)) + files(description)
