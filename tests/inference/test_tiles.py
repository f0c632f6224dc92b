"""Tiles: what the whole image in one piece would give, at any size, in the memory of two bands."""

import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from segnet import ClassTable
from segnet.inference.description import Description
from segnet.inference.runtimes.with_torch import TorchRuntime
from segnet.inference.segmentation import Segmentation
from segnet.inference.segmenter import Segmenter
from segnet.inference.tiles import GRID_PX, Tiles

RANDOM = np.random.RandomState(0)


class SmallSight(nn.Module):
    """Pools as an encoder does, and sees 7 px around a pixel: less than a tile's margin."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.last = (
            nn.Conv2d(*ends, 3, padding=1) for ends in ((3, 4), (4, 4), (4, 3))
        )

    def forward(self, image):
        deep = self.second(torch.max_pool2d(self.first(image).relu(), 2)).relu()
        return self.last(nn.functional.interpolate(deep, image.shape[2:], mode="nearest"))


def logits_of(model):
    return TorchRuntime(model).logits


@pytest.mark.parametrize("size", [(64, 64), (200, 328), (256, 96), (130, 518), (64, 512)])
def test_where_the_receptive_field_is_small_tiles_give_what_the_whole_image_does(size):
    """Also at the image's own borders, where a tile's border is the image's."""
    pixels = RANDOM.randint(0, 256, (*size, 3)).astype(np.uint8)
    logits = logits_of(SmallSight())
    whole = logits(pixels[None])[0]
    tiled = Tiles(pixels, (64, 64), logits).whole()
    assert tiled.shape == whole.shape
    # what was mirrored below and right of an image that no grid fits is seen from inside: leave that out
    inner = tuple(slice(None) if side % GRID_PX == 0 else slice(side - 8) for side in size)
    np.testing.assert_allclose(tiled[:, *inner], whole[:, *inner], atol=1e-5)


@pytest.mark.parametrize("size", [(16, 16), (63, 65), (1, 1), (33, 700)])
@pytest.mark.parametrize("tile", [(64, 64), (48, 80), (33, 47), (16, 32)])
def test_any_size_and_any_tile_cover_every_pixel(size, tile):
    def constant(images):
        assert images.shape[1:] == (*tile, 3)
        return np.full((len(images), 2, *tile), 3.5, np.float32)

    maps = Tiles(np.zeros((*size, 3), np.uint8), tile, constant).whole()
    assert maps.shape == (2, *size)
    np.testing.assert_allclose(maps, 3.5, rtol=1e-6)


def test_bands_together_are_the_whole_and_each_is_small():
    def ramp(images):
        return images[..., :1].astype(np.float32).transpose(0, 3, 1, 2)

    pixels = np.zeros((1000, 64, 3), np.uint8)
    pixels[..., 0] = np.arange(1000)[:, None] % 251
    bands = [*Tiles(pixels, (64, 64), ramp).bands()]
    assert max(band.shape[1] for band in bands) <= 64
    np.testing.assert_allclose(np.concatenate(bands, axis=1)[0], pixels[..., 0], rtol=1e-6)


def segmenter(scale):
    classes = ClassTable.named(("a", "b", "c"))
    description = Description("own.SmallSight", classes, (64, 64), "area", patch_scale=scale)
    return Segmenter(TorchRuntime(SmallSight()), description)


def test_a_model_that_takes_patches_predicts_at_the_images_own_size():
    pixels = RANDOM.randint(0, 256, (192, 320, 3)).astype(np.uint8)
    expected = logits_of(SmallSight())(pixels[None])[0]
    found = segmenter(1.0).predict(pixels)
    np.testing.assert_allclose(found.logits, expected, atol=1e-5)
    assert (found.mask == expected.argmax(0)).mean() > 0.9999


def test_at_a_scale_the_mask_still_has_the_images_size():
    image = Image.fromarray(RANDOM.randint(0, 256, (150, 221, 3)).astype(np.uint8))
    found = segmenter(0.5).predict(image)
    assert found.mask.shape == (150, 221)
    assert found.logits.shape == (3, 75, 110)


@pytest.mark.parametrize("scale", [1.0, 0.7])
def test_maps_that_are_not_kept_give_the_same_mask_and_probabilities(monkeypatch, scale):
    image = Image.fromarray(RANDOM.randint(0, 256, (230, 500, 3)).astype(np.uint8))
    kept = segmenter(scale).predict(image)
    monkeypatch.setattr("segnet.inference.segmenter.MOST_KEPT", 0)
    monkeypatch.setattr("segnet.inference.segmentation._STRIP_VALUES", 3 * 500 * 17)
    streamed = segmenter(scale).predict(image)
    assert isinstance(kept.logits, np.ndarray) > isinstance(streamed.logits, np.ndarray)
    assert np.array_equal(streamed.mask, kept.mask)
    np.testing.assert_allclose(streamed.probabilities, kept.probabilities, atol=1e-6)


def test_a_large_image_needs_no_maps_of_its_size(monkeypatch):
    monkeypatch.setattr("segnet.inference.segmenter.MOST_KEPT", 0)
    monkeypatch.setattr("segnet.inference.segmentation._STRIP_VALUES", 1 << 18)
    image = Image.fromarray(RANDOM.randint(0, 256, (3000, 1000, 3)).astype(np.uint8))
    tracemalloc.start()
    segmenter(1.0).predict(image)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * 3000 * 1000 * 4, "less than what its maps alone would take"


def test_strips_are_what_resizing_the_whole_map_gives():
    maps = RANDOM.rand(3, 50, 70).astype(np.float32)
    classes = ClassTable.named(("a", "b", "c"))
    for wide, high in ((140, 100), (33, 20), (70, 50), (71, 333)):
        found = Segmentation(Image.new("RGB", (wide, high)), classes, maps)
        resized = [Image.fromarray(each).resize((wide, high), Image.Resampling.BILINEAR) for each in maps]
        assert np.array_equal(found.mask, np.stack(resized).argmax(0))


class Brightness(nn.Module):
    """Calls bright what is brighter than grey, pixel by pixel."""

    def forward(self, image):
        return torch.cat([0.5 - image[:, :1], image[:, :1] - 0.5], 1)


@pytest.mark.parametrize("size", [(90, 160), (160, 90), (64, 64), (40, 200)])
@pytest.mark.parametrize("fit", [{"keep_aspect": True}, {"patch_scale": 1.0}, {"patch_scale": 0.4}, {}])
def test_the_mask_lies_on_its_image_however_that_was_brought_to_the_model(size, fit):
    bright = np.zeros(size, bool)
    bright[size[0] // 3 : size[0] // 2, size[1] // 3 : size[1] // 2] = True
    description = Description("own.Brightness", ClassTable.named(("dark", "bright")), (64, 64), "area", **fit)
    image = Image.fromarray(np.where(bright, 255, 0).astype(np.uint8)).convert("RGB")
    found = Segmenter(TorchRuntime(Brightness()), description).predict(image).mask == 1
    assert (found & bright).sum() / (found | bright).sum() > 0.7
