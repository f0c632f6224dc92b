"""A model's mistakes in pictures: input, truth, prediction, and where and how surely they differ."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from segnet.base.classes import IGNORE_INDEX, ClassTable
from segnet.base.colours import Colour
from segnet.data.images.pixel_values import visible
from segnet.data.store.fit_to_size import window
from segnet.data.store.split import Split
from segnet.scoring.score_split import Predictor, predict_split

WORST = 24
"""How many of the worst images are shown unless someone asks for more or fewer."""

UNSURE: Colour = (255, 214, 70)
SURE: Colour = (196, 0, 38)
"""What a wrong pixel is painted in: from one at a probability of 0 to the other at 1."""

_TILE_PX = 192  # the longer side; 24 rows of four then take some 3 MB as PNG
_GAP_PX = 4


def draw_mistakes(
    predict: Predictor,
    split: Split,
    classes: ClassTable,
    device: torch.device,
    chosen: Sequence[int],
) -> Iterator[Image.Image]:
    """Yield a row of four tiles for each of the images that are named by number.

    The image; its truth; what was predicted; and the image in grey with its wrong pixels from yellow, where
    the model was unsure, to red, where it was sure. Ignored pixels are white in truth and never wrong.
    Of an image at its own size only the patch is shown that holds most wrong pixels.
    """
    numbers = iter(chosen)
    for logits, masks in predict_split(predict, split, device, chosen):
        confidence, predicted = logits.float().softmax(1).max(1)
        for sure, found, truth in zip(
            confidence.cpu().numpy(), predicted.byte().cpu().numpy(), masks.cpu().numpy(), strict=True
        ):
            quarters = max(1, split.size[0] // 4), max(1, split.size[1] // 4)
            top, left = densest_corner(_wrong(found, truth), split.size, quarters)
            whole = visible(split.images[next(numbers)]), truth, found, sure
            image, truth, found, sure = (window(each, top, left, split.size) for each in whole)
            painted = classes.paint(truth), classes.paint(found)
            yield _row([image, *painted, _differences(image, truth, found, sure)])


def _differences(
    image: npt.NDArray[np.uint8],
    truth: npt.NDArray[np.uint8],
    found: npt.NDArray[np.uint8],
    sure: npt.NDArray[np.float32],
) -> npt.NDArray[np.uint8]:
    grey = image.mean(2, keepdims=True) * 0.55 + 90  # pale and without contrast, so that the colours are seen
    share = sure[..., None]
    painted = np.array(UNSURE) * (1 - share) + np.array(SURE) * share
    return np.where(_wrong(found, truth)[..., None], painted, grey).round().astype(np.uint8)


def _wrong(found: npt.NDArray[np.uint8], truth: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    return (found != truth) & (truth != IGNORE_INDEX)


def densest_corner(
    where: npt.NDArray[np.bool_], size: tuple[int, int], apart: tuple[int, int] = (1, 1)
) -> tuple[int, int]:
    """Return the first row and column of the patch in which most pixels are true; of equal ones the first.

    Args:
        where: ``(H, W)``.
        size: of the patch, which may be larger.
        apart: rows and columns between the patches that are looked at, besides those at the far edges.
    """
    starts = [
        sorted({*range(0, max(1, length - side + 1), step), max(0, length - side)})
        for length, side, step in zip(where.shape, size, apart, strict=True)
    ]
    sums = np.pad(where, ((1, 0), (1, 0))).cumsum(0, dtype=np.int64).cumsum(1)

    def count(corner: tuple[int, int]) -> int:
        top, left = corner
        bottom, right = min(top + size[0], where.shape[0]), min(left + size[1], where.shape[1])
        return int(sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left])

    return max(itertools.product(*starts), key=count)


def _row(tiles: Sequence[npt.NDArray[np.uint8]]) -> Image.Image:
    height, width = tiles[0].shape[:2]
    scale = _TILE_PX / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    row = Image.new("RGB", (len(tiles) * (size[0] + _GAP_PX) - _GAP_PX, size[1]), (255, 255, 255))
    for place, pixels in enumerate(tiles):
        smooth = place == 0 or scale < 1
        method = Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST
        row.paste(Image.fromarray(pixels).resize(size, method), (place * (size[0] + _GAP_PX), 0))
    return row
