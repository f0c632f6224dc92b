"""Which values the maps of a network have on images, for int8."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from segnet.data.images.pixel_values import Pixels
from segnet.export.network import Network
from segnet.export.reference import Reference

Range = tuple[float, float]


@dataclass
class Ranges:
    """The least and the most value of each map, by the number of its tensor."""

    maps: dict[int, Range] = field(default_factory=dict)
    """Of the scaled image and of what each layer gives."""
    sums: dict[int, Range] = field(default_factory=dict)
    """Of what a layer has before another map is added to it."""


def ranges_of(network: Network, images: Pixels) -> Ranges:
    """Return the ranges on images ``(N, h, w, C)`` of the network's size."""
    reference, ranges = Reference(network), Ranges()
    for image in images:
        before: dict[int, Tensor] = {}
        for number, each in enumerate(reference.tensors(image, before)):
            _widen(ranges.maps, number, each)
        for number, each in before.items():
            _widen(ranges.sums, number, each)
    return ranges


def _widen(ranges: dict[int, Range], number: int, values: Tensor) -> None:
    least, most = (each.item() for each in values.aminmax())
    known = ranges.get(number, (least, most))
    ranges[number] = min(known[0], least), max(known[1], most)
