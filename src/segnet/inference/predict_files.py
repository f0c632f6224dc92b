"""Prediction for many files: what is found in each, and what is written.

Threads read the next images and write the last results while one batch is computed; only so many pixels are
held at a time, whatever the size of the photos. ``bulk`` does the same on many machines.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from segnet.base.colours import hex_code
from segnet.base.errors import SegnetError
from segnet.base.files import replacing
from segnet.base.threads import in_order
from segnet.data.images.tiff_pages import TiffPage
from segnet.inference.find_pictures import GEOGRAPHIC_MASK, MASK, OVERLAY, PROBABILITIES, UNCERTAINTY, Picture
from segnet.inference.geotiff import write_geotiff
from segnet.inference.large_pictures import LargePicture
from segnet.inference.regions import Region
from segnet.inference.segmentation import Segmentation
from segnet.inference.segmenter import Prepared, Segmenter

# Images computed together: on a CPU a few are as fast as many and take less memory; GPUs want more.
_BATCH_ON_CPU, _BATCH = 4, 16
FILES_TOGETHER = 16
"""After so many files a batch ends, full or not, so the same files at another place share theirs as here."""

_AHEAD = 32  # images that are read ahead, and as many that wait to be written
_AHEAD_PIXELS = 1 << 25  # of these: 100 MiB of photos, and what belongs to them; a larger one goes alone

Result = Segmentation | SegnetError
T = TypeVar("T")


@dataclass(frozen=True)
class Written:
    """The files written for one image; None for those that were not asked for."""

    mask: Path
    """Class ids as a palette PNG, of a GeoTIFF as a GeoTIFF."""

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


def write_segmentation(
    result: Segmentation,
    folder: Path,
    name: str,
    *,
    overlay: bool = True,
    probabilities: bool = False,
    like: TiffPage | None = None,
) -> Written:
    """Write ``NAME.mask.png`` into the folder, and what else is asked for, each whole or not at all.

    A prediction by samples leaves ``NAME.uncertainty.png`` too.

    Args:
        result: what was found.
        folder: where to write.
        name: of the image, perhaps with folders.
        overlay: write ``NAME.overlay.png``.
        probabilities: write ``NAME.probabilities.npy``, 2 bytes a pixel and class.
        like: the page of a GeoTIFF that it was; the mask is then a GeoTIFF too, ``NAME.mask.tif``.

    Raises:
        SegnetError: the folder can't be written to.
    """
    written = Written(
        mask=folder / f"{name}{MASK if like is None else GEOGRAPHIC_MASK}",
        overlay=folder / f"{name}{OVERLAY}" if overlay else None,
        uncertainty=folder / f"{name}{UNCERTAINTY}" if result.samples else None,
        probabilities=folder / f"{name}{PROBABILITIES}" if probabilities else None,
    )
    if like is None:
        _save(result.index_image(), written.mask)
    else:
        write_geotiff(result.index_image(), written.mask, like)
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
    if result.missing is not None:
        line["nodata"] = round(float(result.missing.mean()), 6)
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
            with nullcontext() if picture.stream is None else closing(picture.stream):
                return picture, segmenter.prepare(picture.stream or picture.file, page=picture.page or 1)
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


def _save(image: Image.Image, target: Path, **options: Any) -> None:
    with replacing(target) as temporary:
        image.save(temporary, **options)
