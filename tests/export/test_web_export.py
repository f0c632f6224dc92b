"""``segnet export --to web`` and ``--to html``: what is written, what ran it, and what is refused."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from segnet import SegnetError, load
from segnet.data.synthetic import SyntheticSample
from segnet.export.exporter import export
from segnet.export.layers import network_of
from segnet.export.reference import Reference
from segnet.export.web import under_node, web_page
from segnet.export.web.under_node import ENGINE, EngineUnderNode, Node, find_node, running
from segnet.export.web.web_file import about, from_bytes, to_bytes
from segnet.export.web.web_page import PAGE, model_in, page_with
from segnet.inference.runtimes.with_torch import TorchRuntime
from segnet.inference.segmenter import Segmenter

from .browser_networks import TAKEN, exact

EMPTY_PAGE = (
    "<!doctype html><title>segnet</title>\n"
    '<script type="application/octet-stream" id="model"></script><script>alert("é")</script>\n'
)
# What Node is told in the engine's place: the first class where a pixel is bright, the second elsewhere.
STAND_IN = """
export const readModel = (bytes) => ({ header: { input: { channels: 3 } }, size: bytes.length });
export class Engine {
  static async create(model) {
    if (model.size < 10) throw new TypeError("too few bytes");
    return new Engine();
  }
  backend = "stand-in";
  run({ width, height, channels, data }) {
    if (width === 13) throw new RangeError("a width of 13");
    const logits = new Float32Array(width * height * 3);
    for (let i = 0; i < width * height; i++) logits[3 * i] = data[channels * i] / 255 - 0.5;
    return { width, height, channels: 3, data: logits };
  }
}
"""

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node on the PATH")
needs_engine = pytest.mark.skipif(not ENGINE.is_file(), reason="needs the engine, built from web/engine")
needs_page = pytest.mark.skipif(not PAGE.is_file(), reason="needs the page, built from web/")


@pytest.fixture
def without_node(monkeypatch, tmp_path):
    """Nothing on the PATH, as on most machines that train."""
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def engine_file(monkeypatch, tmp_path):
    """An engine in the installation, which does little."""
    path = tmp_path / "engine.mjs"
    path.write_text(STAND_IN)
    monkeypatch.setattr(under_node, "ENGINE", path)
    monkeypatch.setattr("segnet.export.web.web_target.ENGINE", path)
    return path


@pytest.fixture
def no_engine(monkeypatch, tmp_path):
    monkeypatch.setattr(under_node, "ENGINE", tmp_path / "none.mjs")
    monkeypatch.setattr("segnet.export.web.web_target.ENGINE", tmp_path / "none.mjs")


@pytest.fixture
def page_file(monkeypatch, tmp_path):
    """A page in the installation, which does nothing."""
    path = tmp_path / "page.html"
    path.write_text(EMPTY_PAGE, encoding="utf-8", newline="\n")
    monkeypatch.setattr(web_page, "PAGE", path)
    return path


def test_the_file_computes_what_its_model_does(model_file, photos, tmp_path, without_node):
    done = export(model_file, to="web", images=str(photos), out=tmp_path / "new" / "tiny.segnet")
    assert done.failure == ""
    assert done.parity.equal_pixels >= 0.999
    header, network = from_bytes(done.path.read_bytes(), done.path)
    assert header["weights"]["precision"] == "float16"
    assert header["size"] == [64, 64]
    pixels = np.stack([np.asarray(Image.open(file).resize((64, 64))) for file in photos.iterdir()])
    ours, theirs = load(model_file).runtime.logits(pixels), Reference(network).logits(pixels)
    assert np.mean(ours.argmax(1) == theirs.argmax(1)) >= 0.999


@pytest.mark.parametrize("options", [[], ["--fp16"], ["--int8"]])
def test_the_command_says_what_was_compared_with_what(
    options, model_file, photos, tmp_path, segnet, no_engine
):
    model = tmp_path / "tiny.safetensors"
    shutil.copy(model_file, model)
    ended = segnet("export", model, "--to", "web", "--images", photos, *options)
    assert (ended.code, ended.err) == (0, "")
    name = "tiny.int8.segnet" if "--int8" in options else "tiny.segnet"
    assert {path.name for path in tmp_path.glob("tiny*")} == {
        "tiny.safetensors", name, f"{name}.parity.json"
    }  # fmt: skip
    report = json.loads((tmp_path / f"{name}.parity.json").read_text())
    assert report["precision"] == ("int8" if "--int8" in options else "float16")
    assert report["bytes"] == (tmp_path / name).stat().st_size
    assert report["run_by"].endswith(
        "reference of the format in Python, since this installation lacks the engine"
    )
    for said in (f"stored as {report['precision']}", report["run_by"], "segnet-engine.mjs isn't beside it"):
        assert said in ended.out


def test_weights_that_float16_cannot_hold_are_stored_as_float32_and_that_is_said(
    model_file, photos, tmp_path, without_node, segnet
):
    with safe_open(model_file, "pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
        metadata = opened.metadata()
    kernel = next(name for name, each in tensors.items() if each.ndim == 4)
    tensors[kernel] *= 1e6
    save_file(tensors, tmp_path / "large.safetensors", metadata)
    ended = segnet("export", tmp_path / "large.safetensors", "--to", "web", "--images", photos)
    assert ended.code == 0
    assert "weights are stored as float32, since float16 gives too many pixels another class" in ended.out
    header, _ = from_bytes((tmp_path / "large.segnet").read_bytes(), tmp_path)
    assert header["weights"]["precision"] == "float32"
    asked = segnet("export", tmp_path / "large.safetensors", "--to", "web", "--images", photos, "--fp16")
    assert asked.code == 1
    assert "of the pixels are equal" in asked.err


def test_a_model_without_its_data_here_is_compared_on_drawn_pictures(model_file, tmp_path, without_node):
    done = export(model_file, to="web", precision="int8", out=tmp_path / "tiny.segnet")
    assert done.parity.images.startswith("64 pictures drawn by segnet")
    assert done.said["limits"] == {"mean_iou_with_the_models_masks": 0.9}


def test_the_engine_lies_beside_the_model(model_file, photos, tmp_path, without_node, engine_file):
    done = export(model_file, to="web", images=str(photos), out=tmp_path / "out" / "tiny.segnet")
    beside = tmp_path / "out" / "segnet-engine.mjs"
    assert beside.read_text() == STAND_IN
    assert done.size_bytes == done.path.stat().st_size, "of the model alone"
    assert f"{beside} beside it is the engine" in "\n".join(done.remarks)
    assert done.said["run_by"].endswith("since there is no Node on the PATH")


@needs_node
def test_a_file_that_the_engine_runs_wrongly_gets_a_name_that_says_so(
    model_file, photos, tmp_path, segnet, engine_file
):
    out = tmp_path / "out" / "tiny.segnet"
    ended = segnet("export", model_file, "--to", "web", "--images", photos, "--out", out)
    assert ended.code == 1
    assert "tiny.failed.segnet is not what" in ended.err
    assert "of the pixels are equal, 99.9% must be" in ended.err
    assert {path.name for path in out.parent.iterdir()} == {
        "tiny.failed.segnet", "tiny.failed.segnet.parity.json"
    }  # fmt: skip
    assert "(stand-in)" in json.loads((out.parent / "tiny.failed.segnet.parity.json").read_text())["run_by"]


@needs_node
def test_eight_bits_that_fail_are_told_of_sixteen(model_file, photos, tmp_path, engine_file):
    done = export(
        model_file, to="web", precision="int8", images=str(photos), out=tmp_path / "out" / "tiny.segnet"
    )
    assert "leave --int8 out" in done.failure
    assert "--calibrate" not in done.failure


def test_a_page_holds_the_model_and_its_classes(model_file, photos, tmp_path, without_node, page_file):
    done = export(model_file, to="html", images=str(photos), out=tmp_path / "pets.html")
    assert done.failure == ""
    page = done.path.read_text(encoding="utf-8")
    assert "<title>pet, border · segnet</title>" in page
    assert '<script>alert("é")</script>' in page
    _, network = from_bytes(model_in(page, done.path), done.path)
    assert network.layers == network_of(load(model_file).model, load(model_file).description).layers
    again = export(model_file, to="html", images=str(photos), out=tmp_path / "again.html")
    assert again.path.read_bytes() == done.path.read_bytes()
    assert not (tmp_path / "segnet-engine.mjs").exists()


def test_a_large_page_says_what_makes_it_smaller(page_file, monkeypatch, model_file, photos, tmp_path):
    monkeypatch.setattr("segnet.export.web.web_target._LARGE", 1000)
    done = export(model_file, to="html", images=str(photos), out=tmp_path / "pets.html")
    assert any("opens slowly; --int8 halves it" in each for each in done.remarks)


@pytest.mark.parametrize(
    ("names", "title"),
    [(("a<b>", "background"), "a&lt;b&gt;"), (("background",), "background"), (("cat", "dog"), "dog")],
)
def test_the_title_names_what_the_page_finds(names, title, page_file):
    assert f"<title>{title} · segnet</title>" in page_with(b"model", names)


@pytest.mark.parametrize(
    "content", ["<title>segnet</title>", EMPTY_PAGE * 2, EMPTY_PAGE.replace("segnet", "x")]
)
def test_a_page_without_a_place_for_a_model_is_refused(content, page_file):
    page_file.write_text(content)
    with pytest.raises(SegnetError, match=r"page\.html has no place for a model"):
        page_with(b"model", ("pet",))


DAMAGED = {
    "another page": (lambda page: "<title>Photos</title>", "holds no model of segnet's"),
    "a page without a model": (lambda page: EMPTY_PAGE, "holds no model"),
    "cut": (lambda page: page[: len(page) // 2], "holds no model of segnet's"),
    "a letter less": (lambda page: page.replace("H4sI", "H4s", 1), "is damaged"),
    "other letters": (lambda page: page.replace("H4sI", "AAAA", 1), "is damaged"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_page_is_refused_in_one_line(case, page_file):
    page = page_with(bytes(range(256)) * 4, ("pet",))
    assert model_in(page, Path("pets.html")) == bytes(range(256)) * 4
    damage, says = DAMAGED[case]
    with pytest.raises(SegnetError, match=f"pets.html {says}|inside pets.html {says}"):
        model_in(damage(page), Path("pets.html"))


MISTAKES = {
    "calibration": (["--to", "web", "--int8", "--calibrate", "x"], "--calibrate is for --int8 of onnx"),
    "calibration without int8": (["--to", "html", "--calibrate", "x"], "needs no images to store weights"),
    "two precisions": (["--to", "web", "--fp16", "--int8"], "take one"),
    "a suffix of another format": (["--to", "web", "--out", "x.html"], "a file for web ends in .segnet"),
    "another suffix": (["--to", "html", "--out", "x.htm"], "a file for html ends in .html"),
    "no page": (["--to", "html"], "which this installation lacks; install segnet again"),
    "no images": (["--to", "web", "--images", "EMPTY"], "there is no image"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_one_line_and_leave_nothing(case, model_file, tmp_path, segnet, here, monkeypatch):
    options, says = MISTAKES[case]
    monkeypatch.setattr(web_page, "PAGE", tmp_path / "page.html")
    (tmp_path / "empty").mkdir()
    model = tmp_path / "model.safetensors"
    model.write_bytes(model_file.read_bytes())
    named = (str(tmp_path / "empty") if each == "EMPTY" else each for each in options)
    segnet("export", model, *named).is_a_mistake_in_one_line(says)
    assert {path.name for path in tmp_path.iterdir()} == {"here", "empty", "model.safetensors"}
    assert not [*here.iterdir()]


@pytest.mark.parametrize("to", ["web", "html"])
def test_a_model_that_browsers_cannot_run_is_a_mistake(to, tmp_path, segnet, here, page_file):
    from segnet import ClassTable, create_model
    from segnet.inference.description import Description
    from segnet.inference.model_file import write_model_file

    options = {"width": 4}
    file, classes = tmp_path / "unet.safetensors", ClassTable.named(("pet", "background"))
    weights = create_model("unet", 2, **options).state_dict()
    write_model_file(file, weights, Description("unet", classes, (32, 32), "area", options))
    ended = segnet("export", file, "--to", to)
    ended.is_a_mistake_in_one_line("unet doesn't run in segnet's engine for browsers; take --to onnx")
    assert {path.name for path in tmp_path.iterdir()} == {"here", "page.html", "unet.safetensors"}


def test_a_file_for_browsers_is_neither_opened_nor_exported_again(model_file, photos, tmp_path, without_node):
    done = export(model_file, to="web", images=str(photos), out=tmp_path / "tiny.segnet")
    with pytest.raises(SegnetError, match="is exported already"):
        export(done.path, to="web")
    with pytest.raises(SegnetError, match=r"no model file that segnet opens; .* for browsers opens it"):
        load(done.path)


def fake_node(folder, says):
    path = folder / "node"
    path.write_text(f"#!/bin/sh\necho {says}\n")
    path.chmod(0o755)


@pytest.mark.skipif(os.name == "nt", reason="a script stands in for Node")
@pytest.mark.parametrize(
    ("says", "why"),
    [("v12.22.9", "Node 12.22.9 is too old, 18 or newer runs it"), ("", "Node without a version is too old")],
)
def test_an_old_node_is_told_from_none(says, why, tmp_path, monkeypatch, engine_file):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_node() == "there is no Node on the PATH"
    fake_node(tmp_path, says)
    assert find_node().startswith(why)
    fake_node(tmp_path, "v22.1.0")
    assert find_node() == Node(str(tmp_path / "node"), "22.1.0")


@pytest.fixture
def node():
    return Node(shutil.which("node"), "here")


@needs_node
def test_images_of_several_sizes_go_to_node_and_logits_come_back(node, tmp_path, engine_file):
    (tmp_path / "model.segnet").write_bytes(bytes(20))
    with running(node, tmp_path / "model.segnet") as engine:
        assert engine.backend == "stand-in"
        for height, width, count in [(3, 5, 1), (300, 400, 2), (1, 1, 1)]:
            images = np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
            logits = engine.logits(images)
            assert logits.shape == (count, 3, height, width)
            assert np.allclose(logits[:, 0], images[..., 0] / 255 - 0.5, atol=1e-6)
            assert not logits[:, 1:].any()


@needs_node
def test_an_engine_that_fails_says_why_in_one_line(node, tmp_path, engine_file):
    model = tmp_path / "model.segnet"
    model.write_bytes(bytes(5))
    with pytest.raises(SegnetError, match="fails under Node; it says: TypeError: too few bytes"):
        running(node, model).__enter__()
    model.write_bytes(bytes(20))
    with (
        running(node, model) as engine,
        pytest.raises(SegnetError, match="it says: RangeError: a width of 13"),
    ):
        engine.logits(np.zeros((1, 5, 13, 3), np.uint8))


@needs_node
@needs_engine
@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
@pytest.mark.parametrize("case", ["segnet-lite", "segnet-dsc", "segnet-basic", "segnet-efficient"])
def test_the_engine_computes_what_the_reference_does(case, precision, node, tmp_path):
    model, description = exact(*TAKEN[case])
    content = to_bytes(
        about(Segmenter(TorchRuntime(model), description)), network_of(model, description), precision
    )
    (tmp_path / "model.segnet").write_bytes(content)
    reference = Reference(from_bytes(content, tmp_path)[1])
    with running(node, tmp_path / "model.segnet") as engine:
        assert isinstance(engine, EngineUnderNode)
        for height, width in [(33, 47), (64, 32)]:
            images = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
            expected, found = reference.logits(images), engine.logits(images)
            # a maximum that wins by rounding may win elsewhere: then a value stands beside its place
            close = np.isclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
            assert close.mean() > 0.99
            assert (found.argmax(1) == expected.argmax(1)).mean() > 0.999


@needs_page
@pytest.mark.parametrize(("precision", "most"), [("float32", 300_000), ("int8", 300_000)])
def test_the_smallest_model_and_its_page_are_300_kilobytes(precision, most, tmp_path):
    photo = tmp_path / "pet.png"
    SyntheticSample(0, 0).read()[0].save(photo)
    done = export("pets-nano", to="html", precision=precision, images=str(photo), out=tmp_path / "pets.html")
    assert done.path.stat().st_size <= most
