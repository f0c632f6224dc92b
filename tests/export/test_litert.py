"""``segnet export --to litert``: files that LiteRT computes as PyTorch does, and that MediaPipe opens."""

import json
import pickle
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from PIL import Image
from torch.nn import functional as F

from segnet import SegnetError, load
from segnet.export.exporter import export
from segnet.export.layers import LITERT, network_of
from segnet.export.litert.lowering import lowered
from segnet.export.litert.ranges import ranges_of
from segnet.export.network import Network, NetworkLayer, Scaling, Weights
from segnet.models import create_model

from .browser_networks import REFUSED, TAKEN, describe, exact

CLIENTS = Path(__file__).parents[2] / ".clients"
DELEGATED = "DELEGATE"  # what the interpreter calls the nodes that XNNPACK computes


def file_of(network, size, **how):
    graph, image, logits = lowered(network, size, **how)
    return graph.to_bytes(image, logits, {})


def opened(content):
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def computed(content, images):
    """What LiteRT makes of images (N, h, w, C), as (N, classes, h, w)."""
    interpreter = opened(content)
    image, logits = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    found = []
    for each in images:
        interpreter.set_tensor(image, each[None].astype(np.float32))
        interpreter.invoke()
        found.append(interpreter.get_tensor(logits)[0].transpose(2, 0, 1))
    return np.stack(found)


def noise(size, count=3, channels=3, values=256):
    return np.random.default_rng(0).integers(0, values, (count, *size, channels), dtype=np.uint8)


def named_operations(content):
    """Each operation of a file: its name, its inputs and outputs as the schema has them, its options."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    graph = model.subgraphs[0]
    for node in graph.operators:
        sides = [[graph.tensors[number] for number in side] for side in (node.inputs, node.outputs)]
        yield names[model.operatorCodes[node.opcodeIndex].builtinCode], *sides, node.builtinOptions


# What it computes


@pytest.mark.parametrize("case", TAKEN)
@pytest.mark.parametrize("size", [(64, 64), (51, 70)], ids=["even", "odd"])
def test_litert_gives_pytorchs_logits_and_xnnpack_takes_all_of_it(case, size):
    model, description = exact(*TAKEN[case])
    images = noise(size)
    with torch.inference_mode():
        expected = model(torch.from_numpy(images).permute(0, 3, 1, 2).double() / 255).numpy()
    content = file_of(network_of(model, description, LITERT), size)
    found = computed(content, images)
    # where two values of a pool's window are equal but for rounding another one may win, which logits around
    # it show
    assert np.quantile(abs(found - expected), 0.9) < 1e-4 * abs(expected).max()
    assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.999
    kinds = [each["op_name"] for each in opened(content)._get_ops_details()]
    assert set(kinds[kinds.index(DELEGATED) :]) == {DELEGATED}
    assert kinds.count(DELEGATED) == 1


def pooled_and_unpooled(size, channels):
    layers = (NetworkLayer("pool", "pool", 0), NetworkLayer("unpool", "unpool", 1, codes=1))
    scaling = Scaling(channels, 1, (1.0,) * channels, (0.0,) * channels)
    return Network(scaling, layers, (None, None))


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("values", [2, 3, 256], ids=["many ties", "ties", "few ties"])
@pytest.mark.parametrize("size", [(16, 24), (17, 23)], ids=["even", "odd"])
def test_of_equal_maxima_the_first_gets_the_value_as_in_pytorch(precision, values, size):
    images = noise(size, count=4, channels=5, values=values)
    network = pooled_and_unpooled(size, 5)
    # values of 0 to 255 are whole steps of int8's scale
    ranges = ranges_of(network, np.concatenate([images, np.full_like(images, 255)]))
    found = computed(file_of(network, size, ranges=ranges if precision == "int8" else None), images)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    expected = F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2, output_size=x.shape[-2:])
    assert np.array_equal(found, expected.numpy())


def test_values_that_differ_by_little_are_told_apart():
    """Also where float32 has hardly a value between them, or half of them are infinite."""
    size = (2, 8)
    network = pooled_and_unpooled(size, 1)
    for small in (1e-30, 1e-12, 1.0, 1e30):
        x = np.zeros((1, 2, 8, 1), np.float32)
        x[0, 1, 1::2] = small
        interpreter = opened(file_of(network, size))
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        interpreter.invoke()
        assert np.array_equal(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]), x)


def test_int8_is_within_a_step_of_what_its_whole_numbers_stand_for():
    random = np.random.default_rng(0)
    kernel = random.normal(0, 0.1, (3, 3, 3, 6)).astype(np.float32)
    bias = random.normal(0, 1, 6).astype(np.float32)
    layer = NetworkLayer("conv", "conv", 0, kernel=3, pad=(1, 1), channels=6)
    network = Network(Scaling(3, 1, (1 / 255,) * 3, (0.0,) * 3), (layer,), (Weights(kernel, bias),))
    images = noise((12, 10))
    ranges = ranges_of(network, images)
    found = computed(file_of(network, (12, 10), ranges=ranges), images)
    steps = np.abs(kernel).max((0, 1, 2)) / 127
    whole = np.round(kernel / steps) * steps  # a scale for each channel
    x = torch.from_numpy(images).permute(0, 3, 1, 2).double() / 255  # 0 to 255 are whole steps
    weight = torch.from_numpy(whole.transpose(3, 2, 0, 1)).double()
    expected = F.conv2d(x, weight, torch.from_numpy(bias).double(), padding=1)
    least, most = ranges.maps[1]
    step = (max(most, 0) - min(least, 0)) / 255
    assert np.abs(found - expected.numpy()).max() <= 0.51 * step + 1e-6
    assert len(np.unique(found)) > 100


@pytest.mark.parametrize("case", ["segnet", "segnet-dsc", "segnet-basic", "segnet-nano", "segnet-efficient"])
def test_int8_runs_whole_in_xnnpack(case):
    model, description = exact(*TAKEN[case])
    network = network_of(model.float(), description, LITERT)
    content = file_of(network, (64, 64), ranges=ranges_of(network, noise((64, 64))))
    assert np.isfinite(computed(content, noise((64, 64)))).all()
    kinds = [each["op_name"] for each in opened(content)._get_ops_details()]
    assert kinds.count(DELEGATED) == 1
    floats = {
        kind
        for kind, _, (given, *_), _ in named_operations(content)
        if given.type == schema.TensorType.FLOAT32
    }
    assert floats == {"MUL", "ADD", "DEQUANTIZE"}, "the image's scaling and the logits alone"


# What LiteRT's GPU delegate lists: tflite/tools/versioning/gpu_compatibility.cc of google-ai-edge/LiteRT at
# commit 007226f498a6fa5204b1127a59d647857a09ceaf. For each operation the count of tensors that it computes
# with, and of those that must or may be constant.
ON_GPU = {
    "ADD": {(2, 0), (1, 1)},
    "CEIL": {(1, 0)},
    "CONCATENATION": {(4, 0)},
    "CONV_2D": {(1, 2)},
    "DEPTHWISE_CONV_2D": {(1, 2)},
    "DEPTH_TO_SPACE": {(1, 0)},
    "MAXIMUM": {(2, 0)},
    "MINIMUM": {(1, 1)},
    "MUL": {(2, 0), (1, 1)},
    "PAD": {(1, 1)},
    "SPACE_TO_DEPTH": {(1, 0)},
    "SPLIT": {(1, 1)},
    "SUB": {(2, 0)},
}
ON_GPU_HALF = ON_GPU | {
    "DEQUANTIZE": {(0, 1)},  # of float16, which the delegate reads as it stands
    "CONV_2D": {(2, 1)},
    "DEPTHWISE_CONV_2D": {(2, 1)},
}


@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
@pytest.mark.parametrize(
    "name", ["segnet-nano", "segnet-lite", "segnet-plus", "segnet-efficient", "segnet", "segnet-dsc"]
)
def test_every_operation_at_the_size_we_ship_is_on_the_gpu_delegates_list(name, half):
    model = create_model(name, 3).eval()
    content = file_of(network_of(model, describe(name), LITERT), (128, 128), half_weights=half)
    floats = {schema.TensorType.FLOAT32, schema.TensorType.FLOAT16}
    for kind, inputs, outputs, options in named_operations(content):
        constants = sum(each.buffer > 0 for each in inputs)
        found = len(inputs) - constants, constants
        assert found in (ON_GPU_HALF if half else ON_GPU)[kind], kind
        assert all(each.shape is None or len(each.shape) <= 4 for each in (*inputs, *outputs))
        assert {each.type for each in outputs} <= floats
        assert getattr(options, "blockSize", 2) > 1


# What the file says of itself


@pytest.fixture(scope="module")
def exported(model_file, photos):
    return export(model_file, to="litert", images=str(photos))


def test_the_file_lies_beside_the_model_and_predicts_the_same(exported, model_file, photos):
    assert exported.path == model_file.with_suffix(".tflite")
    ours, theirs = load(model_file), load(exported.path)
    assert theirs.runtime.name == "litert"
    assert theirs.description == ours.description.for_devices()
    photo = next(photos.iterdir())
    assert np.mean(ours.predict(photo).mask == theirs.predict(photo).mask) > 0.999
    report = json.loads(exported.report.read_text())
    assert report["passed"] is True
    assert report["fixed_size"] == [64, 64]
    assert report["run_by"] == "litert"
    assert report["versions"]["ai_edge_litert"]


def test_another_size_is_what_the_file_takes_and_says(segnet, model_file, photos, tmp_path):
    path = tmp_path / "larger.tflite"
    done = segnet(
        "export", model_file, "--to", "litert", "--size", "96x80", "--images", photos, "--out", path
    )
    assert done.code == 0
    assert "equal pixels                        100.0000%" in done.out
    assert load(path).description.size == (96, 80)
    assert load(path).predict(next(photos.iterdir())).mask.max() < 3


def test_a_size_for_a_file_of_any_size_is_one_line(segnet, model_file):
    done = segnet("export", model_file, "--size", "96")
    done.is_a_mistake_in_one_line("--size is for files of one size")


def test_the_same_model_gives_the_same_bytes(exported, model_file, photos, tmp_path):
    again = export(model_file, to="litert", images=str(photos), out=tmp_path / "again.tflite")
    assert again.path.read_bytes() == exported.path.read_bytes()


def test_weights_begin_where_kernels_may_read_them(exported):
    content = exported.path.read_bytes()
    model = schema.Model.GetRootAs(content, 0)
    assert content[4:8] == b"TFL3"
    for number in range(model.BuffersLength()):
        data = model.Buffers(number).DataAsNumpy()
        if not isinstance(data, int):  # what the schema's reader gives for none
            address = data.__array_interface__["data"][0]
            start = np.frombuffer(content, np.uint8).__array_interface__["data"][0]
            assert (address - start) % 16 == 0


def test_labels_and_description_are_in_an_archive_at_the_end(exported):
    with zipfile.ZipFile(exported.path) as archive:
        assert archive.read("labels.txt") == b"pet\nbackground\nborder"
        assert json.loads(archive.read("segnet.json"))["size"] == [64, 64]


@pytest.mark.parametrize(("precision", "share"), [("float16", 0.85), ("int8", 0.9)])
def test_smaller_files_pass_the_gate_and_predict(exported, model_file, photos, tmp_path, precision, share):
    path = tmp_path / f"{precision}.tflite"
    calibrate = str(photos) if precision == "int8" else None
    smaller = export(
        model_file, to="litert", precision=precision, images=str(photos), calibrate=calibrate, out=path
    )
    assert not smaller.failure
    assert smaller.size_bytes < share * exported.size_bytes
    photo = next(photos.iterdir())
    masks = [load(each).predict(photo).mask for each in (path, exported.path)]
    assert np.mean(masks[0] == masks[1]) > 0.95


def test_mediapipe_opens_it_and_gives_the_same_masks(exported, photos, tmp_path):
    python = CLIENTS / "mediapipe" / "bin" / "python"
    if not python.is_file():
        pytest.skip("MediaPipe isn't here: make clients installs it")
    segmenter = load(exported.path)
    (tmp_path / "photos").mkdir()
    pixels = np.stack([segmenter.prepare(each).pixels for each in sorted(photos.iterdir())])
    for number, each in enumerate(pixels):
        Image.fromarray(each).save(tmp_path / "photos" / f"{number}.png")
    script, out = Path(__file__).with_name("run_mediapipe.py"), tmp_path / "out"
    command = [python, script, exported.path, tmp_path / "photos", out]
    subprocess.run(command, capture_output=True, text=True, check=True)
    assert (out / "labels.txt").read_text().splitlines() == ["pet", "background", "border"]
    for number, logits in enumerate(torch.from_numpy(segmenter.runtime.logits(pixels))):
        assert np.array_equal(np.load(out / f"{number}.mask.npy"), logits.argmax(0).numpy())
        probabilities = np.load(out / f"{number}.probabilities.npy")
        assert np.allclose(probabilities, logits.softmax(0).numpy(), atol=1e-5)


# What goes wrong


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_without_layers_here_is_refused_by_name(name, tmp_path):
    with pytest.raises(SegnetError, match=f"{name} doesn't run in --to litert; take --to onnx"):
        network_of(create_model(name, 3, **REFUSED[name]), describe(name), LITERT)


def test_images_of_another_size_are_named_with_the_way_out(exported):
    with pytest.raises(SegnetError, match=r"images of 64x64 pixels alone, and got 48x40; take --to onnx"):
        load(exported.path).runtime.logits(noise((48, 40)))


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "no archive"])
def test_a_damaged_file_is_one_line(exported, tmp_path, damage):
    content = exported.path.read_bytes()
    path = tmp_path / "damaged.tflite"
    end = content.index(b"PK\x03\x04")
    path.write_bytes(
        {"empty": b"", "text": b"not a model\n", "cut": content[:2000], "no archive": content[:end]}[damage]
    )
    with pytest.raises(
        SegnetError, match=r"is damaged or no LiteRT file|no model exported by segnet"
    ) as error:
        load(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_another_device_is_one_line(exported):
    with pytest.raises(SegnetError, match="'cuda' can't be used by LiteRT here; there is cpu"):
        load(exported.path, device="cuda")


def test_a_trained_model_says_how_litert_can_open_it(model_file):
    with pytest.raises(SegnetError, match=r"litert can't open .*: segnet export .* --to litert"):
        load(model_file, runtime="litert")


def test_without_the_package_the_line_says_what_to_install(segnet, here, model_file, photos, monkeypatch):
    monkeypatch.setattr("segnet.base.extras.find_spec", lambda name: None)
    done = segnet("export", model_file, "--to", "litert", "--images", photos, "--out", here / "a.tflite")
    assert done.code == 2
    assert "segnet export needs LiteRT: pip install 'segnet[litert]'" in done.err
    assert not list(here.iterdir())


def test_another_process_opens_the_same_file(exported, photos):
    """As a service with workers does."""
    photo = next(photos.iterdir())
    segmenter = load(exported.path)
    copy = pickle.loads(pickle.dumps(segmenter))
    assert np.array_equal(copy.predict(photo).mask, segmenter.predict(photo).mask)
