"""Which files to segment, and what the results of each are called: files, folders, patterns and pages."""

from __future__ import annotations

import glob
import io
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import BinaryIO, TypeVar

from segnet.base.errors import SegnetError
from segnet.base.files import expand_home
from segnet.base.walking import paths_below
from segnet.data.images.headers import header_of
from segnet.data.images.picture_file import require_file
from segnet.data.images.reading import source_name
from segnet.data.images.suffixes import IMAGE_SUFFIXES, said_skipped
from segnet.data.images.tiff_pages import TiffPage, pages_of_tiff

MASK, OVERLAY, UNCERTAINTY = ".mask.png", ".overlay.png", ".uncertainty.png"
GEOGRAPHIC_MASK, PROBABILITIES = ".mask.tif", ".probabilities.npy"
_OUTPUTS = (MASK, GEOGRAPHIC_MASK, OVERLAY, UNCERTAINTY)
_OF_PAGE = re.compile(r"(.+)\.page\d+", re.DOTALL)  # a name that a page of another file may have

T = TypeVar("T")


@dataclass(frozen=True)
class Picture:
    """One picture to segment: a file, or one of its pages."""

    file: Path
    name: str
    """What its outputs are called, with the folders they lie in."""
    page: int | None = None
    """Which page or frame of the file, from 1; None where it has one alone."""
    pixels: int = 0
    """How many it will hold when it is read; 0 where that will fail anyway."""
    stream: BinaryIO | None = field(default=None, compare=False, repr=False)
    """The open file, which is closed when the picture is read; None where it is to be opened by its path."""
    like: TiffPage | None = field(default=None, compare=False, repr=False)
    """The page of a GeoTIFF that it is, whose place on the earth its mask has too."""


def find_images(sources: Sequence[str], skipped: list[PurePath] | None = None) -> list[Path]:
    """Return the image files that the sources stand for, each once, in the order given.

    Files named like an output, ``NAME.mask.png``, ``NAME.mask.tif``, ``NAME.overlay.png`` and
    ``NAME.uncertainty.png``, are left out wherever they come from: the second
    ``segnet predict *.png --out .`` must not segment what the first one wrote.

    Args:
        sources: files, folders (searched to the bottom, by suffix) and glob patterns.
        skipped: is given the files of folders that have no suffix of a picture.

    Raises:
        SegnetError: a source that stands for nothing, or sources that hold nothing but outputs.
    """
    found: dict[Path, None] = {}
    skipped = [] if skipped is None else skipped
    for source in sources:
        if not source.strip():  # an unset variable of a shell; as a path it would be all of this folder
            raise SegnetError("an image's name is empty; name files, folders or patterns")
        path = expand_home(source)
        is_folder = path.is_dir()
        files = _images_below(path, skipped) if is_folder else [path] if path.exists() else _matches(path)
        if not files:
            reason = (
                f"the folder holds none{f' ({said_skipped(skipped)})' if skipped else ''}"
                if is_folder
                else "no file or folder of this name, and as a pattern it matches none"
            )
            raise SegnetError(f"there is no image {source}: {reason}; check the path")
        found |= dict.fromkeys(files)
    return without_outputs(found, sources, lambda file: file.name)


def without_outputs(files: Iterable[T], sources: Sequence[str], name_of: Callable[[T], str]) -> list[T]:
    """Return the files that aren't named like outputs.

    Raises:
        SegnetError: all are, as found in the sources.
    """
    images = [file for file in files if not name_of(file).endswith(_OUTPUTS)]
    if not images:
        raise SegnetError(
            f"{' '.join(sources)}: by their names ({', '.join(f'*{each}' for each in _OUTPUTS)}) these are "
            "outputs of segnet; give photos, or rename a file to segment it all the same"
        )
    return images


def pictures_of(images: Iterable[Path], sources: Sequence[str] = ()) -> Iterator[Picture]:
    """Yield each page of each image, with the name of its outputs.

    That is the file's stem, below the same folders as it lies in where a folder was given; with a number from
    the second of one name on. Pages and frames have theirs behind it: ``scan.page2``.

    Args:
        images: what ``find_images`` gives.
        sources: what it was given.
    """
    folders = [path for path in map(expand_home, sources) if path.is_dir()]
    images = [*images]
    for image, name in zip(images, names_of(images, folders), strict=True):
        yield from pages_of(image, name)


def names_of(images: Iterable[PurePath], folders: Sequence[PurePath]) -> list[str]:
    """Return what each image's outputs are called, as ``pictures_of`` has it but for pages.

    No file is opened for it. So a file whose name another file's page may have gets a number as well, whether
    or not that file has pages: ``scan.page2.png`` beside ``scan.tif`` becomes ``scan.page2-2``.
    """
    names: list[str] = []
    used: set[str] = set()  # some file systems don't tell a.png from A.png

    def free(stem: str) -> str:
        name, number = stem, 2
        while name.casefold() in used:
            name, number = f"{stem}-{number}", number + 1
        used.add(name.casefold())
        return name

    def may_be_a_page(name: str) -> bool:
        of_page = _OF_PAGE.fullmatch(name)
        return of_page is not None and of_page[1].casefold() in used

    for image in images:
        above = next((folder for folder in folders if image.is_relative_to(folder)), image.parent)
        names.append(free(image.relative_to(above).with_name(image.stem).as_posix()))
    while again := [place for place, name in enumerate(names) if may_be_a_page(name)]:
        for place in again:
            names[place] = free(names[place])
    return names


def pages_of(image: Path, name: str, content: io.BytesIO | None = None) -> Iterator[Picture]:
    """Yield each page of an image whose outputs have this name.

    A file of one page comes open, so that it is opened once.

    Args:
        image: the file.
        name: of its outputs.
        content: its bytes with what messages call it, where it doesn't lie on the disk.
    """
    stream: BinaryIO | None = None
    try:
        if content is None:
            require_file(image)
        stream = image.open("rb") if content is None else _again(content)
        header = header_of(stream, source_name(stream))
        listed = pages_of_tiff(stream)
    except (SegnetError, OSError):  # which is said where it is read
        if stream is not None:
            stream.close()
        yield Picture(image, name, stream=None if content is None else _again(content))
        return
    # What is turned upright no longer lies as the tags say.
    places = [page if page.geo and header.orientation == 1 else None for page in listed] or [None]
    if header.frames == 1:
        pixels = math.prod(header.stored)
        yield Picture(image, name, None, pixels, stream, places[0])
        return
    stream.close()
    for page in range(1, header.frames + 1):
        pixels = listed[page - 1].pixels if listed else math.prod(header.stored)
        place = places[page - 1] if listed else None
        again = None if content is None else _again(content)
        yield Picture(image, f"{name}.page{page}", page, pixels, again, place)


def _again(content: io.BytesIO) -> BinaryIO:
    """Return a stream of the same bytes, so that several threads may read them."""
    stream = io.BytesIO(content.getvalue())
    stream.name = source_name(content)
    return stream


def _images_below(folder: Path, skipped: list[PurePath]) -> list[Path]:
    """Return the image files of a folder and all folders in it, as ``paths_below`` finds them."""
    found: list[Path] = []
    for file in paths_below(folder):  # a broken link stays in, to be reported
        if file.suffix.lower() in IMAGE_SUFFIXES:
            found.append(file)
        elif not file.name.endswith(PROBABILITIES):
            skipped.append(file)
    return found


def _matches(pattern: Path) -> list[Path]:
    names = glob.glob(str(pattern), recursive=True)  # noqa: PTH207 - Path.glob takes no absolute patterns
    return sorted(path for path in map(Path, names) if not path.is_dir())
