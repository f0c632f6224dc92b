"""What every format of labels is read into: images with shapes of a class, each drawn or left out.

A reader makes one ``Labelled`` of each image that a file has, and one ``Shape`` of each shape, usable or not,
through ``read_image`` and ``read_shape``: so ``tally.py`` accounts for all of them.
"""

from __future__ import annotations

import json
import math
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segnet.base.class_roles import BACKGROUND, background_of
from segnet.data.check.near_names import SPLIT_WORDS
from segnet.data.dataset import Mask
from segnet.data.faults import KINDS, Fault
from segnet.data.images.embedded_files import File
from segnet.data.labels.finding import read_text

_FARTHEST = 10  # image sides that a point may lie outside: what is farther is no point of this image
_LARGEST_SIDE = 1 << 20
_LONGEST = 120  # characters of a file that a message repeats
_MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError)
_HALF = re.compile(r"\\u[dD][89a-fA-F]")  # how JSON spells them

Polygon = tuple[float, ...]
"""x, y, x, y .. in pixels, the first pixel from 0 to 1; empty where there is no area."""

NOT_ANNOTATED = "not annotated"
"""Why an image is left out that nobody has labelled."""


@dataclass(frozen=True, eq=False)
class Shape:
    """One shape of a file: pixels of a class, or a shape that is left out."""

    label: str
    polygons: tuple[tuple[float, ...], ...] = ()
    """They add up; x, y, x, y .. in pixels, the first pixel from 0 to 1."""
    bitmap: Callable[[], npt.NDArray[np.bool_]] | None = None
    """Decodes the pixels when they are drawn: the bitmaps of all images would not fit into memory. Where it
    raises a Fault, the polygons are the shape's extent."""
    left_top: tuple[int, int] = (0, 0)
    """Where the bitmap lies, 0 or more."""
    kind: str = "polygon"
    """What its format calls it, for the table of what was drawn."""
    left_out: str = ""
    """Why it isn't drawn; its polygons are then its extent, whose pixels are ignored."""
    alone: bool = False
    """Whether it is an object whose pixels belong to no other, which is told where another has them too."""
    spoils: bool = False
    """Whether it is left out and nothing tells which pixels it covers: its image is left out too."""


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


@dataclass
class Labels:
    """What a source holds."""

    format: str
    classes: list[str]
    """By class id."""
    images: list[Labelled] = field(default_factory=list)
    """All of them, also those that are left out."""
    faults: list[Fault] = field(default_factory=list)
    wanted: dict[int, int] = field(default_factory=dict)
    """Of mask files, the id that is written for each class id, where other classes are wanted."""
    orphans: list[Shape] = field(default_factory=list)
    """Shapes that belong to no image of the source, each with ``left_out``."""
    no_shapes: Counter[str] = field(default_factory=Counter)
    """By kind, results that say something else than where a class is, such as a tag of the whole image."""
    description: Path | None = None
    """A dataset.yaml that is copied along with mask files."""


def read_shape(
    read: Callable[[], Shape],
    kind: str,
    where: str,
    faults: list[Fault],
    extent: Sequence[tuple[float, ...]] = (),
) -> Shape:
    """Return the shape that ``read`` gives; where that fails, collect the fault and return one left out.

    Args:
        read: raises a Fault ``flat-label`` for what has no area, so that nothing is lost, and another kind,
            or what Python raises for a missing or mistyped field, for a shape that can't be read.
        kind: what the format calls the shape.
        where: where it stands, for messages.
        faults: what the fault is added to.
        extent: polygons within which a shape that can't be read must lie, such as its box. Without one its
            image is left out.
    """
    try:
        return read()
    except Fault as error:
        fault = error
    except _MALFORMED as error:
        fault = Fault("bad-label", where, f"is no {kind} as its format says: {_malformed(error)}")
    faults.append(fault)
    harmless = fault.kind == "flat-label"
    covered = () if harmless else tuple(each for each in extent if each)
    return Shape("", covered, kind=kind, left_out=why(fault), spoils=not harmless and not covered)


def files_of_images(
    files: Iterable[Path], is_known: Callable[[Any], bool], other: str, labels: Labels
) -> Iterator[tuple[Path, Any]]:
    """Yield each JSON file of an image with its content; those that can't be read or are others are said.

    Args:
        files: what to read.
        is_known: whether a file's content is of the format.
        other: what to say of a file of another format.
        labels: what the faults are added to, and the images of files that can't be read.
    """
    for file in files:
        try:
            content = read_json(file)
        except Fault as fault:
            labels.faults.append(fault)
            labels.images.append(Labelled(None, "", str(file), left_out=why(fault)))
            continue
        if is_known(content):
            yield file, content
        else:
            labels.faults.append(Fault("other-file", file, other))


def read_image(
    read: Callable[[], Labelled], where: str, faults: list[Fault], kinds: Iterable[str] = ()
) -> Labelled:
    """Return the image that ``read`` gives; where that fails, collect the fault and return one left out.

    Args:
        read: as that of ``read_shape``.
        where: where the image stands, for messages.
        faults: what the fault is added to.
        kinds: the kind of each of its shapes, which are left out with it.
    """
    try:
        return read()
    except Fault as error:
        fault = error
    except _MALFORMED as error:
        fault = Fault("bad-label", where, f"is no image as its format says: {_malformed(error)}")
    faults.append(fault)
    return Labelled(None, "", where, shapes=[Shape("", kind=kind) for kind in kinds], left_out=why(fault))


_WHY = {
    "bad-label": "can't be read",
    "flat-label": "no area",
    "box-label": "no outline",
    "no-image": "image not there",
    "sizes-differ": "image of another size",
}


def why(fault: Fault) -> str:
    """Return in a few words why something of this fault is left out."""
    return _WHY.get(fault.kind, KINDS[fault.kind].title)


def _malformed(error: Exception) -> str:
    return f"it lacks {error}" if isinstance(error, KeyError) else shortened(error)


def shortened(stored: Any) -> str:
    """Return what a file holds as a text that fits into a message."""
    text = str(stored)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}.."


def kind_of(stored: Any) -> str:
    """Return what a file calls a shape's kind, if that is a word."""
    return stored if isinstance(stored, str) and stored and len(stored) <= 40 else "unknown"


def class_name(stored: Any) -> str:
    """Return what a file holds as the name of a class; nothing where it is none."""
    is_name = isinstance(stored, str | int) and not isinstance(stored, bool)
    return str(stored).strip() if is_name else ""


def with_background(names: Iterable[str]) -> list[str]:
    """Return the names, each once, with the background first: that among them, or one of that name."""
    known = [*dict.fromkeys(names)]
    around = next((name for name in known if background_of([name])), BACKGROUND)
    return [around, *(name for name in known if name != around)]


def size_of(width: Any, height: Any, where: str) -> tuple[int, int]:
    """Return a width and a height as numbers of pixels.

    Raises:
        Fault: they are none.
    """
    try:
        size = int(width), int(height)
    except (TypeError, ValueError, OverflowError):
        size = 0, 0
    if not all(0 < side <= _LARGEST_SIDE for side in size):
        raise Fault("bad-label", where, "doesn't say how large its image is")
    return size


def polygon(
    points: Any, size: tuple[int, int], where: str, scale: tuple[float, float] = (1.0, 1.0)
) -> tuple[float, ...]:
    """Return the numbers x, y, x, y .. as a polygon; one without an area is empty.

    Args:
        points: what a file holds: numbers, or pairs of them.
        size: width and height of the image.
        where: what to call it in an error.
        scale: what to multiply x and y by.

    Raises:
        Fault: not numbers, or far outside the image.
    """
    try:
        numbers = np.asarray(points, np.float64)
    except (TypeError, ValueError, OverflowError):
        numbers = np.array([math.nan])
    in_pairs = numbers.size % 2 == 0 if numbers.ndim == 1 else numbers.shape[1:] == (2,)
    if not in_pairs or not np.isfinite(numbers).all():
        raise Fault("bad-label", where, "has a polygon that is no list of points x, y")
    pairs = numbers.reshape(-1, 2) * scale
    limit = _FARTHEST * np.maximum(size, 1)
    if (np.abs(pairs) > limit).any():
        raise Fault("bad-label", where, f"has points far outside its image of {size[0]}×{size[1]} pixels")
    return tuple(pairs.ravel().tolist()) if len(pairs) >= 3 else ()


def rectangle(
    left: float, top: float, right: float, bottom: float, size: tuple[int, int]
) -> tuple[float, ...]:
    """Return the polygon of a rectangle as far as it lies in its image; an empty one without an area."""
    if not all(map(math.isfinite, (left, top, right, bottom))):
        return ()
    left, right = (min(max(x, 0.0), size[0]) for x in (left, right))
    top, bottom = (min(max(y, 0.0), size[1]) for y in (top, bottom))
    return () if left == right or top == bottom else (left, top, right, top, right, bottom, left, bottom)


def read_json(file: Path) -> Any:
    """Read a JSON file; halves of characters outside the basic plane, which can't be written, become ``?``.

    Raises:
        Fault: it can't be read or isn't JSON.
    """
    try:
        text = read_text(file)
        content = json.loads(text)
        if _HALF.search(text):
            content = json.loads(json.dumps(content, ensure_ascii=False).encode("utf-8", "replace"))
        return content
    except (ValueError, RecursionError) as error:
        raise Fault("bad-label", file, f"can't be read as JSON: {error}") from error


def find_image(names: Any, folders: Sequence[Path], where: str) -> Path:
    """Return the image that a file of labels names: by its path below a folder, else by its last part.

    Nothing outside the folders is read, wherever a name leads: labels come from other people.

    Args:
        names: what the file says, or several names, the likeliest first.
        folders: where images may be.
        where: what to call the entry in an error.

    Raises:
        Fault: no text, an image outside the folders, or none at all.
    """
    wanted = [names] if isinstance(names, str) else names
    texts = isinstance(wanted, list | tuple) and all(isinstance(name, str) for name in wanted)
    if not texts or not any(wanted):
        raise Fault("bad-label", where, "doesn't name its image")
    paths = [name.replace("\\", "/") for name in wanted if name]
    roots = [Path(os.path.normpath(folder.absolute())) for folder in folders]
    outside: Path | None = None
    spelled = [*paths, *(path.rpartition("/")[2] for path in paths)]
    forms = [unicodedata.normalize(form, path) for path in spelled for form in ("NFC", "NFD")]
    for candidate in dict.fromkeys([*spelled, *forms]):  # macOS takes letters and accents apart
        for root in roots:
            path = Path(os.path.normpath(root / candidate))
            if not candidate or not _is_file(path):
                continue
            if any(path.is_relative_to(each) for each in roots):
                return path
            outside = outside or path
    if outside:
        said = f"names the image {outside}, which lies outside the folders that are searched"
        raise Fault("no-image", where, said, f"give --images {outside.parent} if it is meant")
    said = f"names the image {shortened(wanted[0] if wanted else '')}, which is not there"
    raise Fault("no-image", where, said, "give --images its folder")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def name_below(name: str) -> str:
    """Return an image's name below the new folder: its path without suffix, if that leads nowhere else."""
    path = Path(name.replace("\\", "/"))
    inside = not path.is_absolute() and ".." not in path.parts and "://" not in name
    return path.with_suffix("").as_posix() if inside else path.stem


def split_of(text: str) -> str:
    """Return the split that a word of a file's or folder's name is, the first if several are, or nothing.

    ``instances_train2017`` and ``TrainImages`` have one; ``trainval``, ``latest`` and ``interval`` have none.
    """
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", text)
    return next((SPLIT_WORDS[word] for word in map(str.lower, words) if word in SPLIT_WORDS), "")
