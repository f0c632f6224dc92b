"""The page that shows a network at work: every map of it, on drawn pets or on the visitor's photo."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from segnet.data.pets import PET_CLASSES
from segnet.data.synthetic import SyntheticSample
from segnet.export.web.layers import network_of
from segnet.export.web.web_file import about, to_bytes
from segnet.export.web.web_page import filled
from segnet.inference.segmenter import Segmenter

EXPLAINER = Path(__file__).with_name("explain.html")
"""The page without a network, built from web/."""
_BEFORE, _AFTER = '<script type="application/json" id="examples">', "</script>"
PETS = tuple(SyntheticSample(0, 2 * number + 5) for number in range(5))
"""The pets that the page shows first: drawn ones, which training on drawn pets holds out."""


def explain_page(segmenter: Segmenter, pets: Sequence[SyntheticSample] = PETS) -> str:
    """Return the page with a network and drawn pets inside.

    A model of other classes than the pets' gets the pets without their masks, one of 1 channel gets them in
    colour: the engine makes pictures grey.

    Args:
        segmenter: the network.
        pets: what it shows at first.

    Raises:
        SegnetError: a network that the engine can't run, one that takes no photos, or an installation
            without the page.
    """
    network = network_of(segmenter.model, segmenter.description)
    model = to_bytes(about(segmenter), network, "float16")
    examples = [_example(pet, number, segmenter) for number, pet in enumerate(pets, start=1)]
    page = filled(EXPLAINER, model, "segnet show network")
    return page.replace(f"{_BEFORE}{_AFTER}", f"{_BEFORE}{json.dumps(examples)}{_AFTER}")


def _example(pet: SyntheticSample, number: int, segmenter: Segmenter) -> dict[str, str | None]:
    """Return a drawn pet in the network's size, and its mask where the classes are the pets'."""
    picture, mask = pet.read()
    fit = segmenter.description.fit
    is_known = segmenter.classes.names == PET_CLASSES.names and not segmenter.description.keep_aspect
    size = (segmenter.description.size[1], segmenter.description.size[0])
    truth = Image.fromarray(mask).resize(size, Image.Resampling.NEAREST) if is_known else None
    return {
        "name": f"Drawn pet {number}",
        "png": _png(Image.fromarray(fit.image(picture))),
        "mask": None if truth is None else _png(truth),
    }


def _png(image: Image.Image) -> str:
    content = io.BytesIO()
    image.save(content, "PNG", optimize=True)
    return base64.b64encode(content.getvalue()).decode()
