"""Prediction: open a model, give it an image of any size and kind, get a mask of the image's own size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, NamedTuple, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from segnet.base.classes import ClassTable
from segnet.base.errors import SegnetError
from segnet.base.files import expand_home
from segnet.data.images.nodata import Missing, missing_pixels
from segnet.data.images.pixel_values import Pixels, visible
from segnet.data.images.reading import Picture, as_rgb, open_rgb
from segnet.inference.description import Description
from segnet.inference.runtimes import Images, Runtime
from segnet.inference.segmentation import MOST_KEPT, Segmentation, SoftmaxSamples
from segnet.inference.tiles import LARGE_PX, LargePicture, Maps, SpooledRows, Tiles, spool

if TYPE_CHECKING:
    from torch import nn

    from segnet.inference.runtimes.with_torch import TorchRuntime

ImageSource = str | Path | BinaryIO | Image.Image | npt.NDArray[Any]


class Prepared(NamedTuple):
    """An image as the model takes it."""

    image: Image.Image | LargePicture
    """RGB, upright, of its own size; of other channels what people can see of them."""

    pixels: npt.NDArray[np.uint8] | SpooledRows
    """``(h, w, C)``, at the model's size; for one that takes patches, the whole image at its scale."""

    missing: Missing | None = None
    """Pixels ``(H, W)`` of the image without data, None where all have."""


class Segmenter:
    """A model with all it needs to predict; ``segnet.load`` opens one."""

    def __init__(self, runtime: Runtime, description: Description, *, threshold: float | None = None) -> None:
        self.runtime = runtime
        self.description = description
        self.threshold = threshold
        self._fit = description.fit
        self._takes_photos = description.intensity.is_plain

    def __repr__(self) -> str:
        classes = ", ".join(self.classes.names)
        return f"Segmenter({self.description.model}: {classes}, {self.runtime.name} on {self.device})"

    @property
    def classes(self) -> ClassTable:
        """Names and colours of the mask's values."""
        return self.description.classes

    @property
    def device(self) -> str:
        """Where it computes, by the runtime's name of it."""
        return self.runtime.device

    @property
    def model(self) -> nn.Module:
        """The module that predicts.

        Raises:
            SegnetError: an exported model, which has none.
        """
        return self._torch("is no torch module").model

    def at_threshold(self, threshold: float | Literal["chosen"]) -> Segmenter:
        """Return this segmenter with another line between its two classes.

        Args:
            threshold: the foreground's probability above which a pixel is foreground, or the one that was
                chosen on validation images and is kept in the model file.

        Raises:
            SegnetError: more classes than two, a number outside 0 to 1, or a file that keeps none.
        """
        if len(self.classes) != 2:
            raise SegnetError(
                f"a threshold lies between two classes, and the model has {len(self.classes)}: "
                f"{', '.join(self.classes.names)}; leave it out"
            )
        value = self.description.threshold if threshold == "chosen" else threshold
        if value is None:
            raise SegnetError("the model file keeps no threshold; give a number, such as 0.4")
        if not 0 < value < 1:
            raise SegnetError(f"a threshold is a probability between 0 and 1, not {value:g}")
        return Segmenter(self.runtime, self.description, threshold=value)

    def predict(self, image: ImageSource, *, samples: int = 0, seed: int = 0, page: int = 1) -> Segmentation:
        """Segment one image, once without dropout or as the mean of ``samples`` passes with it.

        Samples need a model trained with dropout (Bayesian SegNet, arXiv 1511.02680); the result then has an
        ``uncertainty``. The paper gains over one pass from about 6 on.

        Args:
            image: a path, an open binary file, a PIL image of any mode, or uint8 ``(H, W, 3)`` RGB. For a
                model of C channels an array is ``(H, W, C)``, of the values as files have them where it was
                trained on more than 8 bits; of one channel also ``(H, W)``. Masked values have no data.
            samples: passes with dropout; 0 is one pass without.
            seed: decides what is dropped; the same seed gives the same bits.
            page: which page or frame of a file that has several, from 1.

        Raises:
            SegnetError: an image that can't be read or is empty, an array of another shape or dtype, a page
                that isn't there, or samples or a seed as ``require_sampling`` refuses them.
        """
        self.require_sampling(samples, seed)
        prepared = self.prepare(image, page=page)
        if samples:
            return self.sample(prepared, samples, seed)
        return self.predict_batch([prepared])[0]

    def prepare(self, image: ImageSource | Picture, *, page: int = 1) -> Prepared:
        """Read an image and resize it as the model was trained; may run in any thread.

        Args:
            image: as for ``predict``, or a picture that is open, and left open.
            page: which page or frame, from 1.

        Raises:
            SegnetError: as ``predict``.
        """
        if isinstance(image, np.ndarray):
            return self._prepare_array(image)
        if isinstance(image, Picture):
            return self._prepare_picture(image, page)
        _require_source(image)
        with Picture(expand_home(image) if isinstance(image, str | Path) else image) as picture:
            return self._prepare_picture(picture, page)

    def _prepare_picture(self, picture: Picture, page: int) -> Prepared:
        if not self._takes_photos or picture.needs_values:
            return self._prepared(*self._fit.intensity.open(picture, page=page))
        upright, missing = picture.with_black(page)
        path = picture.path
        if self._fit.patch_scale is None or path is None or math.prod(upright.size) <= LARGE_PX:
            return self._prepared(as_rgb(upright, picture.name), missing)
        large = LargePicture(upright.size, lambda: open_rgb(path, page=page))
        return Prepared(large, spool(upright, self._fit), missing)

    def _prepare_array(self, image: npt.NDArray[Any]) -> Prepared:
        intensity = self._fit.intensity
        channels, deep = intensity.channels, intensity.ranges is not None
        values = image[..., None] if image.ndim == 2 and channels == 1 else image
        known = image.dtype.kind in "uif" if deep else image.dtype == np.uint8
        if not known or values.ndim != 3 or values.shape[2] != channels:
            what = "values as the training images have them" if deep else "uint8"
            needed = f"{what} (H, W, {channels}){' RGB' * (channels == 3)}"
            raise SegnetError(f"an array must be {needed}, got {image.dtype} {image.shape}")
        pixels, missing = intensity.pixels(values, "the array"), missing_pixels(values)
        if self._takes_photos and self._fit.patch_scale == 1 and math.prod(pixels.shape[:2]) > LARGE_PX:
            return Prepared(
                LargePicture(pixels.shape[1::-1], lambda: Image.fromarray(pixels)), pixels, missing
            )
        return self._prepared(
            Image.fromarray(pixels) if self._takes_photos and pixels.size else pixels, missing
        )

    def _prepared(self, image: Image.Image | Pixels, missing: Missing | None) -> Prepared:
        width, height = image.size if isinstance(image, Image.Image) else image.shape[1::-1]
        if not width * height:
            raise SegnetError(f"an image of {width}x{height} pixels has nothing to segment")
        if isinstance(image, Image.Image):
            return Prepared(image, self._fit.image(image), missing)
        shown = Image.fromarray(np.ascontiguousarray(visible(image)))
        return Prepared(shown, self._fit.image(image), missing)

    def predict_batch(self, batch: Sequence[Prepared]) -> list[Segmentation]:
        """Segment images together, each whatever its own size.

        What one gets depends on the others by float rounding at most: libraries sum in another order in
        batches of another size.
        """
        if self._fit.patch_scale is not None:
            return [self._by_patches(each) for each in batch]
        logits = self.runtime.logits(np.stack([cast("Images", each.pixels) for each in batch]))
        return [
            Segmentation(
                each.image,
                self.classes,
                self._unpadded(found, each.image),
                threshold=self.threshold,
                missing=each.missing,
            )
            for each, found in zip(batch, logits, strict=True)
        ]

    def _unpadded(self, maps: Maps, image: Image.Image | LargePicture) -> Maps:
        """Leave out what lies beyond the image where its proportions were kept."""
        height, width = self._fit.inner_size((image.height, image.width))
        return maps[..., :height, :width]

    def _by_patches(self, prepared: Prepared) -> Segmentation:
        tiles = Tiles(prepared.pixels, self._fit.size, self.runtime.logits)
        keeps = math.prod(tiles.extent) * len(self.classes) <= MOST_KEPT
        logits = tiles.whole() if keeps else tiles
        found = Segmentation(
            prepared.image, self.classes, logits, threshold=self.threshold, missing=prepared.missing
        )
        _ = found.mask  # computed here, in one thread, and not where results are written
        return found

    def require_sampling(self, samples: int, seed: int) -> None:
        """Check, before any image is read, that the model can be sampled like this; 0 samples always can.

        Raises:
            SegnetError: a number of samples or a seed below 0, or samples of a model without dropout, which
                includes every exported one.
        """
        for what, value, highest in (("samples", samples, 1_000_000), ("seed", seed, 2**31 - 1)):
            if not isinstance(value, int) or not 0 <= value <= highest:
                raise SegnetError(f"--{what} must be a whole number from 0 to {highest}, got {value}")
        if samples:
            runtime = self._torch("has no dropout, so all samples would be alike")
            from segnet.core.dropout import require_dropout

            require_dropout(runtime.model)

    def sample(self, prepared: Prepared, samples: int, seed: int) -> Segmentation:
        """Segment one image as the mean of passes with dropout; ``require_sampling`` has checked them."""
        runtime, pixels = self._torch("has no dropout"), prepared.pixels
        if isinstance(prepared.image, LargePicture):
            raise SegnetError(
                f"samples of {prepared.image.width}x{prepared.image.height} pixels take too much memory; "
                "segment parts of the image, or leave --samples out"
            )
        assert isinstance(pixels, np.ndarray)

        def sampled(pixels: npt.NDArray[np.uint8]) -> SoftmaxSamples:
            return runtime.sample(pixels, samples, seed)

        if self._fit.patch_scale is None:
            found = sampled(pixels)
            mean, variance = (self._unpadded(each, prepared.image) for each in (found.mean, found.variance))
            found = replace(found, mean=mean, variance=variance)
        else:
            found = _sample_patches(sampled, pixels, self._fit.size, samples)
        smallest = np.finfo(np.float32).tiny  # the log of 0 would not be finite
        logits = np.log(np.maximum(found.mean, smallest))
        return Segmentation(
            prepared.image, self.classes, logits, found, self.threshold, missing=prepared.missing
        )

    def _torch(self, otherwise: str) -> TorchRuntime:
        if self.runtime.name != "torch":
            raise SegnetError(
                f"an exported model, here in {self.runtime.name}, {otherwise}; open the run folder or the "
                ".safetensors file that it was exported from"
            )
        return cast("TorchRuntime", self.runtime)


def _sample_patches(
    sampled: Callable[[Images], SoftmaxSamples], pixels: Images, size: tuple[int, int], samples: int
) -> SoftmaxSamples:
    """Return what passes with dropout say of an image, tile by tile; ``sampled`` takes one tile."""

    def predict(tiles: Images) -> Maps:
        found = [sampled(tile) for tile in tiles]
        return np.stack([np.concatenate([each.mean, each.variance[None]]) for each in found])

    maps = Tiles(pixels, size, predict).whole()
    return SoftmaxSamples(samples, maps[:-1], maps[-1])


def _require_source(image: object) -> None:
    """Raise SegnetError for what is no image source."""
    if isinstance(image, str | Path):
        if not str(image):
            raise SegnetError("the image's path is empty; name a file")
    elif not isinstance(image, Image.Image) and not hasattr(image, "read"):
        hint = {
            "Tensor": "; give tensor.permute(1, 2, 0).numpy() of a uint8 (3, H, W)",
            "bytes": "; give io.BytesIO(...) of an image file's bytes",
        }.get(type(image).__name__, "")
        raise SegnetError(
            "an image is a path, an open file, a PIL image or a uint8 (H, W, 3) array, not "
            f"a {type(image).__name__}{hint}"
        )
