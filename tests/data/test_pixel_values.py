"""Files of any channels and bits give the values that were written, or one line says what doesn't fit."""

import importlib.util
import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from segnet.base.errors import SegnetError
from segnet.data.images.headers import read_header
from segnet.data.images.intensity import RGB, Intensity, read_values
from segnet.data.images.pixel_values import turned
from segnet.data.images.tiff import open_tiff

RANDOM = np.random.RandomState(0)
CONTIG = {"photometric": "minisblack", "planarconfig": "contig"}


def noise(*shape, dtype=np.uint16, top=4096):
    values = RANDOM.rand(*shape) if np.dtype(dtype).kind == "f" else RANDOM.randint(0, top, shape)
    return values.astype(dtype)


def png_of_16_bits(values, colour_type):
    """Write a PNG by its specification: Pillow writes none of 16 bits and several channels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


# By name: what is written, how, and how many channels of how many bits that is.
TIFFS = {
    "grey of 16 bits": (noise(20, 30), {}, 1, 16),
    "big-endian": (noise(20, 30), {"byteorder": ">"}, 1, 16),
    "RGB of 16 bits": (noise(20, 30, 3), {"photometric": "rgb"}, 3, 16),
    "RGB of floats": (noise(20, 30, 3, dtype=np.float32), {"photometric": "rgb"}, 3, 32),
    "half floats": (noise(20, 30, dtype=np.float16), {}, 1, 16),
    "doubles": (noise(20, 30, dtype=np.float32).astype(np.float64), {}, 1, 64),
    "two of 8 bits": (noise(20, 30, 2, dtype=np.uint8, top=256), CONTIG, 2, 8),
    "four of 8 bits": (noise(20, 30, 4, dtype=np.uint8, top=256), CONTIG, 4, 8),
    "five of 8 bits": (noise(20, 30, 5, dtype=np.uint8, top=256), {"photometric": "rgb"}, 5, 8),
    "seven of 16 bits": (noise(20, 30, 7), CONTIG | {"compression": "zlib"}, 7, 16),
    "tiles": (noise(70, 90, 5), CONTIG | {"tile": (32, 32)}, 5, 16),
    "BigTIFF": (noise(20, 30, 5), CONTIG | {"bigtiff": True}, 5, 16),
}


@pytest.mark.parametrize("name", TIFFS)
def test_a_tiff_gives_the_values_that_were_written(name, tmp_path):
    values, options, channels, bits = TIFFS[name]
    tifffile.imwrite(tmp_path / "a.tif", values, **options)
    header = read_header(tmp_path / "a.tif")
    layout = header.layout
    assert (layout.channels, layout.bits) == (channels, bits)
    assert (header.size, header.frames) == (values.shape[1::-1], 1)
    with (tmp_path / "a.tif").open("rb") as stream:
        for source in (tmp_path / "a.tif", stream, stream):
            found = read_values(source, channels)
            assert found.shape == (*values.shape[:2], channels)
            assert np.array_equal(found.reshape(values.shape), values)


def test_twenty_channels_are_read_without_a_word(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise(20, 30, 20), **CONTIG)
    program = (
        "import sys, pathlib, segnet.data.images.headers as it; "
        "print(it.read_header(pathlib.Path(sys.argv[1])).layout)"
    )
    command = [sys.executable, "-c", program, tmp_path / "a.tif"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "channels=20" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    "options",
    [
        {"photometric": "minisblack", "planarconfig": "separate"},
        {"ome": True, "metadata": {"axes": "CYX"}},
        {"imagej": True, "metadata": {"axes": "CYX"}},
    ],
    ids=["planar", "OME", "ImageJ"],
)
def test_planes_are_channels_where_the_file_says_so(options, tmp_path):
    values = noise(2, 20, 30)
    tifffile.imwrite(tmp_path / "a.tif", values, **options)
    assert read_header(tmp_path / "a.tif").frames == 1
    assert np.array_equal(read_values(tmp_path / "a.tif", 2), np.moveaxis(values, 0, -1))


@pytest.mark.parametrize("axes", ["ZYX", "TYX"])
def test_a_stack_is_pages_and_no_channels(axes, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise(3, 20, 30), ome=True, metadata={"axes": axes})
    header = read_header(tmp_path / "a.tif")
    assert (header.frames, header.layout.channels) == (3, 1)


def test_a_page_of_a_tiff_that_pillow_cant_open_is_read_by_number(tmp_path):
    values = noise(3, 20, 30, 5)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in values:
            file.write(page, **CONTIG)
    assert read_header(tmp_path / "a.tif").frames == 3
    assert np.array_equal(read_values(tmp_path / "a.tif", 5, page=3), values[2])
    with pytest.raises(SegnetError, match="has no page 4, it has 3; count from 1"):
        read_values(tmp_path / "a.tif", 5, page=4)


@pytest.mark.parametrize(("channels", "colour_type"), [(3, 2), (4, 6)])
def test_a_png_of_16_bits_and_several_channels_keeps_all_of_them(channels, colour_type, tmp_path):
    values = noise(20, 30, channels, top=65536)
    (tmp_path / "a.png").write_bytes(png_of_16_bits(values, colour_type))
    layout = read_header(tmp_path / "a.png").layout
    assert (layout.channels, layout.bits) == (channels, 16)
    assert np.array_equal(read_values(tmp_path / "a.png", channels), values)
    assert np.array_equal(read_values(io.BytesIO((tmp_path / "a.png").read_bytes()), channels), values)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_values_are_turned_as_exif_turns_a_picture(orientation):
    values = noise(5, 8, 3, dtype=np.uint8, top=256)
    picture = Image.fromarray(values)
    picture.getexif()[0x0112] = orientation
    assert np.array_equal(turned(values, orientation), ImageOps.exif_transpose(picture))


def test_a_turned_tiff_comes_upright(tmp_path):
    values = noise(20, 30, 5)
    tifffile.imwrite(tmp_path / "a.tif", values, **CONTIG, extratags=[(274, "H", 1, 6, True)])
    assert np.array_equal(read_values(tmp_path / "a.tif", 5), np.rot90(values, -1))
    assert read_header(tmp_path / "a.tif").size == (20, 30)


# grey and colour become each other


def test_colour_becomes_grey_as_pillow_has_it(tmp_path):
    values = noise(20, 30, 3, dtype=np.uint8, top=256)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert np.array_equal(read_values(tmp_path / "a.png", 1)[..., 0], Image.fromarray(values).convert("L"))
    deep = values.astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb")
    expected = values @ np.array([0.299, 0.587, 0.114])
    assert np.allclose(read_values(tmp_path / "a.tif", 1)[..., 0] / 257, expected, atol=0.01)


def test_grey_of_16_bits_is_repeated_for_rgb(tmp_path):
    values = noise(20, 30)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert np.array_equal(read_values(tmp_path / "a.png", 3), np.repeat(values[..., None], 3, -1))


def test_transparency_is_a_fourth_channel_where_four_are_asked_for(tmp_path):
    values = noise(20, 30, 4, dtype=np.uint8, top=256)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert np.array_equal(Intensity(4).open(tmp_path / "a.png")[0], values)


def test_a_photo_is_the_picture_that_it_always_was(tmp_path):
    Image.fromarray(noise(20, 30, 3, dtype=np.uint8, top=256)).save(tmp_path / "a.jpg")
    picture = RGB.open(tmp_path / "a.jpg")[0]
    assert isinstance(picture, Image.Image)
    assert np.array_equal(picture, Image.open(tmp_path / "a.jpg"))


def test_16_bits_keep_their_high_byte_where_there_are_no_ranges(tmp_path):
    values = noise(20, 30, 3, top=65536)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
    assert np.array_equal(np.asarray(RGB.open(tmp_path / "a.tif")[0]), values >> 8)


# what doesn't fit


@pytest.mark.parametrize(
    ("name", "wanted", "says"),
    [
        (
            "two of 8 bits",
            3,
            "has 2 channels where RGB or grey is taken; segnet train --channels 2 takes such",
        ),
        ("four of 8 bits", 3, "has 4 channels where RGB or grey is taken"),
        ("five of 8 bits", 3, "has 5 channels where RGB or grey is taken"),
        ("seven of 16 bits", 1, "has 7 channels where 1 is taken"),
        ("grey of 16 bits", 4, "has 1 channel where 4 are taken; segnet train --channels 1 takes such"),
        ("RGB of 16 bits", 4, "has 3 channels where 4 are taken"),
    ],
)
def test_another_number_of_channels_is_one_line_with_what_there_is(name, wanted, says, tmp_path):
    values, options, _, _ = TIFFS[name]
    tifffile.imwrite(tmp_path / "a.tif", values, **options)
    with pytest.raises(SegnetError, match=f"a.tif {says}"):
        Intensity(wanted).open(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["seven of 16 bits", "five of 8 bits", "tiles", "RGB of 16 bits"])
def test_a_truncated_tiff_is_damaged_and_not_half_read(name, tmp_path):
    values, options, channels, _ = TIFFS[name]
    tifffile.imwrite(tmp_path / "a.tif", values, **options)
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(SegnetError, match=r"a.tif is (damaged|not an image)"):
        Intensity(channels, ((0.0, 4096.0),) * channels).open(tmp_path / "a.tif")


def test_what_takes_another_package_to_unpack_says_which(tmp_path):
    Image.fromarray(noise(20, 30, 3, dtype=np.uint8, top=256)).save(
        tmp_path / "a.tif", compression="tiff_lzw"
    )
    if importlib.util.find_spec("imagecodecs"):
        pytest.skip("imagecodecs is installed")
    with (
        pytest.raises(
            SegnetError, match=r"a.tif can't be decoded \(.*; pip install imagecodecs, or save it unc"
        ),
        (tmp_path / "a.tif").open("rb") as stream,
        open_tiff(stream, "a.tif") as tiff,
    ):
        tiff.values([1])


def test_more_pixels_than_are_safe_are_refused_before_they_are_read(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", noise(200, 200, 5), **CONTIG)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    with pytest.raises(SegnetError, match=r"a.tif has too many pixels to open safely"):
        read_values(tmp_path / "a.tif", 5)


def test_a_package_that_is_missing_is_named(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", noise(20, 30, 5), **CONTIG)
    monkeypatch.setattr("segnet.data.images.tiff.is_installed", lambda package: package != "tifffile")
    with pytest.raises(SegnetError, match=r"a.tif needs tifffile to be read; pip install 'segnet\[tiff\]'"):
        read_values(tmp_path / "a.tif", 5)
