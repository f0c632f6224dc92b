"""Reading pictures and masks as they come: every colour mode, rotated, damaged or not an image at all.

Everything here ends in a decoded array or in one `SegnetError` that names the file; a damaged file is
never half-read (Pillow's ``LOAD_TRUNCATED_IMAGES`` stays off).
"""

from __future__ import annotations

import hashlib
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from segnet.data.dataset import Mask
from segnet.data.faults import Fault
from segnet.data.images.digests import file_digest
from segnet.data.images.embedded_files import File
from segnet.data.images.intensity import Pixels, eight_bits, require_numbers
from segnet.data.images.picture_file import load_page, naming, orientation_of, with_picture

Resize = Literal["nearest", "area", "bilinear"]

# Pillow's filters. NEAREST takes the pixel under the centre ("nearest-exact" elsewhere), the other two
# average over the whole source area. Masks always use NEAREST.
RESIZE = {
    "nearest": Image.Resampling.NEAREST,
    "area": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
}

Source = File | BinaryIO | Image.Image

# What each orientation of EXIF (2.3, tag 274) asks for, so that the picture is upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SAYS_ORIENTATION = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")

_HIGH_BYTE_MODES = ("I;16", "I;16L", "I;16B", "I;16N")

HIGHEST_VALUE = 65535
"""Of a mask: 16 bits."""

NEEDS_ALL_VALUES = frozenset({"I", "F"})
"""Modes in which ``as_rgb`` looks at all pixels before it turns one."""


def open_rgb(source: Source, *, page: int = 1) -> Image.Image:
    """Open a picture in mode RGB, upright: ``open_upright``, then ``as_rgb``.

    Raises:
        SegnetError: as ``open_upright``, or a colour mode that can't be turned into RGB.
    """
    return as_rgb(open_upright(source, page=page), source_name(source))


def open_upright(source: Source, *, page: int = 1) -> Image.Image:
    """Open a picture in the mode it is stored in, turned as its EXIF data says.

    Args:
        source: a file, an open binary stream (left open), or a picture that is already decoded.
        page: which page or frame of a file that has several, from 1.

    Raises:
        SegnetError: no such file or page, not an image, damaged, or more pixels than are allowed.
    """
    image, orientation = _decoded(source, page)
    if orientation == 1:
        return image.copy() if image is source else image
    upright = image.transpose(_TURNS[orientation])
    for key in _SAYS_ORIENTATION:  # or whoever takes the upright picture would turn it again
        upright.info.pop(key, None)
    return upright


def as_rgb(image: Image.Image, name: str = "the image") -> Image.Image:
    """Return a picture in mode RGB; ``name`` is what an error calls it.

    Transparent pixels are laid over white. Grey of 16 and 32 bits is brought to 8 by ``eight_bits``.

    Raises:
        SegnetError: a colour mode that can't be turned into RGB, or floats without a number among them.
    """
    if image.mode in _HIGH_BYTE_MODES:
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in NEEDS_ALL_VALUES:
        require_numbers(np.asarray(image), name)
        return Image.fromarray(eight_bits(np.asarray(image))).convert("RGB")
    try:
        if image.has_transparency_data:
            layer = image.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
        return image if image.mode == "RGB" else image.convert("RGB")
    except Exception as error:  # of a damaged palette or transparency, Pillow raises many things
        said = f"has the colour mode {image.mode}, which can't be turned into RGB"
        raise Fault("mode", name, said) from error


def read_index_mask(source: File | Image.Image) -> Mask:
    """Read a mask ``(H, W)`` of class ids, uint8, exactly as stored; otherwise as ``read_mask_values``.

    Raises:
        SegnetError: not readable, a colour image, or a value outside 0 to 255; names the file.
    """
    return read_mask_values(source, highest=255).astype(np.uint8, copy=False)


def read_mask_values(
    source: File | Image.Image, *, highest: int = HIGHEST_VALUE
) -> npt.NDArray[np.uint8 | np.uint16]:
    """Read the values ``(H, W)`` of a mask, exactly as stored.

    Grey and 1-bit files give their values, palette files their indices. A rotation noted in the metadata is
    not applied: masks are PNGs that tools write upright.

    Args:
        source: a file, or a mask that is decoded.
        highest: the highest value that is allowed.

    Raises:
        SegnetError: not readable, a colour image, or a value outside 0 to ``highest``; names the file.
    """
    image = decode(source)
    if image.mode not in ("L", "P", "1", "I", *_HIGH_BYTE_MODES):
        raise Fault(
            "mask-mode", source_name(source), f"is no map of class ids but an image in mode {image.mode}"
        )
    values = np.asarray(image)
    if values.dtype == np.uint8:
        return values
    outside = values[(values < 0) | (values > highest)]
    if outside.size:
        raise Fault(
            "mask-mode",
            source_name(source),
            f"holds the value {outside[0]} ({outside.size} pixels are outside 0 to {highest})",
            "a mask holds class ids, 255 = ignore",
        )
    return values.astype(np.uint16)


def decode(source: Source, *, page: int = 1) -> Image.Image:
    """Load a picture, or one of its pages, in the mode and the position it is stored in.

    Raises:
        SegnetError: no such file or page, not an image, damaged, or more pixels than are allowed.
    """
    return _decoded(source, page)[0]


def _decoded(source: Source, page: int) -> tuple[Image.Image, int]:
    """Return a picture as it is stored, and its orientation."""
    name = source_name(source)

    def load(image: ImageFile.ImageFile) -> tuple[Image.Image, int]:
        orientation = load_page(image, page, name)
        return image, orientation

    if not isinstance(source, Image.Image):
        return with_picture(source, name, load)
    with naming(name):
        source.load()
        return source, orientation_of(source)


def turned_by_exif(mask: Mask, orientation: int) -> Mask:
    """Turn a mask ``(H, W)`` as EXIF's orientation turns its image, 1 to 8."""
    return mask if orientation == 1 else np.array(Image.fromarray(mask).transpose(_TURNS[orientation]))


def require_same_size(image: Image.Image | Pixels, mask: Mask, image_file: File, mask_file: File) -> None:
    """Check that a mask lies on its image, a picture or ``(H, W, C)``, pixel by pixel.

    Raises:
        Fault: the sizes differ; says so where only width and height are swapped.
    """
    size = image.size if isinstance(image, Image.Image) else image.shape[1::-1]
    fault = size_fault(size, mask.shape[::-1], image_file, mask_file)
    if fault is not None:
        raise fault


def size_fault(
    image: tuple[int, ...], mask: tuple[int, ...], image_file: File, mask_file: File
) -> Fault | None:
    """Return what is wrong where a mask is of another size (width, height) than its upright image."""
    if mask == image:
        return None
    return Fault(
        "sizes-differ",
        mask_file,
        f"is {mask[0]}×{mask[1]} but its image {image_file} is {image[0]}×{image[1]}",
        "the mask was drawn without the image's EXIF rotation, turn it" if mask == image[::-1] else "",
    )


def fingerprint(files: tuple[File, ...], meaning: str) -> bytes:
    """Digest the files' contents and ``meaning``, a text that says how their values are read.

    Raises:
        SegnetError: a file that can't be read.
    """
    # A digest of digests: no byte can move from one file to the next unseen.
    return hashlib.sha256(b"".join((meaning.encode(), *map(file_digest, files)))).digest()


def source_name(source: Source) -> str:
    """Return what an error message calls a picture: its file where it has one."""
    if isinstance(source, File):
        return str(source)
    name = getattr(source, "filename" if isinstance(source, Image.Image) else "name", None)
    return str(name) if name else "the image"
