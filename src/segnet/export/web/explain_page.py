"""The page that shows a network at work: every map of it, on drawn pets or on the visitor's photo."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segnet.data.pets import PET_CLASSES
from segnet.data.synthetic import SyntheticSample
from segnet.export.layers import network_of
from segnet.export.network import Weights
from segnet.export.web.learning_data import image_text
from segnet.export.web.web_file import about, to_bytes
from segnet.export.web.web_page import filled
from segnet.inference.segmenter import Segmenter

EXPLAINER = Path(__file__).with_name("explain.html")
"""The page without a network, built from web/."""
_BEFORE, _AFTER = '<script type="application/json" id="contents">', "</script>"
PETS = tuple(SyntheticSample(0, 2 * number + 5) for number in range(12))
"""The pets that the page shows first: drawn ones, which training on drawn pets holds out."""


def explain_page(
    segmenter: Segmenter,
    learning: Mapping[str, Any] | None = None,
    *,
    pets: Sequence[SyntheticSample] = PETS,
    tutorial: str | None = None,
) -> str:
    """Return the page with a network and drawn pets inside.

    A model of other classes than the pets' gets the pets without their masks, one of 1 channel gets them in
    colour: the engine makes pictures grey.

    Args:
        segmenter: the network.
        learning: a training, as ``learning_of`` returns it; None shows none.
        pets: what it shows at first.
        tutorial: the tutorial's folder as a link from the page begins; None where the page will lie alone.

    Raises:
        SegnetError: a network that the engine can't run, one that takes no photos, or an installation
            without the page.
    """
    network = network_of(segmenter.model, segmenter.description)
    contents = {
        "examples": [_example(pet, number, segmenter) for number, pet in enumerate(pets, start=1)],
        "norms": [norm_text(each) for each in network.weights],
        "learning": learning,
        "tutorial": tutorial,
    }
    page = filled(EXPLAINER, to_bytes(about(segmenter), network, "float16"), "segnet show network")
    text = json.dumps(contents, separators=(",", ":")).replace("</", "<\\/")
    return page.replace(f"{_BEFORE}{_AFTER}", f"{_BEFORE}{text}{_AFTER}")


def norm_text(weights: Weights | None) -> str | None:
    """Return what the batch norm in a layer multiplies by and adds, float32 in base64; None without one."""
    if weights is None or weights.norm is None:
        return None
    return base64.b64encode(weights.norm.astype("<f4").tobytes()).decode()


def _example(pet: SyntheticSample, number: int, segmenter: Segmenter) -> dict[str, str | None]:
    """Return a drawn pet in the network's size, and its mask where the classes are the pets'."""
    picture, mask = pet.read()
    fit = segmenter.description.fit
    is_known = segmenter.classes.names == PET_CLASSES.names and not segmenter.description.keep_aspect
    size = (segmenter.description.size[1], segmenter.description.size[0])
    truth = Image.fromarray(mask).resize(size, Image.Resampling.NEAREST) if is_known else None
    return {
        "name": f"Drawn pet {number}",
        "image": image_text(fit.image(picture)),
        "mask": None if truth is None else image_text(np.asarray(truth)),
    }
