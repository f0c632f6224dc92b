"""Prediction for many files: which they are, what is found in each, and what is written.

Threads read the next images and write the last results while one batch is computed; only so many pixels are
held at a time, whatever the size of the photos.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PIL import Image

from segnet.core.ahead import in_order
from segnet.core.errors import SegnetError
from segnet.core.files import expand_home, replacing
from segnet.data.images import IMAGE_SUFFIXES
from segnet.inference.segmentation import Segmentation
from segnet.inference.segmenter import Prepared, Segmenter

_MASK, _OVERLAY, _UNCERTAINTY = ".mask.png", ".overlay.png", ".uncertainty.png"


# Images computed together: on a CPU a few are as fast as many and take less memory; GPUs want more.
_BATCH_ON_CPU, _BATCH = 4, 16
_AHEAD = 32  # images that are read ahead, and as many that wait to be written
_AHEAD_PIXELS = 1 << 25  # of these: 100 MiB of photos, and what belongs to them; a larger one goes alone

Result = Segmentation | SegnetError
T = TypeVar("T")


@dataclass(frozen=True)
class Written:
    """The files written for one image."""

    mask: Path
    """Class ids as a palette PNG."""

    overlay: Path
    """A picture for people."""

    uncertainty: Path | None
    """A picture of the uncertainty; None for a prediction without samples."""


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
    images = [file for file in found if not file.name.endswith((_MASK, _OVERLAY, _UNCERTAINTY))]
    if not images:
        raise SegnetError(
            f"{' '.join(sources)}: by their names (*{_MASK}, *{_OVERLAY}, *{_UNCERTAINTY}) these are "
            "outputs of segnet; give photos, or rename a file to segment it all the same"
        )
    return images


def output_names(images: Sequence[Path]) -> Iterator[str]:
    """Yield a name for each image: its stem, with a number from the second of the same stem on."""
    used: set[str] = set()
    for image in images:
        name, number = image.stem, 2
        while name.casefold() in used:  # some file systems don't tell a.png from A.png
            name, number = f"{image.stem}-{number}", number + 1
        used.add(name.casefold())
        yield name


def write_segmentation(result: Segmentation, folder: Path, name: str) -> Written:
    """Write ``NAME.mask.png`` and ``NAME.overlay.png`` into the folder, each whole or not at all.

    A prediction by samples leaves ``NAME.uncertainty.png`` too.

    Raises:
        SegnetError: the folder can't be written to.
    """
    uncertainty = folder / f"{name}{_UNCERTAINTY}" if result.samples else None
    written = Written(folder / f"{name}{_MASK}", folder / f"{name}{_OVERLAY}", uncertainty)
    _save(result.index_image(), written.mask)
    _save(result.overlay(), written.overlay)
    if written.uncertainty is not None:
        _save(result.uncertainty_image(), written.uncertainty)
    return written


def predict_files(
    segmenter: Segmenter, images: Sequence[Path], *, samples: int = 0, seed: int = 0
) -> Iterator[tuple[Path, str, Result]]:
    """Yield each image with its output name and what was found, or the error of a file that is bad, in order.

    Images are computed in batches, where what one gets depends on its neighbours by float rounding at most.
    With samples, ``samples`` and ``seed`` are those of ``Segmenter.predict``, and each image is computed
    alone, from the seed.

    Raises:
        SegnetError: samples that the model can't give, before any image is read.
    """
    segmenter.require_sampling(samples, seed)

    def read(image: Path) -> Prepared | SegnetError:
        try:
            return segmenter.prepare(image)
        except SegnetError as error:
            return error

    prepared = in_order(read, images, most=_AHEAD, weigh=_pixels_of_file, budget=_AHEAD_PIXELS)
    named = zip(images, output_names(images), prepared, strict=True)
    most = 1 if samples else _BATCH_ON_CPU if segmenter.device == "cpu" else _BATCH
    for batch in _batches(named, most):
        good = [each for _, _, each in batch if not isinstance(each, SegnetError)]
        if samples:
            found = [segmenter.sample(each, samples, seed) for each in good]
        else:
            found = segmenter.predict_batch(good) if good else []
        results = iter(found)
        for image, name, each in batch:
            yield image, name, each if isinstance(each, SegnetError) else next(results)


def finish_files(
    results: Iterable[tuple[Path, str, Result]], finish: Callable[[Path, str, Segmentation], T]
) -> Generator[T | SegnetError, None, None]:
    """Yield what ``finish`` makes of each result, in order, or the error of a file that is bad.

    Args:
        results: what ``predict_files`` gives.
        finish: what to do with the image, its output name and what was found, such as writing it; it is
            called in threads, for several at a time.
    """

    def finish_one(result: tuple[Path, str, Result]) -> T | SegnetError:
        image, name, found = result
        return found if isinstance(found, SegnetError) else finish(image, name, found)

    return in_order(finish_one, results, most=_AHEAD, weigh=_pixels_of_result, budget=_AHEAD_PIXELS)


def _batches(
    named: Iterable[tuple[Path, str, Prepared | SegnetError]], most: int
) -> Iterator[list[tuple[Path, str, Prepared | SegnetError]]]:
    """Cut into batches of up to ``most`` images and not too many pixels; a bad file counts as an image."""
    batch: list[tuple[Path, str, Prepared | SegnetError]] = []
    pixels = 0
    for each in named:
        batch.append(each)
        pixels += 0 if isinstance(each[2], SegnetError) else _pixels(each[2].image)
        if len(batch) == most or pixels > _AHEAD_PIXELS:
            yield batch
            batch, pixels = [], 0
    if batch:
        yield batch


def _pixels(image: Image.Image) -> int:
    return image.width * image.height


def _pixels_of_file(path: Path) -> int:
    """Return what a file will hold when it is read; 0 where that will fail anyway."""
    with suppress(Exception), Image.open(path) as image:  # only its head is read
        return _pixels(image)
    return 0


def _pixels_of_result(result: tuple[Path, str, Result]) -> int:
    return 0 if isinstance(result[2], SegnetError) else _pixels(result[2].image)


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


def _save(image: Image.Image, target: Path) -> None:
    with replacing(target) as temporary:
        image.save(temporary)
