"""``segnet.load``: what it opens with which runtime, and what it says of everything else."""

import json
import sys
from importlib import util

import numpy as np
import pytest

import segnet
from segnet import SegnetError
from segnet.inference import opening as module
from segnet.inference.opening import is_bundled, load

from ..exported import write_onnx, write_openvino
from .conftest import SMALL, segmenter_of


def noise(height, width, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def bundled(monkeypatch, tmp_path):
    """An empty folder in the place of the bundled weights."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setattr(module, "WEIGHTS", folder)
    return folder


@pytest.fixture
def without(monkeypatch):
    """Take packages away, as where they were never installed."""
    find = util.find_spec

    def take_away(*packages):
        monkeypatch.setattr(
            "segnet.base.extras.find_spec", lambda name: None if name in packages else find(name)
        )
        for package in packages:
            monkeypatch.setitem(sys.modules, package, None)

    return take_away


# What was trained


def test_a_run_folder_a_file_and_a_bundled_name_open_the_same_model(tiny_file, bundled):
    (bundled / "tiny-pets.safetensors").write_bytes(tiny_file.read_bytes())
    masks = [
        segnet.load(source).predict(noise(30, 30)).mask
        for source in (tiny_file.parent, str(tiny_file.parent), tiny_file, str(tiny_file), "tiny-pets")
    ]
    assert all(np.array_equal(mask, masks[0]) for mask in masks)


def test_a_mistyped_bundled_name_is_answered_with_the_nearest(tiny_file, bundled):
    (bundled / "pets-lite.safetensors").write_bytes(tiny_file.read_bytes())
    with pytest.raises(SegnetError, match=r"pets-light is no run folder, .*did you mean 'pets-lite'"):
        load("pets-light")


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(SegnetError, match=r"holds no model\.safetensors: it is no run folder, or"):
        load(tmp_path)


def test_a_loaded_model_predicts_what_the_one_in_memory_predicts(tiny_model, tiny_file):
    image = noise(77, 50)
    loaded = load(tiny_file).predict(image)
    assert np.array_equal(loaded.probabilities, segmenter_of(tiny_model).predict(image).probabilities)
    assert np.array_equal(loaded.probabilities, load(tiny_file).predict(image).probabilities)


# What was exported


@pytest.mark.parametrize("runtime", ["auto", "onnxruntime", "openvino"])
def test_an_exported_model_predicts_what_the_trained_one_predicts(network, onnx_file, runtime):
    exported = load(onnx_file, runtime=runtime)
    assert exported.runtime.name == ("onnxruntime" if runtime == "auto" else runtime)
    assert (exported.description, exported.device) == (SMALL, "cpu")
    image = noise(77, 50)
    found, expected = exported.predict(image), segmenter_of(network, SMALL).predict(image)
    assert np.allclose(found.probabilities, expected.probabilities, atol=1e-4)
    assert (found.mask == expected.mask).mean() > 0.999
    assert len(np.unique(found.mask)) == 3


def test_openvinos_own_format_opens_too(network, openvino_file):
    found, expected = load(openvino_file), segmenter_of(network, SMALL)
    assert (found.runtime.name, found.description) == ("openvino", SMALL)
    pixels = noise(48, 40)
    assert np.allclose(found.predict(pixels).logits, expected.predict(pixels).logits, atol=1e-3)


def test_without_onnxruntime_openvino_opens_it_and_without_both_the_line_says_what_to_install(
    onnx_file, without
):
    without("onnxruntime")
    assert load(onnx_file).runtime.name == "openvino"
    without("onnxruntime", "openvino")
    with pytest.raises(SegnetError, match=r"model\.onnx needs ONNX Runtime: pip install onnxruntime$"):
        load(onnx_file)


@pytest.mark.parametrize(
    ("source", "runtime", "gone", "says"),
    [
        ("tiny_file", "auto", "torch", r"needs PyTorch: pip install 'segnet\[train\]'; or export it where"),
        ("onnx_file", "openvino", "openvino", r"needs OpenVINO: pip install 'segnet\[openvino\]'$"),
        (
            "openvino_file",
            "auto",
            "openvino",
            r"model\.xml needs OpenVINO: pip install 'segnet\[openvino\]'$",
        ),
    ],
)
def test_a_runtime_that_is_not_installed_is_named_with_what_brings_it(
    request, without, source, runtime, gone, says
):
    file = request.getfixturevalue(source)
    without(gone)
    with pytest.raises(SegnetError, match=says) as error:
        load(file, runtime=runtime)
    assert isinstance(error.value, ImportError)


@pytest.mark.parametrize(
    ("source", "settings", "says"),
    [
        ("tiny_file", {"runtime": "onnxruntime"}, r"export it first with: segnet export .* --to onnx"),
        ("tiny_file", {"runtime": "openvino"}, r"openvino can't open .*model\.safetensors; export it first"),
        ("onnx_file", {"runtime": "torch"}, r"torch can't open .*model\.onnx; give the run folder or the"),
        ("openvino_file", {"runtime": "torch"}, r"torch can't open .*model\.xml; give the run folder"),
        ("openvino_file", {"runtime": "onnxruntime"}, r"onnxruntime can't open .*; take --runtime openvino"),
        ("onnx_file", {"runtime": "onnxrt"}, "there is no runtime 'onnxrt'; did you mean 'onnxruntime'"),
        ("onnx_file", {"device": "cuda"}, "'cuda' can't be used by this ONNX Runtime; .*onnxruntime-gpu"),
        ("onnx_file", {"device": "mps"}, "'mps' can't be used by this ONNX Runtime; try --device cpu$"),
        ("openvino_file", {"device": "cuda"}, "'cuda' can't be used by OpenVINO here; there is cpu"),
        ("onnx_file", {"model": "network"}, "is exported and holds its model; open it without model="),
    ],
)
def test_what_does_not_go_together_is_one_line(request, source, settings, says):
    file = request.getfixturevalue(source)
    if "model" in settings:
        settings = {"model": request.getfixturevalue(settings["model"])}
    with pytest.raises(SegnetError, match=says) as error:
        load(file, **settings)
    assert "\n" not in str(error.value)


# Bundled names


@pytest.mark.parametrize(
    ("files", "settings", "runtime"),
    [
        ("safetensors", {}, "torch"),
        ("safetensors onnx", {}, "onnxruntime"),
        ("safetensors onnx", {"device": "cpu"}, "onnxruntime"),
        ("safetensors onnx", {"device": "meta", "runtime": "openvino"}, "meta"),
        ("safetensors onnx", {"runtime": "openvino"}, "openvino"),
        ("safetensors onnx", {"runtime": "torch"}, "torch"),
        ("onnx", {}, "onnxruntime"),
        ("onnx", {"runtime": "torch"}, "torch can't open"),
        ("safetensors", {"runtime": "onnxruntime"}, "export it first"),
    ],
)
def test_a_bundled_name_is_opened_without_torch_where_that_is_possible(
    tiny_file, onnx_file, bundled, files, settings, runtime
):
    for suffix, file in (("safetensors", tiny_file), ("onnx", onnx_file)):
        if suffix in files:
            (bundled / f"small.{suffix}").write_bytes(file.read_bytes())
    assert is_bundled("small")
    assert not is_bundled(str(tiny_file))
    if runtime in ("torch", "onnxruntime", "openvino"):
        assert load("small", **settings).runtime.name == runtime
        return
    with pytest.raises(SegnetError, match=runtime):
        load("small", **settings)


def test_a_bundled_name_on_another_device_is_torchs(tiny_file, onnx_file, bundled):
    (bundled / "small.safetensors").write_bytes(tiny_file.read_bytes())
    (bundled / "small.onnx").write_bytes(onnx_file.read_bytes())
    with pytest.raises(SegnetError, match="the device 'cud' can't be used here"):
        load("small", device="cud")


def test_without_onnxruntime_and_openvino_a_bundled_name_is_torchs(tiny_file, onnx_file, bundled, without):
    (bundled / "small.safetensors").write_bytes(tiny_file.read_bytes())
    (bundled / "small.onnx").write_bytes(onnx_file.read_bytes())
    without("onnxruntime", "openvino")
    assert load("small").runtime.name == "torch"


# Files that are not ours


def changed(**changes):
    values = json.loads(SMALL.to_json()) | changes
    return json.dumps({name: value for name, value in values.items() if value is not None})


BAD_TEXTS = [
    (None, {}, "says nothing of its classes and its image size: no model exported by segnet"),
    ("{", {}, "the description inside .* is damaged"),
    (changed(size=None), {}, "the description inside .* is damaged"),
    (changed(format=3), {}, "written by a newer segnet; upgrade"),
    (SMALL.to_json(), {"image": "input"}, "takes input and gives logits, where .* takes image and gives"),
    (SMALL.to_json(), {"logits": "output"}, "takes image and gives output, where .*; export the model anew"),
    (
        changed(classes={"names": ["a"], "colours": [[0, 0, 0]], "ignore_index": 255}),
        {},
        "gives 3 logits a pixel but names 1 classes",
    ),
]


@pytest.mark.parametrize(("text", "names", "says"), BAD_TEXTS)
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "openvino's own format"])
def test_a_model_that_we_did_not_export_is_one_line(network, tmp_path, runtime, text, names, says):
    own = runtime == "openvino's own format"
    path = tmp_path / ("other.xml" if own else "other.onnx")
    (write_openvino if own else write_onnx)(path, network, text, **names)
    with pytest.raises(SegnetError, match=says) as error:
        load(path, runtime="openvino" if own else runtime)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("damage", ["empty", "text", "cut"])
@pytest.mark.parametrize(
    ("source", "runtime"),
    [("onnx_file", "onnxruntime"), ("onnx_file", "openvino"), ("openvino_file", "openvino")],
)
def test_a_damaged_file_is_one_line(request, tmp_path, capfd, source, runtime, damage):
    whole = request.getfixturevalue(source)
    content = whole.read_bytes()
    path = tmp_path / whole.name
    path.write_bytes({"empty": b"", "text": b"not a model\n", "cut": content[: len(content) // 2]}[damage])
    with pytest.raises(SegnetError, match=r"damaged or no|no model exported by segnet") as error:
        load(path, runtime=runtime)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("left", [None, 100])
def test_openvinos_format_without_its_weights_is_one_line(openvino_file, tmp_path, left):
    path = tmp_path / "model.xml"
    path.write_bytes(openvino_file.read_bytes())
    if left is not None:
        path.with_suffix(".bin").write_bytes(openvino_file.with_suffix(".bin").read_bytes()[:left])
    with pytest.raises(SegnetError, match=r"model\.xml is damaged or no OpenVINO model with its \.bin"):
        load(path)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no such names")
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_name_that_is_no_text_is_one_line(onnx_file, tmp_path, runtime):
    path = tmp_path / "caf\udce9.onnx"
    path.write_bytes(onnx_file.read_bytes())
    with pytest.raises(SegnetError, match="since its name is no text; rename the folder"):
        load(path, runtime=runtime)


# What only a torch module can


def test_an_exported_model_has_no_module_and_no_dropout(onnx_file):
    exported = load(onnx_file)
    with pytest.raises(SegnetError, match="in onnxruntime, is no torch module; open the run folder"):
        _ = exported.model
    with pytest.raises(
        SegnetError, match="has no dropout, so all samples would be alike; open the run folder"
    ):
        exported.predict("no/such/photo.jpg", samples=3)
    with pytest.raises(SegnetError, match="--samples must be a whole number"):
        exported.predict("no/such/photo.jpg", samples=-3)
