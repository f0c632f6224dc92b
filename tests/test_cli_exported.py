"""The command line with exported models: without torch, many files at a time, and its mistakes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segnet import ClassTable
from segnet.inference.description import Description
from segnet.inference.opening import load

from .exported import small_network, write_onnx, write_openvino

HEAVY = ("torch", "kornia", "torchmetrics", "matplotlib", "scipy", "onnx", "safetensors", "requests", "yaml")
DESCRIPTION = Description(
    "own.Small", ClassTable.named(("pet", "background", "border")), (64, 64), "area", training={"seed": 0}
)

# Runs the command where the packages named are not installed, and prints at the end what was imported.
WITHOUT = """
import atexit, sys
for name in {gone}:
    sys.modules[name] = None
atexit.register(lambda: print("LOADED", *(name for name, it in sys.modules.items() if it), file=sys.stderr))
sys.argv = ["segnet", *{arguments}]
from segnet.cli import main
main()
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    write_onnx(folder / "model.onnx", small_network(), DESCRIPTION.to_json())
    write_openvino(folder / "model.xml", small_network(), DESCRIPTION.to_json())
    write_onnx(folder / "theirs.onnx", small_network(), None)
    return folder


@pytest.fixture(scope="module")
def model(models):
    return models / "model.onnx"


def photo(path, height=48, width=70, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.RandomState(seed).randint(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def run_without(gone, *arguments, cwd):
    script = WITHOUT.format(gone=[*gone], arguments=[*map(str, arguments)])
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=cwd)
    errors, _, loaded = ended.stderr.rpartition("LOADED")
    return ended.returncode, ended.stdout, errors, {name.partition(".")[0] for name in loaded.split()}


# Without torch


@pytest.mark.parametrize("gone", [(), HEAVY, ("onnxruntime", *HEAVY)])
def test_an_exported_model_predicts_without_torch_and_all_that_training_needs(here, model, gone):
    photo(here / "photo.jpg")
    code, out, errors, loaded = run_without(gone, "predict", "photo.jpg", "--model", model, cwd=here)
    assert (code, errors) == (0, "")
    assert loaded.isdisjoint(HEAVY)
    assert ("openvino" in loaded) == ("onnxruntime" in gone)
    line = json.loads(out)
    with Image.open(here / line["mask"]) as mask:
        found = np.asarray(mask)
    assert (found == load(model).predict(here / "photo.jpg").mask).mean() > 0.999
    assert min(each["share"] for each in line["classes"]) > 0


@pytest.mark.parametrize(
    ("gone", "arguments", "says"),
    [
        ("torch", "train --data synthetic", "segnet train needs PyTorch: pip install 'segnet[train]'"),
        ("torch", "eval MODEL --data .", "segnet eval needs PyTorch: pip install 'segnet[train]'"),
        ("torch", "--debug bench pooling", "segnet bench needs PyTorch: pip install 'segnet[train]'"),
        (
            "matplotlib",
            "compare . --out a.png",
            "segnet compare needs matplotlib: pip install 'segnet[train]'",
        ),
        ("torch", "predict photo.jpg --runtime torch", "pets-lite.safetensors needs PyTorch: pip install"),
        ("onnxruntime", "predict photo.jpg --model MODEL --runtime onnxruntime", "pip install onnxruntime"),
        ("openvino", "predict photo.jpg --model MODEL --runtime openvino", "pip install 'segnet[openvino]'"),
    ],
)
def test_what_needs_more_than_is_installed_says_in_one_line_how_to_install_it(
    here, model, gone, arguments, says
):
    photo(here / "photo.jpg")
    words = [str(model) if word == "MODEL" else word for word in arguments.split()]
    code, out, errors, _ = run_without([gone], *words, cwd=here)
    assert (code, out) == (2, "")
    assert says in errors.splitlines()[-1]
    assert errors.count("\n") == 1 or "--debug" in arguments


def test_python_gets_the_same_words_as_an_import_that_fails(here):
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "import segnet; segnet.load; segnet.TrainConfig\n"
        "try:\n    from segnet import train\n"
        "except ImportError as error:\n    print(isinstance(error, segnet.SegnetError), error)"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout == "True segnet.train needs PyTorch: pip install 'segnet[train]'\n"


# Every runtime


@pytest.mark.parametrize(
    ("name", "runtime"), [("model.onnx", "onnxruntime"), ("model.onnx", "openvino"), ("model.xml", "auto")]
)
def test_every_runtime_predicts_and_is_scored(segnet, here, models, name, runtime):
    for index in range(3):
        photo(here / f"data/images/{index}.png", 64, 64, seed=index)
        mask = np.random.RandomState(index).randint(0, 3, (64, 64), dtype=np.uint8)
        (here / "data/masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(here / f"data/masks/{index}.png")
    (here / "data/dataset.yaml").write_text("classes: [pet, background, border]\n")
    given = ("--runtime", runtime)
    assert segnet("predict", "data/images", "--model", models / name, *given).code == 0
    counted = np.zeros((3, 3), int)
    for index in range(3):
        truth = np.asarray(Image.open(here / f"data/masks/{index}.png"))
        np.add.at(counted, (truth, np.asarray(Image.open(here / f"masks/{index}.mask.png"))), 1)
    ended = segnet(
        "eval", models / name, "--data", "data", "--split", "all", "--allow-trained-on", "--json", *given
    )
    assert (ended.code, ended.err) == (0, "")
    assert np.abs(np.array(json.loads(ended.out)["confusion"]) - counted).sum() <= 2


MISTAKES = {
    "predict photo.jpg --model MODEL --samples 5": "has no dropout, so all samples would be alike",
    "predict photo.jpg --model MODEL --runtime torch": "torch can't open",
    "predict photo.jpg --model MODEL --runtime onnxrt": '"onnxruntime"',
    "predict photo.jpg --model MODEL --device cuda": "the device 'cuda' can't be used by this ONNX Runtime",
    "predict photo.jpg --model THEIRS": "no model exported by segnet",
    "predict photo.jpg --model cut.onnx": "cut.onnx is damaged or no ONNX file",
    "predict photo.jpg --model cut.onnx --runtime openvino": "cut.onnx is damaged or no ONNX file",
    "predict photo.jpg --model cut.xml": "cut.xml is damaged or no OpenVINO model",
    "predict photo.jpg --model none.onnx": "none.onnx is no run folder, no model file and no bundled model",
    "predict photo.jpg --runtime openvino --model cut.safetensors": "export it first with: segnet export",
    "eval THEIRS --data .": "no model exported by segnet",
}


@pytest.mark.parametrize(("arguments", "says"), MISTAKES.items())
def test_a_mistake_with_an_exported_model_is_one_line(segnet, here, models, arguments, says):
    photo(here / "photo.jpg")
    for name in ("cut.onnx", "cut.xml", "cut.safetensors"):
        (here / name).write_bytes(b"no model")
    stands_for = {"MODEL": models / "model.onnx", "THEIRS": models / "theirs.onnx"}
    ended = segnet(*(stands_for.get(word, word) for word in arguments.split()))
    ended.is_a_mistake_in_one_line(says)
    assert not (here / "masks").exists()


# Many files


def test_lines_come_in_the_order_of_the_images_whatever_their_sizes_and_bad_ones_between_them(
    segnet, here, model
):
    for index in range(40):
        photo(here / f"in/{index:02}.jpg", 20 + 37 * (index % 5), 300 - 50 * (index % 6), seed=index)
    for index in (0, 7, 39):
        (here / f"in/{index:02}.jpg").write_bytes(b"no image")
    ended = segnet("predict", "in", "--model", model)
    assert ended.code == 1
    lines = [json.loads(line) for line in ended.out.splitlines()]
    good = [index for index in range(40) if index not in (0, 7, 39)]
    assert [line["image"] for line in lines] == [f"in/{index:02}.jpg" for index in good]
    *bad, summary = ended.err.splitlines()
    assert [line.split()[1] for line in bad] == ["in/00.jpg", "in/07.jpg", "in/39.jpg"]
    assert summary == "segnet: 3 of 40 images could not be read"
    segmenter = load(model)
    for line in lines:
        alone = segmenter.predict(line["image"])
        with Image.open(line["mask"]) as mask, Image.open(line["overlay"]) as overlay:
            assert (np.asarray(mask) == alone.mask).mean() > 0.999
            assert (
                (overlay.width, overlay.height) == (line["width"], line["height"]) == alone.mask.shape[::-1]
            )


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX's")
def test_a_terminal_shows_how_many_images_are_done_and_lines_still_go_where_they_should(here, model):
    import pty

    for index in range(3):
        photo(here / f"in/{index}.png", seed=index)
    command = [sys.executable, "-m", "segnet", "predict", "in", "--model", str(model)]
    leader, follower = pty.openpty()
    ended = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=follower, cwd=here, env=os.environ | {"TERM": "xterm"}
    )
    os.close(follower)
    shown = b""
    try:
        while chunk := os.read(leader, 65536):
            shown += chunk
    except OSError:  # Linux's way to say that the other end is closed
        pass
    os.close(leader)
    assert ended.returncode == 0
    assert len([json.loads(line) for line in ended.stdout.splitlines()]) == 3
    assert b"3/3" in shown
    assert b"{" not in shown


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX's signal")
def test_ctrl_c_ends_it_cleanly_and_leaves_whole_files(here, model):
    for index in range(150):
        photo(here / f"in/{index:03}.jpg", 600, 800, seed=index % 3)
    command = [sys.executable, "-m", "segnet", "predict", "in", "--model", str(model)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=here)
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (130, b"")
    assert time.monotonic() - started < 10
    written = sorted((here / "masks").iterdir())
    assert 0 < len(written) < 300
    for path in written:
        assert not Path(path).name.startswith(".")
        with Image.open(path) as image:
            image.load()


def test_the_bundled_model_predicts_without_torch(tmp_path):
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "photo.png")
    command = WITHOUT.format(gone=HEAVY, arguments=[str(tmp_path / "photo.png"), "--out", str(tmp_path)])
    command = command.replace('"segnet", *', '"segnet", "predict", *')
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "photo.mask.png").is_file()
