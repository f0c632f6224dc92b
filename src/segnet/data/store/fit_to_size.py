"""How an image of any size becomes what a network takes: squeezed, padded, or cut into patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from segnet.data.images.intensity import RGB, Intensity
from segnet.data.images.pixel_values import Pixels

Resize = Literal["nearest", "area", "bilinear"]

# Pillow's filters. NEAREST takes the pixel under the centre ("nearest-exact" elsewhere), the other two
# average over the whole source area. Masks always use NEAREST.
RESIZE = {
    "nearest": Image.Resampling.NEAREST,
    "area": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
}


@dataclass(frozen=True)
class Fit:
    """What happens to every image before the network, in training and in prediction alike."""

    size: tuple[int, int]
    """``(H, W)`` that the network gets."""

    resize: Resize
    """The method for images; masks are resized by nearest."""

    patch_scale: float | None = None
    """Where set, images keep this share of their own height and width, and patches of ``size`` are cut."""

    keep_aspect: bool = False
    """Images keep their proportions: they are resized to fit into ``size``, and mirrored below or right."""

    intensity: Intensity = RGB
    """Which channels the network gets, and what is black and white in them."""

    def inner_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the ``(h, w)`` that an image of ``(H, W)`` is resized to, before anything is mirrored."""
        if self.patch_scale is not None:
            return _at_least_a_pixel(size, self.patch_scale)
        if not self.keep_aspect:
            return self.size
        scale = min(self.size[0] / size[0], self.size[1] / size[1])
        height, width = _at_least_a_pixel(size, scale)
        return min(height, self.size[0]), min(width, self.size[1])

    def image(self, image: Image.Image | Pixels) -> Pixels:
        """Return a picture in mode RGB, or of 8 bits ``(H, W, C)``, as ``(h, w, C)``.

        That is at ``size``, or whole where patches are cut.
        """
        method = RESIZE[self.resize]
        if isinstance(image, Image.Image):
            return self._padded(np.asarray(self._resized(image, method)))
        channels = [self._resized(Image.fromarray(each), method) for each in np.moveaxis(image, -1, 0)]
        return self._padded(np.stack([np.asarray(each) for each in channels], axis=-1))

    def mask(self, mask: Pixels, *, beyond: int) -> Pixels:
        """Return a mask ``(H, W)`` as ``image`` does its image; what lies beyond the edge is ``beyond``."""
        resized = self._resized(Image.fromarray(mask), Image.Resampling.NEAREST)
        return self._padded(np.asarray(resized), beyond)

    def _resized(self, image: Image.Image, method: Image.Resampling) -> Image.Image:
        height, width = self.inner_size((image.height, image.width))
        return image if (width, height) == image.size else image.resize((width, height), method)

    def _padded(self, pixels: Pixels, beyond: int | None = None) -> Pixels:
        return pixels if self.patch_scale is not None else window(pixels, 0, 0, self.size, beyond)


def window(
    pixels: npt.NDArray[Any], top: int, left: int, size: tuple[int, int], beyond: int | None = None
) -> npt.NDArray[Any]:
    """Return ``size`` pixels of ``(H, W, ...)`` from a row and column of it.

    What lies below or right of the edge is mirrored, or ``beyond`` where that is given.
    """
    found = pixels[top : top + size[0], left : left + size[1]]
    missing = size[0] - found.shape[0], size[1] - found.shape[1]
    if not any(missing):
        return found
    width = [(0, each) for each in missing] + [(0, 0)] * (pixels.ndim - 2)
    if beyond is None:
        return np.pad(found, width, mode="symmetric")
    return np.pad(found, width, constant_values=beyond)


def _at_least_a_pixel(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
