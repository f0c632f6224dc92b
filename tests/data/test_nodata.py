"""Pixels that a TIFF marks as without data count nowhere: in ranges, in training and in scores."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from segnet.data.check.inspect_folder import inspect_folder
from segnet.data.folder import load_folder
from segnet.data.images.headers import read_header
from segnet.data.images.intensity import RGB, Intensity, read_values
from segnet.data.images.nodata import missing_pixels, missing_values
from segnet.data.images.percentiles import measured

RANDOM = np.random.RandomState(0)


def marked(text):
    return [(42113, "s", 0, text, True)]


# By name: values, what the tag says, and which of the values are missing.
MARKS = {
    "integers": (np.array([-9999, 0, 7], np.int16), "-9999", [1, 0, 0]),
    "a number with a fraction of 0": (np.array([-9999, 0, 7], np.int16), "-9999.0", [1, 0, 0]),
    "spaces": (np.array([0, 1, 255], np.uint8), " 255 ", [0, 0, 1]),
    "floats": (np.array([-9999, -9998.9, 7], np.float32), "-9999", [1, 0, 0]),
    "the lowest float, in fewer digits": (
        np.array([np.finfo(np.float32).min, 0, 7], np.float32),
        "-3.40282346638529e+38",
        [1, 0, 0],
    ),
    "NaN": (np.array([np.nan, 0, 7], np.float32), "nan", [1, 0, 0]),
    "NaN beside another mark": (np.array([np.nan, -1, 7], np.float32), "-1", [1, 1, 0]),
    "NaN without a mark": (np.array([np.nan, 0, 7], np.float32), "", [1, 0, 0]),
    "too large a float": (
        np.array([-np.inf, np.finfo(np.float32).min, 7], np.float32),
        "-1.79e308",
        [0, 0, 0],
    ),
    "infinity": (np.array([-np.inf, np.inf, 7], np.float64), "-inf", [1, 0, 0]),
    "what the type can't hold": (np.array([0, 241, 255], np.uint8), "-9999", [0, 0, 0]),
    "a fraction among integers": (np.array([0, 1, 2], np.uint8), "0.5", [0, 0, 0]),
    "no number": (np.array([0, 1, 2], np.uint8), "none", [0, 0, 0]),
    "half floats": (np.array([-9999, 0, 7], np.float16), "-9999", [1, 0, 0]),
}


@pytest.mark.parametrize("name", MARKS)
def test_the_mark_is_compared_as_the_values_are_stored(name):
    values, text, missing = MARKS[name]
    found = missing_values(values[None, :, None], text)
    assert (np.zeros(3) if found is None else found[0, :, 0]).tolist() == missing


def tile(file, mask_file, *, dtype=np.float32, nodata=-9999, bands=1, seed=0):
    """Write an image of which the left third has no data, and a mask of its bright part."""
    values = np.random.RandomState(seed).rand(30, 30, bands) * 100 + 20
    values[:, 15:] += 100
    values[:, :10] = nodata
    kind = {"photometric": "minisblack", "planarconfig": "contig"} if bands > 1 else {}
    stored = values.astype(dtype) if bands > 1 else values[..., 0].astype(dtype)
    tifffile.imwrite(file, stored, extratags=marked(str(nodata)), **kind)
    mask = np.zeros((30, 30), np.uint8)
    mask[:, 15:] = 1
    Image.fromarray(mask).save(mask_file)


@pytest.fixture
def folder(tmp_path):
    for split in ("train", "val"):
        for name in ("images", "masks"):
            (tmp_path / split / name).mkdir(parents=True)
        for number in range(4):
            tile(
                tmp_path / split / f"images/{split}{number}.tif",
                tmp_path / split / f"masks/{split}{number}.png",
                seed=number + 10 * (split == "val"),
            )
    return tmp_path


def test_ranges_are_those_of_the_pixels_that_hold_data(folder):
    samples = load_folder(folder).train
    low, high = measured(samples, 1)[0].ranges[0]
    known = np.concatenate([tifffile.imread(each.image)[:, 10:].ravel() for each in samples])
    assert (low, high) == pytest.approx(np.percentile(known.astype(np.float64), (0.1, 99.9)))


def test_training_ignores_pixels_without_data_and_shows_the_low_end_there(folder):
    sample = load_folder(folder).train[0]
    image, mask = sample.read_as(Intensity(1, ((20.0, 220.0),)))
    assert (mask[:, :10] == 255).all()
    assert np.unique(mask[:, 10:]).tolist() == [0, 1]
    assert (image[:, :10] == 0).all()
    assert image[:, 15:].min() > 100


def test_a_pixel_is_ignored_where_no_channel_holds_data(tmp_path):
    values = np.full((4, 5, 3), 700, np.int16)
    values[0, 0] = values[1, 1, 2] = -1
    tifffile.imwrite(
        tmp_path / "a.tif",
        values,
        photometric="minisblack",
        planarconfig="contig",
        extratags=marked("-1"),
    )
    found = read_values(tmp_path / "a.tif", 3)
    assert np.argwhere(missing_pixels(found)).tolist() == [[0, 0]]
    assert np.ma.getmaskarray(found).sum() == 4, "a single channel without data stays out of its range"


@pytest.mark.parametrize("photometric", ["rgb", "minisblack"])
def test_orthophotos_of_8_bits_are_read_alike(photometric, tmp_path):
    values = RANDOM.randint(1, 255, (20, 30, 3)).astype(np.uint8)
    values[5:9, :7] = 255
    stored = values if photometric == "rgb" else values[..., 0]
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric=photometric, extratags=marked("255"))
    image, missing = RGB.open(tmp_path / "a.tif")
    assert np.array_equal(missing, (np.atleast_3d(stored) == 255).all(-1))
    shown = np.where(missing[..., None], 0, values if photometric == "rgb" else stored[..., None])
    assert np.array_equal(np.asarray(image), np.broadcast_to(shown, (*image.size[::-1], 3)))


def test_an_image_of_which_no_pixel_holds_data_is_black_and_all_ignored(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.full((20, 30), np.nan, np.float32), extratags=marked("nan"))
    pixels, missing = Intensity(1, ((0.0, 1.0),)).open(tmp_path / "a.tif")
    assert not pixels.any()
    assert missing.all()


def test_data_check_says_how_many_pixels_hold_no_data(folder):
    found = inspect_folder(folder, channels=1)
    said = [str(fault) for fault in found.faults if fault.kind == "nodata"]
    assert len(said) == 1
    assert "has 33.3 % of its pixels marked as NoData (-9999), in 8 images; they are ignored" in said[0]
    assert not found.errors


def test_training_says_that_the_images_mark_pixels_without_data(folder):
    assert any("marks pixels without data by -9999 (NoData)" in line for line in load_folder(folder).warnings)


def test_a_mark_changes_what_a_cache_of_the_same_pixels_is_called(folder, tmp_path):
    sample = load_folder(folder).train[0]
    assert sample.nodata == read_header(sample.image).nodata == "-9999"
    unmarked = type(sample)(sample.name, sample.image, sample.mask, sample.code, sample.is_deep)
    assert sample.fingerprint() != unmarked.fingerprint()
