"""Which files of a folder are pictures, by their suffixes: one list for every command."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import PurePath

from PIL import Image

from segnet.base.extras import is_installed
from segnet.base.readable import counted

# Raster formats of photos, scans and masks; Pillow also registers documents, films and icons.
FORMATS = (
    "JPEG", "MPO", "PNG", "TIFF", "WEBP", "AVIF", "JPEG2000", "BMP", "DIB", "GIF", "PPM", "TGA", "PCX", "SGI",
    "QOI",
)  # fmt: skip
"""Kinds of pictures, by Pillow's names of them."""

_HEIF = (".heic", ".heif", ".hif")
_FIRST = (".jpg", ".jpeg", ".png", ".tif", ".tiff")  # messages name the usual ones first


def _openable() -> tuple[str, ...]:
    """Return the suffixes of pictures that can be opened here."""
    registered = Image.registered_extensions()
    # Pillow opens MPO as JPEG and registers no opener for it.
    known = [name for name in FORMATS if name in Image.OPEN or name == "MPO"]
    found = [suffix for name in known for suffix, of in registered.items() if of == name]
    heif = _HEIF if is_installed("pillow_heif") else ()
    return tuple(dict.fromkeys((*_FIRST, *found, *heif)))


IMAGE_SUFFIXES = _openable()
"""Pictures that can be opened here, in lower case."""

UNREAD_SUFFIXES = tuple(
    suffix
    for suffix in (
        *_HEIF, ".avif", ".jp2", ".jxl", ".svg", ".pdf", ".eps", ".dcm", ".nii", ".npy", ".npz", ".raw",
        ".cr2", ".cr3", ".nef", ".arw", ".dng", ".exr", ".psd", ".fits", ".fit", ".hdr",
    )
    if suffix not in IMAGE_SUFFIXES
)  # fmt: skip
"""Pictures and arrays that can't be opened here, or not with their meaning: they are counted and named."""

REMEDIES = dict.fromkeys(_HEIF, "pip install pillow-heif, or save it as JPEG or PNG")
"""What makes a picture of such a suffix readable, where it isn't."""


def said_skipped(files: Iterable[PurePath]) -> str:
    """Say what was skipped in a folder: "3 files skipped: 2 .heic (pip install pillow-heif), 1 .txt".

    Args:
        files: at least one, which have no suffix of a picture.
    """
    kinds = Counter(file.suffix.lower() or "without a suffix" for file in files)
    parts = [
        f"{count:,} {suffix}" + (" (pip install pillow-heif)" if suffix in REMEDIES else "")
        for suffix, count in kinds.most_common()
    ]
    return f"{counted(kinds.total(), 'file')} skipped: {', '.join(parts)}"


ARCHIVE_SUFFIXES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
"""Of archives; ``segnet data convert`` unpacks the first kind itself."""
