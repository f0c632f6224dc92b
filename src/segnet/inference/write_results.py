"""What was found in an image, as files: mask, overlay, probabilities, uncertainty, and a line of JSON.

The mask of a GeoTIFF is a GeoTIFF: its class ids lie on the same place on the earth as the image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image, TiffImagePlugin

from segnet.base.classes import IGNORE_INDEX
from segnet.base.colours import hex_code
from segnet.base.files import replacing
from segnet.data.images.tiff import GEO_TAGS, NODATA_TAG, TiffPage
from segnet.inference.predict_files import (
    CUTOUT,
    GEOGRAPHIC_MASK,
    MASK,
    OVERLAY,
    PROBABILITIES,
    UNCERTAINTY,
    Page,
)
from segnet.inference.regions import Region
from segnet.inference.segmentation import Segmentation

_TYPES = {"d": 12, "H": 3, "s": 2}  # of TIFF: doubles, shorts, text


def write_segmentation(
    result: Segmentation,
    folder: Path,
    name: str,
    *,
    overlay: bool = True,
    cutout: bool = False,
    probabilities: bool = False,
    like: TiffPage | None = None,
) -> dict[str, Path]:
    """Write ``NAME.mask.png`` into the folder, and what else is asked for, each whole or not at all.

    A prediction by samples leaves ``NAME.uncertainty.png`` too.

    Args:
        result: what was found.
        folder: where to write.
        name: of the image, perhaps with folders.
        overlay: write ``NAME.overlay.png``.
        cutout: write ``NAME.cutout.png``, RGBA, what isn't background.
        probabilities: write ``NAME.probabilities.npy``, 2 bytes a pixel and class.
        like: the page of a GeoTIFF that it was; the mask is then a GeoTIFF too, ``NAME.mask.tif``.

    Returns:
        The files by what they are called where an image is described: ``mask``, class ids as a palette image,
        ``overlay``, a picture for people, ``cutout``, the image without its background,
        ``uncertainty_map``, a picture of the uncertainty, and ``probabilities``, the softmax
        over the classes, ``(C, H, W)`` float16 as numpy writes it.

    Raises:
        SegnetError: the folder can't be written to, or a cut-out of a model without a background.
    """
    written = {"mask": folder / f"{name}{MASK if like is None else GEOGRAPHIC_MASK}"}
    if like is None:
        _save(result.index_image(), written["mask"])
    else:
        _write_geotiff(result.index_image(), written["mask"], like)
    if overlay:
        written["overlay"] = folder / f"{name}{OVERLAY}"
        # at the usual level a large photo is compressed for half a minute, to save a sixth
        _save(result.overlay(), written["overlay"], compress_level=1)
    if cutout:
        written["cutout"] = folder / f"{name}{CUTOUT}"
        _save(result.cutout(), written["cutout"], compress_level=1)
    if probabilities:
        written["probabilities"] = folder / f"{name}{PROBABILITIES}"
        with replacing(written["probabilities"]) as temporary:
            result.save_probabilities(temporary)
    if result.samples:
        written["uncertainty_map"] = folder / f"{name}{UNCERTAINTY}"
        _save(result.uncertainty_image(), written["uncertainty_map"])
    return written


def describe(
    page: Page, result: Segmentation, files: Mapping[str, object], regions: Iterable[Region] | None
) -> dict[str, Any]:
    """Return what is said of an image, as JSON takes it.

    Args:
        page: the image.
        result: what was found in it.
        files: what was written, by kind.
        regions: those to list, if any.
    """
    line: dict[str, Any] = {"image": str(page.file)}
    if page.number is not None:
        line["page"] = page.number
    line |= {kind: str(file) for kind, file in files.items()}
    line |= {"width": result.image.width, "height": result.image.height}
    if result.missing is not None:
        line["nodata"] = round(float(result.missing.mean()), 6)
    line["classes"] = [
        {"id": number, "name": name, "colour": hex_code(colour), "share": round(share, 6)}
        for number, ((name, share), colour) in enumerate(
            zip(result.areas().items(), result.classes.colours, strict=True)
        )
    ]
    if result.uncertainty is not None:
        line["uncertainty"] = float(f"{result.uncertainty.mean(dtype='float64'):.6g}")
    if regions is not None:
        line["regions"] = [region.to_dict() for region in regions]
    return line


def _write_geotiff(mask: Image.Image, target: Path, like: TiffPage) -> None:
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


def _save(image: Image.Image, target: Path, **options: Any) -> None:
    with replacing(target) as temporary:
        image.save(temporary, **options)
