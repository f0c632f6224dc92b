"""The picture of an epoch: always the same validation images, as the article's figures show them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import nn

from segnet.base.classes import ClassTable
from segnet.base.files import replacing
from segnet.data.images.pixel_values import visible
from segnet.data.store.split import Split
from segnet.report.panel import preview_panel
from segnet.runs.run_folder import RunFolder
from segnet.scoring.score_split import predict_split, predictor


def predict_preview(model: nn.Module, preview: Split, device: torch.device) -> npt.NDArray[np.uint8]:
    """Return the class ids that a model predicts for the chosen images, ``(N, H, W)``."""
    batches = predict_split(predictor(model), preview, device)
    return np.concatenate([logits.argmax(1).to(torch.uint8).cpu().numpy() for logits, _ in batches])


def draw_preview(
    preview: Split,
    predicted: npt.NDArray[np.uint8],
    classes: ClassTable,
    *,
    title: str,
    scores: str,
) -> Image.Image:
    """Return the panel of input, truth and prediction."""
    images, masks = visible(np.asarray(preview.images)), np.asarray(preview.masks)
    return preview_panel(images, masks, predicted, classes, title=title, scores=scores)


def write_predictions(
    folder: RunFolder, epoch: int, preview: Split, predicted: npt.NDArray[np.uint8]
) -> None:
    """Keep what a picture shows as numbers, its images once: ``segnet show learning`` draws them anew."""
    with replacing(folder.predictions(epoch)) as temporary:
        np.savez_compressed(temporary, predicted=predicted)
    if not folder.preview_images.is_file():
        images, masks = visible(np.asarray(preview.images)), np.asarray(preview.masks)
        with replacing(folder.preview_images) as temporary:
            np.savez_compressed(temporary, images=images, masks=masks, names=np.array(preview.names))
