"""The cache: the pixels Pillow gives, read once, whole or not there."""

import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image

from segnet import ClassTable, SegnetError
from segnet.data.store import cache_folder
from segnet.data.store.cache import open_cached
from segnet.data.store.fit_to_size import RESIZE, Fit
from segnet.data.store.full_size import open_full_size

CLASSES = ClassTable.named(("a", "b", "c"))


@dataclass(frozen=True)
class DrawnSample:
    seed: int
    top: int = 3
    fails: bool = False

    @property
    def name(self):
        return f"drawn {self.seed}"

    def fingerprint(self):
        return repr(self).encode()

    def read(self):
        if self.fails:
            raise SegnetError(f"{self.name} is damaged")
        random = np.random.RandomState(self.seed)
        image = Image.fromarray(random.randint(0, 256, (37, 52, 3)).astype(np.uint8))
        return image, random.randint(0, self.top, (37, 52)).astype(np.uint8)


SAMPLES = [DrawnSample(seed) for seed in range(5)]


def build(samples, folder, size=(16, 24), resize="area", **options):
    return open_cached(samples, CLASSES, Fit(size, resize), folder=folder, **options)


@pytest.mark.parametrize("resize", RESIZE)
def test_images_are_resized_by_the_method_and_masks_by_nearest(tmp_path, resize):
    split = build(SAMPLES, tmp_path, resize=resize)
    assert split.images.shape == (5, 16, 24, 3)
    assert split.masks.shape == (5, 16, 24)
    assert split.names == tuple(sample.name for sample in SAMPLES)
    for index, sample in enumerate(SAMPLES):
        image, mask = sample.read()
        assert np.array_equal(split.images[index], image.resize((24, 16), RESIZE[resize]))
        assert np.array_equal(
            split.masks[index], Image.fromarray(mask).resize((24, 16), Image.Resampling.NEAREST)
        )


def test_it_is_built_once_and_then_only_read(tmp_path):
    counted = []

    @contextmanager
    def progress(total):
        counted.append(total)
        yield lambda: counted.append("one")

    first = build(SAMPLES, tmp_path, progress=progress)
    assert counted == [5, *["one"] * 5]
    second = build(SAMPLES, tmp_path, progress=progress)
    assert counted == [5, *["one"] * 5]
    assert np.array_equal(first.images, second.images)
    with pytest.raises(ValueError, match="read-only"):
        second.images[0] = 0


def test_content_size_method_and_order_each_make_a_cache_of_their_own(tmp_path):
    build(SAMPLES, tmp_path)
    build(SAMPLES, tmp_path, size=(16, 16))
    build(SAMPLES, tmp_path, resize="nearest")
    build(SAMPLES[::-1], tmp_path)
    build([replace(SAMPLES[0], top=2), *SAMPLES[1:]], tmp_path)
    assert len(list(tmp_path.iterdir())) == 5


def test_a_sample_that_cannot_be_read_leaves_nothing_behind(tmp_path):
    with pytest.raises(SegnetError, match="drawn 9 is damaged"):
        build([*SAMPLES, DrawnSample(9, fails=True)], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_mask_value_that_is_no_class_is_named_with_its_sample(tmp_path):
    with pytest.raises(
        SegnetError, match=r"drawn 7 holds the value 3, but there are 3 classes; give ids from 0 to 2, 255"
    ):
        build([DrawnSample(7, top=9)], tmp_path)


@pytest.mark.parametrize("patches", [False, True], ids=["one size", "own size"])
def test_with_other_classes_masks_are_read_anew_and_checked(patches, tmp_path):
    fit = Fit((16, 24), "area", patch_scale=1 if patches else None)
    opener = open_full_size if patches else open_cached
    five = ClassTable.named(("a", "b", "c", "d", "e"))
    samples = [DrawnSample(seed, top=5) for seed in range(3)]
    opener(samples, five, fit, folder=tmp_path)
    with pytest.raises(SegnetError, match="holds the value 3, but there are 3 classes"):
        opener(samples, CLASSES, fit, folder=tmp_path)
    opener(samples, ClassTable.named(("v", "w", "x", "y", "z")), fit, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1  # other names alone change no pixel


def test_files_that_change_while_they_are_read_leave_no_cache(tmp_path):
    @dataclass(frozen=True)
    class Changing(DrawnSample):
        file: object = None

        def fingerprint(self):
            return self.file.read_bytes()

        def read(self):
            self.file.write_bytes(b"other")
            return super().read()

    (tmp_path / "file").write_bytes(b"one")
    with pytest.raises(
        SegnetError, match=r"drawn 1 \(1 images in all\) changed while it was read; start again"
    ):
        build([SAMPLES[0], Changing(1, file=tmp_path / "file")], tmp_path / "caches")
    assert list((tmp_path / "caches").iterdir()) == []


def test_the_classes_are_counted_in_building_as_in_the_masks_themselves(tmp_path):
    split = build(SAMPLES, tmp_path)
    anew = replace(split, counts=None)
    assert np.array_equal([*split.value_counts()], [*anew.value_counts()])
    assert sum(counts.sum() for counts in split.value_counts()) == split.masks.size


def test_a_cache_of_an_older_version_has_no_counts_and_serves_all_the_same(tmp_path):
    before = [*build(SAMPLES, tmp_path).value_counts()]
    next(tmp_path.glob("*/counts.npy")).unlink()
    assert np.array_equal([*build(SAMPLES, tmp_path).value_counts()], before)


def test_an_empty_split_is_said_to_be_empty(tmp_path):
    with pytest.raises(SegnetError, match="the split is empty"):
        build([], tmp_path)


def test_a_folder_that_cannot_be_written_to_is_named_with_the_way_out(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SegnetError, match=r"file/cache.*SEGNET_CACHE"):
        build(SAMPLES, tmp_path / "file" / "cache")


def test_what_a_killed_build_left_goes_when_the_next_is_built(tmp_path):
    def killed(folder):
        with cache_folder._building(folder / ("0" * 32), ThreadPoolExecutor(), {}, lambda: None) as partial:
            (partial / "images.npy").write_bytes(b"half")
            os._exit(9)

    process = multiprocessing.get_context("fork").Process(target=killed, args=(tmp_path,))
    process.start()
    process.join(60)
    assert process.exitcode == 9
    assert len(list(tmp_path.glob("*.partial"))) == 1
    build(SAMPLES, tmp_path)
    assert list(tmp_path.glob("*.partial")) == []


def test_what_an_older_version_left_is_not_read_and_goes_after_a_day(tmp_path):
    killed = tmp_path / "0123.abc.partial"
    killed.mkdir()
    (killed / "images.npy").write_bytes(b"half")
    build(SAMPLES, tmp_path)
    assert killed.exists(), "it could be another process at work"
    os.utime(killed, (0, 0))
    build(SAMPLES[:3], tmp_path)
    assert not killed.exists()


@pytest.mark.parametrize("name", ["images.npy", "masks.npy", "names.json", "counts.npy"])
@pytest.mark.parametrize("content", [b"", b"half"])
def test_a_cache_that_a_disk_has_damaged_is_built_again(tmp_path, name, content):
    first = np.array(build(SAMPLES, tmp_path).images)
    next(tmp_path.glob(f"*/{name}")).write_bytes(content)
    assert np.array_equal(build(SAMPLES, tmp_path).images, first)


def _build_in_process(folder, barrier, results):
    barrier.wait()
    split = build(SAMPLES, folder)
    results.put(int(split.images.sum(dtype=np.int64)))


def test_processes_that_build_at_once_agree(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(3), context.Queue()
    processes = [
        context.Process(target=_build_in_process, args=(tmp_path, barrier, results)) for _ in range(3)
    ]
    for process in processes:
        process.start()
    sums = {results.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    assert sums == {int(build(SAMPLES, tmp_path).images.sum(dtype=np.int64))}
    assert len(list(tmp_path.iterdir())) == 1
