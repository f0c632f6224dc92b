"""A model whose answer anyone can see, a tiny real one as a file, and one as an exporter would leave it."""

import pytest
import torch
from torch import nn

from segnet import ClassTable, create_model
from segnet.inference.description import Description
from segnet.inference.model_file import write_model_file
from segnet.inference.runtimes.with_torch import TorchRuntime
from segnet.inference.segmenter import Segmenter

from ..exported import small_network, write_onnx, write_openvino

TINY = {"stages": [[8, 1], [8, 1]], "bottleneck": [8, 0, 3]}


def describe(**changes):
    settings = {
        "model": "segnet-lite",
        "classes": ClassTable.named(("pet", "background", "border")),
        "size": (128, 128),
        "resize": "nearest",
        "options": TINY,
    }
    return Description(**(settings | changes))


def segmenter_of(model, description=None):
    return Segmenter(TorchRuntime(model), description or describe())


@pytest.fixture
def brightest_channel():
    """Segment by colour: class 0 where red is brightest, 1 where green is, 2 where blue is."""
    classes = ClassTable.named(("red", "background", "blue"))
    return segmenter_of(nn.Identity(), describe(model="brightest channel", classes=classes, size=(32, 32)))


@pytest.fixture(scope="session")
def tiny_model():
    """A segnet-lite with weights that tell all three classes apart in noise."""
    torch.manual_seed(0)
    model = create_model("segnet-lite", 3, **TINY)
    with torch.no_grad():
        model.classifier.weight.mul_(20)
        model.classifier.bias.zero_()
    return model.eval()


BAYESIAN = {"channels": 8, "dropout": 0.5}


@pytest.fixture(scope="session")
def bayesian_model():
    """A Bayesian SegNet-Basic whose samples of noise differ, also in the class that wins."""
    torch.manual_seed(0)
    model = create_model("segnet-basic", 3, **BAYESIAN)
    with torch.no_grad():
        for _ in range(30):  # as after training, batch norm knows what it normalises
            model(torch.rand(4, 3, 32, 32))
    return model.eval()


@pytest.fixture
def bayesian(bayesian_model):
    return segmenter_of(bayesian_model, describe(model="segnet-basic", options=BAYESIAN, size=(32, 32)))


@pytest.fixture(scope="session")
def tiny_file(tiny_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    write_model_file(path, tiny_model.state_dict(), describe())
    return path


@pytest.fixture(scope="session")
def network():
    """The same network in torch as in ``onnx_file`` and ``openvino_file``."""
    return small_network()


SMALL = describe(model="own.Small", options={}, size=(48, 40), resize="area")


@pytest.fixture(scope="session")
def onnx_file(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    write_onnx(path, network, SMALL.to_json())
    return path


@pytest.fixture(scope="session")
def openvino_file(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("openvino") / "model.xml"
    write_openvino(path, network, SMALL.to_json())
    return path
