"""The one door for images: ``Picture`` opens a file once, and knows its header, its layout and its pixels.

Every colour mode, rotated, damaged or not an image at all: all ends in decoded pixels or in one `SegnetError`
that names the file. A damaged file is never half-read (Pillow's ``LOAD_TRUNCATED_IMAGES`` stays off).
``Image.open`` takes its limits from variables of Pillow that hold for the whole process. This opens files by
Pillow's plugins with a limit of its own, so a program that uses segnet keeps its own settings.
"""

from __future__ import annotations

import hashlib
import io
import math
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import BinaryIO, Self, TypeVar, cast

from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from segnet.base.errors import SegnetError
from segnet.base.extras import is_installed
from segnet.data.faults import Fault, why_unread
from segnet.data.images import png, tiff
from segnet.data.images.embedded_files import Blob, File
from segnet.data.images.nodata import Missing, missing_in_picture
from segnet.data.images.pixel_values import TURNS, converted_to_rgb
from segnet.data.images.stored_layout import Header, Layout
from segnet.data.images.suffixes import REMEDIES

Source = File | BinaryIO | Image.Image
"""A file, an open binary stream, which is left open, or a picture that is already decoded."""

T = TypeVar("T")

_BYTES_PER_PIXEL = 32  # of a page, at most for each pixel that is allowed: 8 floats, 16 channels of 16 bits
_ORIENTATION = ExifTags.Base.Orientation
_SAYS_ORIENTATION = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_CHANNELS = {"1": 1, "L": 1, "I": 1, "F": 1, "LA": 2, "La": 2, "RGBA": 4, "RGBa": 4}  # others are colour: 3

_allowed: ContextVar[int | None] = ContextVar("allowed_pixels", default=None)


@contextmanager
def allow_pixels(megapixels: int) -> Iterator[None]:
    """In this block, and in threads that it starts by `base.threads`, open images of so many megapixels.

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
    for found, most, what, unit in (
        (pixels, limit, "pixels", ""),
        (size_bytes, _BYTES_PER_PIXEL * limit, "channels and bits", " bytes"),
    ):
        if found > most:
            said = f"has too many {what} to open safely ({found:,}{unit}, where {most:,} are allowed)"
            raise Fault("too-large", name, said)


class Picture:
    """An image that is open: what it says of itself, and its pixels as often as they are asked for.

    A context manager, at whose end a file that was opened here is closed. Of a file that has several pages or
    frames, each is asked for by its number, from 1.

    Args:
        source: what to open.

    Raises:
        SegnetError: no such file. Whatever else it does raises one that names it: not an image, damaged, more
            pixels than are allowed, no such page, or a TIFF that needs a package which isn't there.
    """

    def __init__(self, source: Source) -> None:
        self.name = source_name(source)
        self._decoded = source if isinstance(source, Image.Image) else None
        self._file: BinaryIO | None = None
        self.path = source if isinstance(source, Path) else None
        """The file that it can be read from again once it is closed; None where there is none."""
        with naming(self.name):
            self._stream = io.BytesIO() if isinstance(source, Image.Image) else self._opened(source)
            self.is_tiff = self._stream.read(4) in tiff.TIFF_MAGIC

    def _opened(self, source: File | BinaryIO) -> BinaryIO:
        if isinstance(source, Path):
            require_file(source)
            self._file = source.open("rb")
            return self._file
        if isinstance(source, Blob):
            return io.BytesIO(source.read())
        try:
            source.seek(0)
        except (AttributeError, OSError):  # a stream that can't go back, as of a network
            return io.BytesIO(source.read())
        if isinstance(source, io.BufferedReader) and isinstance(source.name, str | Path):
            self.path = Path(source.name)
        return source

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file that was opened here."""
        if self._file is not None:
            self._file.close()

    @cached_property
    def header(self) -> Header:
        """What the first bytes say, of a file or a stream."""
        try:
            return self.with_pillow(self._header)
        except Fault as fault:
            if fault.kind not in ("not-an-image", "damaged") or not self.is_tiff:
                raise
        with self.open_tiff() as opened:  # what Pillow can't represent
            page, layout = opened.page(1), opened.layout()
            require_pixels(page.pixels, self.name, page.size_bytes)
            frames = 1 if layout.planes > 1 else len(self.pages)
            return Header("TIFF", "", page.size, opened.orientation(), frames, layout, self._nodata)

    def _header(self, image: ImageFile.ImageFile) -> Header:
        frames, layout = self._frames(image), _layout_of_mode(image)
        size, tags = _stored_size(image), getattr(image, "tag_v2", None)
        if image.format == "PNG" and png.is_deep(image):
            layout = Layout(layout.channels, 16, True, loses="bits")
        elif image.format == "TIFF" and tags is not None:
            layout = tiff.layout_of_tags(tags, layout, frames)
        can_be_turned = image.format != "PNG" or png.may_be_turned(self._stream)
        orientation = orientation_of(image) if can_be_turned else 1
        frames = 1 if layout.planes > 1 else frames
        return Header(image.format or "", image.mode, size, orientation, frames, layout, self._nodata)

    @property
    def layout(self) -> Layout:
        """Channels and bits."""
        return self.header.layout if self._decoded is None else _layout_of_mode(self._decoded)

    @cached_property
    def pages(self) -> list[tiff.TiffPage]:
        """Those of a TIFF; none of other files."""
        return tiff.pages_of_tiff(self._stream) if self.is_tiff else []

    @property
    def _nodata(self) -> str:
        return next((page.nodata for page in self.pages if page.nodata), "")

    def _frames(self, image: ImageFile.ImageFile) -> int:
        """Count pages and frames, without previews behind a phone's JPEG (MPO) and overviews in a TIFF."""
        if image.format in ("JPEG", "MPO"):
            return 1
        return len(self.pages) or int(getattr(image, "n_frames", 1))

    @property
    def needs_values(self) -> bool:
        """Whether Pillow alone would read less of it than an 8-bit RGB picture shows, as of some TIFFs."""
        if not self.is_tiff:
            return False
        layout = self.layout
        deep_with_nodata = self.header.nodata != "" and layout.bits > 8
        return layout.loses == "channels" or not layout.is_picture or deep_with_nodata

    def digest(self) -> bytes:
        """Return the sha256 of a file's bytes."""
        self._stream.seek(0)
        return hashlib.file_digest(cast("io.BufferedReader", self._stream), "sha256").digest()

    def stored(self, page: int = 1) -> Image.Image:
        """Decode a page in the mode and the position it is stored in."""
        return self._load(page)[0]

    def upright(self, page: int = 1) -> Image.Image:
        """Decode a page in the mode it is stored in, turned as its EXIF data says."""
        image, orientation = self._load(page)
        if orientation == 1:
            return image.copy() if image is self._decoded else image
        upright = image.transpose(TURNS[orientation])
        for key in _SAYS_ORIENTATION:  # or whoever takes the upright picture would turn it again
            upright.info.pop(key, None)
        return upright

    def with_black(self, page: int = 1) -> tuple[Image.Image, Missing | None]:
        """Decode a page of 8 bits upright, black where it has no data, and say where that is, ``(H, W)``."""
        image = self.upright(page)
        missing = missing_in_picture(image, self.pages[page - 1].nodata) if self.pages else None
        if missing is not None:
            image = as_rgb(image, self.name)
            image.paste((0, 0, 0), mask=Image.fromarray(missing))
        return image, missing

    def open_tiff(self) -> AbstractContextManager[tiff.Tiff]:
        """Open it by tifffile, which reads what Pillow can't represent."""
        return tiff.open_tiff(self._stream, self.name)

    def _load(self, page: int) -> tuple[Image.Image, int]:
        """Return a page as it is stored, and its orientation."""
        if self._decoded is None:
            return self.with_pillow(lambda image: (image, self._load_page(image, page)))
        with naming(self.name):
            self._decoded.load()
            return self._decoded, orientation_of(self._decoded)

    def _load_page(self, image: ImageFile.ImageFile, page: int) -> int:
        """Decode one page, as it is stored, and return its orientation."""
        count = self._frames(image) if page != 1 or image.format == "TIFF" else 1
        if not 1 <= page <= count:
            raise tiff.no_page(self.name, page, count)
        listed = self.pages[page - 1] if image.format == "TIFF" and self.pages else None
        number = page - 1 if listed is None else listed.number
        if number:
            image.seek(number)
        require_pixels(math.prod(image.size), self.name)
        if listed is not None:
            require_pixels(listed.pixels, self.name, listed.size_bytes)
        if image.format == "TIFF":  # which Pillow would turn itself
            orientation = orientation_of(image)
            require_pixels(math.prod(_stored_size(image)), self.name)
            tiff.keep_as_stored(image, _stored_size(image))
            image.load()
        else:  # looking for the orientation of a PNG decodes it, and damage would be found there
            image.load()
            orientation = orientation_of(image)
        image.filename = self.name  # messages about the picture name it
        return orientation

    def with_pillow(self, use: Callable[[ImageFile.ImageFile], T]) -> T:
        """Return what ``use`` makes of the picture as Pillow opens it, not yet decoded."""
        with naming(self.name):
            try:
                return use(_identified(self._stream, self.name))
            except ValueError as error:
                if "MAX_TEXT" not in str(error):
                    raise
            self._stream = png.without_text(self._stream)
            return use(_identified(self._stream, self.name))


def decode(source: Source) -> Image.Image:
    """Open a picture and load it in the mode and the position it is stored in.

    Raises:
        SegnetError: as ``Picture``.
    """
    with Picture(source) as picture:
        return picture.stored()


def open_rgb(source: Source, *, page: int = 1) -> Image.Image:
    """Open a picture in mode RGB, upright.

    Raises:
        SegnetError: as ``Picture``, or a colour mode that can't be turned into RGB.
    """
    with Picture(source) as picture:
        return as_rgb(picture.upright(page), picture.name)


def as_rgb(image: Image.Image, name: str = "the image") -> Image.Image:
    """Return a picture in mode RGB, as ``converted_to_rgb``; ``name`` is what an error calls it."""
    is_plain = image.mode == "RGB" and not image.has_transparency_data
    return image if is_plain else converted_to_rgb(image, name)


def source_name(source: Source) -> str:
    """Return what an error message calls a picture: its file where it has one."""
    if isinstance(source, File):
        return str(source)
    name = getattr(source, "filename" if isinstance(source, Image.Image) else "name", None)
    return str(name) if name else "the image"


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


def orientation_of(image: Image.Image) -> int:
    """Return how EXIF or XMP data turn a picture, 1 to 8; 1 is upright, also where the data are damaged.

    Nothing else of the EXIF data is looked at: other tags are often out of range, and say nothing of pixels.
    """
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # also of damaged pixels, behind which a PNG may have it
        return 1
    return int(orientation) if isinstance(orientation, int) and orientation in range(2, 9) else 1


def _layout_of_mode(image: Image.Image) -> Layout:
    """Return the layout of a picture by the mode that Pillow gives it."""
    deep = 16 if image.mode.startswith("I;") else 32 if image.mode in ("I", "F") else 8
    channels = _CHANNELS.get(image.mode, 1 if deep == 16 else 3)
    if image.mode in ("P", "PA") and image.has_transparency_data:
        channels = 4
    return Layout(channels, deep, True)


def _stored_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height as stored; of a TIFF that is to be turned, Pillow tells those it will have."""
    return getattr(image, "_tile_size", image.size)


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
                    image: ImageFile.ImageFile = factory(stream, "")
                    require_pixels(math.prod(image.size), name)
                    return image
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
