"""The cache: the pixels Pillow gives, read once, whole or not there."""

import errno
import json
import multiprocessing
import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from segnet import ClassTable, SegnetError
from segnet.data.store.cache_use import building, pixel_folder
from segnet.data.store.fit_to_size import RESIZE, Fit
from segnet.data.store.open_split import open_pixels

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


ONE_SIZE, OWN_SIZE = Fit((16, 24), "area"), Fit((16, 24), "area", patch_scale=1.0)
both = pytest.mark.parametrize("fit", [ONE_SIZE, OWN_SIZE], ids=["one size", "own size"])


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    """The folder of this test's caches."""
    monkeypatch.setenv("SEGNET_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept" / "pixels"


def build(samples=SAMPLES, fit=ONE_SIZE, **options):
    return open_pixels(samples, CLASSES, fit, **options)


@pytest.mark.parametrize("resize", RESIZE)
def test_images_are_resized_by_the_method_and_masks_by_nearest(resize):
    split = build(fit=replace(ONE_SIZE, resize=resize))
    assert split.images.shape == (5, 16, 24, 3)
    assert split.masks.shape == (5, 16, 24)
    assert split.names == tuple(sample.name for sample in SAMPLES)
    for index, sample in enumerate(SAMPLES):
        image, mask = sample.read()
        assert np.array_equal(split.images[index], image.resize((24, 16), RESIZE[resize]))
        assert np.array_equal(
            split.masks[index], Image.fromarray(mask).resize((24, 16), Image.Resampling.NEAREST)
        )


@both
def test_it_is_built_once_and_then_only_read(fit):
    counted = []

    @contextmanager
    def progress(total):
        counted.append(total)
        yield lambda: counted.append("one")

    first = build(fit=fit, progress=progress)
    assert counted == [5, *["one"] * 5]
    second = build(fit=fit, progress=progress)
    assert counted == [5, *["one"] * 5]
    assert np.array_equal(first.images, second.images)
    with pytest.raises(ValueError, match="read-only"):
        second.images[0][0] = 0


def test_content_size_method_and_order_each_make_a_cache_of_their_own(caches):
    build()
    build(fit=replace(ONE_SIZE, size=(16, 16)))
    build(fit=replace(ONE_SIZE, resize="nearest"))
    build(fit=replace(ONE_SIZE, keep_aspect=True))
    build(fit=OWN_SIZE)
    build(SAMPLES[::-1])
    build([replace(SAMPLES[0], top=2), *SAMPLES[1:]])
    assert len([*caches.iterdir()]) == 7


def test_a_picture_that_keeps_its_proportions_says_which_part_is_its_own():
    fit = replace(ONE_SIZE, size=(16, 16), keep_aspect=True)
    for split in (build(fit=fit), build(fit=fit)):
        assert split.own_sizes.tolist() == [[11, 16]] * 5
        assert (split.masks[0][11:] == 255).all()
    assert build().own_sizes is None


@both
def test_a_sample_that_cannot_be_read_leaves_nothing_behind(fit, caches):
    with pytest.raises(SegnetError, match="drawn 9 is damaged"):
        build([*SAMPLES, DrawnSample(9, fails=True)], fit)
    assert [*caches.iterdir()] == []


@both
def test_all_masks_with_a_value_that_is_no_class_are_named(fit, caches):
    said = r"drawn 7 holds the value 3, but there are 3 classes; give ids from 0 to 2, 255"
    with pytest.raises(SegnetError, match=said):
        build([*SAMPLES, DrawnSample(7, top=9)], fit)
    with pytest.raises(SegnetError, match="2 things are wrong in the images and masks: "):
        build([DrawnSample(7, top=9), *SAMPLES, DrawnSample(8, top=9)], fit)
    assert [*caches.iterdir()] == []


@both
def test_with_other_classes_masks_are_read_anew_and_checked(fit, caches):
    five = ClassTable.named(("a", "b", "c", "d", "e"))
    samples = [DrawnSample(seed, top=5) for seed in range(3)]
    open_pixels(samples, five, fit)
    with pytest.raises(SegnetError, match="holds the value 3, but there are 3 classes"):
        build(samples, fit)
    open_pixels(samples, ClassTable.named(("v", "w", "x", "y", "z")), fit)
    assert len([*caches.iterdir()]) == 1  # other names alone change no pixel


def test_files_that_change_while_they_are_read_leave_no_cache(tmp_path, caches):
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
        build([SAMPLES[0], Changing(1, file=tmp_path / "file")])
    assert [*caches.iterdir()] == []


@both
def test_the_classes_are_counted_in_building_as_in_the_masks_themselves(fit):
    split = build(fit=fit)
    assert np.array_equal(split.counts, replace(split, stored_counts=None).counts)
    assert split.counts.sum() == sum(mask.size for mask in split.masks)


@both
def test_an_empty_split_is_said_to_be_empty(fit):
    with pytest.raises(SegnetError, match="the split is empty"):
        build([], fit)


def test_a_folder_that_cannot_be_written_to_is_named_with_the_way_out(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SEGNET_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(SegnetError, match=r"file/cache.*SEGNET_CACHE"):
        build()


@both
@pytest.mark.parametrize("what", ["np.save", "json.dumps"])
def test_a_disk_that_fills_up_is_named_with_what_helps(fit, caches, monkeypatch, what):
    def no_space(*args, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(f"segnet.data.store.open_split.{what}", no_space)
    says = {
        ONE_SIZE: "5 images of 24x16 px don't fit in .*make room, or set SEGNET_CACHE to another folder$",
        OWN_SIZE: "5 images at their own size don't fit in .*or shrink them with --patch-scale$",
    }
    with pytest.raises(SegnetError, match=says[fit]):
        build(fit=fit)
    monkeypatch.undo()
    assert [*caches.iterdir()] == []


def test_a_disk_without_enough_space_is_named_before_anything_is_read(monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=100))
    with pytest.raises(
        SegnetError, match=r"the cache needs 0 MiB in .*, where 0 MiB are free; make room, or"
    ):
        build([DrawnSample(0, fails=True)])


def test_what_a_killed_build_left_goes_when_the_next_is_built(caches):
    def killed():
        with building(pixel_folder() / ("0" * 32), {}) as partial:
            (partial / "images.raw").write_bytes(b"half")
            os._exit(9)

    process = multiprocessing.get_context("fork").Process(target=killed)
    process.start()
    process.join(60)
    assert process.exitcode == 9
    assert len(list(caches.glob("*.partial"))) == 1
    build()
    assert list(caches.glob("*.partial")) == []


def test_what_an_older_version_left_is_not_read_and_goes_after_a_day(caches):
    killed = caches / "0123.abc.partial"
    killed.mkdir(parents=True)
    (killed / "images.npy").write_bytes(b"half")
    build()
    assert killed.exists(), "it could be another process at work"
    os.utime(killed, (0, 0))
    build(SAMPLES[:3])
    assert not killed.exists()


@both
@pytest.mark.parametrize("name", ["images.raw", "masks.raw", "index.json", "counts.npy"])
@pytest.mark.parametrize("content", [b"", b"half"])
def test_a_cache_that_a_disk_has_damaged_is_built_again(fit, caches, name, content):
    first = [np.array(image) for image in build(fit=fit).images]
    next(caches.glob(f"*/{name}")).write_bytes(content)
    assert np.array_equal(build(fit=fit).images, first)


def test_a_cache_that_says_other_sizes_is_built_again(caches):
    first = np.array(build().images)
    (index,) = caches.glob("*/index.json")
    said = json.loads(index.read_text())
    index.write_text(json.dumps(said | {"sizes": [[8, 24], *said["sizes"][1:]]}))
    assert np.array_equal(build().images, first)


def _build_in_process(barrier, results):
    barrier.wait()
    split = build()
    results.put(int(split.images.sum(dtype=np.int64)))


def test_processes_that_build_at_once_agree(caches):
    context = multiprocessing.get_context("fork")  # which waits for no imports
    barrier, results = context.Barrier(3), context.Queue()
    processes = [context.Process(target=_build_in_process, args=(barrier, results)) for _ in range(3)]
    for process in processes:
        process.start()
    sums = {results.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    assert sums == {int(build().images.sum(dtype=np.int64))}
    assert len([*caches.iterdir()]) == 1
