"""The picture of an epoch: always the same validation images, as the article's figures show them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import nn

from segnet.base.classes import ClassTable
from segnet.base.files import replacing
from segnet.data.images.intensity import visible
from segnet.data.store.batches import evenly_spread
from segnet.data.store.cache import CachedSplit
from segnet.data.store.full_size import FullSizeSplit
from segnet.data.store.open_split import Split
from segnet.data.store.patches import example_patches
from segnet.report.panel import PREVIEW_IMAGES, preview_panel
from segnet.runs.run_folder import RunFolder
from segnet.scoring.score_split import predict_split, predictor


def choose_preview(val: Split) -> CachedSplit:
    """Return up to 21 validation images, evenly spread, or a patch of each."""
    if isinstance(val, FullSizeSplit):
        return example_patches(val, PREVIEW_IMAGES)
    rows = evenly_spread(len(val), PREVIEW_IMAGES)
    return CachedSplit(val.images[rows], val.masks[rows], tuple(val.names[row] for row in rows))


def predict_preview(model: nn.Module, preview: CachedSplit, device: torch.device) -> npt.NDArray[np.uint8]:
    """Return the class ids that a model predicts for the chosen images, ``(N, H, W)``."""
    batches = predict_split(predictor(model), preview, device)
    return np.concatenate([logits.argmax(1).to(torch.uint8).cpu().numpy() for logits, _ in batches])


def draw_preview(
    preview: CachedSplit,
    predicted: npt.NDArray[np.uint8],
    classes: ClassTable,
    *,
    title: str,
    scores: str,
) -> Image.Image:
    """Return the panel of input, truth and prediction."""
    images = visible(preview.images)
    return preview_panel(images, preview.masks, predicted, classes, title=title, scores=scores)


def write_predictions(
    folder: RunFolder, epoch: int, preview: CachedSplit, predicted: npt.NDArray[np.uint8]
) -> None:
    """Keep what a picture shows as numbers, its images once: ``segnet show learning`` draws them anew."""
    with replacing(folder.predictions(epoch)) as temporary:
        np.savez_compressed(temporary, predicted=predicted)
    if not folder.preview_images.is_file():
        with replacing(folder.preview_images) as temporary:
            np.savez_compressed(
                temporary, images=visible(preview.images), masks=preview.masks, names=np.array(preview.names)
            )
