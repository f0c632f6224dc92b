"""A training as the explainer shows it: losses, scores, and what the network made of a few pictures."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segnet.data.images.pixel_values import Pixels
from segnet.figures.learning import learning_of_run, names_of_pictures

DEMO = Path(__file__).with_name("learning.json")
"""A training on drawn pets, which pages show whose model has no run: docs/learning.py writes it."""
_PICTURES, _EPOCHS = 4, 10


def learning_of(run: str, said: str) -> dict[str, Any]:
    """Return what the explainer shows of a run.

    Args:
        run: its folder.
        said: which run it is, one sentence.

    Raises:
        SegnetError: as ``learning_of_run``.
    """
    figures = [learning_of_run(run, name, _EPOCHS) for name in names_of_pictures(run)[:_PICTURES]]
    first = figures[0]
    return {
        "run": said,
        "classes": dict(first.colours),
        "pictures": [
            {"name": each.image_name, "image": image_text(each.image), "truth": image_text(each.truth)}
            for each in figures
        ],
        "epochs": [
            {
                "epoch": now.epoch,
                "loss": now.train_loss,
                "iou": now.mean_iou,
                "masks": [image_text(each.epochs[place].prediction) for each in figures],
            }
            for place, now in enumerate(first.epochs)
        ],
    }


def demo_learning() -> dict[str, Any]:
    """Return the training on drawn pets that comes with the package."""
    found: dict[str, Any] = json.loads(DEMO.read_text(encoding="utf-8"))
    return found


def image_text(pixels: Pixels) -> str:
    """Return an image as lossless WebP in base64: a quarter less than PNG."""
    content = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(content, "WEBP", lossless=True, quality=75, method=5)
    return base64.b64encode(content.getvalue()).decode()
