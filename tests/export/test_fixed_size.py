"""``segnet export --fixed-size``: graphs without arithmetic on sizes, which other programs open."""

import json
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from segnet import SegnetError, create_model, load
from segnet.export.exporter import export
from segnet.export.onnx_graph import to_graph

CLIENTS = Path(__file__).parents[2] / ".clients"
NETWORKS = {
    "segnet-nano": {},
    "segnet-lite": {"width": 0.5},
    "segnet": {"stages": 2},
    "segnet-dsc": {"stages": 3, "ordinary_stages": 1},
    "segnet-basic": {"channels": 16},
    "segnet-vgg16": {"width": 8},
    "segnet-efficient": {"width": 0.5},
}
ODD = ("segnet-nano", "segnet", "segnet-efficient")
ON_SIZES = {"Shape", "Size", "If", "Loop", "Range", "Mod", "Expand", "Where"}


def network(name):
    """A network whose batch norms change what they get, so that logits differ."""
    torch.manual_seed(0)
    model = create_model(name, 3, **NETWORKS[name]).eval()
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.running_mean, module.weight.data, module.bias.data):
                values += 0.3 * torch.randn(values.shape, generator=generator)
    return model


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    """A file, an image and PyTorch's logits of each network and size."""
    folder = tmp_path_factory.mktemp("fixed")
    for name in NETWORKS:
        model = network(name)
        for size in ((64, 96), *([(51, 70)] if name in ODD else [])):
            path = folder / f"{name}-{size[0]}.onnx"
            onnx.save(to_graph(model, size, fixed=True), path)
            image = torch.randint(0, 256, (1, 3, *size), generator=torch.Generator().manual_seed(2)).float()
            with torch.inference_mode():
                np.savez(path.with_suffix(".npz"), image=image, logits=model(image / 255))
    return folder


def test_no_graph_computes_with_sizes(graphs):
    for path in graphs.glob("*.onnx"):
        graph = onnx.load(path).graph
        assert not ON_SIZES & {node.op_type for node in graph.node}, path.name
        for value in (*graph.input, *graph.output):
            assert all(dim.dim_value for dim in value.type.tensor_type.shape.dim), path.name


@pytest.mark.parametrize("version", ["4", "5"])
def test_opencv_gives_the_models_logits(graphs, version):
    python = CLIENTS / f"opencv-{version}" / "bin" / "python"
    if not python.is_file():
        pytest.skip(f"OpenCV {version} isn't here: make clients installs it")
    script = Path(__file__).with_name("run_opencv.py")
    done = subprocess.run([python, script, graphs], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found.pop("version").startswith(f"{version}.")
    assert found.keys() == {path.stem for path in graphs.glob("*.onnx")}
    for name, (equal, difference) in found.items():
        assert equal >= 0.999, name
        assert difference < 1e-3, name


@pytest.fixture(scope="module")
def fixed(model_file, photos):
    return export(model_file, fixed_size=True, images=str(photos))


def test_the_file_predicts_the_same_and_has_the_size_in_its_name(fixed, model_file, noise):
    assert fixed.path.name == "tiny.64x64.onnx"
    assert json.loads(fixed.report.read_text())["fixed_size"] == [64, 64]
    assert np.mean(load(fixed.path).predict(noise).mask == load(model_file).predict(noise).mask) > 0.999
    batch = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    ours, theirs = load(model_file).runtime.logits(batch), load(fixed.path).runtime.logits(batch)
    np.testing.assert_allclose(theirs, ours, atol=1e-4, rtol=1e-4)


def test_another_size_is_refused_in_one_line(fixed):
    with pytest.raises(SegnetError, match=r"of 64x64 pixels alone, and got 32x64; take"):
        load(fixed.path).runtime.logits(np.zeros((1, 32, 64, 3), np.uint8))


def test_int8_has_a_fixed_size_too(model_file, photos, tmp_path):
    done = export(
        model_file, precision="int8", fixed_size=True, images=str(photos), calibrate=str(photos),
        out=tmp_path / "small.onnx",
    )  # fmt: skip
    assert not done.failure
    graph = onnx.load(done.path).graph
    assert "QuantizeLinear" in {node.op_type for node in graph.node}
    assert [dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim] == [1, 3, 64, 64]


def test_other_targets_take_any_size(segnet, model_file):
    done = segnet("export", model_file, "--to", "openvino", "--fixed-size")
    done.is_a_mistake_in_one_line("--fixed-size is for --to onnx; leave it out for openvino")
