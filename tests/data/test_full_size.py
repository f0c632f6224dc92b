"""Images at their own size: the pixels Pillow gives, patches cut from them, and rare classes met."""

import errno
import os
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from segnet import ClassTable, SegnetError
from segnet.base.classes import IGNORE_INDEX
from segnet.data.store.fit_to_size import Fit
from segnet.data.store.full_size import PLACES, Patch, open_full_size
from segnet.data.store.patches import _fitting, choose_patches, example_patches, patches_to_cover

CLASSES = ClassTable.named(("ground", "thing", "speck"))
SIZES = [(37, 52), (64, 40), (9, 120)]


@dataclass(frozen=True)
class DrawnSample:
    number: int
    top: int = 2
    damaged: bool = False

    @property
    def name(self):
        return f"drawn {self.number}"

    def fingerprint(self):
        return repr(self).encode()

    def read(self):
        if self.damaged:
            raise SegnetError(f"{self.name} is damaged")
        random = np.random.RandomState(self.number)
        height, width = SIZES[self.number % 3]
        mask = (random.rand(height, width) < 0.2).astype(np.uint8) * (self.top - 1)
        mask[-3:, -4:] = 2 if self.number == 1 else 0
        mask[0, 0] = IGNORE_INDEX
        return Image.fromarray(random.randint(0, 256, (height, width, 3)).astype(np.uint8)), mask


SAMPLES = [DrawnSample(number) for number in range(3)]
FULL = Fit((16, 16), "area", patch_scale=1.0)


def opened(tmp_path, samples=SAMPLES, fit=FULL):
    return open_full_size(samples, CLASSES, fit, folder=tmp_path)


def test_pixels_are_those_of_the_files_and_are_read_once(tmp_path):
    split = opened(tmp_path)
    for index, sample in enumerate(SAMPLES):
        image, mask = sample.read()
        assert np.array_equal(split.images[index], image)
        assert np.array_equal(split.masks[index], mask)
        assert np.array_equal(split.counts[index], np.bincount(mask.ravel(), minlength=256))
    assert [*split.value_counts()][1][2] == 12
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.raw")}
    again = opened(tmp_path)
    assert np.array_equal(again.images[2], split.images[2])
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.raw")} == before


def test_a_scale_resizes_images_by_the_method_and_masks_by_nearest(tmp_path):
    split = opened(tmp_path, fit=Fit((16, 16), "area", patch_scale=0.5))
    image, mask = SAMPLES[1].read()
    assert np.array_equal(split.images[1], image.resize((20, 32), Image.Resampling.BOX))
    assert np.array_equal(split.masks[1], Image.fromarray(mask).resize((20, 32), Image.Resampling.NEAREST))


def test_places_are_pixels_of_their_class_and_reach_over_all_of_it(tmp_path):
    split = opened(tmp_path)
    for image in range(3):
        for class_id in range(3):
            rows, columns = split.places_of(image, class_id).T
            assert (split.masks[image][rows, columns] == class_id).all()
            assert len(rows) == min(PLACES, split.counts[image, class_id])
    assert split.places_of(0, 0)[-1].tolist() == np.argwhere(split.masks[0] == 0)[-1].tolist()


def test_a_patch_is_a_window_and_beyond_the_edge_mirrored_and_ignored(tmp_path):
    split = opened(tmp_path)
    images, masks = split.cut([Patch(0, 3, 5), Patch(2, 0, 100)], (16, 32))
    assert np.array_equal(images[0], split.images[0][3:19, 5:37])
    assert np.array_equal(images[1, :9, :20], split.images[2][:, 100:])
    assert np.array_equal(images[1, 9:, :20], split.images[2][2:, 100:][::-1])
    assert (masks[1, 9:] == IGNORE_INDEX).all()
    assert (masks[1, :, 20:] == IGNORE_INDEX).all()
    assert np.array_equal(masks[1, :9, :20], split.masks[2][:, 100:])


def test_patches_are_decided_by_the_seed_and_lie_inside_where_they_fit(tmp_path):
    split = opened(tmp_path)
    chosen = choose_patches(split, 200, (16, 16), seed=3)
    assert chosen == choose_patches(split, 200, (16, 16), seed=3) != choose_patches(split, 200, (16, 16), 4)
    for image, top, left in chosen:
        height, width = SIZES[image]
        assert 0 <= top <= max(0, height - 16)
        assert 0 <= left <= width - 16
    assert patches_to_cover(split, (16, 16)) == [3 * 4, 4 * 3, 1 * 8]


def test_a_class_of_twelve_pixels_is_in_a_quarter_of_the_patches(tmp_path):
    """Half of the patches are around the two rarer classes, each with the same chance."""
    split = opened(tmp_path)
    _, masks = split.cut(choose_patches(split, 1000, (16, 16), seed=0), (16, 16))
    share = (masks == 2).any((1, 2)).mean()
    assert 0.22 < share < 0.40
    assert (split.counts[:, 2].sum() / split.counts.sum()) < 0.003


@pytest.mark.parametrize("side", [3, 16, 17])
def test_a_patch_around_a_pixel_holds_it(tmp_path, side):
    split = opened(tmp_path)
    random = np.random.default_rng(0)
    for _ in range(3000):
        image = int(random.integers(3))
        row, column = (int(random.integers(length)) for length in SIZES[image])
        found = _fitting(split, image, random.random(2), np.array([row, column]), (side, side))
        assert found.top <= row < found.top + side
        assert found.left <= column < found.left + side


def test_every_pixel_of_an_image_is_in_some_patch(tmp_path):
    split = opened(tmp_path)
    seen = np.zeros(SIZES[0], bool)
    for image, top, left in choose_patches(split, 4000, (16, 16), seed=0):
        if image == 0:
            seen[top : top + 16, left : left + 16] = True
    assert seen.all()


def test_an_example_shows_a_rarer_class_where_the_image_has_one(tmp_path):
    shown = example_patches(opened(tmp_path), 3)
    assert shown.images.shape == (3, 16, 16, 3)
    assert (shown.masks[1] == 2).any()
    assert shown.names == tuple(sample.name for sample in SAMPLES)


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        ([], "the split is empty"),
        ([SAMPLES[0], DrawnSample(4, top=9)], "drawn 4 holds the value 8, but there are 3 classes"),
        ([SAMPLES[0], DrawnSample(5, damaged=True)], "drawn 5 is damaged"),
    ],
)
def test_bad_samples_are_named_and_leave_nothing(tmp_path, samples, says):
    with pytest.raises(SegnetError, match=says):
        opened(tmp_path, samples)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("what", ["np.save", "json.dumps"])
def test_a_disk_that_fills_up_is_named_with_what_helps(tmp_path, monkeypatch, what):
    def no_space(*args, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(f"segnet.data.store.full_size.{what}", no_space)
    with pytest.raises(SegnetError, match=r"don't fit at full size in .*shrink them with --patch-scale"):
        opened(tmp_path)
    assert not [*tmp_path.iterdir()]


def test_what_a_disk_has_damaged_is_read_anew(tmp_path):
    first = opened(tmp_path)
    expected = np.array(first.images[1])
    (file,) = tmp_path.rglob("images.raw")
    file.write_bytes(file.read_bytes()[:100])
    assert np.array_equal(opened(tmp_path).images[1], expected)
