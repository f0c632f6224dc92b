"""What depthwise-separable convolutions save: the cost table of Part 3 of the series, from live layers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from rich.table import Table
from torch import nn

from segnet.base.readable import number_table
from segnet.core.blocks import ConvBNReLU, SeparableBNReLU
from segnet.models.inspection.costs import count_macs, count_parameters

# Channels in and side of the map of each row: a convolution that doubles the channels, as each stage of the
# article's encoder begins.
ROWS = ((64, 128), (128, 64), (256, 32), (512, 16))

# The multiply-adds in the table of the series' notebook "types of convolutions", row by row.
NOTEBOOK_MACS = (
    (1_207_959_552, 143_654_912),
    (4_831_838_208, 555_745_280),
    (19_327_352_832, 2_185_232_384),
    (77_309_411_328, 8_665_432_064),
)

NOTE = """\
The notebook names maps of 128, 64, 32 and 16 px but measures every row at 128: its multiply-adds are 1, 4, 16
and 64 times those of the map it names. Parameters and ratios are right: a ratio has no map in it."""


@dataclass(frozen=True)
class SeparableCost:
    """One 3x3 convolution from ``channels`` to twice as many on a square map, ordinary and separable."""

    channels: int
    side: int
    parameters: tuple[int, int]
    macs: tuple[int, int]
    notebook_macs: tuple[int, int]


def separable_costs() -> list[SeparableCost]:
    """Count both kinds of convolution, without batch norms, on the maps that the rows name."""
    costs = []
    for (channels, side), notebook in zip(ROWS, NOTEBOOK_MACS, strict=True):
        with torch.device("meta"):
            units = (ConvBNReLU(channels, 2 * channels), SeparableBNReLU(channels, 2 * channels))
        ordinary, separable = (
            nn.Sequential(*(layer for layer in unit if isinstance(layer, nn.Conv2d))) for unit in units
        )
        costs.append(
            SeparableCost(
                channels,
                side,
                (count_parameters(ordinary), count_parameters(separable)),
                (
                    count_macs(ordinary, (side, side), channels),
                    count_macs(separable, (side, side), channels),
                ),
                notebook,
            )
        )
    return costs


def separable_table(costs: list[SeparableCost]) -> Table:
    """Return the costs with the notebook's multiply-adds beside them."""
    title = "3x3 convolution that doubles the channels: ordinary, and depthwise + pointwise (DSC)"
    rows = (
        (
            f"{cost.side}x{cost.side}",
            f"{cost.channels}→{2 * cost.channels}",
            *(f"{count:,}" for count in cost.parameters),
            *(f"{count / 1e6:,.1f}" for count in cost.macs),
            f"{cost.macs[1] / cost.macs[0]:.4f}",
            *(f"{count / 1e6:,.1f}" for count in cost.notebook_macs),
        )
        for cost in costs
    )
    pairs = ("parameters", "DSC", "MMAC", "DSC", "DSC / ordinary", "notebook MMAC", "DSC")
    return number_table(("map", "channels", *pairs), rows, texts=(), title=title)
