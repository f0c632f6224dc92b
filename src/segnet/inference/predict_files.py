"""Prediction for many files: which images and pages, what their results are called, what is found in them.

Threads read the next images and work on the last results while one batch is computed; only so many pixels are
held at a time, whatever the size of the photos. ``bulk`` does the same on many machines.
"""

from __future__ import annotations

import glob
import math
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TypeVar

import numpy as np
from PIL import Image

from segnet.base.errors import SegnetError
from segnet.base.files import expand_home
from segnet.base.threads import in_order
from segnet.base.walking import paths_below
from segnet.data.images.embedded_files import File
from segnet.data.images.reading import Picture
from segnet.data.images.suffixes import IMAGE_SUFFIXES, said_skipped
from segnet.data.images.tiff import TiffPage
from segnet.inference.segmentation import Segmentation
from segnet.inference.segmenter import Prepared, Segmenter
from segnet.inference.tiles import LargePicture

MASK, OVERLAY, UNCERTAINTY = ".mask.png", ".overlay.png", ".uncertainty.png"
GEOGRAPHIC_MASK, PROBABILITIES, CUTOUT = ".mask.tif", ".probabilities.npy", ".cutout.png"
_OUTPUTS = (MASK, GEOGRAPHIC_MASK, OVERLAY, CUTOUT, UNCERTAINTY)
_OF_PAGE = re.compile(r"(.+)\.page\d+", re.DOTALL)  # a name that a page of another file may have

# Images computed together: on a CPU a few are as fast as many and take less memory; GPUs want more.
_BATCH_ON_CPU, _BATCH = 4, 16
FILES_TOGETHER = 16
"""After so many files a batch ends, full or not, so the same files at another place share theirs as here."""

_AHEAD = 32  # images that are read ahead, and as many that wait to be written
_AHEAD_PIXELS = 1 << 25  # of these: 100 MiB of photos, and what belongs to them; a larger one goes alone

Result = Segmentation | SegnetError
T = TypeVar("T")


@dataclass(frozen=True)
class Page:
    """One page of an image file to segment, mostly its only one."""

    file: Path
    """The image, as results call it."""
    name: str
    """What its outputs are called, with the folders they lie in."""
    number: int | None = None
    """Which page or frame of the file, from 1; None where it has one alone."""
    pixels: int = 0
    """How many it will hold when it is read; 0 where that will fail anyway."""
    source: File | Picture | None = field(default=None, compare=False, repr=False)
    """What it is read from: an open picture, which is closed then, or a file; None for ``file``."""
    like: TiffPage | None = field(default=None, compare=False, repr=False)
    """The page of a GeoTIFF that it is, whose place on the earth its mask has too."""


def find_images(sources: Sequence[str], skipped: list[PurePath] | None = None) -> list[Path]:
    """Return the image files that the sources stand for, each once, in the order given.

    Files named like an output, ``NAME.mask.png``, ``NAME.mask.tif``, ``NAME.overlay.png``,
    ``NAME.cutout.png`` and ``NAME.uncertainty.png``, are left out wherever they come from: the second
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


def pictures_of(images: Iterable[Path], sources: Sequence[str] = ()) -> Iterator[Page]:
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


def pages_of(image: Path, name: str, source: File | None = None) -> Iterator[Page]:
    """Yield each page of an image whose outputs have this name.

    A file of one page comes open, so that it is opened once.

    Args:
        image: the file.
        name: of its outputs.
        source: what it is read from, where that isn't its path.
    """
    file: File = source or image
    opened: File | Picture = file
    try:
        opened = picture = Picture(file)
        header, listed = picture.header, picture.pages
    except SegnetError:  # which is said where it is read
        yield Page(image, name, source=opened)
        return
    # What is turned upright no longer lies as the tags say.
    places = [page if page.geo and header.orientation == 1 else None for page in listed] or [None]
    if header.frames == 1:
        yield Page(image, name, None, math.prod(header.stored), picture, places[0])
        return
    picture.close()
    for number in range(1, header.frames + 1):
        pixels = listed[number - 1].pixels if listed else math.prod(header.stored)
        place = places[number - 1] if listed else None
        yield Page(image, f"{name}.page{number}", number, pixels, file, place)


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


def predict_files(
    segmenter: Segmenter, pages: Iterable[Page], *, samples: int = 0, seed: int = 0
) -> Iterator[tuple[Page, Result]]:
    """Yield each page with what was found in it, or the error of a bad file, in order.

    They are computed in batches, where what one gets depends on its neighbours by float rounding at most.
    With samples, ``samples`` and ``seed`` are those of ``Segmenter.predict``, and each is computed alone.

    Raises:
        SegnetError: samples that the model can't give, before any image is read.
    """
    segmenter.require_sampling(samples, seed)

    def read(page: Page) -> tuple[Page, Prepared | SegnetError]:
        source = page.source or page.file
        try:
            with source if isinstance(source, Picture) else Picture(source) as picture:
                return page, segmenter.prepare(picture, page=page.number or 1)
        except SegnetError as error:
            return page, error

    prepared = in_order(read, pages, most=_AHEAD, weigh=lambda page: page.pixels, budget=_AHEAD_PIXELS)
    alone = samples or segmenter.description.patch_scale is not None
    most = 1 if alone else _BATCH_ON_CPU if segmenter.device == "cpu" else _BATCH
    for batch in _batches(prepared, most):
        good = [each for _, each in batch if not isinstance(each, SegnetError)]
        found: Sequence[Result]
        if samples:
            found = [_sampled(segmenter, each, samples, seed) for each in good]
        else:
            found = segmenter.predict_batch(good) if good else []
        results = iter(found)
        for page, each in batch:
            yield page, each if isinstance(each, SegnetError) else next(results)


def _sampled(segmenter: Segmenter, prepared: Prepared, samples: int, seed: int) -> Result:
    try:
        return segmenter.sample(prepared, samples, seed)
    except SegnetError as error:  # of this page alone: it is too large to be sampled
        return error


def finish_files(
    results: Iterable[tuple[Page, Result]], finish: Callable[[Page, Segmentation], T]
) -> Generator[T | SegnetError, None, None]:
    """Yield what ``finish`` makes of each result, in order, or the error of a file that is bad.

    Args:
        results: what ``predict_files`` gives.
        finish: what to do with the page and what was found, such as writing it; it is called in threads,
            for several at a time.
    """

    def finish_one(result: tuple[Page, Result]) -> T | SegnetError:
        page, found = result
        return found if isinstance(found, SegnetError) else finish(page, found)

    return in_order(finish_one, results, most=_AHEAD, weigh=_weight_of_result, budget=_AHEAD_PIXELS)


def _batches(
    prepared: Iterable[tuple[Page, Prepared | SegnetError]], most: int
) -> Iterator[list[tuple[Page, Prepared | SegnetError]]]:
    """Cut into batches of up to ``most`` images and not too many pixels; a bad file counts as an image."""
    batch: list[tuple[Page, Prepared | SegnetError]] = []
    files = pixels = 0
    for each in prepared:
        if each[0].number in (None, 1):
            files += 1
            if batch and files % FILES_TOGETHER == 1:
                yield batch
                batch, pixels = [], 0
        batch.append(each)
        pixels += 0 if isinstance(each[1], SegnetError) else _pixels(each[1].image)
        if len(batch) == most or pixels > _AHEAD_PIXELS:
            yield batch
            batch, pixels = [], 0
    if batch:
        yield batch


def _pixels(image: Image.Image | LargePicture) -> int:
    return image.width * image.height


def _weight_of_result(result: tuple[Page, Result]) -> int:
    """Return the pixels that a result holds; logits at the image's own size are more than its pixels."""
    found = result[1]
    if isinstance(found, SegnetError):
        return 0
    kept = found.logits.size if isinstance(found.logits, np.ndarray) else 0
    return max(_pixels(found.image), kept)
