"""Pictures of every mode come out as upright RGB, masks as the ids that are stored, or as one clear error."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segnet.base.errors import SegnetError
from segnet.data.images.file_records import fingerprint
from segnet.data.images.reading import decode, open_rgb
from segnet.data.masks.stored_values import read_index_mask, require_same_size

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def pixel(image: Image.Image) -> tuple[int, int, int]:
    assert image.mode == "RGB"
    return image.getpixel((0, 0))


def saved(image: Image.Image, name: str, folder: Path, **options: object) -> Path:
    image.save(folder / name, **options)
    return folder / name


def palette_image(index: int, colours: list[int]) -> Image.Image:
    image = Image.new("P", (4, 3), index)
    image.putpalette(colours)
    return image


STORED = {
    "rgb.png": (Image.new("RGB", (4, 3), (1, 2, 3)), {}, (1, 2, 3)),
    "grey.png": (Image.new("L", (4, 3), 77), {}, (77, 77, 77)),
    "bit.png": (Image.new("1", (4, 3), 1), {}, WHITE),
    "palette.png": (palette_image(1, [*RED, *GREEN]), {}, GREEN),
    "palette-clear-entry.png": (palette_image(1, [*RED, *GREEN]), {"transparency": 1}, WHITE),
    "palette.gif": (palette_image(1, [*RED, *BLUE]), {}, BLUE),
    "half-clear.png": (Image.new("RGBA", (4, 3), (0, 0, 0, 51)), {}, (204, 204, 204)),
    "clear.webp": (Image.new("RGBA", (4, 3), (9, 9, 9, 0)), {"lossless": True}, WHITE),
    "grey-alpha.png": (Image.new("LA", (4, 3), (100, 255)), {}, (100, 100, 100)),
    "colour-key.png": (Image.new("RGB", (4, 3), RED), {"transparency": RED}, WHITE),
    "cmyk.tif": (Image.new("CMYK", (4, 3), (0, 255, 255, 0)), {}, RED),
    "16-bit.png": (Image.fromarray(np.full((3, 4), 0x80FF, np.uint16)), {}, (128, 128, 128)),
    "32-bit-of-8.tif": (Image.fromarray(np.full((3, 4), 200, np.int32)), {}, (200, 200, 200)),
    "32-bit-of-16.tif": (Image.fromarray(np.full((3, 4), 0x80FF, np.int32)), {}, (128, 128, 128)),
    "float-of-1.tif": (Image.fromarray(np.full((3, 4), 0.6, np.float32)), {}, (153, 153, 153)),
    "float-of-8.tif": (Image.fromarray(np.full((3, 4), 31.5, np.float32)), {}, (31, 31, 31)),
    "16-bit-big-endian.tif": (Image.frombytes("I;16B", (4, 3), b"\x12\x34" * 12), {}, (18, 18, 18)),
}


@pytest.mark.parametrize("name", STORED)
def test_every_colour_mode_becomes_rgb(name: str, tmp_path: Path) -> None:
    image, options, expected = STORED[name]
    assert pixel(open_rgb(saved(image, name, tmp_path, **options))) == expected


def test_a_cmyk_jpeg_keeps_its_colours(tmp_path: Path) -> None:
    red, green, blue = pixel(
        open_rgb(saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "ink.jpg", tmp_path))
    )
    assert (red > 240, green < 15, blue < 15) == (True, True, True)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[-100, 0, 100]], np.int32), [0, 127, 255]),
        (np.array([[0, 65535, 131070]], np.int32), [0, 127, 255]),
        (np.array([[-1.0, 0.0, 1.0]], np.float32), [0, 127, 255]),
        (np.array([[0.0, np.nan, 1.0]], np.float32), [0, 0, 255]),
        (np.array([[-np.inf, -2.0, 2.0]], np.float32), [0, 0, 255]),
        (np.array([[-5.0, -5.0, -5.0]], np.float32), [0, 0, 0]),
    ],
)
def test_32_bit_grey_without_a_known_range_is_stretched_from_darkest_to_lightest(
    values: np.ndarray, expected: list[int]
) -> None:
    assert np.asarray(open_rgb(Image.fromarray(values)))[0, :, 0].tolist() == expected


def test_floats_without_a_number_among_them_are_refused_and_not_black() -> None:
    with pytest.raises(SegnetError, match="the image holds no number but NaN and infinity; fetch or save"):
        open_rgb(Image.fromarray(np.full((3, 4), np.nan, np.float32)))


# Where the top-left stored pixel of each EXIF orientation belongs in the upright picture (EXIF 2.3, tag 274).
@pytest.mark.parametrize(
    ("orientation", "size", "corner"),
    [
        (1, (4, 3), (0, 0)),
        (2, (4, 3), (3, 0)),
        (3, (4, 3), (3, 2)),
        (4, (4, 3), (0, 2)),
        (5, (3, 4), (0, 0)),
        (6, (3, 4), (2, 0)),
        (7, (3, 4), (2, 3)),
        (8, (3, 4), (0, 3)),
    ],
)
def test_exif_rotation_is_applied(
    orientation: int, size: tuple[int, int], corner: tuple[int, int], tmp_path: Path
) -> None:
    image = Image.new("RGB", (4, 3))
    image.putpixel((0, 0), RED)
    exif = Image.Exif()
    exif[274] = orientation
    upright = open_rgb(saved(image, "phone.png", tmp_path, exif=exif))
    assert upright.size == size
    assert upright.getpixel(corner) == RED


def test_a_stream_is_read_and_left_open() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (4, 3), BLUE).save(stream, "PNG")
    assert pixel(open_rgb(stream)) == BLUE
    assert not stream.closed


def test_the_file_is_closed_after_reading(tmp_path: Path) -> None:
    file = saved(
        palette_image(0, [*RED]),
        "moving.gif",
        tmp_path,
        save_all=True,
        append_images=[palette_image(0, [*BLUE])],
    )
    image = decode(file)
    assert image.fp is None or image.fp.closed
    assert pixel(open_rgb(image)) == RED


def jpeg() -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(stream, "JPEG")
    return stream.getvalue()


def png(width: int, height: int) -> bytes:
    """Build the header of a PNG that claims to be this large, with no pixels."""
    chunks = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (jpeg()[:2000], "is damaged"),
        (jpeg()[:30], "is damaged"),
        (b"", "is (empty|not an image)"),
        (b"<html>Not found</html>", "is not an image"),
        (png(40_000, 40_000), "too many pixels"),
        (png(64, 64), "is damaged"),
        (png(64, 64)[:20], "is damaged"),
    ],
    ids=["truncated", "header only", "empty", "web page", "bomb", "no pixels", "cut header"],
)
def test_a_file_that_cannot_be_read_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "cat.jpg"
    file.write_bytes(content)
    with pytest.raises(SegnetError, match=rf"cat\.jpg .*{message}") as caught:
        open_rgb(file)
    assert "\n" not in str(caught.value)
    with pytest.raises(SegnetError, match=rf"the image .*{message}"):
        open_rgb(io.BytesIO(content))


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(SegnetError, match=r"cat\.jpg does not exist"):
        open_rgb(tmp_path / "cat.jpg")
    with pytest.raises(SegnetError, match="is a folder"):
        open_rgb(tmp_path)


def test_a_colour_mode_without_a_way_to_rgb_is_named() -> None:
    with pytest.raises(SegnetError, match="colour mode La,"):
        open_rgb(Image.new("La", (4, 3)))


IDS = np.array([[0, 1, 2], [3, 200, 255]], np.uint8)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.fromarray(IDS), IDS),
        (Image.fromarray(IDS.astype(np.uint16)), IDS),
        (Image.fromarray(IDS.astype(np.int32)), IDS),
        (Image.fromarray(np.array([[True, False]])), np.array([[1, 0]])),
    ],
    ids=["8 bits", "16 bits", "32 bits", "1 bit"],
)
def test_masks_give_the_ids_that_are_stored(image: Image.Image, expected: np.ndarray, tmp_path: Path) -> None:
    mask = read_index_mask(saved(image, "mask.tif", tmp_path))
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, expected)


def test_palette_masks_give_indices_whatever_their_colours(tmp_path: Path) -> None:
    mask = Image.frombytes("P", (3, 2), IDS.tobytes())
    mask.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
    np.testing.assert_array_equal(read_index_mask(saved(mask, "mask.png", tmp_path)), IDS)


def test_a_mask_is_not_rotated_by_its_metadata(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    np.testing.assert_array_equal(
        read_index_mask(saved(Image.fromarray(IDS), "mask.png", tmp_path, exif=exif)), IDS
    )


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.new("RGB", (3, 2)), "mode RGB"),
        (Image.new("LA", (3, 2)), "mode LA"),
        (Image.fromarray(np.array([[0, 256, 300]], np.uint16)), r"the value 256 \(2 pixels"),
        (Image.fromarray(np.array([[0, -1]], np.int32)), r"the value -1 \(1 pixels"),
    ],
)
def test_what_is_no_map_of_ids_is_refused(image: Image.Image, message: str, tmp_path: Path) -> None:
    suffix = "tif" if image.mode == "I" else "png"
    with pytest.raises(SegnetError, match=rf"mask\.{suffix} .*{message}"):
        read_index_mask(saved(image, f"mask.{suffix}", tmp_path))


def test_sizes_that_differ_name_both_files_and_a_forgotten_rotation() -> None:
    names = Path("images/cat.jpg"), Path("masks/cat.png")
    mask = np.zeros((3, 4), np.uint8)
    require_same_size(Image.new("RGB", (4, 3)), mask, *names)
    with pytest.raises(
        SegnetError, match=r"masks.cat\.png is 4×3 but its image images.cat\.jpg is 8×6; resize"
    ):
        require_same_size(Image.new("RGB", (8, 6)), mask, *names)
    with pytest.raises(SegnetError, match="EXIF rotation"):
        require_same_size(Image.new("RGB", (3, 4)), mask, *names)


def test_a_fingerprint_changes_with_content_meaning_and_where_files_end(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"

    def of(first: bytes, second: bytes, meaning: str = "v1") -> bytes:
        a.write_bytes(first)
        b.write_bytes(second)
        return fingerprint((a, b), meaning)

    assert of(b"xy", b"z") == of(b"xy", b"z")
    assert len({of(b"xy", b"z"), of(b"x", b"yz"), of(b"z", b"xy"), of(b"xy", b"z", "v2")}) == 4
    with pytest.raises(SegnetError, match="gone"):
        fingerprint((tmp_path / "gone",), "v1")
