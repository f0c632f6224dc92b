"""Whatever one picture file does is one line that names it, and what is harmless in it doesn't matter."""

import io
import random
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, PngImagePlugin

from segnet.base.errors import SegnetError
from segnet.base.extras import is_installed
from segnet.data.images.headers import read_header
from segnet.data.images.intensity import RGB, Intensity
from segnet.data.images.reading import Picture, allow_pixels, open_rgb
from segnet.data.images.suffixes import IMAGE_SUFFIXES, UNREAD_SUFFIXES, said_skipped
from segnet.data.masks.stored_values import read_index_mask

PIXELS = np.random.RandomState(0).randint(0, 255, (24, 30, 3)).astype(np.uint8)
SIDEWAYS = np.rot90(PIXELS, -1)  # as orientation 6 asks for


def exif_block(*entries, order="<"):
    """Build EXIF data of entries (tag, type, count, four bytes), whatever sense they make."""
    body = struct.pack(order + "H", len(entries))
    for tag, kind, count, value in entries:
        body += struct.pack(order + "HHL", tag, kind, count) + value
    return b"Exif\0\0II*\0\x08\0\0\0" + body + bytes(4)


TURNED = (274, 3, 1, b"\6\0\0\0")
# By name: an entry beside the orientation that is no valid value of its tag.
ODD = {
    "text where a number belongs": (282, 2, 4, b"abc\0"),
    "a number where text belongs": (271, 4, 1, b"\xff\xff\xff\xff"),
    "a fraction over 0": (282, 5, 1, b"\x10\0\0\0"),
    "signed where unsigned belongs": (296, 9, 1, b"\xff\xff\xff\xff"),
    "a place behind the end": (270, 2, 400, b"\xff\xff\0\0"),
    "an unknown type": (33432, 77, 1, b"abc\0"),
    "another directory at no place": (34665, 4, 1, b"\xff\xff\xff\x7f"),
    "floats": (37386, 12, 1, b"\0\0\0\0"),
}


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("name", ODD)
def test_the_orientation_is_read_whatever_stands_beside_it(name, suffix, tmp_path):
    entries = sorted([TURNED, ODD[name]])
    file = tmp_path / f"a.{suffix}"
    lossless = {"lossless": True} if suffix == "webp" else {"quality": 100, "subsampling": 0}
    Image.fromarray(PIXELS).save(file, exif=exif_block(*entries), **lossless)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = np.asarray(open_rgb(file)).astype(int)
    assert found.shape == SIDEWAYS.shape
    assert np.abs(found - SIDEWAYS).mean() < 4
    assert read_header(file).size == (24, 30)


@pytest.mark.parametrize("value", [b"\0\0\0\0", b"\x09\0\0\0", b"\xff\xff\xff\xff"])
def test_an_orientation_that_there_isnt_leaves_the_picture_as_it_is(value, tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=exif_block((274, 3, 1, value)))
    assert np.array_equal(open_rgb(tmp_path / "a.png"), PIXELS)
    assert read_header(tmp_path / "a.png").orientation == 1


def test_an_upright_picture_is_not_turned_a_second_time(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=exif_block(TURNED))
    upright = open_rgb(tmp_path / "a.png")
    assert np.array_equal(open_rgb(upright), SIDEWAYS)


# text and colour profiles


def png_with(*chunks, behind=False):
    """Return a PNG with these chunks before its pixels, or behind them."""
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, "PNG")
    content = stream.getvalue()
    place = content.index(b"IEND") - 4 if behind else content.index(b"IDAT") - 4
    more = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return content[:place] + more + content[place:]


LONG = zlib.compress(b"a long history of edits " * 100_000)
CHUNKS = {
    "compressed text": (b"zTXt", b"history\0\0" + LONG),
    "international text": (b"iTXt", b"history\0\1\0\0\0" + LONG),
    "a colour profile": (b"iCCP", b"press\0\0" + LONG),
}


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("name", CHUNKS)
def test_a_png_with_much_text_or_a_large_profile_opens(name, behind, tmp_path):
    (tmp_path / "a.png").write_bytes(png_with(CHUNKS[name], behind=behind))
    limits = PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY
    assert np.array_equal(open_rgb(tmp_path / "a.png"), PIXELS)
    assert read_header(tmp_path / "a.png").size == (30, 24)
    assert limits == (PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY)


def test_a_png_with_much_text_keeps_its_orientation(tmp_path):
    turned = b"eXIf", exif_block(TURNED)[6:]
    (tmp_path / "a.png").write_bytes(png_with(CHUNKS["compressed text"], turned))
    assert np.array_equal(open_rgb(tmp_path / "a.png"), SIDEWAYS)


def test_exif_data_in_a_png_s_text_turn_it_in_header_and_pixels_alike(tmp_path):
    block = exif_block(TURNED)
    text = f"\nexif\n{len(block):8}\n{block.hex()}\n".encode()
    chunk = b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text)
    (tmp_path / "a.png").write_bytes(png_with(chunk))
    assert np.array_equal(open_rgb(tmp_path / "a.png"), SIDEWAYS)
    assert read_header(tmp_path / "a.png").size == (24, 30)


# suffixes


def test_the_list_of_suffixes_is_what_pillow_opens_here():
    Image.init()
    registered = Image.registered_extensions()
    for suffix in set(IMAGE_SUFFIXES) - {".mpo", ".heic", ".heif", ".hif"}:
        assert registered[suffix] in Image.OPEN
    usual = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".webp", ".bmp", ".gif", ".jp2", ".avif"}
    assert {suffix for suffix in usual if registered.get(suffix) in Image.OPEN} <= set(IMAGE_SUFFIXES)
    assert not set(IMAGE_SUFFIXES) & {".pdf", ".eps", ".mpg", ".h5", ".ico", ".wmf", *UNREAD_SUFFIXES}


@pytest.mark.parametrize(
    "suffix", [each for each in IMAGE_SUFFIXES if each not in (".heic", ".heif", ".hif")]
)
def test_a_picture_of_each_suffix_opens(suffix, tmp_path):
    file = tmp_path / f"a{suffix}"
    format_ = Image.registered_extensions()[suffix]
    grey = suffix in (".pbm", ".pgm", ".pfm")
    if format_ == "PPM" and suffix == ".pfm":
        Image.fromarray(PIXELS[..., 0].astype(np.float32)).save(file)
    elif format_ in Image.SAVE:
        Image.fromarray(PIXELS).convert("1" if suffix == ".pbm" else "L" if grey else "RGB").save(file)
    else:
        pytest.skip(f"Pillow writes no {format_} here")
    assert open_rgb(file).size == (30, 24)


@pytest.mark.skipif(is_installed("pillow_heif"), reason="HEIC can be opened here")
def test_heic_without_its_package_says_which(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf" + bytes(100))
    with pytest.raises(SegnetError, match=r"a.jpg is a HEIC or HEIF picture.*; pip install pillow-heif"):
        open_rgb(tmp_path / "a.jpg")


@pytest.mark.skipif(not is_installed("pillow_heif"), reason="needs pillow-heif")
def test_heic_opens_with_its_package(tmp_path):
    import pillow_heif

    pillow_heif.from_pillow(Image.fromarray(PIXELS)).save(tmp_path / "a.heic", quality=-1)
    assert np.abs(np.asarray(open_rgb(tmp_path / "a.heic")).astype(int) - PIXELS).mean() < 4


def test_what_is_skipped_is_counted_by_suffix():
    files = [Path(name) for name in ("a.TXT", "b.heic", "c.heic", "README")]
    assert said_skipped(files) == (
        "4 files skipped: 2 .heic (pip install pillow-heif), 1 .txt, 1 without a suffix"
    )
    assert said_skipped(files[:1]) == "1 file skipped: 1 .txt"


# damage


def saved(format_, image=None, **options):
    stream = io.BytesIO()
    (image or Image.fromarray(PIXELS)).save(stream, format_, **options)
    return stream.getvalue()


def written(values, **options):
    stream = io.BytesIO()
    tifffile.imwrite(stream, values, **options)
    return stream.getvalue()


def kinds():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Make], exif[ExifTags.Base.XResolution] = 6, "A", 72.0
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2020:01:01 00:00:00"
    palette = Image.fromarray(PIXELS).convert("P")
    tags = [
        (33550, "d", 3, (0.5, 0.5, 0.0), True),
        (274, "H", 1, 6, True),
        (42113, "s", 0, "-9999", True),
    ]
    return {
        "a.jpg": saved("JPEG", exif=exif),
        "a.png": saved("PNG", exif=exif),
        "palette.png": saved("PNG", palette, transparency=3),
        "a.webp": saved("WEBP", exif=exif),
        "a.gif": saved("GIF", palette, save_all=True, append_images=[palette.rotate(90)]),
        "a.tif": saved("TIFF", exif=exif),
        "lzw.tif": saved("TIFF", compression="tiff_lzw"),
        "pages.tif": saved("TIFF", save_all=True, append_images=[palette, palette.convert("L")]),
        "floats.tif": written(PIXELS[..., 0].astype(np.float32), extratags=tags),
        "integers.tif": written(PIXELS[..., 0].astype(np.int16), extratags=tags),
        "five.tif": written(
            np.repeat(PIXELS[..., :1], 5, -1).astype(np.uint16),
            photometric="minisblack",
            planarconfig="contig",
        ),
    }


def mutated(content, draw):
    """Change some bytes, mostly of the headers; or cut some out, or in."""
    data = bytearray(content)
    head = min(len(data), draw.choice([64, 200, 600, len(data)]))
    for _ in range(draw.randint(1, 5)):
        place, kind = draw.randrange(min(head, len(data))), draw.randrange(5)
        if kind == 0:
            data[place] ^= 1 << draw.randrange(8)
        elif kind == 1:
            data[place : place + 4] = draw.choice([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\x80\0\0\0"])
        elif kind == 2:
            del data[place : place + draw.randint(1, 20)]
        elif kind == 3:
            data[place:place] = data[place : place + draw.randint(1, 40)]
        else:
            data[place : place + 2] = bytes([0, draw.randrange(14)])[:: draw.choice([1, -1])]
        if len(data) < 8:
            break
    return bytes(data)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", kinds())
def test_no_damage_escapes_as_anything_but_one_line(name, tmp_path):
    content, draw = kinds()[name], random.Random(name)
    channels = 5 if name == "five.tif" else 1
    deep = Intensity(channels, ((0.0, 250.0),) * channels)
    reads = (
        lambda file: Picture(file).header,
        open_rgb,
        read_index_mask,
        RGB.open,
        deep.open,
        lambda file: RGB.open(file, page=2),
    )
    file, said = tmp_path / name, []
    for _ in range(120):
        file.write_bytes(mutated(content, draw))
        for read in reads:
            try:
                with allow_pixels(2):  # damage may ask for many, which takes its time
                    read(file)
            except SegnetError as error:
                said.append(str(error))
    assert len(said) > 50
    assert all(str(file) in each and "\n" not in each for each in said)


def test_a_tiff_with_a_list_for_a_side_is_damaged_before_anything_is_multiplied(tmp_path):
    values = np.repeat(PIXELS[..., :1], 5, -1).astype(np.uint16)
    content = written(values, photometric="minisblack", planarconfig="contig")
    width = struct.pack("<HHL", 256, 4, 1)
    assert content.count(width) == 1
    (tmp_path / "a.tif").write_bytes(content.replace(width, struct.pack("<HHL", 256, 4, 2)))
    with pytest.raises(SegnetError, match=r"a.tif is damaged \(a side of it is no number\)"):
        Intensity(5, ((0.0, 250.0),) * 5).open(tmp_path / "a.tif")
