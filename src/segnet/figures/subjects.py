"""What the articles' figures show: a picture and a model, the reader's own or the package's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from segnet.base.errors import SegnetError, did_you_mean
from segnet.base.files import expand_home
from segnet.core.pooling import Size
from segnet.data.images.pixel_values import Pixels
from segnet.data.images.reading import open_rgb
from segnet.data.store.fit_to_size import Fit, window
from segnet.data.synthetic import SyntheticSample
from segnet.inference.opening import bundled_names, is_there, load
from segnet.inference.segmenter import Segmenter
from segnet.models import MODELS, create_model

LARGEST_PX = 256
"""Of a picture's longer side: in a larger one, what a 3x3 window does can't be seen in a figure."""

DRAWN = "pet"
"""What stands for a pet that the package draws, in the place of a file."""

_PET = SyntheticSample(0, 5)  # a sharp one with large eyes; held out of the training on drawn pets


def open_picture(image: str | None) -> tuple[str, Image.Image]:
    """Return what a picture is called, and the picture in RGB, made smaller where its sides are longer.

    Args:
        image: a file; None, or ``DRAWN`` where there is no such file, for a pet that the package draws.

    Raises:
        SegnetError: a file that isn't there or can't be read.
    """
    path = None if image is None else expand_home(image)
    if path is None or (image == DRAWN and not path.exists()):
        return "a drawn pet", _PET.read()[0]
    picture = open_rgb(path)
    if max(picture.size) > LARGEST_PX:
        scale = LARGEST_PX / max(picture.size)
        sides = (max(1, round(side * scale)) for side in picture.size)
        picture = picture.resize((next(sides), next(sides)), Image.Resampling.BOX)
    return Path(path).name, picture


def drawn_pets(count: int) -> list[Image.Image]:
    """Return so many drawn pets, of those that are held out of the training on them."""
    return [SyntheticSample(0, 2 * number + 5).read()[0] for number in range(count)]


@dataclass(frozen=True)
class ShownModel:
    """A model to look at: with what it has learnt, or untrained and on the meta device."""

    name: str
    """The model's, the run's or the file's."""
    model: nn.Module
    fit: Fit
    """What happens to images before it."""
    is_trained: bool

    @property
    def size(self) -> Size:
        """The ``(H, W)`` of the images that it is shown with."""
        return self.fit.size

    @property
    def channels(self) -> int:
        """How many channels its images have."""
        return self.fit.intensity.channels

    def open(self, image: str) -> Image.Image | Pixels:
        """Return an image in the model's channels and ranges, at its own size.

        Args:
            image: a file; or ``DRAWN`` where there is no such file.

        Raises:
            SegnetError: as ``Intensity.open``.
        """
        path = expand_home(image)
        if image == DRAWN and not path.exists():
            return _PET.read()[0]
        return self.fit.intensity.open(path)[0]

    def pictures(
        self, images: Sequence[str], count: int, say: Callable[[str], object]
    ) -> list[Image.Image | Pixels]:
        """Return the images that are named, and where none is drawn pets.

        Args:
            images: as ``open`` takes them.
            count: how many pets are drawn.
            say: told where those are no images as the model has learnt from.
        """
        if images:
            return [self.open(image) for image in images]
        if self.channels not in (1, 3):
            say(
                f"drawn pets stand in for images of {self.channels} channels: red, green and blue take "
                "turns; name images of your own to see more"
            )
        return [*drawn_pets(count)]

    def pixels(self, picture: Image.Image | Pixels) -> Pixels:
        """Return ``(H, W, C)`` as the model gets it; of a model that takes patches, the middle one.

        A picture is RGB. A model of 1 channel gets it in grey, one of any other number its red, green and
        blue in turn.
        """
        if isinstance(picture, Image.Image) and self.channels != 3:
            grey_or_rgb = picture.convert("L" if self.channels == 1 else "RGB")
            picture = np.stack(
                [
                    np.asarray(grey_or_rgb.getchannel(i % len(grey_or_rgb.getbands())))
                    for i in range(self.channels)
                ],
                axis=-1,
            )
        fitted = self.fit.image(picture)
        if self.fit.patch_scale is None:
            return fitted
        (height, width), (rows, columns) = fitted.shape[:2], self.size
        return window(fitted, max(0, (height - rows) // 2), max(0, (width - columns) // 2), self.size)

    def batch(self, pictures: Sequence[Image.Image | Pixels]) -> Tensor:
        """Return pictures as the model takes them, ``(N, C, H, W)`` in [0, 1]."""
        stacked = torch.stack([torch.from_numpy(self.pixels(picture).copy()) for picture in pictures])
        return stacked.movedim(-1, 1).float().div_(255)


def open_model(name: str, *, trained: bool = False) -> ShownModel:
    """Open a run folder, a model file, a bundled model, or build one of ``MODELS`` without weights.

    Args:
        name: what ``segnet.load`` takes, or else a name of ``MODELS``; in this order.
        trained: what is to be shown is learnt, so a name of ``MODELS`` won't do.

    Raises:
        SegnetError: nothing of that name, an exported model, one that can't be opened, or one without weights
            where they are needed.
    """
    if trained or is_there(name):
        short, segmenter = open_trained(name)
        return ShownModel(short, segmenter.model, segmenter.description.fit, is_trained=True)
    if name not in MODELS:
        raise _unknown(name, [*bundled_names(), *MODELS])
    with torch.device("meta"):
        return ShownModel(name, create_model(name), Fit((128, 128), "nearest"), is_trained=False)


def open_trained(name: str) -> tuple[str, Segmenter]:
    """Open a run folder, a model file or a bundled model, and return what a figure calls it too.

    Raises:
        SegnetError: nothing of that name, the name of a model without weights, an exported model, or one that
            can't be opened.
    """
    if is_there(name):
        return _short(name), load(name, device="cpu", runtime="torch")
    if name in MODELS:
        raise SegnetError(
            f"{name} by its name alone has learnt nothing that could be shown; give a run folder, a "
            f".safetensors file or {' or '.join(bundled_names())}"
        )
    raise _unknown(name, bundled_names())


def _unknown(name: str, known: Sequence[str]) -> SegnetError:
    return SegnetError(f"there is no run folder, model file or model {name!r}{did_you_mean(name, known)}")


def _short(name: str) -> str:
    """Return what a figure calls a run or a file: a path may be longer than its line."""
    path = expand_home(name).absolute()
    return (
        path.parent.name if path.name == "model.safetensors" else path.stem if path.is_file() else path.name
    )
