"""Prediction for many files: which they are, what is found in each, and what is written.

Threads read the next images and write the last results while one batch is computed; only so many pixels are
held at a time, whatever the size of the photos. ``bulk`` does the same on many machines.
"""

from __future__ import annotations

import glob
import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from segnet.core.ahead import in_order
from segnet.core.colours import hex_code
from segnet.core.errors import SegnetError
from segnet.core.files import expand_home, replacing
from segnet.data.headers import read_header
from segnet.data.images import IMAGE_SUFFIXES
from segnet.inference.large import LargePicture
from segnet.inference.regions import Region
from segnet.inference.segmentation import Segmentation
from segnet.inference.segmenter import Prepared, Segmenter

_MASK, _OVERLAY, _UNCERTAINTY = ".mask.png", ".overlay.png", ".uncertainty.png"
_PROBABILITIES = ".probabilities.npy"


# Images computed together: on a CPU a few are as fast as many and take less memory; GPUs want more.
_BATCH_ON_CPU, _BATCH = 4, 16
FILES_TOGETHER = 16
"""After so many files a batch ends, full or not, so the same files at another place share theirs as here."""

_AHEAD = 32  # images that are read ahead, and as many that wait to be written
_AHEAD_PIXELS = 1 << 25  # of these: 100 MiB of photos, and what belongs to them; a larger one goes alone

Result = Segmentation | SegnetError
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


@dataclass(frozen=True)
class Written:
    """The files written for one image; None for those that were not asked for."""

    mask: Path
    """Class ids as a palette PNG."""

    overlay: Path | None
    """A picture for people."""

    uncertainty: Path | None
    """A picture of the uncertainty; None for a prediction without samples."""

    probabilities: Path | None
    """Softmax over the classes, ``(C, H, W)`` float16 as numpy writes it."""

    def by_kind(self) -> dict[str, Path]:
        """Return the files that there are, by what they are called where an image is described."""
        found: dict[str, Path | None] = asdict(self)
        found["uncertainty_map"] = found.pop("uncertainty")
        return {kind: file for kind, file in found.items() if file is not None}


def find_images(sources: Sequence[str]) -> list[Path]:
    """Return the image files that the sources stand for, each once, in the order given.

    Files named like an output, ``NAME.mask.png``, ``NAME.overlay.png`` and ``NAME.uncertainty.png``, are left
    out wherever they come from: the second ``segnet predict *.png --out .`` must not segment what the first
    one wrote.

    Args:
        sources: files, folders (searched to the bottom, by suffix) and glob patterns.

    Raises:
        SegnetError: a source that stands for nothing, or sources that hold nothing but outputs.
    """
    found: dict[Path, None] = {}
    for source in sources:
        if not source.strip():  # an unset variable of a shell; as a path it would be all of this folder
            raise SegnetError("an image's name is empty; name files, folders or patterns")
        path = expand_home(source)
        files = _images_below(path) if path.is_dir() else [path] if path.exists() else _matches(path)
        if not files:
            reason = (
                "the folder holds none"
                if path.is_dir()
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
    images = [file for file in files if not name_of(file).endswith((_MASK, _OVERLAY, _UNCERTAINTY))]
    if not images:
        raise SegnetError(
            f"{' '.join(sources)}: by their names (*{_MASK}, *{_OVERLAY}, *{_UNCERTAINTY}) these are "
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


def names_of(images: Iterable[PurePath], folders: Sequence[PurePath]) -> Iterator[str]:
    """Yield what each image's outputs are called, as ``pictures_of`` has it but for pages."""
    used: set[str] = set()
    for image in images:
        above = next((folder for folder in folders if image.is_relative_to(folder)), image.parent)
        stem = image.relative_to(above).with_name(image.stem).as_posix()
        name, number = stem, 2
        while name.casefold() in used:  # some file systems don't tell a.png from A.png
            name, number = f"{stem}-{number}", number + 1
        used.add(name.casefold())
        yield name


def pages_of(image: Path, name: str) -> Iterator[Picture]:
    """Yield each page of an image whose outputs have this name."""
    pages, pixels = 1, 0
    with suppress(SegnetError):  # which is said where it is read
        header = read_header(image)
        pages, pixels = header.frames, math.prod(header.stored)
    if pages == 1:
        yield Picture(image, name, None, pixels)
    else:
        for page in range(1, pages + 1):
            yield Picture(image, f"{name}.page{page}", page, pixels)


def write_segmentation(
    result: Segmentation, folder: Path, name: str, *, overlay: bool = True, probabilities: bool = False
) -> Written:
    """Write ``NAME.mask.png`` into the folder, and what else is asked for, each whole or not at all.

    A prediction by samples leaves ``NAME.uncertainty.png`` too.

    Args:
        result: what was found.
        folder: where to write.
        name: of the image, perhaps with folders.
        overlay: write ``NAME.overlay.png``.
        probabilities: write ``NAME.probabilities.npy``, 2 bytes a pixel and class.

    Raises:
        SegnetError: the folder can't be written to.
    """
    written = Written(
        mask=folder / f"{name}{_MASK}",
        overlay=folder / f"{name}{_OVERLAY}" if overlay else None,
        uncertainty=folder / f"{name}{_UNCERTAINTY}" if result.samples else None,
        probabilities=folder / f"{name}{_PROBABILITIES}" if probabilities else None,
    )
    _save(result.index_image(), written.mask)
    if written.overlay is not None:
        # at the usual level a large photo is compressed for half a minute, to save a sixth
        _save(result.overlay(), written.overlay, compress_level=1)
    if written.uncertainty is not None:
        _save(result.uncertainty_image(), written.uncertainty)
    if written.probabilities is not None:
        with replacing(written.probabilities) as temporary:
            result.save_probabilities(temporary)
    return written


def describe(
    picture: Picture, result: Segmentation, files: Mapping[str, object], regions: Iterable[Region] | None
) -> dict[str, Any]:
    """Return what is said of an image, as JSON takes it.

    Args:
        picture: the image.
        result: what was found in it.
        files: what was written, by kind.
        regions: those to list, if any.
    """
    line: dict[str, Any] = {"image": str(picture.file)}
    if picture.page is not None:
        line["page"] = picture.page
    line |= {kind: str(file) for kind, file in files.items()}
    line |= {"width": result.image.width, "height": result.image.height}
    line["classes"] = [
        {"id": number, "name": name, "colour": hex_code(colour), "share": round(share, 6)}
        for number, ((name, share), colour) in enumerate(
            zip(result.areas().items(), result.classes.colours, strict=True)
        )
    ]
    if result.uncertainty is not None:
        line["uncertainty"] = float(f"{result.uncertainty.mean(dtype='float64'):.6g}")
    if regions is not None:
        line["regions"] = [region.to_dict() for region in regions]
    return line


def predict_files(
    segmenter: Segmenter, pictures: Iterable[Picture], *, samples: int = 0, seed: int = 0
) -> Iterator[tuple[Picture, Result]]:
    """Yield each picture with what was found in it, or the error of a bad file, in order.

    They are computed in batches, where what one gets depends on its neighbours by float rounding at most.
    With samples, ``samples`` and ``seed`` are those of ``Segmenter.predict``, and each is computed alone.

    Raises:
        SegnetError: samples that the model can't give, before any image is read.
    """
    segmenter.require_sampling(samples, seed)

    def read(picture: Picture) -> tuple[Picture, Prepared | SegnetError]:
        try:
            return picture, segmenter.prepare(picture.file, page=picture.page or 1)
        except SegnetError as error:
            return picture, error

    prepared = in_order(
        read, pictures, most=_AHEAD, weigh=lambda picture: picture.pixels, budget=_AHEAD_PIXELS
    )
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
        for picture, each in batch:
            yield picture, each if isinstance(each, SegnetError) else next(results)


def _sampled(segmenter: Segmenter, prepared: Prepared, samples: int, seed: int) -> Result:
    try:
        return segmenter.sample(prepared, samples, seed)
    except SegnetError as error:  # of this picture alone: it is too large to be sampled
        return error


def finish_files(
    results: Iterable[tuple[Picture, Result]], finish: Callable[[Picture, Segmentation], T]
) -> Generator[T | SegnetError, None, None]:
    """Yield what ``finish`` makes of each result, in order, or the error of a file that is bad.

    Args:
        results: what ``predict_files`` gives.
        finish: what to do with the picture and what was found, such as writing it; it is called in threads,
            for several at a time.
    """

    def finish_one(result: tuple[Picture, Result]) -> T | SegnetError:
        picture, found = result
        return found if isinstance(found, SegnetError) else finish(picture, found)

    return in_order(finish_one, results, most=_AHEAD, weigh=_weight_of_result, budget=_AHEAD_PIXELS)


def _batches(
    prepared: Iterable[tuple[Picture, Prepared | SegnetError]], most: int
) -> Iterator[list[tuple[Picture, Prepared | SegnetError]]]:
    """Cut into batches of up to ``most`` images and not too many pixels; a bad file counts as an image."""
    batch: list[tuple[Picture, Prepared | SegnetError]] = []
    files = pixels = 0
    for each in prepared:
        if each[0].page in (None, 1):
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


def _weight_of_result(result: tuple[Picture, Result]) -> int:
    """Return the pixels that a result holds; logits at the image's own size are more than its pixels."""
    found = result[1]
    if isinstance(found, SegnetError):
        return 0
    kept = found.logits.size if isinstance(found.logits, np.ndarray) else 0
    return max(_pixels(found.image), kept)


def _images_below(folder: Path) -> list[Path]:
    """Return the image files of a folder and all folders in it, without hidden ones, sorted."""
    return sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in IMAGE_SUFFIXES
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        and not file.is_dir()  # a broken link stays in, to be reported
    )


def _matches(pattern: Path) -> list[Path]:
    names = glob.glob(str(pattern), recursive=True)  # noqa: PTH207 - Path.glob takes no absolute patterns
    return sorted(path for path in map(Path, names) if not path.is_dir())


def _save(image: Image.Image, target: Path, **options: Any) -> None:
    with replacing(target) as temporary:
        image.save(temporary, **options)
