"""What the articles' figures show: a picture and a model, the reader's own or the package's."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from segnet.core.files import expand_home
from segnet.data.images import open_rgb
from segnet.data.synthetic import SyntheticSample

LARGEST_PX = 256
"""Of a picture's longer side: in a larger one, what a 3x3 window does can't be seen in a figure."""

_PET = SyntheticSample(0, 5)  # a sharp one with large eyes; held out of the training on drawn pets


def open_picture(image: str | None, largest_px: int | None = LARGEST_PX) -> tuple[str, Image.Image]:
    """Return what a picture is called, and the picture in RGB, made smaller where its sides are longer.

    Args:
        image: a file; None for a pet that the package draws.
        largest_px: what the longer side may have; None for any.

    Raises:
        SegnetError: a file that isn't there or can't be read.
    """
    if image is None:
        return "a drawn pet", _PET.read()[0]
    path = expand_home(image)
    picture = open_rgb(path)
    if largest_px is not None and max(picture.size) > largest_px:
        scale = largest_px / max(picture.size)
        sides = (max(1, round(side * scale)) for side in picture.size)
        picture = picture.resize((next(sides), next(sides)), Image.Resampling.BOX)
    return Path(path).name, picture
