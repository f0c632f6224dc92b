"""Pages of a TIFF are its pictures alone, and none is decoded that is larger than is allowed."""

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from segnet.base.errors import SegnetError
from segnet.data.images.headers import read_header
from segnet.data.images.intensity import RGB, Intensity, read_values
from segnet.data.images.reading import Picture, allow_pixels, decode, open_rgb
from segnet.data.images.tiff import pages_of_tiff

RANDOM = np.random.RandomState(0)


def noise(*shape):
    return RANDOM.randint(0, 255, shape).astype(np.uint8)


def cloud_optimised(file, values, **options):
    """Write a picture with two overviews and transparency masks, each a directory of its own."""
    with tifffile.TiffWriter(file, **options) as tiff:
        tiff.write(values, photometric="rgb", tile=(32, 32))
        tiff.write(np.ones(values.shape[:2], np.bool_), subfiletype=4)
        for step in (2, 4):
            tiff.write(values[::step, ::step], photometric="rgb", subfiletype=1)
            tiff.write(np.ones(values[::step, ::step].shape[:2], np.bool_), subfiletype=5)


@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"byteorder": ">"}])
def test_overviews_and_masks_are_no_pages(options, tmp_path):
    values = noise(70, 90, 3)
    cloud_optimised(tmp_path / "a.tif", values, **options)
    assert len(tifffile.TiffFile(tmp_path / "a.tif").pages) == 6
    assert read_header(tmp_path / "a.tif").frames == 1
    assert np.array_equal(RGB.open(tmp_path / "a.tif")[0], values)
    with pytest.raises(SegnetError, match="has no page 2, it has 1"):
        RGB.open(tmp_path / "a.tif", page=2)[0]


def test_a_chain_that_leads_out_of_the_file_ends_there(tmp_path):
    """Some systems refuse to go to such a place, others read nothing there."""
    cloud_optimised(tmp_path / "a.tif", noise(70, 90, 3), bigtiff=True)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        at = tiff.pages[-1].offset
    with (tmp_path / "a.tif").open("r+b") as file:
        file.seek(at)
        entries = struct.unpack("<Q", file.read(8))[0]
        file.seek(at + 8 + entries * 20)
        file.write(struct.pack("<Q", 1 << 62))
    assert len(Picture(tmp_path / "a.tif").pages) == 1
    assert read_header(tmp_path / "a.tif").frames == 1


def test_a_page_behind_an_overview_has_the_next_number(tmp_path):
    first, second = noise(40, 50, 3), noise(20, 30, 3)
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(first, photometric="rgb")
        tiff.write(first[::2, ::2], photometric="rgb", subfiletype=1)
        tiff.write(second, photometric="rgb")
    assert read_header(tmp_path / "a.tif").frames == 2
    assert np.array_equal(open_rgb(tmp_path / "a.tif", page=2), second)


def test_levels_of_an_ome_pyramid_are_no_pages(tmp_path):
    values = RANDOM.randint(0, 4096, (64, 64)).astype(np.uint16)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tiff:
        tiff.write(values, subifds=1, metadata={"axes": "YX"})
        tiff.write(values[::2, ::2], subfiletype=1)
    assert read_header(tmp_path / "a.ome.tif").frames == 1
    assert np.array_equal(read_values(tmp_path / "a.ome.tif", 1)[..., 0], values)


def test_a_file_of_nothing_but_an_overview_is_its_first_directory(tmp_path):
    values = noise(20, 30, 3)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", subfiletype=1)
    assert np.array_equal(open_rgb(tmp_path / "a.tif"), values)


@pytest.mark.parametrize("bands", [3, 5])
def test_the_limit_holds_for_each_page_that_is_decoded(bands, tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        kind = "rgb" if bands == 3 else "minisblack"
        tiff.write(noise(20, 30, bands), photometric=kind, planarconfig="contig")
        large = np.zeros((1200, 1000, bands), np.uint8)
        tiff.write(large, photometric=kind, planarconfig="contig", compression="zlib")
    intensity = RGB if bands == 3 else Intensity(bands)
    with allow_pixels(1):
        assert np.asarray(intensity.open(tmp_path / "a.tif")[0]).shape == (20, 30, bands)
        with pytest.raises(SegnetError, match=r"a.tif has too many pixels to open safely \(1,200,000, where"):
            intensity.open(tmp_path / "a.tif", page=2)[0]
    with allow_pixels(2):
        assert np.asarray(intensity.open(tmp_path / "a.tif", page=2)[0]).shape == (1200, 1000, bands)


def test_samples_and_bits_count_too(tmp_path):
    values = np.zeros((900, 1000, 9), np.float64)
    tifffile.imwrite(
        tmp_path / "a.tif", values, photometric="minisblack", planarconfig="contig", compression="zlib"
    )
    with allow_pixels(1), pytest.raises(SegnetError, match="has too many channels and bits to open safely"):
        Intensity(9, ((0.0, 1.0),) * 9).open(tmp_path / "a.tif")


def test_a_tile_larger_than_its_page_counts(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", noise(20, 30, 3), photometric="rgb", tile=(1024, 1024), compression="zlib"
    )
    with allow_pixels(1), pytest.raises(SegnetError, match="too many pixels to open safely"):
        open_rgb(tmp_path / "a.tif")


def test_a_raised_limit_opens_what_pillow_refuses_and_leaves_pillow_as_it_is(tmp_path, monkeypatch, recwarn):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    values = noise(60, 70, 3)
    for name, options in (
        ("a.png", {}),
        ("a.tif", {}),
        ("b.tif", {"compression": "tiff_lzw"}),
        ("a.bmp", {}),
    ):
        Image.fromarray(values).save(tmp_path / name, **options)
        with pytest.raises(SegnetError, match=r"too many pixels to open safely \(4,200, where 2,000"):
            open_rgb(tmp_path / name)
        with allow_pixels(1):
            assert np.array_equal(open_rgb(tmp_path / name), values)
    assert Image.MAX_IMAGE_PIXELS == 1000
    assert not recwarn.list


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_tiff_of_pillows_is_upright_and_its_mask_as_stored(orientation, compression, tmp_path):
    values, exif = noise(20, 30, 3), Image.Exif()
    exif[274] = orientation
    exif[0x9003] = "an entry of no meaning for pixels"
    Image.fromarray(values).save(tmp_path / "a.tif", exif=exif, compression=compression)
    turned = Image.fromarray(values)
    turned.getexif()[274] = orientation
    expected = np.asarray(ImageOps.exif_transpose(turned))
    assert np.array_equal(open_rgb(tmp_path / "a.tif"), expected)
    assert np.array_equal(decode(tmp_path / "a.tif"), values)
    header = read_header(tmp_path / "a.tif")
    assert (header.stored, header.size) == ((30, 20), expected.shape[1::-1])


def test_a_chain_of_directories_that_bites_its_tail_ends():
    stream = io.BytesIO()
    tifffile.imwrite(stream, noise(20, 30), metadata=None)
    content = bytearray(stream.getvalue())
    first = struct.unpack_from("<L", content, 4)[0]
    entries = struct.unpack_from("<H", content, first)[0]
    struct.pack_into("<L", content, first + 2 + 12 * entries, first)
    assert len(pages_of_tiff(io.BytesIO(content))) == 1
