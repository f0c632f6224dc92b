"""What became of everything that a source of labels holds: drawn, or left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from segnet.data.labels.shapes import Labelled, Labels

Outcomes = Iterable[tuple[str, str]]
"""Of each shape its kind and why it was left out, nothing where it was drawn."""


@dataclass
class Tally:
    """Shapes and images of a source: what was read is what was used and what was left out together."""

    drawn: Counter[str] = field(default_factory=Counter)
    """Shapes by kind."""
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Shapes by kind and reason."""
    written: int = 0
    """Images."""
    empty: int = 0
    """Of these, images on which no shape was drawn."""
    images_left_out: Counter[str] = field(default_factory=Counter)
    """By reason."""
    no_shapes: Counter[str] = field(default_factory=Counter)
    """Results that are no shapes, by kind."""

    @property
    def read(self) -> Counter[str]:
        """All shapes by kind."""
        total = self.drawn.copy()
        for (kind, _), count in self.left_out.items():
            total[kind] += count
        return total

    @property
    def images_read(self) -> int:
        """All images."""
        return self.written + self.images_left_out.total()

    def begin(self, labels: Labels) -> None:
        """Count what belongs to no image."""
        self.no_shapes += labels.no_shapes
        self.left_out.update((shape.kind, shape.left_out) for shape in labels.orphans)

    def leave_out(self, image: Labelled, reason: str) -> None:
        """Count an image that isn't written, and its shapes."""
        self.images_left_out[reason] += 1
        of_image = f"image left out: {reason}"
        self.left_out.update((shape.kind, shape.left_out or of_image) for shape in image.shapes)

    def write(self, outcomes: Outcomes, *, with_mask: bool) -> None:
        """Count an image that is written."""
        self.written += 1
        drawn = 0
        for kind, reason in outcomes:
            if reason:
                self.left_out[kind, reason] += 1
            else:
                self.drawn[kind] += 1
                drawn += 1
        self.empty += not drawn and not with_mask

    def rows(self) -> list[tuple[str, int, int, str]]:
        """Return of each kind of shape how many were read and drawn, and why others were left out."""
        reasons: dict[str, list[str]] = {}
        for (kind, reason), count in self.left_out.most_common():
            reasons.setdefault(kind, []).append(f"{count:,} {reason}")
        return [
            (kind, count, self.drawn[kind], "; ".join(reasons.get(kind, ())))
            for kind, count in self.read.most_common()
        ]

    def images_said(self) -> str:
        """Return how many images were left out, by reason."""
        return ", ".join(f"{count:,} {reason}" for reason, count in self.images_left_out.most_common())
