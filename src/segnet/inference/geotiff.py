"""Masks as GeoTIFFs: class ids that lie on the same place on the earth as the image they were found in."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, TiffImagePlugin

from segnet.base.classes import IGNORE_INDEX
from segnet.base.files import replacing
from segnet.data.images.tiff_pages import GEO_TAGS, NODATA_TAG, TiffPage

_TYPES = {"d": 12, "H": 3, "s": 2}  # of TIFF: doubles, shorts, text


def write_geotiff(mask: Image.Image, target: Path, like: TiffPage) -> None:
    """Write a mask as a compressed TIFF, whole or not at all.

    Args:
        mask: class ids, of the page's size.
        target: the file.
        like: the page that the mask belongs to. Its tags for the place on the earth are copied, and where it
            marks NoData, the mask marks 255 as NoData.

    Raises:
        SegnetError: the file can't be written.
    """
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    texts = ((NODATA_TAG, str(IGNORE_INDEX)),) if like.nodata else ()
    for tag, value in (*like.geo, *texts):
        tags.tagtype[tag] = _TYPES[GEO_TAGS.get(tag, "s")]
        tags[tag] = value
    with replacing(target) as temporary:
        mask.save(temporary, format="TIFF", compression="tiff_adobe_deflate", tiffinfo=tags)
