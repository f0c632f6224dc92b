"""``segnet export --to coreml``: packages whose program, read back, gives what PyTorch gives."""

import json
import shutil
from dataclasses import replace

import coremltools
import numpy as np
import pytest
import torch
from coremltools.converters.mil import Builder as mb  # noqa: N813 - as its documentation calls it
from torch import nn
from torch.nn import functional as F

from segnet import SegnetError, load
from segnet.export.coreml.coreml_target import opened, write
from segnet.export.coreml.mil_evaluation import _COMPUTED
from segnet.export.exporter import export
from segnet.export.layers import COREML, network_of
from segnet.export.network import Network, NetworkLayer, Scaling
from segnet.export.target_files import Job
from segnet.inference.runtimes.with_torch import TorchRuntime
from segnet.inference.segmenter import Segmenter
from segnet.models import create_model

from .browser_networks import REFUSED, TAKEN, describe, exact


def noise(size, count=2, channels=3, values=256):
    return np.random.default_rng(0).integers(0, values, (count, *size, channels), dtype=np.uint8)


def computed(network, description, path, images, precision="float32"):
    segmenter = Segmenter(TorchRuntime(nn.Identity()), description)
    write(Job("coreml", segmenter, network, precision), path)
    with opened(path) as (logits, _):
        return logits(images)


NETWORKS = ("segnet", "segnet-dsc", "segnet-basic", "segnet-nano", "segnet-efficient")


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=[] if case in NETWORKS else pytest.mark.campaign) for case in TAKEN],
)
@pytest.mark.parametrize("size", [(64, 64), (51, 70)], ids=["even", "odd"])
def test_the_program_gives_pytorchs_logits(case, size, tmp_path):
    model, description = exact(*TAKEN[case])
    images = noise(size)
    with torch.inference_mode():
        expected = model(torch.from_numpy(images).permute(0, 3, 1, 2).double() / 255).numpy()
    network = network_of(model, description, COREML)
    sized = replace(description, size=size)
    found = computed(network, sized, tmp_path / "a.mlpackage", images)
    # as in test_litert.py: another one of two values that are all but equal may win
    assert np.quantile(abs(found - expected), 0.9) < 1e-4 * abs(expected).max()
    assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.999


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("size", [(16, 24), (17, 23)], ids=["even", "odd"])
def test_of_equal_maxima_the_first_gets_the_value_as_in_pytorch(precision, size, tmp_path):
    layers = (NetworkLayer("pool", "pool", 0), NetworkLayer("unpool", "unpool", 1, codes=1))
    network = Network(Scaling(3, 1, (1.0,) * 3, (0.0,) * 3), layers, (None, None))
    images = np.concatenate([noise(size, values=values) for values in (2, 3, 256)])
    found = computed(network, replace(describe("a"), size=size), tmp_path / "a.mlpackage", images, precision)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    expected = F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2, output_size=x.shape[-2:])
    assert np.array_equal(found, expected.numpy())


def test_what_coremltools_computes_of_constants_is_what_we_compute():
    """Its builder does so for some of the operations, in numpy."""
    maps = [np.random.default_rng(k).normal(size=(1, 3, 4, 6)).astype(np.float32) for k in range(4)]
    tensors = [torch.from_numpy(each) for each in maps]
    corner = {"begin": [0, 0, 1, 0], "end": [1, 3, 4, 6], "stride": [1, 1, 2, 2]}
    theirs = []

    @mb.program(input_specs=[mb.TensorSpec(shape=(1,))], opset_version=coremltools.target.iOS15)
    def program(x):
        stacked = mb.stack(values=maps, axis=2)
        theirs.append(mb.reshape(x=stacked.val, shape=[1, 12, 4, 6]).val)
        theirs.append(mb.slice_by_index(x=maps[0], **corner).val)
        theirs.append(mb.ceil(x=maps[0]).val)
        theirs.append(mb.minimum(x=maps[0], y=np.float32(0.5)).val)
        theirs.append(mb.maximum(x=maps[0], y=maps[1]).val)
        return mb.identity(x=x)

    ours = [
        _COMPUTED["reshape"](x=_COMPUTED["stack"](values=tensors, axis=2), shape=[1, 12, 4, 6]),
        _COMPUTED["slice_by_index"](x=tensors[0], **{k: torch.tensor(v) for k, v in corner.items()}),
        _COMPUTED["ceil"](x=tensors[0]),
        _COMPUTED["minimum"](x=tensors[0], y=0.5),
        _COMPUTED["maximum"](x=tensors[0], y=tensors[1]),
    ]
    for their, our in zip(theirs, ours, strict=True):
        assert np.array_equal(their, our.numpy())


@pytest.fixture(scope="module")
def exported(model_file, photos):
    return export(model_file, to="coreml", images=str(photos))


def test_the_package_says_what_it_is(exported, model_file):
    assert exported.path == model_file.with_suffix(".mlpackage")
    model = coremltools.models.MLModel(str(exported.path), skip_model_load=True)
    metadata = model.user_defined_metadata
    assert metadata["com.apple.coreml.model.preview.type"] == "imageSegmenter"
    params = json.loads(metadata["com.apple.coreml.model.preview.params"])
    assert params["labels"] == ["pet", "background", "border"]
    assert all(colour.startswith("#") and len(colour) == 7 for colour in params["colors"])
    assert json.loads(metadata["segnet"])["size"] == [64, 64]
    image, logits = model.get_spec().description.input[0], model.get_spec().description.output[0]
    assert (image.name, image.type.imageType.width, image.type.imageType.height) == ("image", 64, 64)
    assert (logits.name, list(logits.type.multiArrayType.shape)) == ("logits", [1, 3, 64, 64])
    report = json.loads(exported.report.read_text())
    assert report["passed"] is True
    assert report["precision"] in ("float16", "float32")
    assert "no Apple device has run the file" in report["run_by"]
    assert report["bytes"] == sum(each.stat().st_size for each in exported.path.rglob("*") if each.is_file())


def test_an_export_replaces_the_package_of_before(exported, model_file, photos, tmp_path):
    out = tmp_path / "again.mlpackage"
    shutil.copytree(exported.path, out)
    (out / "stale").write_text("of before")
    export(model_file, to="coreml", images=str(photos), out=out)
    assert not (out / "stale").exists()
    assert {each.name for each in tmp_path.iterdir()} == {out.name, f"{out.name}.parity.json"}


def test_int8_says_what_there_is(model_file):
    with pytest.raises(
        SegnetError, match="--to coreml keeps float32 and float16 alone; take --to onnx for int8"
    ):
        export(model_file, to="coreml", precision="int8")


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_without_layers_here_is_refused_by_name(name):
    with pytest.raises(SegnetError, match=f"{name} doesn't run in --to coreml; take --to onnx"):
        network_of(create_model(name, 3, **REFUSED[name]), describe(name), COREML)


def test_opening_it_here_says_who_does(exported):
    with pytest.raises(
        SegnetError, match=r"Core ML opens .*\.mlpackage on Apple's systems; give the run folder"
    ):
        load(exported.path)


def test_without_the_package_the_line_says_what_to_install(segnet, here, model_file, photos, monkeypatch):
    monkeypatch.setattr("segnet.base.extras.find_spec", lambda name: None)
    done = segnet("export", model_file, "--to", "coreml", "--images", photos, "--out", here / "a.mlpackage")
    assert done.code == 2
    assert "segnet export needs coremltools: pip install 'segnet[coreml]'" in done.err
    assert not list(here.iterdir())
