"""The picture of an epoch: always the same validation images, as the article's figures show them."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import nn

from segnet.base.classes import ClassTable
from segnet.data.images.pixel_values import visible
from segnet.data.store.batches import evenly_spread
from segnet.data.store.cache import CachedSplit
from segnet.data.store.full_size import FullSizeSplit
from segnet.data.store.open_split import Split
from segnet.data.store.patches import example_patches
from segnet.report.panel import PREVIEW_IMAGES, preview_panel
from segnet.scoring.score_split import predict_split, predictor


def choose_preview(val: Split) -> CachedSplit:
    """Return up to 21 validation images, evenly spread, or a patch of each."""
    if isinstance(val, FullSizeSplit):
        return example_patches(val, PREVIEW_IMAGES)
    rows = evenly_spread(len(val), PREVIEW_IMAGES)
    return CachedSplit(val.images[rows], val.masks[rows], tuple(val.names[row] for row in rows))


def draw_preview(
    model: nn.Module,
    preview: CachedSplit,
    classes: ClassTable,
    device: torch.device,
    *,
    title: str,
    scores: str,
) -> Image.Image:
    """Predict the chosen images and return the panel of input, truth and prediction."""
    batches = predict_split(predictor(model), preview, device)
    predicted = [logits.argmax(1).to(torch.uint8).cpu().numpy() for logits, _ in batches]
    return preview_panel(
        visible(preview.images), preview.masks, np.concatenate(predicted), classes, title=title, scores=scores
    )
