"""Opening picture files with Pillow: within a limit of pixels, and with one error for whatever is in a file.

``Image.open`` takes its limits from variables of Pillow that hold for the whole process. This opens files by
Pillow's plugins with a limit of its own, so a program that uses segnet keeps its own settings.
"""

from __future__ import annotations

import io
import math
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from segnet.base.errors import SegnetError
from segnet.base.extras import is_installed
from segnet.data.faults import Fault
from segnet.data.images.embedded_files import Blob, File
from segnet.data.images.suffixes import REMEDIES
from segnet.data.images.tiff_pages import TiffPage, pages_of_tiff

PNG = b"\x89PNG\r\n\x1a\n"
"""What a PNG's chunks follow: length, name, content and checksum of each."""

_SAME_FORMAT = {"MPO": "JPEG"}  # phones put a preview behind their JPEG
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_BYTES_PER_PIXEL = 32  # of a page, at most for each pixel that is allowed: 8 floats, 16 channels of 16 bits
_SMALL_TEXT = 1 << 16  # bytes of a text chunk that is kept of a PNG with too much text
NODATA = "nodata"
"""Under this key of ``Image.info`` stands what a decoded page of a TIFF says of pixels without data."""

_ORIENTATION = ExifTags.Base.Orientation

T = TypeVar("T")

_allowed: ContextVar[int | None] = ContextVar("allowed_pixels", default=None)


@contextmanager
def allow_pixels(megapixels: int) -> Iterator[None]:
    """In this block, and in threads that it starts by `core.ahead`, open images of up to so many megapixels.

    Elsewhere Pillow's own limit holds: 178 million, or twice ``Image.MAX_IMAGE_PIXELS`` of the program.

    Raises:
        SegnetError: not even one.
    """
    token = _allowed.set(pixels_of(megapixels))
    try:
        yield
    finally:
        _allowed.reset(token)


def pixels_of(megapixels: int) -> int:
    """Return the pixels that ``--max-megapixels`` allows.

    Raises:
        SegnetError: not even a million.
    """
    if megapixels < 1:
        raise SegnetError(f"--max-megapixels must be 1 or more, got {megapixels}")
    return megapixels * 1_000_000


def require_pixels(pixels: int, name: str, size_bytes: int = 0) -> None:
    """Check, before it is decoded, that a picture isn't too large: a small file can be made to fill memory.

    Raises:
        Fault: more pixels than are allowed here, or more than 32 bytes for each that is.
    """
    limit = _allowed.get()
    if limit is None:
        if Image.MAX_IMAGE_PIXELS is None:
            return
        limit = 2 * Image.MAX_IMAGE_PIXELS
    if pixels > limit:
        said = f"has too many pixels to open safely ({pixels:,}, where {limit:,} are allowed)"
        raise Fault("too-large", name, said)
    if size_bytes > _BYTES_PER_PIXEL * limit:
        said = (
            f"has too many channels and bits to open safely ({size_bytes:,} bytes, where "
            f"{_BYTES_PER_PIXEL * limit:,} are allowed)"
        )
        raise Fault("too-large", name, said)


def with_picture(source: File | BinaryIO, name: str, use: Callable[[ImageFile.ImageFile], T]) -> T:
    """Open a picture file and return what ``use`` makes of it before the file is closed.

    Args:
        source: a file, or a binary stream, which is left open.
        name: what an error calls it.
        use: takes the picture as Pillow opens it, not yet decoded.

    Raises:
        SegnetError: no such file, not an image, too many pixels, or whatever ``use`` raises.
    """
    with naming(name):
        if isinstance(source, Path):
            require_file(source)
        with _stream(source) as stream:
            try:
                return _opened(stream, name, use)
            except ValueError as error:
                if "MAX_TEXT" not in str(error):
                    raise
            return _opened(_without_text(stream), name, use)


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Turn whatever is raised in this block into an error of the file of this name.

    Raises:
        SegnetError: something was raised.
    """
    try:
        yield
    except Exception as error:  # Pillow's and tifffile's parsers raise whatever they stumble on
        raise why_unread(error, name) from error


def why_unread(error: Exception, name: str) -> SegnetError:
    """Return what to say of an image that couldn't be read."""
    if isinstance(error, SegnetError):
        return error
    if isinstance(error, FileNotFoundError):
        return SegnetError(f"{name} does not exist; check the path")
    if isinstance(error, PermissionError):
        return Fault("damaged", name, "may not be read", "check the file's permissions")
    if isinstance(error, Image.DecompressionBombError):
        return Fault("too-large", name, f"has too many pixels to open safely ({error})")
    if isinstance(error, MemoryError):
        return Fault("too-large", name, "takes more memory to open than there is")
    if isinstance(error, UnidentifiedImageError):
        return Fault("not-an-image", name, "is not an image that can be read")
    said = " ".join(str(error).split()) or type(error).__name__
    return Fault("damaged", name, f"is damaged ({said})")


def require_file(path: Path) -> None:
    """Check that there is an ordinary file with something in it: opening a pipe would wait for ever.

    Raises:
        SegnetError: there isn't.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        if path.is_symlink():
            raise Fault("no-file", path, "is a link to nothing") from None
        raise why_unread(error, str(path)) from None
    if stat.S_ISDIR(found.st_mode):
        raise SegnetError(f"{path} is a folder where an image file is needed")
    if not stat.S_ISREG(found.st_mode):
        raise Fault("no-file", path, "is a pipe, a socket or a device and no file")
    if not found.st_size:
        raise Fault("empty", path, "is empty")


def orientation_of(image: Image.Image) -> int:
    """Return how EXIF or XMP data turn a picture, 1 to 8; 1 is upright, also where the data are damaged.

    Nothing else of the EXIF data is looked at: other tags are often out of range, and say nothing of pixels.
    """
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # also of damaged pixels, behind which a PNG may have it
        return 1
    return int(orientation) if isinstance(orientation, int) and orientation in range(2, 9) else 1


def pages_in(image: ImageFile.ImageFile) -> tuple[int, list[TiffPage]]:
    """Return how many pages or frames a picture file has, and those of a TIFF.

    The previews behind a phone's JPEG don't count, nor do overviews and transparency masks in a TIFF.
    """
    if same_format(image.format) == "JPEG":
        return 1, []
    pages = pages_of_tiff(image.fp) if image.format == "TIFF" else []
    return len(pages) or int(getattr(image, "n_frames", 1)), pages


def stored_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height as stored; of a TIFF that is to be turned, Pillow tells those it will have."""
    size: tuple[int, int] = getattr(image, "_tile_size", image.size)
    return size


def same_format(name: str | None) -> str:
    """Return a format's name, where some are told apart by what lies behind the picture alone."""
    return _SAME_FORMAT.get(name or "", name or "")


def load_page(image: ImageFile.ImageFile, page: int, name: str) -> int:
    """Decode one page of a file, from 1, as it is stored, and return its orientation.

    Raises:
        SegnetError: no such page, or more pixels than are allowed.
    """
    count, pages = pages_in(image) if page != 1 or image.format == "TIFF" else (1, [])
    if not 1 <= page <= count:
        raise SegnetError(f"{name} has no page {page}, it has {count}; count from 1")
    number = pages[page - 1].number if pages else page - 1
    if number:
        image.seek(number)
    require_pixels(math.prod(image.size), name)
    if pages:
        require_pixels(pages[page - 1].pixels, name, pages[page - 1].size_bytes)
        image.info[NODATA] = pages[page - 1].nodata
    if image.format == "TIFF":  # which Pillow would turn itself
        orientation = orientation_of(image)
        _prepare_tiff(image, name)
        image.load()
    else:  # looking for the orientation of a PNG decodes it, and damage would be found there
        image.load()
        orientation = orientation_of(image)
    image.filename = name  # messages about the picture name it
    return orientation


def _prepare_tiff(image: Any, name: str) -> None:
    """Keep Pillow from turning a TIFF itself while it decodes, and from asking for its own limit."""
    with suppress(Exception):  # of damaged data; Pillow doesn't read them a second time
        image.getexif().pop(_ORIENTATION, None)
    image._size = size = stored_size(image)
    require_pixels(math.prod(size), name)
    if Image.MAX_IMAGE_PIXELS is not None and math.prod(size) > Image.MAX_IMAGE_PIXELS:
        image.im = Image.new(image.mode, size).im


def _stream(source: Any) -> AbstractContextManager[BinaryIO]:
    if isinstance(source, Path):
        return source.open("rb")
    if isinstance(source, Blob):
        return nullcontext(io.BytesIO(source.read()))
    try:
        source.seek(0)
    except (AttributeError, OSError):  # a stream that can't go back, as of a network
        return nullcontext(io.BytesIO(source.read()))
    return nullcontext(source)


def _opened(stream: BinaryIO, name: str, use: Callable[[ImageFile.ImageFile], T]) -> T:
    image = _identified(stream, name)
    require_pixels(math.prod(image.size), name)
    return use(image)


def _identified(stream: BinaryIO, name: str) -> ImageFile.ImageFile:
    """Open a stream by the first of Pillow's plugins that knows it, as ``Image.open`` does."""
    stream.seek(0)
    prefix = stream.read(16)
    is_heif = prefix[4:8] == b"ftyp" and prefix[8:12] in _HEIF_BRANDS
    tried: set[str] = set()
    for load in (Image.preinit, Image.init, *([_register_heif] if is_heif else [])):
        load()
        for format_ in [each for each in Image.ID if each not in tried]:
            tried.add(format_)
            factory, accepts = Image.OPEN[format_]
            try:
                if not accepts or accepts(prefix) is True:
                    stream.seek(0)
                    return factory(stream, "")  # type: ignore[no-any-return,unused-ignore]
            except (SyntaxError, IndexError, TypeError, struct.error):  # by these, plugins say no
                continue
    if is_heif and not is_installed("pillow_heif"):
        said = "is a HEIC or HEIF picture, which can't be read without the package pillow-heif"
        raise Fault("not-an-image", name, said, REMEDIES[".heic"])
    raise UnidentifiedImageError(name)


def _register_heif() -> None:
    """Let Pillow open HEIC where pillow-heif is installed; only once such a file is met."""
    if is_installed("pillow_heif"):
        import_module("pillow_heif").register_heif_opener()


def _without_text(png: BinaryIO) -> BinaryIO:
    """Return a PNG without colour profile and texts, of which Pillow opens no more than a megabyte.

    Small chunks in which an orientation may stand are kept.
    """
    png.seek(0)
    kept = [png.read(len(PNG))]
    while len(head := png.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        content = png.read(length + 4)
        is_text = kind in (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
        if not is_text or (length < _SMALL_TEXT and may_say_orientation(kind, content)):
            kept += [head, content]
    return io.BytesIO(b"".join(kept))


def may_say_orientation(kind: bytes, content: bytes) -> bool:
    """Say whether an orientation may stand in a chunk of a PNG; its content, or the begin of it, is given."""
    if kind == b"eXIf":
        return True
    if kind == b"iTXt":
        return b"Orientation" in content
    return kind in (b"tEXt", b"zTXt") and content.startswith(b"Raw profile type exif\0")
