"""Predictions as Label Studio takes them: tasks to import, and the labelling configuration that they are for.

https://labelstud.io/guide/predictions: regions in per cent of the image. Its polygons have no holes, so a
region with one is a brush: a bit stream of run lengths over RGBA, which ``data/labels/label_studio.py`` reads
and describes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import numpy.typing as npt

from segnet.base.class_roles import background_of
from segnet.base.classes import ClassTable
from segnet.base.colours import hex_code
from segnet.inference.regions import Polygon, Region

FILES_URL = "/data/local-files/?d="
"""Where Label Studio serves files below its ``LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT``."""

_WIDTHS = (2, 4, 8, 16)  # bits of a run's length, less one


def task_of(
    image: str, outlined: Sequence[tuple[Region, Sequence[Polygon]]], size: tuple[int, int], model: str
) -> dict[str, Any]:
    """Return a task with its prediction.

    Args:
        image: the image's path, as Label Studio is to find it below its document root.
        outlined: the regions and their outlines.
        size: width and height of the image.
        model: what has predicted.
    """
    common = {"original_width": size[0], "original_height": size[1], "image_rotation": 0, "to_name": "image"}
    results = []
    for region, polygons in outlined:
        if any(each.holes for each in polygons):
            whole = np.zeros((size[1], size[0]), np.bool_)
            left, top, right, bottom = region.box
            whole[top:bottom, left:right] = region.shape
            value: dict[str, Any] = {"format": "rle", "rle": encode_brush(whole)}
            results.append(common | {"type": "brushlabels", "from_name": "brush", "value": value})
            value["brushlabels"] = [region.class_name]
            continue
        for each in polygons:
            points = [[100 * x / size[0], 100 * y / size[1]] for x, y in each.outline]
            value = {"points": points, "closed": True, "polygonlabels": [region.class_name]}
            results.append(common | {"type": "polygonlabels", "from_name": "polygon", "value": value})
    results = [{"id": f"segnet-{number}"} | each for number, each in enumerate(results, 1)]
    return {
        "data": {"image": f"{FILES_URL}{image}"},
        "predictions": [{"model_version": model, "result": results}],
    }


def configuration(classes: ClassTable) -> str:
    """Return the labelling configuration (XML) whose controls the tasks name."""
    around = background_of(classes.names)
    labels = "".join(
        f"\n    <Label value={quoteattr(name)} background={quoteattr(hex_code(colour))}/>"
        for name, colour in zip(classes.names, classes.colours, strict=True)
        if name != around
    )
    controls = "".join(
        f'\n  <{kind}Labels name="{kind.lower()}" toName="image">{labels}\n  </{kind}Labels>'
        for kind in ("Polygon", "Brush")
    )
    return f'<View>\n  <Image name="image" value="$image" zoom="true"/>{controls}\n</View>\n'


def encode_brush(painted: npt.NDArray[np.bool_]) -> list[int]:
    """Return the bytes of the bit stream for pixels ``(H, W)`` that a brush has painted."""
    flat = painted.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]])
    bits = [f"{4 * flat.size:032b}{7:05b}", *(f"{width - 1:04b}" for width in _WIDTHS)]
    longest = 1 << _WIDTHS[-1]
    for start, end in pairwise(starts):
        value = f"{255 * int(flat[start]):08b}"
        for left in range(4 * (end - start), 0, -longest):  # a value for each of red, green, blue and alpha
            length = min(left, longest) - 1
            place = next(place for place, width in enumerate(_WIDTHS) if length < 1 << width)
            bits.append(f"1{place:02b}{length:0{_WIDTHS[place]}b}{value}")
    stream = "".join(bits)
    stream += "0" * (-len(stream) % 8)
    return [int(stream[start : start + 8], 2) for start in range(0, len(stream), 8)]
