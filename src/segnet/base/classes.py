"""What the class ids of a mask mean: names, colours and the id that is not scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segnet.base.class_roles import background_of, foreground_of
from segnet.base.colours import NIGHT_BLUE, Colour, distinct_colours
from segnet.base.errors import SegnetError, refuse

IGNORE_INDEX = 255
"""Pixels with this id are neither trained on nor scored."""


@dataclass(frozen=True)
class ClassTable:
    """Names and RGB colours (0 to 255) of the class ids ``0 .. len(names) - 1``.

    Raises:
        SegnetError: no class, more than 255, a name twice, or a colour count that differs.
    """

    names: tuple[str, ...]
    colours: tuple[Colour, ...]
    ignore_index: int = IGNORE_INDEX

    def __post_init__(self) -> None:
        _require_count(self.names)
        refuse(
            (len({*self.names}) < len(self), f"class names must differ: {', '.join(self.names)}"),
            (
                len(self.colours) != len(self),
                f"{len(self)} classes need as many colours, got {len(self.colours)}",
            ),
        )

    @classmethod
    def named(cls, names: Sequence[str]) -> ClassTable:
        """Build a table from names alone, with colours of our own choice; a background is dark."""
        _require_count(names)
        others, around = iter(distinct_colours(len(names))), background_of(names)
        return cls(tuple(names), tuple(NIGHT_BLUE if name == around else next(others) for name in names))

    def __len__(self) -> int:
        return len(self.names)

    @property
    def allowed(self) -> str:
        """Which ids a mask may hold, as a text that caches are named by."""
        return f"{len(self)} classes, ignore {self.ignore_index}"

    @property
    def foreground(self) -> int | None:
        """The class that is looked for, where there are two of them; see ``foreground_of``."""
        name = foreground_of(self.names)
        return None if name is None else self.names.index(name)

    def palette(self) -> npt.NDArray[np.uint8]:
        """Return a ``(256, 3)`` uint8 colour for every mask value; ids without a class are white."""
        palette = np.full((256, 3), 255, np.uint8)
        palette[: len(self.colours)] = self.colours
        return palette

    def paint(self, mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Turn masks ``(.., H, W)`` of ids into pictures ``(.., H, W, 3)``."""
        return self.palette()[mask]


def _require_count(names: Sequence[str]) -> None:
    if not 1 <= len(names) <= IGNORE_INDEX:
        raise SegnetError(f"a class table holds 1 to {IGNORE_INDEX} classes, this one has {len(names)}")
