"""Pictures inside labels: base64 of a PNG that shows which pixels are meant."""

from __future__ import annotations

import base64
import binascii
import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from segnet.data.faults import Fault
from segnet.data.images.reading import decode

_RGBA = 4  # channels


def from_base64(text: Any, where: str) -> bytes:
    """Return the bytes that a text stands for.

    Raises:
        Fault: no such text.
    """
    try:
        content = base64.b64decode(text)
    except (binascii.Error, TypeError, ValueError):
        content = b""
    if not content:
        raise Fault("bad-label", where, "has a picture inside that is no base64")
    return content


def decode_picture(content: bytes, size: tuple[int, int], where: str) -> npt.NDArray[np.bool_]:
    """Return the pixels ``(H, W)`` that a picture shows: where it is opaque, else where it isn't black.

    Args:
        content: the picture's file.
        size: width and height that it must have.
        where: where it stands, for messages.

    Raises:
        Fault: damaged, or of another size.
    """
    stream = io.BytesIO(content)
    stream.name = f"the mask of {where}"
    try:
        with Image.open(stream) as header:
            found = header.size
    except Exception as error:  # what Pillow's parsers stumble on
        raise Fault("bad-label", where, "has a mask that is no picture") from error
    if found != size:
        said = f"has a mask of {found[0]}×{found[1]} pixels where {size[0]}×{size[1]} are needed"
        raise Fault("bad-label", where, said)
    stream.seek(0)
    picture = decode(stream)
    values = np.asarray(picture if picture.mode != "LA" else picture.convert("RGBA"))
    if values.ndim == 3 and values.shape[2] == _RGBA and not (values[..., 3] == 255).all():
        values = values[..., 3]
    elif values.ndim == 3:
        values = values[..., :3].max(-1)
    shown: npt.NDArray[np.bool_] = values > 0
    return shown
