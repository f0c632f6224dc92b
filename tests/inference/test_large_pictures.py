"""Pictures too large to hold twice give what they would give in memory."""

import numpy as np
import pytest
from PIL import ExifTags, Image
from torch import nn

from segnet import ClassTable
from segnet.data.store.fit_to_size import Fit
from segnet.inference.description import Description
from segnet.inference.predict_files import pictures_of, predict_files
from segnet.inference.runtimes.with_torch import TorchRuntime
from segnet.inference.segmenter import Segmenter
from segnet.inference.tiles import LargePicture, spool
from segnet.inference.write_results import write_segmentation

RANDOM = np.random.RandomState(0)


class Channels(nn.Module):
    """Says which of red, green and blue is the largest."""

    def forward(self, image):
        return image * 4


def segmenter(scale):
    classes = ClassTable.named(("red", "green", "blue"))
    description = Description("own.Channels", classes, (64, 64), "area", patch_scale=scale)
    return Segmenter(TorchRuntime(Channels()), description)


@pytest.fixture
def small_memory(monkeypatch):
    monkeypatch.setattr("segnet.inference.segmenter.LARGE_PX", 1000)
    monkeypatch.setattr("segnet.inference.segmenter.MOST_KEPT", 1000)
    monkeypatch.setattr("segnet.inference.tiles._STRIP_PIXELS", 3000)


def pictures(folder):
    pixels = RANDOM.randint(0, 256, (210, 333, 3)).astype(np.uint8)
    rgb = Image.fromarray(pixels)
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    yield "rgb.png", {}, rgb
    yield "grey.png", {}, rgb.convert("L")
    yield "palette.png", {}, rgb.convert("P")
    yield "transparent.png", {}, rgb.convert("RGBA")
    yield "deep.tif", {}, Image.fromarray(pixels[..., 0].astype(np.float32) * 7 - 3)
    yield "turned.jpg", {"exif": turned, "quality": 95}, rgb


@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_a_file_gives_the_same_mask_and_overlay(tmp_path, monkeypatch, request, scale):
    one = segmenter(scale)
    for name, options, picture in pictures(tmp_path):
        picture.save(tmp_path / name, **options)
    files = sorted(tmp_path.iterdir())
    expected = [one.predict(file) for file in files]
    request.getfixturevalue("small_memory")
    for file, before in zip(files, expected, strict=True):
        found = one.predict(file)
        assert isinstance(found.image, LargePicture), file
        assert found.image.size == before.image.size
        assert (found.mask == before.mask).mean() > 0.999, file
        same = (np.asarray(found.overlay()) == np.asarray(before.overlay())).mean()
        assert same == 1 if scale == 1 else same > 0.99


def test_an_array_is_cut_as_it_is(small_memory):
    pixels = RANDOM.randint(0, 256, (210, 333, 3)).astype(np.uint8)
    prepared = segmenter(1.0).prepare(pixels)
    assert prepared.pixels is pixels
    found = segmenter(1.0).predict(pixels)
    assert np.array_equal(found.mask, pixels.argmax(2))
    assert found.overlay().size == (333, 210)


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.37])
@pytest.mark.parametrize("resize", ["nearest", "area", "bilinear"])
def test_strips_are_the_rows_of_the_resized_picture(monkeypatch, scale, resize):
    monkeypatch.setattr("segnet.inference.tiles._STRIP_PIXELS", 3000)
    picture = Image.fromarray(RANDOM.randint(0, 256, (211, 333, 3)).astype(np.uint8))
    fit = Fit((64, 64), resize, patch_scale=scale)
    whole = fit.image(picture)
    rows = spool(picture, fit)
    assert rows.shape == whole.shape
    differ = np.abs(rows[0 : whole.shape[0]].astype(int) - whole) > (scale != 1)
    assert differ.mean() < (0.03 if resize == "area" else 1e-6), "a mean may take in a pixel more at a tie"
    assert np.array_equal(rows[5:9], rows[0:20][5:9])


class Dropped(Channels):
    """The same with dropout, which samples need."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.1)

    def forward(self, image):
        return self.dropout(image) * 4


@pytest.mark.parametrize("samples", [0, 3])
def test_files_come_in_order_and_one_that_is_too_large_to_sample_is_an_error_of_its_own(
    tmp_path, small_memory, samples
):
    sizes = {"a.png": (30, 20), "b.png": (333, 210), "c.png": (25, 30)}
    for name, size in sizes.items():
        Image.fromarray(RANDOM.randint(0, 256, (*size[::-1], 3)).astype(np.uint8)).save(tmp_path / name)
    one = segmenter(1.0)
    one = Segmenter(TorchRuntime(Dropped()), one.description)
    found = [*predict_files(one, pictures_of(sorted(tmp_path.iterdir())), samples=samples)]
    assert [picture.file.name for picture, _ in found] == [*sizes]
    for (picture, result), size in zip(found, sizes.values(), strict=True):
        if samples and picture.file.name == "b.png":
            assert "take too much memory" in str(result)
            continue
        assert result.image.size == size
        write_segmentation(result, tmp_path / "out", picture.name, probabilities=True)
        kept = np.load(tmp_path / "out" / f"{picture.name}.probabilities.npy")
        assert kept.shape == (3, *size[::-1])
        second, first = np.sort(kept, axis=0)[1:].astype(float)
        clear = first - second > 0.01  # the file has float16
        assert clear.mean() > 0.8
        assert np.array_equal(kept.argmax(0)[clear], result.mask[clear])


def test_a_picture_in_memory_is_never_read_again(small_memory):
    picture = Image.fromarray(RANDOM.randint(0, 256, (210, 333, 3)).astype(np.uint8))
    expected = np.asarray(picture).copy()
    found = segmenter(1.0).predict(picture)
    picture.paste("white", (0, 0, *picture.size))
    assert isinstance(found.image, Image.Image)
    assert np.array_equal(found.image, expected)
