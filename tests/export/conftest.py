"""A small SegNet that was trained a little, as a run leaves it, and photos to compare its exports on."""

import numpy as np
import pytest
import torch
from PIL import Image

from segnet import ClassTable, create_model
from segnet.data.synthetic import SyntheticSample
from segnet.inference.description import Description
from segnet.inference.model_file import write_model_file

TINY = {"stages": [[8, 1], [16, 1]], "bottleneck": [16, 1, 3]}


@pytest.fixture(scope="session")
def model_file(tmp_path_factory):
    """A model file, of a network whose batch norms know what they normalise."""
    torch.manual_seed(0)
    model = create_model("segnet-lite", 3, **TINY)
    with torch.no_grad():
        for _ in range(20):
            model(torch.rand(4, 3, 64, 64))
    classes = ClassTable.named(("pet", "background", "border"))
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    write_model_file(path, model.state_dict(), Description("segnet-lite", classes, (64, 64), "area", TINY))
    return path


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for index in range(6):
        SyntheticSample(3, index).read()[0].save(folder / f"{index}.png")
    return folder


@pytest.fixture
def noise(tmp_path):
    path = tmp_path / "noise.png"
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path
