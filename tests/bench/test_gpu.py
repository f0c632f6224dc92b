"""``benchmarks/gpu.py`` where there is no GPU: what it trains on, and that what was cut off goes on."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segnet.data.sources import load_dataset
from segnet.data.store.fit_to_size import Fit
from segnet.data.store.open_split import open_pixels
from segnet.training import loop
from segnet.training.configuration.config import TrainConfig

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FIT = Fit((128, 128), "nearest")


@pytest.fixture(scope="module")
def gpu():
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(BENCHMARKS)
    import gpu

    yield gpu
    patch.undo()


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Noise in the official layout: one pixel that is resized otherwise would be seen."""
    root = tmp_path_factory.mktemp("pets")
    (root / "annotations" / "trimaps").mkdir(parents=True)
    (root / "images").mkdir()
    lists = {"trainval": ("Bengal_1", "pug_2"), "test": ("Bengal_3",), "trainval_extra": ("pug_4",)}
    for number, (which, names) in enumerate(lists.items()):
        (root / "annotations" / f"{which}.txt").write_text("".join(f"{name} 6 1 2\n" for name in names))
        for name in names:
            random = np.random.default_rng(number)
            image = random.integers(0, 256, (201, 160, 3), np.uint8)
            Image.fromarray(image).save(root / "images" / f"{name}.jpg")
            trimap = random.integers(1, 4, (201, 160), np.uint8)
            Image.fromarray(trimap).save(root / "annotations" / "trimaps" / f"{name}.png")
    return root


@pytest.fixture
def place(gpu, photographs, tmp_path):
    gpu.pack(photographs, tmp_path / "packed")
    results = tmp_path / "results"
    results.mkdir()
    deadline = time.monotonic() + 600
    return gpu.Place(tmp_path / "packed", results, None, torch.device("cpu"), deadline, small=True)


def test_what_is_packed_is_what_the_recipe_sees_of_the_photographs(gpu, photographs, place):
    packed = load_dataset(TrainConfig(data=str(gpu.dataset(place._replace(small=False), "train"))))
    official = load_dataset(TrainConfig(data="oxford-pets", data_root=photographs))
    assert packed.classes.names == official.classes.names
    for split in ("train", "val"):
        ours, theirs = (open_pixels(each.splits[split], each.classes, FIT) for each in (packed, official))
        assert np.array_equal(ours.images, theirs.images)
        assert np.array_equal(ours.masks, theirs.masks)


def test_images_are_repeated_up_to_an_epoch_of_the_article(gpu, place):
    folder = gpu.dataset(place._replace(small=False), "train", "extra", images=7)
    names = sorted(path.stem for path in (folder / "train" / "images").iterdir())
    assert names == ["Bengal_1-0", "Bengal_1-1", "Bengal_1-2", "pug_2-0", "pug_2-1", "pug_4-0", "pug_4-1"]
    assert names == sorted(path.stem for path in (folder / "train" / "masks").iterdir())


@pytest.mark.parametrize("during", ["the training", "the report"])
def test_a_step_that_was_cut_off_goes_on_and_one_that_is_done_is_left_alone(gpu, place, monkeypatch, during):
    """As ``recipes`` where a GPU is at hand for some minutes: the run ends at a step and goes on from it."""
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    where = {"the training": "epoch_progress", "the report": "write_report"}[during]
    original, once, steps = getattr(loop, where), [True], []

    def cut_off(*arguments):
        if once:
            once.pop()
            os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments)

    monkeypatch.setattr(loop, where, cut_off)

    def long(where):
        folder = where.results / "runs" / "long"
        gpu.trained(where, folder, data=str(gpu.dataset(where, "train")), model="segnet", epochs=2)
        steps.append(folder)
        yield {"trained": True}

    monkeypatch.setitem(gpu.STEPS, "long", long)
    report = place.results / "long.json"
    assert not gpu.take("long", place, "# here")
    assert json.loads(report.read_text())["state"] == "cut off"
    assert gpu.take("long", place, "# here")
    found = json.loads(report.read_text())
    assert (found["state"], found["rows"], found["machine"]) == ("done", [{"trained": True}], "here")
    assert gpu.take("long", place, "# here")
    assert len(steps) == 1


def test_at_the_deadline_ctrl_c_is_pressed(gpu):
    with pytest.raises(KeyboardInterrupt), gpu.interrupted_at(time.monotonic()):
        time.sleep(60)


def test_a_step_that_fails_says_so_and_the_next_is_done(gpu, place, monkeypatch, tmp_path):
    words = ["gpu.py", "baseline", "pooling", "--small", "--device", "cpu"]
    words += ["--data", str(place.data), "--results", str(place.results)]
    monkeypatch.setattr(sys, "argv", words)
    assert gpu.main() == 1
    states = {path.stem: json.loads(path.read_text())["state"] for path in place.results.glob("*.json")}
    assert states["pooling"] == "done"
    assert states["baseline"].startswith("failed: ValueError: baseline needs --photographs")
