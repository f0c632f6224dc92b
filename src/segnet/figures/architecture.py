"""Any model in words, for the article's Figure 6: its parts, and what passes from encoder to decoder."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from segnet.base.readable import BINARY_BYTES, number_table, readable_size
from segnet.core.pooling import Size
from segnet.models.inspection.structure import ModelPart, Passed, Structure, channels_of


def describe_architecture(name: str, structure: Structure) -> str:
    """Return in a line or two what passes from encoder to decoder, and how large the model is."""
    return f"{name}: {structure.parameters:,} parameters; {sum_in_words(structure.passed)}"


def sum_in_words(passed: Sequence[Passed]) -> str:
    """Return how much passes from encoder to decoder, of codes and of whole maps."""
    if not passed:
        return "nothing passes from encoder to decoder but the deepest map"
    words = []
    for kind, what in (("codes", "two-bit codes"), ("maps", "whole maps (float32)")):
        size = sum(each.bytes for each in passed if each.kind == kind)
        if size:
            words.append(f"{readable_size(size, BINARY_BYTES)} of {what}")
    return f"{' and '.join(words)} pass from encoder to decoder for one image"


def parts_table(structure: Structure, size: Size) -> Table:
    """Return a row for each part: its layers, its maps, its parameters, and what it hands past the others."""
    rows = []
    for part in structure.parts:
        passed = [each for each in structure.passed if each.source == part.name]
        last = (part.multiplying or part.layers)[-1]
        rows.append(
            (
                part.name,
                "; ".join(_layers(part)) or part.layers[0].kind,
                f"{channels_of(last)} of {'x'.join(map(str, part.places))}",
                f"{part.parameters:,}",
                "; ".join(f"{in_words(each)} to {each.target}" for each in passed),
            )
        )
    return number_table(
        ("part", "layers", "maps", "parameters", "passes on"),
        rows,
        texts=(0, 1, 2, 4),
        sums=("sum", "", "", f"{structure.parameters:,}", ""),
        title=f"one image of {size[0]}x{size[1]}",
    )


def _layers(part: ModelPart) -> list[str]:
    """Return each kind of layer with the channels that its layers give: "conv 3x3 → 64, 64"."""
    channels: dict[str, list[int]] = {}
    for layer in part.multiplying:
        channels.setdefault(layer.kind, []).append(channels_of(layer))
    lines = []
    for kind, each in channels.items():
        alike = len({*each}) == 1 and len(each) > 2
        gives = f"{len(each)} x {each[0]}" if alike else ", ".join(map(str, each))
        lines.append(f"{kind} → {gives}")
    return lines


def in_words(passed: Passed) -> str:
    """Return what passes, and how much of it: "2 bits for each window: 64 KiB"."""
    channels, height, width = passed.shape
    if passed.kind == "codes":
        return f"2 bits for each window: {readable_size(passed.bytes, BINARY_BYTES)}"
    return f"{channels} maps of {height}x{width}: {readable_size(passed.bytes, BINARY_BYTES)}"
