"""The commands that look after a user's own images, as they are typed."""

import json
import shutil
import subprocess
import sys
from importlib import util

import numpy as np
import pytest
from PIL import Image

from segnet.data.check.inspect_folder import ClassCount, _suggest


def draw(folder, count=30, side=32):
    for seed in range(count):
        random = np.random.RandomState(seed)
        square = np.zeros((side, side), np.uint8)
        top, left = random.randint(0, side // 2, 2)
        square[top : top + 12, left : left + 12] = 1
        blocks = np.kron(random.randint(0, 150, (4, 4, 3)), np.ones((side // 4, side // 4, 1)))
        pixels = (blocks + square[..., None] * 90).astype(np.uint8)
        for part, array in (("images", pixels), ("masks", square)):
            (folder / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(folder / part / f"{seed}.png")
    return folder


@pytest.fixture
def data(here):
    return draw(here / "data")


@pytest.fixture
def without(monkeypatch):
    """Let a package not be installed."""

    def hide(package):
        find = util.find_spec
        hidden = lambda name: None if name == package else find(name)  # noqa: E731
        monkeypatch.setattr("segnet.base.extras.find_spec", hidden)

    return hide


def test_a_good_folder_ends_with_zero_and_counts_its_classes(data, segnet):
    ended = segnet("data", "check", "data")
    assert ended.code == 0
    assert "pairs of image and mask: 30 in train" in ended.out
    assert "nothing is wrong with it" in ended.out
    assert "suggested: --size 128: regions of class 1 are" in ended.out


def test_faults_are_listed_with_their_remedy_and_end_with_two(data, segnet):
    for name in ("1", "2", "3"):
        (data / f"masks/{name}.png").unlink()
    (data / "images/4.png").write_bytes(b"")
    ended = segnet("data", "check", "data", "--shown", "2")
    assert ended.code == 2
    for line in (
        "errors: training refuses this",
        "3 images without a mask",
        "images/1.png has no mask in masks",
        ".. and 1 more; --json lists them all",
        "-> add the mask under the image's name, or take the image out",
        "images/4.png is empty",
        "4 errors, 0 warnings",
    ):
        assert line in ended.out
    assert "images/3.png" not in ended.out


def test_what_the_counts_know_nothing_of_is_said(data, segnet):
    """A class is in two masks, and neither can be counted: it isn't simply absent."""
    (data / "dataset.yaml").write_text("classes: [background, square, tree]\n")
    Image.fromarray(np.full((32, 32), 2, np.uint8)).save(data / "masks/5.png")
    (data / "masks/5.png").write_bytes((data / "masks/5.png").read_bytes()[:60])
    Image.fromarray(np.array([[2, 7]], np.uint8).repeat(32, 0).repeat(16, 1)).save(data / "masks/6.png")
    ended = segnet("data", "check", "data")
    assert "data has tree in no mask at all; 2 masks with errors aren't counted\n" in ended.out
    assert "\n2 masks with errors aren't counted here\n" in ended.out
    assert json.loads(segnet("data", "check", "data", "--json").out)["masks_not_counted"] == 2


def test_json_has_every_file_and_nothing_else_is_printed(data, segnet):
    for name in ("1", "2", "3"):
        (data / f"masks/{name}.png").unlink()
    ended = segnet("data", "check", "data", "--json")
    found = json.loads(ended.out)
    assert (ended.code, found["errors"], found["images"]) == (2, 3, {"train": 27})
    (fault,) = found["faults"]
    assert (fault["kind"], fault["level"], fault["count"]) == ("no-mask", "error", 3)
    assert [each["file"] for each in fault["files"]] == [f"images/{name}.png" for name in (1, 2, 3)]
    assert [each["name"] for each in found["classes"]] == ["class 0", "class 1"]
    assert found["classes"][1]["images"] == {"train": 27}


def test_a_repaired_copy_is_written_and_trains(data, here, segnet):
    (data / "masks/1.png").unlink()
    (data / "images/4.png").write_bytes((data / "images/4.png").read_bytes()[:-30])
    ended = segnet("data", "check", "data", "--fix", "fixed")
    assert ended.code == 0
    assert "wrote 28 pairs to fixed" in ended.out
    assert "left out 1: damaged or truncated files" in ended.out
    assert "left out 1: images without a mask" in ended.out
    assert segnet("data", "check", "fixed").code == 0
    copy = json.loads(segnet("data", "check", "data", "--fix", "again", "--json").out)["copy"]
    assert copy == {"folder": "again", "pairs": 28, "mended": {}, "left_out": {"damaged": 1, "no-mask": 1}}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["check", "nowhere"], "nowhere is no folder"),
        (["check", "data/images/1.png"], "is no folder; check the path"),
        (["check", "data/labels.zip"], "is no folder; unpack it; if it is a .zip of labels"),
        (["check", "data", "--fix", "data/fixed"], "lie in one another"),
        (["convert", "nowhere", "new"], "nowhere does not exist"),
        (["convert", "data", "new"], "holds images and masks as training takes them; segnet data check data"),
        (["convert", "data/images", "new"], "holds no labels that are known"),
        (["convert", "data/all.tar.gz", "new"], "of which .zip alone is read; unpack it and give the folder"),
    ],
)
def test_a_mistake_is_one_line(words, says, data, here, segnet):
    for name in ("labels.zip", "all.tar.gz"):
        (data / name).touch()
    segnet("data", *words).is_a_mistake_in_one_line(says)
    assert [path.name for path in here.iterdir()] == ["data"]


def test_labels_are_converted_checked_and_predicted_as_labels_again(data, here, segnet):
    labels = {
        "images": [{"id": n, "file_name": f"{n}.png", "width": 32, "height": 32} for n in range(30)],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "segmentation": [[2, 2, 20, 2, 20, 20]]}
            for n in range(30)
        ],
        "categories": [{"id": 1, "name": "leaf"}],
    }
    (here / "labels.json").write_text(json.dumps(labels))
    ended = segnet("data", "convert", "labels.json", "new", "--images", "data/images")
    assert ended.code == 0
    assert "wrote 30 pairs of image and mask to new, from COCO" in ended.out
    assert segnet("data", "check", "new").code == 0
    ended = segnet("predict", "data/images", "--format", "labelme", "--out", "drawn", "--regions")
    assert ended.code == 0
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert lines[0]["annotations"] == "drawn/0.json"
    shapes = json.loads((here / "drawn/0.json").read_text())["shapes"]
    assert {shape["label"] for shape in shapes} == {region["class"] for region in lines[0]["regions"]}
    assert not list((here / "drawn").glob("*.png"))
    found = [region["area"] for line in lines for region in line["regions"]]
    tiny = sum(area < 20 for area in found)
    assert (f"{tiny} of {len(found)} regions have fewer than 20 pixels" in ended.err) == (tiny > 0)
    ended = segnet("predict", "data/images", "--regions", "--no-overlay", "--least-region", "30")
    kept = [region for line in ended.out.splitlines() for region in json.loads(line)["regions"]]
    fewer = len(found) - len(kept)
    assert all(region["area"] >= 30 for region in kept)
    assert (f"{fewer} regions of fewer than 30 pixels were left out" in ended.err) == (fewer > 0)


@pytest.mark.parametrize(
    ("package", "words", "says"),
    [
        (
            "scipy",
            ["predict", "data/images/1.png", "--regions"],
            "--regions needs SciPy: pip install 'segnet[regions]'",
        ),
        ("shapely", ["predict", "data/images/1.png", "--format", "coco"], "--format coco needs Shapely"),
        (
            "pycocotools",
            ["data", "convert", "labels.json", "new"],
            "needs pycocotools: pip install 'segnet[convert]'",
        ),
    ],
)
def test_a_missing_package_is_said_before_anything_is_written(
    package, words, says, data, here, segnet, without
):
    labels = {
        "images": [{"id": 1, "file_name": "data/images/1.png", "width": 32, "height": 32}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[2, 2, 20, 2, 20, 20]]}],
        "categories": [{"id": 1, "name": "leaf"}],
    }
    (here / "labels.json").write_text(json.dumps(labels))
    without(package)
    segnet(*words).is_a_mistake_in_one_line(says)
    assert {path.name for path in here.iterdir()} == {"data", "labels.json"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--format", "coco", "--out", "-"], "--out - goes with masks alone"),
        (["--format", "coco", "--probabilities"], "--probabilities goes with masks alone"),
        (["--probabilities", "--out", "-"], "--out - writes a mask alone"),
        (["--least-region", "0"], "--least-region is a number of pixels from 1"),
        (["--format", "coco", "--tolerance", "-1"], "--tolerance must be from 0"),
    ],
)
def test_what_does_not_go_together_is_refused(options, says, data, here, segnet):
    segnet("predict", "data/images/1.png", *options).is_a_mistake_in_one_line(says)
    assert [path.name for path in here.iterdir()] == ["data"]


def test_several_pages_do_not_go_to_standard_output(data, here, segnet):
    pages = [Image.new("RGB", (30, 20)) for _ in range(2)]
    pages[0].save(here / "scan.tif", save_all=True, append_images=pages[1:])
    segnet("predict", "scan.tif", "--out", "-").is_a_mistake_in_one_line("there are several pages")
    ended = segnet("predict", "scan.tif", "--no-overlay", "--probabilities")
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert [line["page"] for line in lines] == [1, 2]
    assert {path.name for path in (here / "masks").iterdir()} == {
        f"scan.page{page}.{what}" for page in (1, 2) for what in ("mask.png", "probabilities.npy")
    }


@pytest.mark.parametrize(
    ("side", "thickness", "suggested"),
    [(200, 8.0, "--size 128"), (1024, 9.0, "--size 192"), (1024, 4.0, "--patch 256"),
     (4000, 7.0, "--patch 256 --patch-scale 0.5"), (4000, 13.0, "--patch 256 --patch-scale 0.25")],
)  # fmt: skip
def test_large_images_with_small_things_are_told_to_be_cut_into_patches(side, thickness, suggested):
    classes = [ClassCount(name, 100, 0.5, {}, each) for name, each in (("ground", 90.0), ("post", thickness))]
    found = _suggest(classes, [(side, side)])
    assert found.startswith(f"{suggested}: regions of post are {thickness:.1f} px thick"), found


# Runs the command where torch is not installed, as it may well be on the machine that holds the images.
WITHOUT_TORCH = """
import sys
for name in ("torch", "torchvision"):
    sys.modules[name] = None
sys.argv = ["segnet", *{words}]
from segnet.cli import main
main()
"""


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["check", "data"], 0, "next: segnet train --data data"),
        (["check", "data", "--fix", "fixed"], 0, "next: segnet data check fixed"),
        (["check", "photos", "--json"], 2, '"kind": "layout"'),
        (["convert", "labels.json", "new", "--images", "data/images"], 0, "next: segnet data check new"),
        (["convert", "loose", "new"], 0, "next: segnet data check new"),
    ],
)
def test_data_is_checked_and_converted_without_torch(words, code, says, data, here):
    labels = {
        "images": [{"id": 1, "file_name": "1.png", "width": 32, "height": 32}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[2, 2, 20, 2, 20, 20]]}],
        "categories": [{"id": 1, "name": "leaf"}],
    }
    (here / "labels.json").write_text(json.dumps(labels))
    shutil.copytree(data / "images", here / "photos")
    shutil.copytree(data / "images", here / "loose/photos")
    shutil.copytree(data / "masks", here / "loose/gt")
    script = WITHOUT_TORCH.format(words=["data", *words])
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ended.returncode, says in ended.stdout) == (code, True), ended
    if "--json" not in words:
        assert ended.stdout.startswith(f"reading {words[1]}\n")


def test_the_first_line_comes_before_a_file_is_read(data, segnet, monkeypatch):
    monkeypatch.setattr("segnet.data.check.inspect_folder.inspect_folder", lambda *_, **__: 1 / 0)
    assert segnet("data", "check", "data").out == "reading data\n"


def test_what_to_type_next_is_said_with_names_and_channels(data, here, segnet):
    said = segnet("data", "check", "data").out
    assert "the classes have no names: write 'classes: [NAME_OF_0, NAME_OF_1]' to data/dataset.yaml\n" in said
    assert said.endswith("next: segnet train --data data --model segnet-lite --recipe modern --size 128\n")
    (data / "dataset.yaml").write_text("classes: [ground, square]\n")
    (here / "data").rename(here / "my data")
    said = segnet("data", "check", "my data", "--channels", "1").out
    assert "NAME_OF" not in said
    assert said.endswith(
        "next: segnet train --data 'my data' --model segnet-lite --recipe modern --size 128 --channels 1\n"
    )
    for file in (here / "my data/masks").iterdir():
        file.unlink()
    assert "next:" not in segnet("data", "check", "my data").out


@pytest.mark.parametrize(
    ("sizes", "thickness", "size"),
    [
        ([(480, 360)], 3.0, "192x256"),
        ([(360, 480)], 3.0, "256x192"),
        ([(480, 360)], 2.3, "256x336"),
        ([(480, 360)], 1.2, "360x480"),
        ([(1920, 1080)], 20.0, "128x224"),
        ([(480, 360), (360, 480)], 3.0, "192"),
        ([(480, 360)] * 9 + [(360, 480)], 3.0, "192x256"),
        ([(500, 480)], 20.0, "128"),
    ],
)
def test_the_suggested_size_has_the_proportions_of_the_images(sizes, thickness, size):
    classes = [ClassCount(name, 100, 0.5, {}, each) for name, each in (("ground", 90.0), ("post", thickness))]
    assert _suggest(classes, sizes).startswith(f"--size {size}: regions of post are {thickness:.1f} px thick")


@pytest.mark.usefixtures("plain_runs")
@pytest.mark.parametrize("number", [1, 2, 3])
def test_check_refuses_few_images_where_training_does(number, here, segnet):
    draw(here / "few", number)
    checked = segnet("data", "check", "few")
    trained = segnet("train", "--data", "few", "--model", "segnet-basic", "--size", "32", "--epochs", "1")
    assert (checked.code == 2) == (number == 1)
    assert ("at least two different images are needed" in trained.err) == (number == 1)
    assert ("few has no validation images" in checked.out) == (number == 1)
