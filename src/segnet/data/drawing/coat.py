"""Coats of fur: draws lots for the colours and the pattern of a pet's fur and gives it as textures."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from segnet.data.drawing.canvas import RGB, Canvas, Field, between, blend, contrast, pick, sharpen, tint

GINGER, GOLD, CREAM = (208, 126, 58), (214, 166, 88), (228, 200, 158)
WHITE, SILVER, GREY, BLACK = (236, 230, 222), (182, 182, 188), (128, 128, 134), (48, 44, 46)
TAN, BROWN, CHOCOLATE = (184, 140, 96), (124, 82, 54), (84, 56, 44)

COATS: tuple[tuple[RGB, RGB], ...] = (
    (GINGER, (164, 84, 36)),
    (CREAM, (190, 146, 98)),
    (WHITE, GINGER),
    (WHITE, BLACK),
    (WHITE, GREY),
    (GREY, (72, 72, 80)),
    (SILVER, (92, 92, 100)),
    (BLACK, CHOCOLATE),
    (BLACK, TAN),
    (BROWN, (70, 46, 34)),
    (TAN, CHOCOLATE),
    (GOLD, (166, 112, 52)),
    (CHOCOLATE, TAN),
)


@dataclass(frozen=True)
class Coat:
    """A pet's fur: two colours, a pale one, and how they lie on the body."""

    base: RGB
    mark: RGB
    pale: RGB
    pattern: str
    points: str
    """Which colour ears, paws and tail have: ``base``, ``mark`` or ``pale``."""
    bib: bool
    length_px: int
    """Length of a hair."""


def draw_coat(rng: random.Random) -> Coat:
    """Draw lots for a coat."""
    base, mark = pick(rng, COATS)
    pattern = pick(rng, tuple(PATTERNS))
    if pattern == "tabby" and contrast(base, mark) > 90:
        mark = blend(base, mark, 0.35)  # full stripes of black on white belong to a zebra
    return Coat(
        base=base,
        mark=mark,
        pale=blend(base, (244, 238, 228), between(rng, 0.45, 0.9)),
        pattern=pattern,
        points=pick(rng, ("base", "base", "mark", "pale")),
        bib=rng.random() < 0.55,
        length_px=int(between(rng, 3, 8)),
    )


def furs(canvas: Canvas, rng: random.Random, coat: Coat) -> dict[str, Field]:
    """Return a texture ``(3, H, W)`` for the coat's ``base`` (with its pattern), ``mark`` and ``pale``."""
    hair = 1.0 + canvas.strands(rng, coat.length_px) * between(rng, 0.16, 0.3) + canvas.noise(rng, 9.0) * 0.07
    pattern = PATTERNS[coat.pattern](canvas, rng)
    return {
        "base": tint(coat.base, coat.mark, pattern) * hair,
        "mark": tint(coat.mark, coat.mark, pattern) * hair,
        "pale": tint(coat.pale, coat.base, pattern * 0.15) * hair,
    }


def _plain(canvas: Canvas, rng: random.Random) -> Field:
    return canvas.noise(rng, 24.0) * 0.2 + 0.2


def _tabby(canvas: Canvas, rng: random.Random) -> Field:
    direction = pick(rng, ((1.0, 0.0), (0.8, 0.6), (0.6, -0.8), (0.0, 1.0)))
    bent = canvas.noise(rng, 22.0) * between(rng, 3.0, 6.0)
    return sharpen(canvas.waves(between(rng, 8.0, 15.0), direction, bent), between(rng, 0.5, 0.65), 4.0)


def _spotted(canvas: Canvas, rng: random.Random) -> Field:
    return sharpen(canvas.noise(rng, between(rng, 6.0, 10.0)), between(rng, 0.25, 0.4), 5.0)


def _patched(canvas: Canvas, rng: random.Random) -> Field:
    return sharpen(canvas.noise(rng, between(rng, 26.0, 44.0)), between(rng, -0.1, 0.25), 9.0)


PATTERNS: dict[str, Callable[[Canvas, random.Random], Field]] = {
    "plain": _plain,
    "tabby": _tabby,
    "spotted": _spotted,
    "patched": _patched,
}
