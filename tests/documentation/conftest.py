"""The reader's folder: everything that the examples of the documentation name."""

import json
import runpy
import shutil
import sys
from argparse import Namespace
from pathlib import Path

import datasets
import numpy as np
import pytest
import tifffile
from PIL import Image
from torch import nn

from segnet import TrainConfig, train
from segnet.data.labels.convert import convert
from segnet.export.exporter import export
from segnet.training.several import train_seeds

from ..plain import plain

TINY = {"stages": [[8, 1], [8, 1]], "bottleneck": [8, 0, 3]}


class TinyNet(nn.Sequential):
    """A model of the reader's own."""

    def __init__(self, classes):
        super().__init__(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, classes, 1))


@pytest.fixture(scope="session")
def own_module():
    return TinyNet


def draw(file, seed, mask=None):
    """A bright square in dark noise, and where it is."""
    random = np.random.RandomState(seed)
    square = np.zeros((32, 32), np.uint8)
    top, left = random.randint(0, 16, 2)
    square[top : top + 16, left : left + 16] = 1
    pixels = (random.randint(0, 80, (32, 32, 3)) + square[..., None] * 120).astype(np.uint8)
    for path, array in ((file, pixels), (mask, square)):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)


def draw_deep(root, seed):
    """The same as a multispectral camera of 12 bits would see it."""
    draw(root / f"images/{seed}.png", seed, root / f"masks/{seed}.png")
    grey = np.asarray(Image.open(root / f"images/{seed}.png"))[..., 0].astype(np.uint16)
    (root / f"images/{seed}.png").unlink()
    values = np.stack([grey * 16 >> channel for channel in range(5)], axis=-1)
    tifffile.imwrite(root / f"images/{seed}.tif", values, photometric="minisblack", planarconfig="contig")


def draw_examples(folder):
    """Fewer and smaller cells, roads and parts than the scripts of the page draw."""
    benchmarks = Path(__file__).parents[2] / "benchmarks"
    sys.path.insert(0, str(benchmarks))  # they import each other, as when they are run
    try:
        scripts = {
            name: runpy.run_path(str(benchmarks / f"drawn_{name}.py")) for name in ("cells", "road", "parts")
        }
    finally:
        sys.path.remove(str(benchmarks))
    scripts["cells"]["write_cells"](folder / "cells", 12, seed=0, side=64)
    scripts["road"]["write_roads"](folder / "road", 8, seed=0, side=256)
    scripts["parts"]["write_parts"](folder / "parts", 8, seed=0, more=2)
    convert(folder / "parts/labels.json", folder / "my/parts")
    for name in ("cells", "road", "parts"):
        shutil.copytree(folder / "runs/NAME", folder / "runs" / name)


def draw_label_project(folder):
    """The project of the page on labelling: masks to train on and to score on, and images that are out."""
    from segnet.labelling.giving_out import give_out
    from segnet.labelling.project import open_project, start_project
    from segnet.labelling.taking_back import take

    benchmarks = Path(__file__).parents[2] / "benchmarks"
    sys.path.insert(0, str(benchmarks))
    try:
        script = runpy.run_path(str(benchmarks / "label_loop.py"))
    finally:
        sys.path.remove(str(benchmarks))
    script["draw"](Namespace(folder=folder / "try", photos=16, seed=0))
    start_project(folder / "try/photos", folder / "labels", classes=["pet"], scored=4)
    for number, count in (("001", 8), ("002", 2)):
        with open_project(folder / "labels") as project:
            given = give_out(project, count=count, by="random")
        script["correct"](Namespace(given=given.folder, truth=folder / "try/truth"))
        if number == "001":
            with open_project(folder / "labels") as project:
                take(project, given.folder)
    for kind, source in (("images", "photos"), ("masks", "truth")):  # as training leaves them
        shutil.copytree(folder / "try" / source, folder / "labels/data" / kind)


@pytest.fixture(scope="session")
def named_by_examples(tmp_path_factory):
    """Photos, folders of data, and finished runs of tiny models: runs/bayes is one with dropout.

    The exported file is of another: a network without pools is exported in a tenth of the time.
    """
    folder = tmp_path_factory.mktemp("documentation")
    for seed, image in enumerate(("photo.jpg", "cat.jpg", "pet.png", "more/one.png", "more/two.png")):
        draw(folder / image, seed)
    for place, count, first in (("my/folder", 24, 100), ("new/photos", 4, 200)):
        for seed in range(first, first + count):
            draw(folder / place / f"images/{seed}.png", seed, folder / place / f"masks/{seed}.png")
    photos = [
        {part: str(folder / f"new/photos/{part}s/{seed}.png") for part in ("image", "mask")}
        for seed in range(200, 204)
    ]
    pictures = datasets.Features({"image": datasets.Image(), "mask": datasets.Image()})
    datasets.Dataset.from_list(photos, features=pictures).save_to_disk(folder / "my/saved")
    (folder / "leaves.yaml").write_text("classes: [ground, leaf]")
    for seed in range(8):
        draw_deep(folder / "my/field", seed)
    settings = {"data": str(folder / "my/folder"), "size": 32, "batch_size": 4, "epochs": 1}
    tiny = settings | {"model": "segnet-lite", "model_options": TINY}
    bayes = settings | {"model": "segnet-basic", "model_options": {"channels": 8, "dropout": 0.5}}
    field = tiny | {"data": str(folder / "my/field"), "channels": 5}
    for name, options in (("NAME", tiny), ("bayes", bayes)):
        train(TrainConfig(**options, out=folder / "runs" / name))
    for copy, name in (("A", "NAME"), ("B", "bayes")):
        shutil.copytree(folder / "runs" / name, folder / "runs" / copy)
    with plain():
        train(TrainConfig(**field, out=folder / "runs/field"))
        for name in ("first", "second"):
            train_seeds(TrainConfig(**tiny, out=folder / "runs" / name), (0, 1))
        own = train(TrainConfig(**settings, out=folder / "runs/own"), model=TinyNet(2))
    images = sorted((folder / "my/folder/images").iterdir())
    (folder / "weather.csv").write_text("image,weather\n" + "".join(f"{each.name},sun\n" for each in images))
    labels = {
        "images": [
            {"id": i, "file_name": f"more/{name}.png", "width": 32, "height": 32}
            for i, name in enumerate(("one", "two"))
        ],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "segmentation": [[4, 4, 20, 4, 20, 20, 4, 20]]}
            for i in range(2)
        ],
        "categories": [{"id": 1, "name": "leaf"}],
    }
    for name in ("labels.json", "labelled/annotations.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(labels))
    draw_examples(folder)
    draw_label_project(folder)
    exported = export(own.folder, images=str(folder / "photo.jpg"), model=TinyNet(2))
    for copy in ("model.onnx", "runs/NAME/model.onnx"):
        shutil.copy(exported.path, folder / copy)
    export(folder / "runs/NAME", to="litert", images=str(folder / "photo.jpg"))
    (folder / "src/segnet/weights").mkdir(parents=True)
    return folder


@pytest.fixture
def readers_folder(named_by_examples, here):
    """The current folder: a copy that an example may change."""
    shutil.copytree(named_by_examples, here, dirs_exist_ok=True)
    return here


@pytest.fixture
def all_pets(oxford_pets, here):
    """``../shared/oxford-pets`` as it is: pets-lite is scored on whole splits."""
    (here.parent / "shared").mkdir()
    (here.parent / "shared/oxford-pets").symlink_to(oxford_pets)


@pytest.fixture
def some_pets(oxford_pets, here):
    """``../shared/oxford-pets``, with lists of 24 photographs to train on, and 8 without masks."""
    folder = here.parent / "shared/oxford-pets"
    (folder / "annotations").mkdir(parents=True)
    (folder / "unlabeled").mkdir()
    without_masks = [f"unlabeled/{each.name}" for each in sorted((oxford_pets / "unlabeled").iterdir())[:8]]
    for shared in ("images", "annotations/trimaps", "annotations/test.txt", *without_masks):
        (folder / shared).symlink_to(oxford_pets / shared)
    for names in (oxford_pets / "annotations").glob("trainval*.txt"):
        lines = names.read_text().splitlines(keepends=True)[:24]
        (folder / "annotations" / names.name).write_text("".join(lines))
    return folder
