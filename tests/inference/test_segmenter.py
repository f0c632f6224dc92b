"""One image: whatever its size and mode, the mask has its size and lies upright on it."""

import io

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torch.nn import functional as F

from segnet import SegnetError
from segnet.inference import segmentation as module

from .conftest import segmenter_of

RED, GREEN, BLUE = (220, 10, 30), (20, 200, 10), (10, 30, 230)


def flag(width=90, height=60):
    """Three columns of one colour each, which ``brightest_channel`` segments into 0, 1 and 2."""
    pixels = np.zeros((height, width, 3), np.uint8)
    for column, colour in enumerate((RED, GREEN, BLUE)):
        pixels[:, column * width // 3 : (column + 1) * width // 3] = colour
    return Image.fromarray(pixels)


def stripes(mask):
    """Return the classes at the middles of the three columns, away from resampled edges."""
    height, width = mask.shape
    return [int(mask[height // 2, (2 * column + 1) * width // 6]) for column in range(3)]


def noise(height, width, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3), dtype=np.uint8)


def test_at_the_models_own_size_the_mask_is_the_models_argmax(tiny_model):
    pixels = noise(128, 128)
    with torch.no_grad():
        logits = tiny_model(torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255)[0]
    result = segmenter_of(tiny_model).predict(pixels)
    assert np.array_equal(result.mask, logits.argmax(0).numpy())
    assert np.allclose(result.probabilities, logits.softmax(0).numpy(), atol=1e-6)
    assert len(np.unique(result.mask)) == 3


@pytest.mark.parametrize(
    ("height", "width"),
    [(1, 1), (1, 700), (700, 1), (2, 3), (15, 17), (127, 129), (128, 128), (333, 512), (1000, 40)],
)
def test_the_mask_has_the_images_size_whatever_it_is(tiny_model, height, width):
    result = segmenter_of(tiny_model).predict(noise(height, width))
    assert result.mask.shape == (height, width)
    assert result.mask.dtype == np.uint8
    assert result.probabilities.shape == (3, height, width)
    assert result.index_image().size == result.overlay().size == (width, height)


def resampled(maps, height, width):
    """Torch's bilinear resampling, which averages where it makes smaller if told to."""
    tensor = torch.from_numpy(maps)[None].double()
    return F.interpolate(tensor, (height, width), mode="bilinear", align_corners=False, antialias=True)[0]


@pytest.mark.parametrize(("height", "width"), [(300, 200), (150, 61), (128, 400), (50, 61), (1, 400)])
def test_strips_give_what_torch_gives_for_the_whole(tiny_model, monkeypatch, height, width):
    monkeypatch.setattr(module, "_STRIP_VALUES", 7 * 3 * width)  # seven rows at a time
    result = segmenter_of(tiny_model).predict(noise(height, width))
    whole = resampled(result.logits, height, width)
    assert np.allclose(result.probabilities, whole.softmax(0).numpy(), atol=1e-4)
    clear = (whole.topk(2, dim=0).values.diff(dim=0).abs()[0] > 1e-3).numpy()
    assert np.array_equal(result.mask[clear], whole.argmax(0).numpy()[clear])


def test_each_pixel_gets_the_class_of_what_is_there(brightest_channel):
    result = brightest_channel.predict(flag())
    assert stripes(result.mask) == [0, 1, 2]
    assert result.areas() == pytest.approx({"red": 1 / 3, "background": 1 / 3, "blue": 1 / 3}, abs=0.04)
    assert sum(result.areas().values()) == pytest.approx(1)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "YCbCr", "HSV", "RGBX"])
def test_every_colour_mode_is_segmented_by_its_colours(brightest_channel, mode):
    assert stripes(brightest_channel.predict(flag().convert(mode)).mask) == [0, 1, 2]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16", "I", "F"])
def test_every_grey_mode_is_segmented_at_its_size(tiny_model, mode):
    grey = Image.fromarray(noise(40, 50)[..., 0])
    image = (
        Image.fromarray(np.asarray(grey).astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    )
    assert image.mode == mode
    assert segmenter_of(tiny_model).predict(image).mask.shape == (40, 50)


def test_a_16_bit_file_is_segmented_like_its_8_bit_copy(tiny_model, tmp_path):
    grey = noise(40, 50)[..., 0]
    Image.fromarray(grey).save(tmp_path / "8.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "16.png")
    segmenter = segmenter_of(tiny_model)
    masks = [segmenter.predict(tmp_path / name).mask for name in ("8.png", "16.png")]
    assert np.array_equal(*masks)


@pytest.mark.parametrize("factor", [257, np.float32(1 / 255)], ids=["RGB of 16 bits", "RGB of floats"])
def test_a_model_of_photos_segments_a_deeper_tiff_by_its_colours(brightest_channel, tmp_path, factor):
    values = np.asarray(flag()).astype(np.uint16 if factor == 257 else np.float32) * factor
    tifffile.imwrite(tmp_path / "flag.tif", values, photometric="rgb")
    assert stripes(brightest_channel.predict(tmp_path / "flag.tif").mask) == [0, 1, 2]
    with (tmp_path / "flag.tif").open("rb") as stream:
        assert stripes(brightest_channel.predict(stream).mask) == [0, 1, 2]


@pytest.mark.parametrize(
    ("orientation", "size", "classes"),
    [(1, (60, 90), [0, 1, 2]), (3, (60, 90), [2, 1, 0]), (6, (90, 60), None)],
)
def test_a_photo_that_says_it_lies_on_its_side_is_turned_first(
    brightest_channel, tmp_path, orientation, size, classes
):
    exif = Image.Exif()
    exif[0x0112] = orientation
    flag().save(tmp_path / "turned.jpg", exif=exif, quality=95)
    result = brightest_channel.predict(tmp_path / "turned.jpg")
    assert result.mask.shape == (result.image.height, result.image.width) == size
    assert stripes(result.mask if classes else result.mask.T) == (classes or [0, 1, 2])


def test_a_path_a_stream_a_picture_and_an_array_give_the_same_mask(brightest_channel, tmp_path):
    flag().save(tmp_path / "flag.png")
    stream = io.BytesIO((tmp_path / "flag.png").read_bytes())
    sources = [str(tmp_path / "flag.png"), tmp_path / "flag.png", stream, flag(), np.asarray(flag())]
    masks = [brightest_channel.predict(source).mask for source in sources]
    assert all(np.array_equal(mask, masks[0]) for mask in masks)


def test_the_index_image_holds_class_ids_and_looks_like_the_class_table(brightest_channel, tmp_path):
    result = brightest_channel.predict(flag())
    result.index_image().save(tmp_path / "mask.png")
    with Image.open(tmp_path / "mask.png") as stored:
        assert stored.mode == "P"
        assert np.array_equal(np.asarray(stored), result.mask)
        assert np.array_equal(np.asarray(stored.convert("RGB")), result.classes.paint(result.mask))


def test_the_overlay_paints_what_was_found_and_leaves_the_background(brightest_channel):
    result = brightest_channel.predict(flag())
    picture, photo = np.asarray(result.overlay()), np.asarray(flag())
    assert np.array_equal(picture[30, 45], photo[30, 45])
    assert not np.array_equal(picture[30, 15], photo[30, 15])


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros((4, 4, 3), np.float32), r"uint8 \(H, W, 3\) RGB, got float32 \(4, 4, 3\)"),
        (np.zeros((4, 4), np.uint8), r"got uint8 \(4, 4\)"),
        (np.zeros((3, 4, 4), np.uint8), r"got uint8 \(3, 4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), "4x0 pixels has nothing to segment"),
        (Image.new("RGB", (0, 0)), "0x0 pixels has nothing to segment"),
        (io.BytesIO(b""), "not an image that can be read"),
        ("no/such/photo.jpg", r"no/such/photo\.jpg does not exist"),
    ],
)
def test_what_is_no_image_is_said_in_one_line(brightest_channel, image, says):
    with pytest.raises(SegnetError, match=says) as error:
        brightest_channel.predict(image)
    assert "\n" not in str(error.value)
