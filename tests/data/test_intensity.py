"""Values of more than 8 bits: by ranges that hold for all images, measured as numpy measures percentiles."""

import numpy as np
import pytest
import tifffile

from segnet.base.errors import SegnetError
from segnet.data.folder import FolderSample
from segnet.data.images.intensity import RGB, Intensity
from segnet.data.images.percentiles import measured
from segnet.data.images.pixel_values import visible
from segnet.data.masks.mask_code import MaskCode
from segnet.data.synthetic import SyntheticSample

RANDOM = np.random.RandomState(0)


def samples_of(folder, images):
    """Each of the arrays ``(H, W)`` or ``(H, W, C)`` as the image of a sample, whose mask is never read."""
    samples = []
    for number, values in enumerate(images):
        file = folder / f"{number}.tif"
        planar = {"planarconfig": "contig"} if values.ndim == 3 else {}
        tifffile.imwrite(file, values, photometric="minisblack", **planar)
        samples.append(FolderSample(str(number), file, file, MaskCode(()), is_deep=values.dtype != np.uint8))
    return samples


def test_a_value_means_the_same_in_every_image():
    intensity = Intensity(1, ((100.0, 4100.0),))
    dark, bright = np.full((2, 2, 1), 600, np.uint16), np.full((2, 2, 1), 4000, np.uint16)
    bright[0, 0] = 600
    assert intensity.pixels(dark, "dark")[0, 0, 0] == intensity.pixels(bright, "bright")[0, 0, 0] == 32


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int32", "uint32", "float32", "float64"])
def test_scaling_is_linear_and_clipped_for_every_type(dtype):
    values = RANDOM.randint(0, 120, (9, 7, 2)).astype(dtype)
    scaled = Intensity(2, ((10.0, 100.0), (0.0, 51.0))).pixels(values, "it")
    for channel, (low, high) in enumerate(((10, 100), (0, 51))):
        expected = np.rint((values[..., channel].astype(float) - low) / (high - low) * 255).clip(0, 255)
        assert np.array_equal(scaled[..., channel], expected)


def test_what_is_no_number_is_black_or_white():
    values = np.array([[[np.nan], [np.inf], [-np.inf], [0.5]]], np.float32)
    assert Intensity(1, ((0.0, 1.0),)).pixels(values, "it").ravel().tolist() == [0, 255, 0, 128]


def test_an_image_of_nothing_but_nan_is_refused_by_name():
    with pytest.raises(SegnetError, match=r"sky.tif holds no number but NaN and infinity; fetch"):
        Intensity(1, ((0.0, 1.0),)).pixels(np.full((4, 4, 1), np.nan, np.float32), "sky.tif")


def test_8_bits_where_training_had_more_are_refused_by_name():
    with pytest.raises(
        SegnetError, match=r"a.png has 8 bits a channel, but the images trained on have more; sa"
    ):
        Intensity(1, ((100.0, 4000.0),)).pixels(np.zeros((4, 4, 1), np.uint8), "a.png")


def test_without_ranges_8_bits_are_the_very_same():
    values = RANDOM.randint(0, 256, (5, 4, 4)).astype(np.uint8)
    assert Intensity(4).pixels(values, "it") is values


def test_a_cache_of_photos_is_called_as_ever_and_others_by_their_channels_and_ranges():
    keys = [
        Intensity(1).key,
        Intensity(2).key,
        Intensity(1, ((0.0, 1.0),)).key,
        Intensity(3, ((0.0, 1.0),) * 3).key,
    ]
    assert RGB.key == ""
    assert len({RGB.key, *keys}) == 5


@pytest.mark.parametrize(
    ("channels", "ranges"),
    [(0, None), (65, None), (2, ((0.0, 1.0),)), (1, ((1.0, 1.0),)), (1, ((0.0, np.nan),)), ("1", None)],
)
def test_what_can_be_no_intensity_is_refused(channels, ranges):
    with pytest.raises(ValueError, match=r"channels|ranges"):
        Intensity(channels, ranges)


# measured on the images to train on


def test_16_bits_are_measured_exactly_as_numpy_does(tmp_path):
    images = [RANDOM.gamma(2, 300, (40, 30)).clip(0, 65535).astype(np.uint16) for _ in range(5)]
    intensity, odd = measured(samples_of(tmp_path, images), 1)
    assert np.allclose(intensity.ranges, [np.percentile(np.stack(images), (0.1, 99.9))])
    assert odd == []


def test_every_channel_has_its_own_range(tmp_path):
    images = [RANDOM.randint(0, 1000, (20, 30, 4)) * [1, 2, 10, 50] for _ in range(3)]
    images = [image.astype(np.uint16) for image in images]
    intensity, _ = measured(samples_of(tmp_path, images), 4)
    assert np.allclose(intensity.ranges, np.percentile(np.stack(images), (0.1, 99.9), axis=(0, 1, 2)).T)


def test_grey_is_measured_once_and_repeated_for_rgb(tmp_path):
    images = [RANDOM.randint(100, 4000, (20, 30)).astype(np.uint16) for _ in range(3)]
    intensity, _ = measured(samples_of(tmp_path, images), 3)
    assert intensity.channels == 3
    assert len(set(intensity.ranges)) == 1


def test_floats_are_measured_without_what_is_no_number(tmp_path):
    images = [RANDOM.normal(0, 5, (20, 30)).astype(np.float32) for _ in range(3)]
    images[0][:5], images[1][3, 3] = np.nan, np.inf
    stacked = np.stack(images)
    intensity, _ = measured(samples_of(tmp_path, images), 1)
    assert np.allclose(intensity.ranges, [np.percentile(stacked[np.isfinite(stacked)], (0.1, 99.9))])


def test_large_floats_are_measured_on_some_pixels_the_same_each_time(tmp_path, monkeypatch):
    monkeypatch.setattr("segnet.data.images.percentiles._MOST_VALUES", 20_000)
    images = [RANDOM.uniform(0, 1, (300, 300)).astype(np.float32) for _ in range(4)]
    samples = samples_of(tmp_path, images)
    intensity, _ = measured(samples, 1)
    assert np.allclose(intensity.ranges, [(0.001, 0.999)], atol=1e-3)
    assert measured(samples, 1)[0] == intensity


def test_of_many_images_some_are_read_from_first_to_last(tmp_path, monkeypatch):
    monkeypatch.setattr("segnet.data.images.percentiles.MOST_IMAGES", 3)
    images = [np.arange(100, dtype=np.uint16).reshape(10, 10) + 1000 * number for number in range(5)]
    intensity, _ = measured(samples_of(tmp_path, images), 1)
    assert np.allclose(intensity.ranges, [np.percentile(np.stack(images[::2]), (0.1, 99.9))])


def test_a_few_stars_in_the_dark_keep_their_range(tmp_path):
    sky = np.zeros((100, 100), np.uint16)
    sky[5, 5] = 900
    assert measured(samples_of(tmp_path, [sky] * 2), 1)[0].ranges == ((0.0, 900.0),)


def test_a_channel_of_one_value_is_said_and_doesnt_divide_by_zero(tmp_path):
    images = [np.stack([np.full((8, 8), 7), RANDOM.randint(0, 99, (8, 8))], -1).astype(np.uint16)] * 2
    intensity, odd = measured(samples_of(tmp_path, images), 2)
    assert intensity.ranges[0] == (7.0, 8.0)
    assert odd == ["channel 1 of the training images holds the value 7 alone"]


def test_nothing_but_nan_in_all_images_is_refused(tmp_path):
    samples = samples_of(tmp_path, [np.full((8, 8), np.nan, np.float32)] * 2)
    with pytest.raises(SegnetError, match=r"channel 1 of the training images holds no number but NaN"):
        measured(samples, 1)


def test_8_bits_have_no_ranges_also_among_deeper_ones(tmp_path):
    shallow = RANDOM.randint(0, 256, (8, 8)).astype(np.uint8)
    assert measured([SyntheticSample(0, 0)], 3) == (RGB, [])
    assert measured(samples_of(tmp_path, [shallow, shallow.astype(np.uint16)]), 1) == (Intensity(1), [])


def test_all_that_cant_be_read_is_said_at_once(tmp_path):
    samples = samples_of(tmp_path, [np.zeros((8, 8), np.uint16)] * 3)
    for sample in samples[:2]:
        sample.image.write_bytes(sample.image.read_bytes()[:150])
    with pytest.raises(SegnetError, match=r"2 things are wrong.*0\.tif.*1 more like it"):
        measured(samples, 1)


# seen by people


@pytest.mark.parametrize(
    ("channels", "shown"), [(1, [0, 0, 0]), (2, [0, 0, 0]), (3, [0, 1, 2]), (6, [0, 1, 2])]
)
def test_people_see_the_first_three_channels_or_one_in_grey(channels, shown):
    pixels = RANDOM.randint(0, 256, (2, 5, 4, channels)).astype(np.uint8)
    assert np.array_equal(visible(pixels), pixels[..., shown])
