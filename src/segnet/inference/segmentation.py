"""What was found in one image: mask, probabilities and pictures at the image's own size, in numpy alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from numpy.lib.format import open_memmap
from PIL import Image

from segnet.base.class_roles import background_of
from segnet.base.classes import IGNORE_INDEX, ClassTable
from segnet.base.errors import SegnetError
from segnet.inference.overlay import overlay
from segnet.inference.regions import Region, find_regions
from segnet.inference.tiles import LargePicture, Maps, Tiles

MOST_KEPT = 1 << 26
"""More logits than this, 256 MiB of them, are not kept but computed anew where they are needed again."""

_STRIP_VALUES = 1 << 22  # 16 MiB of a resampled map at a time
_FAINT = 0.1  # a smaller probability of the foreground doesn't show in a cut-out
_BRIGHTEST = 0.5  # the standard deviation of a value that is 0 half the time and 1 the other half


@dataclass(frozen=True, eq=False)
class SoftmaxSamples:
    """What ``count`` passes with dropout said about one image, at the size the model works at."""

    count: int

    mean: npt.NDArray[np.float32]
    """Softmax ``(C, h, w)`` float32, the mean over the samples; sums to 1 over the classes."""

    variance: npt.NDArray[np.float32]
    """``(h, w)`` float32: the variance of the softmax over the samples (their sum of squared differences
    from the mean / count), averaged over the classes as the paper's figures show it. From 0 to 0.25, which
    two classes reach; C classes stay below 1 / C."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What was found in one image of ``(H, W)`` pixels.

    Maps of the size that the model works at, ``(h, w)``, are resampled bilinearly to the image's, with pixel
    centres as in ``F.interpolate`` without ``align_corners``. Where the image is smaller than that, each of
    its pixels averages over all that it covers.
    """

    image: Image.Image | LargePicture
    """The image, RGB, turned upright; one that is too large to keep is decoded when it is asked for."""

    classes: ClassTable

    logits: Maps | Tiles
    """``(C, h, w)`` float32, at the size the model works at; mask and probabilities resample them. Those of a
    sampled prediction are the log of its mean softmax. Of an image too large to keep them (256 MiB),
    a model that takes patches gives what computes them anew, band by band."""

    samples: SoftmaxSamples | None = None
    """What the passes with dropout said; mask and probabilities then resample their mean softmax."""

    threshold: float | None = None
    """Of two classes, the foreground's probability above which a pixel is foreground; None: the more
    probable class."""

    missing: npt.NDArray[np.bool_] | None = None
    """Pixels ``(H, W)`` of which the image holds no data (NoData of a GeoTIFF); None where it has all."""

    @cached_property
    def mask(self) -> npt.NDArray[np.uint8]:
        """Class id of each pixel, ``(H, W)`` uint8; 255 where the image holds no data."""
        mask = self._class_ids()
        if self.missing is not None:
            mask[self.missing] = IGNORE_INDEX
        return mask

    def _class_ids(self) -> npt.NDArray[np.uint8]:
        mask = np.zeros((self.image.height, self.image.width), np.uint8)
        foreground = None if self.threshold is None else self.classes.foreground
        if foreground is not None:
            for rows, strip in self._probability_strips():
                mask[rows] = np.where(strip[foreground] > self.threshold, foreground, 1 - foreground)
            return mask
        for rows, strip in self._strips(self.samples.mean if self.samples else self.logits):
            # The running maximum takes less than half the time of argmax over the first axis.
            best, ids = strip[0], mask[rows]
            for index in range(1, len(strip)):
                np.putmask(ids, strip[index] > best, index)
                np.maximum(best, strip[index], out=best)
        return mask

    @cached_property
    def probabilities(self) -> Maps:
        """Softmax over the classes, ``(C, H, W)`` float32: 12 bytes a pixel for three classes."""
        result = np.empty((len(self.classes), self.image.height, self.image.width), np.float32)
        for rows, strip in self._probability_strips():
            result[:, rows] = strip
        return result

    def save_probabilities(self, file: Path | BinaryIO) -> None:
        """Write the softmax over the classes as .npy, ``(C, H, W)`` float16, to a file or an open stream.

        A file is written a strip at a time; what goes to a stream is held in memory first.
        """
        shape = (len(self.classes), self.image.height, self.image.width)
        result: npt.NDArray[np.float16]
        if isinstance(file, Path):
            result = open_memmap(file, "w+", np.float16, shape)
        else:
            result = np.empty(shape, np.float16)
        for rows, strip in self._probability_strips():
            result[:, rows] = strip
        if isinstance(result, np.memmap):
            result.flush()
        else:
            np.save(file, result)

    @cached_property
    def uncertainty(self) -> Maps | None:
        """Variance of the softmax over the samples, averaged over the classes, ``(H, W)`` float32.

        From 0, where all samples agree, to 0.25; see ``SoftmaxSamples``. None for a prediction without
        samples: it was not measured, as with every score that isn't there.
        """
        if self.samples is None:
            return None
        return np.concatenate([strip[0] for _, strip in self._strips(self.samples.variance[None])])

    def areas(self) -> dict[str, float]:
        """Return the share of the image's pixels that each class takes, 0 to 1; NoData doesn't count."""
        counts = Image.fromarray(self.mask).histogram()
        pixels = max(1, self.mask.size - counts[IGNORE_INDEX])
        return {name: counts[i] / pixels for i, name in enumerate(self.classes.names)}

    def regions(self, *, least_px: int = 1) -> Iterator[Region]:
        """Yield the connected regions of each class but a background: area, box, centroid and pixels.

        ``len(list(result.regions()))`` says how many nuclei there are, say.

        Args:
            least_px: smaller regions are left out.

        Raises:
            SegnetError: SciPy isn't installed, or ``least_px`` is below 1.
        """
        return find_regions(self.mask, self.classes, least_px=least_px)

    def overlay(self) -> Image.Image:
        """Return the image with the classes painted over it; the background stays bare."""
        image = self.image if isinstance(self.image, Image.Image) else self.image.decode()
        return overlay(image, self.mask, self.classes, background=background_of(self.classes.names))

    def cutout(self) -> Image.Image:
        """Return what isn't background as an RGBA picture of the image's size.

        A pixel's alpha is the probability that it is not background, so edges are soft. Probabilities below
        10 % become transparent and those above 90 % opaque, or a faint veil would lie over the whole picture.
        Pixels without data are transparent.

        Raises:
            SegnetError: no class is the background.
        """
        name = background_of(self.classes.names)
        if name is None:
            raise SegnetError(
                f"a cut-out leaves the background away, and no class of the model is called background: it "
                f"has {', '.join(self.classes.names)}; take the mask or the overlay"
            )
        background = self.classes.names.index(name)
        alpha = np.empty((self.image.height, self.image.width), np.uint8)
        for rows, strip in self._probability_strips():
            kept = (1 - strip[background] - _FAINT) / (1 - 2 * _FAINT)
            alpha[rows] = (255 * kept.clip(0, 1)).round()
        if self.missing is not None:
            alpha[self.missing] = 0
        image = self.image if isinstance(self.image, Image.Image) else self.image.decode()
        image = image.convert("RGBA")
        image.putalpha(Image.fromarray(alpha))
        return image

    def index_image(self) -> Image.Image:
        """Return the mask as a palette image: its values are class ids, its look the class colours."""
        image = Image.fromarray(self.mask)
        image.putpalette(self.classes.palette().tobytes())  # makes it mode P
        return image

    def uncertainty_image(self) -> Image.Image:
        """Return the uncertainty as a picture: black where samples agree, brighter where they differ.

        Its palette is matplotlib's magma over a standard deviation of 0 to 0.5, in every picture alike.

        Raises:
            SegnetError: a prediction without samples.
        """
        if self.uncertainty is None:
            raise SegnetError("a prediction without samples has no uncertainty; predict with samples=20, say")
        return paint_uncertainty(self.uncertainty)

    def _probability_strips(self) -> Iterator[tuple[slice, Maps]]:
        for rows, strip in self._strips(self.samples.mean if self.samples else self.logits):
            if not self.samples:
                strip -= strip.max(axis=0)
                np.exp(strip, out=strip)
                strip /= strip.sum(axis=0)
            yield rows, strip

    def _strips(self, maps: Maps | Tiles) -> Iterator[tuple[slice, Maps]]:
        """Yield rows of the image, and maps ``(C, h, w)`` resampled to these rows, ``(C, rows, W)``.

        A photo of 100 megapixels needs no gigabytes for it.
        """
        if isinstance(maps, np.ndarray):
            bands, height, width = iter([maps]), *maps.shape[1:]
        else:
            bands, height, width = maps.bands(), *maps.extent
        wide, high = self.image.size
        reach = math.ceil(max(1.0, height / high)) + 1  # rows around its own that a resampled row looks at
        size = max(1, _STRIP_VALUES // (len(self.classes.names) * wide))
        rows, begin = next(bands), 0
        for first in range(0, high, size):
            last = min(first + size, high)
            top, bottom = first * height / high, last * height / high
            end = min(height, math.ceil(bottom) + reach)
            if (known := begin + rows.shape[1]) < end:
                pieces = [rows]
                while known < end:
                    pieces.append(next(bands))
                    known += pieces[-1].shape[1]
                rows = np.concatenate(pieces, axis=1)
            unused = max(0, math.floor(top) - reach - begin)
            rows, begin = rows[:, unused:], begin + unused
            if (height, width) == (high, wide):
                yield slice(first, last), rows[:, first - begin : last - begin].copy()
                continue
            pictures = [Image.fromarray(np.ascontiguousarray(each[: end - begin])) for each in rows]
            box, shape = (0, top - begin, width, bottom - begin), (wide, last - first)
            resized = [picture.resize(shape, Image.Resampling.BILINEAR, box) for picture in pictures]
            yield slice(first, last), np.stack([np.asarray(each) for each in resized])


def paint_uncertainty(uncertainty: npt.NDArray[np.float32]) -> Image.Image:
    """Return a picture of a variance map ``(H, W)``: black where it is 0, matplotlib's magma up to 0.25.

    Brightness follows the standard deviation: value v of the palette image stands for v / 255 · 0.5. The
    range is fixed, so that pictures compare.
    """
    from matplotlib import colormaps  # takes a while to load, and most predictions need no picture

    rows = max(1, _STRIP_VALUES // uncertainty.shape[1])
    values = np.empty(uncertainty.shape, np.uint8)
    for first in range(0, len(values), rows):
        block = slice(first, first + rows)
        values[block] = (np.sqrt(uncertainty[block]) * (255 / _BRIGHTEST)).round().clip(0, 255)
    picture = Image.fromarray(values)
    colours = colormaps["magma"](np.arange(256), bytes=True)[:, :3]
    picture.putpalette(colours.tobytes())  # makes it mode P
    return picture
