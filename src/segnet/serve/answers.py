"""What a server answers with: one table of formats, each a function of what was found in an image."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from PIL import Image

from segnet.data.images.reading import Picture, allow_pixels
from segnet.data.images.suffixes import FORMATS as PICTURES
from segnet.inference.annotations import AnnotationWriter
from segnet.inference.predict_files import Page
from segnet.inference.segmentation import Segmentation
from segnet.inference.segmenter import Segmenter
from segnet.inference.write_results import describe
from segnet.serve.refusals import RefusedError
from segnet.serve.request_body import image_in

FormatName = Literal["json", "png", "overlay", "cutout", "coco", "geojson", "npy"]

_QUICK = 1  # of PNG's levels of compression: pictures for people are large, and quickly written


@dataclass(frozen=True)
class Wanted:
    """What a client asks for."""

    format: FormatName
    page: int | None = None
    """Which page or frame, from 1; None of a file that has one alone."""
    least_region: int = 1
    """Regions of fewer pixels are left out."""
    tolerance: float = 1.0
    """Pixels that a simplified outline may be from the exact one."""


class Format(NamedTuple):
    """A kind of answer."""

    media_type: str
    said: str
    make: Callable[[Segmentation, Page, Wanted], bytes]


def answer(
    segmenter: Segmenter, body: bytes, content_type: str, wanted: Wanted, max_megapixels: int
) -> bytes:
    """Return the answer to an image; runs in any thread.

    Args:
        segmenter: the model.
        body: of the request.
        content_type: of the body; of a form, the image is its part ``file``.
        wanted: what the client asks for.
        max_megapixels: larger images are refused before they are decoded.

    Raises:
        SegnetError: no image that can be read, one that is too large, or one of several pages, of which none
            is named; as a ``RefusedError`` or a ``Fault``.
    """
    upload = image_in(body, content_type)
    with allow_pixels(max_megapixels), Picture(io.BytesIO(upload.content)) as picture:
        header = picture.header
        if header.format not in (*PICTURES, "HEIF"):  # Pillow opens some documents by starting other programs
            raise RefusedError(415, f"images of the kind {header.format} aren't taken; send a JPEG or PNG")
        if header.frames > 1 and wanted.page is None:
            raise RefusedError(422, f"the image has {header.frames} pages or frames; name one, as in ?page=1")
        prepared = segmenter.prepare(picture, page=wanted.page or 1)
    found = segmenter.predict_batch([prepared])[0]
    page = Page(Path(upload.name), upload.name, wanted.page)
    return ANSWERS[wanted.format].make(found, page, wanted)


def _png(image: Image.Image, **options: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", **options)
    return stream.getvalue()


def _json(found: Segmentation, page: Page, wanted: Wanted) -> bytes:
    regions = found.regions(least_px=wanted.least_region)
    return json.dumps(describe(page, found, {}, regions)).encode()


def _annotations(format_: Literal["coco", "geojson"]) -> Callable[[Segmentation, Page, Wanted], bytes]:
    def make(found: Segmentation, page: Page, wanted: Wanted) -> bytes:
        writer = AnnotationWriter(format_, Path(), found.classes, wanted.tolerance, wanted.least_region)
        return json.dumps(writer.of_one(found, page)).encode()

    return make


def _npy(found: Segmentation, page: Page, wanted: Wanted) -> bytes:
    stream = io.BytesIO()
    found.save_probabilities(stream)
    return stream.getvalue()


ANSWERS: Mapping[FormatName, Format] = {
    "json": Format("application/json", "shares of the classes, and regions", _json),
    "png": Format("image/png", "mask: class ids with a palette", lambda found, *_: _png(found.index_image())),
    "overlay": Format(
        "image/png", "mask over the image", lambda found, *_: _png(found.overlay(), compress_level=_QUICK)
    ),
    "cutout": Format(
        "image/png",
        "what isn't background, as RGBA",
        lambda found, *_: _png(found.cutout(), compress_level=_QUICK),
    ),
    "coco": Format("application/json", "outlines as COCO", _annotations("coco")),
    "geojson": Format("application/geo+json", "outlines as GeoJSON, in pixels", _annotations("geojson")),
    "npy": Format("application/x-npy", "probabilities (C, H, W) float16 as numpy reads them", _npy),
}

_BY_MEDIA_TYPE: Mapping[str, FormatName] = {
    "*/*": "json",
    "application/*": "json",
    "application/json": "json",
    "image/*": "png",
    "image/png": "png",
    "application/geo+json": "geojson",
    "application/x-npy": "npy",
    "application/octet-stream": "npy",
}


def accepted_format(accept: str) -> FormatName:
    """Return the format that an ``Accept`` header prefers; JSON where it is empty.

    Raises:
        RefusedError: 406, it names nothing that there is.
    """
    if not accept.strip():
        return "json"
    ranked = sorted(map(_media_range, accept.split(",")), reverse=True, key=lambda each: each[0])
    for quality, media_type in ranked:
        if quality > 0 and media_type in _BY_MEDIA_TYPE:
            return _BY_MEDIA_TYPE[media_type]
    known = sorted({each.media_type for each in ANSWERS.values()})
    raise RefusedError(
        406, f"Accept names no answer that there is; there is {', '.join(known)}, or use ?format="
    )


def _media_range(text: str) -> tuple[float, str]:
    """Return quality and media type of one entry of ``Accept``."""
    media_type, *parameters = (part.strip().lower() for part in text.split(";"))
    quality = next((each[2:] for each in parameters if each.startswith("q=")), "1")
    try:
        return float(quality), media_type
    except ValueError:
        return 0.0, media_type
