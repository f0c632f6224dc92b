"""A folder of drawn images and masks that a tiny model learns in seconds."""

import numpy as np
import pytest
from PIL import Image

from segnet import TrainConfig

TINY = {"stages": [[8, 1], [8, 1]], "bottleneck": [8, 0, 3]}


def draw_folder(root, count=12, side=32, val=4):
    for split, total in (("train", count), ("val", val)):
        for kind in ("images", "masks"):
            (root / split / kind).mkdir(parents=True)
        for index in range(total):
            random = np.random.RandomState(index + (100 if split == "val" else 0))
            mask = np.zeros((side, side), np.uint8)
            top, left = random.randint(0, side // 2, 2)
            mask[top : top + side // 2, left : left + side // 2] = 1
            image = random.randint(0, 80, (side, side, 3)) + mask[..., None] * 120
            Image.fromarray(image.astype(np.uint8)).save(root / split / "images" / f"{index:02d}.png")
            Image.fromarray(mask).save(root / split / "masks" / f"{index:02d}.png")
    (root / "dataset.yaml").write_text("classes: [background, object]\n")
    return root


@pytest.fixture(scope="session")
def drawn_folder(tmp_path_factory):
    return draw_folder(tmp_path_factory.mktemp("drawn"))


def config_of(folder, out, **changes):
    settings = {
        "data": str(folder),
        "model": "segnet-lite",
        "model_options": TINY,
        "size": (32, 32),
        "batch_size": 4,
        "epochs": 3,
        "lr": 0.01,
        "out": out,
    }
    return TrainConfig(**(settings | changes))


@pytest.fixture
def tiny_config(drawn_folder, tmp_path):
    return lambda **changes: config_of(drawn_folder, **({"out": tmp_path / "run"} | changes))
