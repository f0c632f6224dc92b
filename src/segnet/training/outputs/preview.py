"""The picture of an epoch: always the same validation images, as the article's figures show them."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import nn

from segnet.base.classes import ClassTable
from segnet.data.images.intensity import visible
from segnet.data.store.split import Split
from segnet.report.panel import preview_panel
from segnet.scoring.score_split import predict_split, predictor


def draw_preview(
    model: nn.Module,
    preview: Split,
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
        visible(np.asarray(preview.images)),
        np.asarray(preview.masks),
        np.concatenate(predicted),
        classes,
        title=title,
        scores=scores,
    )
