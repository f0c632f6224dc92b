"""What every format of labels is read into: images with shapes of a class, each drawn or left out.

A reader makes one ``Labelled`` of each image that a file has, and one ``Shape`` of each shape, usable or not,
through ``Labels``: so its tally accounts for all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from segnet.base.class_roles import BACKGROUND, is_background
from segnet.data.dataset import Mask
from segnet.data.faults import KINDS, Fault
from segnet.data.images.embedded_files import File
from segnet.data.labels.fields import MALFORMED, Malformed, Polygon, require, shortened

NOT_ANNOTATED = "not annotated"
"""Why an image is left out that nobody has labelled."""

T = TypeVar("T")
Outcomes = Sequence[tuple[str, str]]
"""Of each shape its kind and why it was left out, nothing where it was drawn."""

_WHY = {
    "bad-label": "can't be read",
    "flat-label": "no area",
    "box-label": "no outline",
    "no-image": "image not there",
    "sizes-differ": "image of another size",
}


@dataclass(frozen=True, eq=False)
class Shape:
    """One shape of a file: pixels of a class, or a shape that is left out."""

    label: str
    polygons: tuple[Polygon, ...] = ()
    """They add up."""
    bitmap: Callable[[], npt.NDArray[np.bool_]] | None = None
    """Decodes the pixels when they are drawn: the bitmaps of all images would not fit into memory. Where it
    raises a Fault or Malformed, the polygons are the shape's extent."""
    left_top: tuple[int, int] = (0, 0)
    """Where the bitmap lies, 0 or more."""
    bitmap_px: int | None = None
    """How many pixels the bitmap covers, where that is known before."""
    kind: str = "polygon"
    """What its format calls it, for the table of what was drawn."""
    where: str = ""
    """Where it stands, for messages."""
    left_out: str = ""
    """Why it isn't drawn; its polygons are then its extent, whose pixels are ignored."""
    alone: bool = False
    """Whether it is an object whose pixels belong to no other, which is told where another has them too."""
    spoils: bool = False
    """Whether it is left out and nothing tells which pixels it covers: its image is left out too."""


def outlined(label: str, outlines: Iterable[Polygon]) -> Shape:
    """Return the shape of one or several outlines, of which those without an area are left out.

    Raises:
        Malformed: none of them has an area.
    """
    polygons = tuple(filter(None, outlines))
    require(polygons, "has no area", kind="flat-label")
    return Shape(label, polygons)


@dataclass(frozen=True, eq=False)
class Labelled:
    """One image of a file with its labels: shapes, of which later ones lie on top, or a mask file."""

    image: File | None
    """Its file; None where it is left out."""
    name: str
    """Its path in the new folder, without suffix."""
    where: str
    """Where its labels stand, for messages."""
    split: str = ""
    size: tuple[int, int] | None = None
    """Width and height that the labels were drawn on, where the format says so."""
    shapes: Sequence[Shape] = ()
    read_mask: Callable[[], Mask] | None = None
    """Reads a mask file as ids of the source's classes."""
    mask_file: Path | None = None
    """A mask file that is copied as it is, whatever its values mean."""
    left_out: str = ""
    """Why it is not written."""
    looked_at: bool = True
    """Whether an image without shapes is known to show nothing but background. Where the format doesn't tell
    that from an image that nobody has labelled yet, False."""

    @property
    def has_mask(self) -> bool:
        """Whether it has a mask file in place of shapes."""
        return self.read_mask is not None or self.mask_file is not None

    @property
    def outcomes(self) -> Outcomes:
        """Of each shape its kind and why it is left out, nothing where it isn't."""
        return [(shape.kind, shape.left_out) for shape in self.shapes]


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

    def leave_out(self, outcomes: Outcomes, reason: str) -> None:
        """Count an image that isn't written, and its shapes."""
        self.images_left_out[reason] += 1
        self.left_out.update((kind, why or f"image left out: {reason}") for kind, why in outcomes)

    def write(self, outcomes: Outcomes, *, with_mask: bool) -> None:
        """Count an image that is written, perhaps with a mask file in place of shapes."""
        self.written += 1
        drawn = Counter(kind for kind, why in outcomes if not why)
        self.drawn += drawn
        self.left_out.update((kind, why) for kind, why in outcomes if why)
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


@dataclass
class Labels:
    """What a source holds; its methods read one thing each, and collect what is wrong with it."""

    format: str
    classes: list[str] = field(default_factory=list)
    """By class id."""
    images: list[Labelled] = field(default_factory=list)
    """All of them, also those that are left out."""
    faults: list[Fault] = field(default_factory=list)
    wanted: Mask = field(default_factory=lambda: np.arange(256, dtype=np.uint8))
    """Of mask files, the id that is written for each class id: another where other classes are wanted."""
    tally: Tally = field(default_factory=Tally)
    """What belongs to no image of the source, and what became of the images, as far as they are written."""
    description: Path | None = None
    """A dataset.yaml that is copied along with mask files."""

    def read_files(
        self, files: Sequence[Path], read: Callable[[Path], T], *, images: bool = False
    ) -> Iterator[tuple[Path, T]]:
        """Yield each file with its content; those that can't be read, or hold something else, are told.

        Args:
            files: what to read.
            read: returns a file's content, or raises a Fault.
            images: whether each file is of one image, which is then left out with it.

        Raises:
            Fault: the only file can't be read.
        """
        for file in files:
            try:
                content = read(file)
            except Fault as fault:
                if len(files) == 1:
                    raise
                if images and fault.kind != "other-file":
                    self.refuse(fault, str(file))
                else:
                    self.faults.append(fault)
                continue
            yield file, content

    def refuse(self, fault: Fault, where: str, kinds: Iterable[str] = ()) -> None:
        """Leave out an image with its shapes, of these kinds, for a fault."""
        self.faults.append(fault)
        shapes = [Shape("", kind=kind) for kind in kinds]
        self.images.append(Labelled(None, "", where, shapes=shapes, left_out=why(fault)))

    def read_image(self, read: Callable[[], Labelled], where: str, kinds: Iterable[str] = ()) -> None:
        """Take the image that ``read`` returns; where that fails, one that is left out, and the fault.

        Args:
            read: raises a Fault, or one of ``MALFORMED``, of what can't be read.
            where: where the image stands, for messages.
            kinds: the kind of each of its shapes, which are left out with it.
        """
        try:
            self.images.append(read())
        except (Fault, *MALFORMED) as error:
            self.refuse(fault_of(error, where, "image"), where, kinds)

    def read_shape(
        self,
        entry: T,
        kind: str,
        where: str,
        size: tuple[int, int],
        read: Callable[[T, tuple[int, int]], Shape],
        extent: Callable[[T, tuple[int, int]], Iterable[Polygon]] = lambda entry, size: (),
    ) -> Shape:
        """Return the shape of an entry; where that fails, one that is left out, and collect the fault.

        Args:
            entry: what stands in the file.
            kind: what the format calls the shape.
            where: where it stands, for messages.
            size: width and height of the image.
            read: as for ``read_image``; of the kind ``flat-label`` for what has no area, so that nothing is
                lost.
            extent: returns polygons within which a shape that can't be read must lie, such as its box.
                Without one its image is left out.
        """
        try:
            return replace(read(entry, size), kind=kind, where=where)
        except (Fault, *MALFORMED) as error:
            fault = fault_of(error, where, kind)
        self.faults.append(fault)
        harmless = fault.kind == "flat-label"
        covered: tuple[Polygon, ...] = ()
        with suppress(*MALFORMED):
            covered = () if harmless else tuple(filter(None, extent(entry, size)))
        spoils = not harmless and not covered
        return Shape("", covered, kind=kind, where=where, left_out=why(fault), spoils=spoils)

    def name_classes(self, *no_class: str) -> None:
        """Take the classes that the shapes name, in the order of their names, behind the background."""
        names = {shape.label for image in self.images for shape in image.shapes if shape.label}
        self.classes = with_background(sorted(names.difference(no_class)))


def fault_of(error: Exception, where: str, what: str) -> Fault:
    """Return an error that reading an entry has raised as a fault that says where the entry stands."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, Malformed):
        return Fault(error.kind, where, str(error), error.remedy)
    lacks = f"it lacks {error}" if isinstance(error, KeyError) else shortened(error)
    return Fault("bad-label", where, f"is no {what} as its format says: {lacks}")


def why(fault: Fault) -> str:
    """Return in a few words why something of this fault is left out."""
    return _WHY.get(fault.kind, KINDS[fault.kind].title)


def with_background(names: Iterable[str]) -> list[str]:
    """Return the names, each once, with the background first: that among them, or one of that name."""
    known = background_first(names)
    return known if any(map(is_background, known)) else [BACKGROUND, *known]


def background_first(names: Iterable[str]) -> list[str]:
    """Return the names, each once, with the background among them first."""
    known = [*dict.fromkeys(names)]
    around = [name for name in known if is_background(name)][:1]
    return around + [name for name in known if name not in around]
