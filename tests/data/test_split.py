"""Whole images as items of a batch; images at their own size, patches cut from them, and rare classes met."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import segnet
from segnet import ClassTable
from segnet.base.classes import IGNORE_INDEX
from segnet.data.store.fit_to_size import Fit
from segnet.data.store.open_split import open_pixels
from segnet.data.store.split import PLACES, Patch, Split

CLASSES = ClassTable.named(("ground", "thing", "speck"))
SIZES = [(37, 52), (64, 40), (9, 120)]


@dataclass(frozen=True)
class DrawnSample:
    number: int

    @property
    def name(self):
        return f"drawn {self.number}"

    def fingerprint(self):
        return repr(self).encode()

    def read(self):
        random = np.random.RandomState(self.number)
        height, width = SIZES[self.number % 3]
        mask = (random.rand(height, width) < 0.2).astype(np.uint8)
        mask[-3:, -4:] = 2 if self.number == 1 else 0
        mask[0, 0] = IGNORE_INDEX
        return Image.fromarray(random.randint(0, 256, (height, width, 3)).astype(np.uint8)), mask


SAMPLES = [DrawnSample(number) for number in range(3)]
FULL = Fit((16, 16), "area", patch_scale=1.0)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGNET_CACHE", str(tmp_path))


def opened(fit=FULL):
    return open_pixels(SAMPLES, CLASSES, fit)


def test_whole_images_are_items_by_number():
    images = np.arange(9, dtype=np.uint8).reshape(9, 1, 1, 1).repeat(4, 2)
    split = Split(images, images[..., 0] % 3, tuple("abcdefghi"))
    assert split.size == (1, 4)
    assert split.count_items((1, 4)) == 9
    assert sorted(split.choose_items(9, (1, 4), seed=1)) == [*range(9)]
    assert (
        split.choose_items(9, (1, 4), 1)
        == split.choose_items(9, (1, 4), 1)
        != split.choose_items(9, (1, 4), 2)
    )
    assert split.spread_items(3) == [0, 4, 8]
    assert split.whole_batches(range(9), 4) == [range(4), range(4, 9)]
    assert split.whole_batches([], 4) == []
    assert split.take([7, 2])[0][:, 0, 0, 0].tolist() == [7, 2]
    assert split.names_of([7, 2, 7]) == ["h", "c"]
    assert split.examples(3).names == ("a", "e", "i")
    assert split.examples(3).counts[:, :3].tolist() == [[4, 0, 0], [0, 4, 0], [0, 0, 4]]


def test_pixels_are_those_of_the_files_and_are_read_once(tmp_path):
    split = opened()
    for index, sample in enumerate(SAMPLES):
        image, mask = sample.read()
        assert np.array_equal(split.images[index], image)
        assert np.array_equal(split.masks[index], mask)
        assert np.array_equal(split.counts[index], np.bincount(mask.ravel(), minlength=256))
    assert split.counts[1][2] == 12
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.raw")}
    again = opened()
    assert np.array_equal(again.images[2], split.images[2])
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.raw")} == before


def test_a_scale_resizes_images_by_the_method_and_masks_by_nearest():
    split = opened(fit=Fit((16, 16), "area", patch_scale=0.5))
    image, mask = SAMPLES[1].read()
    assert np.array_equal(split.images[1], image.resize((20, 32), Image.Resampling.BOX))
    assert np.array_equal(split.masks[1], Image.fromarray(mask).resize((20, 32), Image.Resampling.NEAREST))


def test_places_are_pixels_of_their_class_and_reach_over_all_of_it():
    split = opened()
    for image in range(3):
        for class_id in range(3):
            rows, columns = split.places_of(image, class_id).T
            assert (split.masks[image][rows, columns] == class_id).all()
            assert len(rows) == min(PLACES, split.counts[image, class_id])
    assert split.places_of(0, 0)[-1].tolist() == np.argwhere(split.masks[0] == 0)[-1].tolist()


def test_a_patch_is_a_window_and_beyond_the_edge_mirrored_and_ignored():
    split = opened()
    images, masks = split.take([Patch(0, 3, 5, (16, 32)), Patch(2, 0, 100, (16, 32))])
    assert np.array_equal(images[0], split.images[0][3:19, 5:37])
    assert np.array_equal(images[1, :9, :20], split.images[2][:, 100:])
    assert np.array_equal(images[1, 9:, :20], split.images[2][2:, 100:][::-1])
    assert (masks[1, 9:] == IGNORE_INDEX).all()
    assert (masks[1, :, 20:] == IGNORE_INDEX).all()
    assert np.array_equal(masks[1, :9, :20], split.masks[2][:, 100:])


def test_patches_are_decided_by_the_seed_and_lie_inside_where_they_fit():
    split = opened()
    chosen = split.choose_items(200, (16, 16), seed=3)
    assert chosen == split.choose_items(200, (16, 16), seed=3) != split.choose_items(200, (16, 16), 4)
    for image, top, left, size in chosen:
        assert size == (16, 16)
        height, width = SIZES[image]
        assert 0 <= top <= max(0, height - 16)
        assert 0 <= left <= width - 16
    assert split.count_items((16, 16)) == 3 * 4 + 4 * 3 + 1 * 8
    assert len(split.spread_items(20)) == 20
    assert len(split.spread_items(500)) == 32


def test_a_class_of_twelve_pixels_is_in_a_quarter_of_the_patches(tmp_path):
    """Half of the patches are around the two rarer classes, each with the same chance."""
    split = opened()
    _, masks = split.take(split.choose_items(1000, (16, 16), seed=0))
    share = (masks == 2).any((1, 2)).mean()
    assert 0.22 < share < 0.40
    assert (split.counts[:, 2].sum() / split.counts.sum()) < 0.003


@pytest.mark.parametrize("side", [3, 16, 17])
def test_a_patch_around_a_pixel_holds_it(side):
    split = opened()
    random = np.random.default_rng(0)
    for _ in range(3000):
        image = int(random.integers(3))
        row, column = (int(random.integers(length)) for length in SIZES[image])
        found = split._patch_in(image, random.random(2), np.array([row, column]), (side, side))
        assert found.top <= row < found.top + side
        assert found.left <= column < found.left + side


def test_every_pixel_of_an_image_is_in_some_patch():
    split = opened()
    seen = np.zeros(SIZES[0], bool)
    for image, top, left, _ in split.choose_items(4000, (16, 16), seed=0):
        if image == 0:
            seen[top : top + 16, left : left + 16] = True
    assert seen.all()


def test_an_example_shows_a_rarer_class_where_the_image_has_one():
    shown = opened().examples(3)
    assert shown.images.shape == (3, 16, 16, 3)
    assert (shown.masks[1] == 2).any()
    assert shown.names == tuple(sample.name for sample in SAMPLES)


def test_images_as_they_are_come_one_by_one():
    split = opened()
    batches = split.whole_batches([2, 0], 32)
    assert [split.names_of(batch) for batch in batches] == [["drawn 2"], ["drawn 0"]]
    for number, batch in zip([2, 0], batches, strict=True):
        images, masks = split.take(batch)
        assert np.array_equal(images[0], split.images[number])
        assert np.array_equal(masks[0], split.masks[number])


def test_only_the_store_knows_whether_images_are_whole_or_patches_are_cut():
    """Everyone else asks the split for items, reads them, and asks for the size that the network gets."""
    source = Path(segnet.__file__).parent
    others = [file for file in source.rglob("*.py") if file.parent != source / "data" / "store"]
    knowing = [file.name for file in others if "PatchSplit" in file.read_text("utf-8")]
    assert knowing == []
