"""segnet eval beyond its table: a folder of scores, worst images, groups, the mirror; and segnet compare."""

import csv
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from segnet import TrainConfig, train
from segnet.inference.description import Description
from segnet.inference.model_file import write_model_file
from segnet.inference.opening import load
from segnet.models import create_model
from segnet.runs.image_scores import read_image_scores

pytestmark = pytest.mark.usefixtures("plain_runs")

OPTIONS = {"stages": [[8, 1], [8, 1]], "bottleneck": [8, 0, 3]}


@pytest.fixture
def model(here):
    from segnet import ClassTable

    torch.manual_seed(0)
    network = create_model("segnet-lite", 3, **OPTIONS)
    with torch.no_grad():
        network.classifier.weight.mul_(20)
        network.classifier.bias.zero_()
    classes = ClassTable.named(("pet", "background", "border"))
    path = here / "model.safetensors"
    write_model_file(
        path, network.state_dict(), Description("segnet-lite", classes, (64, 64), "area", options=OPTIONS)
    )
    return path


@pytest.fixture
def data(here):
    """Six images with masks that hold the model's classes, one of them with a page's own characters."""
    for index, name in enumerate(("a", "b", "c", "d", "e.1", "<b>&")):
        random = np.random.RandomState(index)
        for kind, pixels in (
            ("images", random.randint(0, 256, (64, 64, 3), dtype=np.uint8)),
            ("masks", np.kron(random.randint(0, 3, (4, 4)), np.ones((16, 16), int)).astype(np.uint8)),
        ):
            folder = here / "data" / kind
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{name}.png")
    (here / "data/dataset.yaml").write_text("classes: [pet, background, border]\n")
    rows = (("a.png", "rain"), ("b", "rain"), ("c", "sun"), ("d", "sun"), ("e.1", "sun"), ("<b>&", "sun"))
    (here / "weather.csv").write_text("image,weather\n" + "".join(f"{a},{b}\n" for a, b in rows))
    return here / "data"


def test_a_folder_of_scores_is_complete_and_says_one_thing(segnet, model, data, here):
    options = ("--group-by", "weather", "--group-table", "weather.csv", "--worst", "3", "--by", "loss")
    ended = segnet("eval", model, "--data", data, "--out", "scored", *options)
    assert (ended.code, ended.err) == (0, "")
    assert {path.name for path in (here / "scored").iterdir()} == {
        "confusion.csv", "confusion_by_row.csv", "groups.csv", "images.csv", "report.html", "scores.json",
    }  # fmt: skip
    scores = json.loads((here / "scored/scores.json").read_text())
    classes, images = read_image_scores(here / "scored/images.csv")
    assert classes == ("pet", "background", "border")
    right = np.diag(scores["confusion"])
    assert np.sum([image.right for image in images], 0).tolist() == right.tolist()
    with (here / "scored/confusion.csv").open() as file:
        rows = list(csv.reader(file))
    assert [[int(count) for count in row[1:]] for row in rows[1:]] == scores["confusion"]
    with (here / "scored/confusion_by_row.csv").open() as file:
        shares = [[float(share) for share in row[1:]] for row in list(csv.reader(file))[1:]]
    assert np.sum(shares, 1) == pytest.approx([1, 1, 1], abs=1e-5)
    assert [(group["group"], group["images"]) for group in scores["groups"]["scores"]] == [
        ("rain", 2),
        ("sun", 4),
    ]
    worst = sorted(images, key=lambda image: -image.loss)[:3]
    assert re.findall(r"^(\S+): mean IoU", ended.out, re.MULTILINE) == [image.image for image in worst]
    page = (here / "scored/report.html").read_text()
    shown = re.findall(r"<figcaption><b>(.*?)</b>", page)
    assert shown == [
        image.image.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for image in worst
    ]
    assert not re.search(r'(src|href)="(?!data:)', page), "the page opens offline"
    assert len(page) < 10_000_000


def test_the_worst_images_have_a_legend_of_the_classes_and_of_what_is_wrong(segnet, model, data, here):
    segnet("eval", model, "--data", data, "--out", "scored")
    legend = re.search(r'<p class="legend">(.*?)</p>', (here / "scored/report.html").read_text())[1]
    named = re.findall(r'background: ([^"]+)"></i>([^<]+)</span>', legend)
    classes = load(model).classes
    assert named == [
        *((f"rgb{colour}", name) for colour, name in zip(classes.colours, classes.names, strict=True)),
        ("rgb(255, 255, 255)", "ignored in truth"),
        ("linear-gradient(to right, rgb(255, 214, 70), rgb(196, 0, 38))", "wrong, unsure to sure"),
    ]  # fmt: skip


def test_eval_says_what_is_taken_for_what_and_how_far_outlines_may_be_off(segnet, model, data):
    shown = segnet("eval", model, "--data", data).out
    plain = json.loads(segnet("eval", model, "--data", data, "--json").out)
    names, matrix = [*plain["per_class"]], np.array(plain["confusion"])
    shares = matrix / matrix.sum(1, keepdims=True)
    expected = sorted(
        (
            (shares[i, j], names[i], names[j])
            for i in range(3)
            for j in range(3)
            if i != j and shares[i, j] >= 0.05
        ),
        reverse=True,
    )[:5]
    told = re.findall(r"^(\w+) is taken for (\w+), ([\d.]+) % of its pixels$", shown, re.MULTILINE)
    assert told == [(truth, given, f"{100 * share:.1f}") for share, truth, given in expected]
    assert len(told) > 1
    assert "boundary F1 is taken at 0.679 px, 0.75 % of the image's diagonal\n" in shown
    assert plain["boundary_tolerance_px"] == pytest.approx([0.0075 * 64 * 2**0.5] * 2)
    warned = re.findall("^warning: (.*)$", shown, re.MULTILINE)
    assert sorted(plain["warnings"]) == sorted(warned)
    assert any("is no better than predicting" in line for line in warned), "it has learnt nothing"


def test_eval_matches_classes_by_name_and_says_so(segnet, model, data, here):
    expected = json.loads(segnet("eval", model, "--data", data, "--json").out)
    for path in (data / "masks").iterdir():
        Image.fromarray(np.array([1, 2, 0], np.uint8)[np.array(Image.open(path))]).save(path)
    (data / "dataset.yaml").write_text("classes: [Border, pet, background]\n")
    found = json.loads(segnet("eval", model, "--data", data, "--json").out)
    said = "classes of data are matched by name, in its order: Border as border, pet, background"
    assert found["scored_on"].pop("note") == said
    assert found == expected
    ended = segnet("eval", model, "--data", data, "--out", "scored")
    assert ended.out.splitlines()[1] == said
    assert said in (here / "scored/report.html").read_text()
    (data / "dataset.yaml").write_text("classes: [rim, pet, background]\n")
    segnet("eval", model, "--data", data).is_a_mistake_in_one_line(
        "but data has rim; give classes the model's"
    )


def test_the_worst_images_are_named_without_a_folder_and_in_json(segnet, model, data, here):
    by_hand = segnet("eval", model, "--data", data, "--worst", "2")
    named = re.findall(r"^(\S+): mean IoU", by_hand.out, re.MULTILINE)
    plain = json.loads(segnet("eval", model, "--data", data, "--worst", "2", "--json").out)
    assert plain["worst"] == named
    assert len(named) == 2
    assert not (here / "scored").exists()


def test_a_flip_is_the_mean_of_both_probabilities(segnet, model, data):
    plain = json.loads(segnet("eval", model, "--data", data, "--tta", "flip", "--json").out)
    network = load(model).model
    counted = np.zeros((3, 3), int)
    for path in sorted((data / "images").iterdir()):
        image = torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            mean = network(image).softmax(1) + network(image.flip(3)).softmax(1).flip(3)
        truth = np.array(Image.open(data / "masks" / path.name))
        np.add.at(counted, (truth, mean[0].argmax(0).numpy()), 1)
    assert np.abs(np.array(plain["confusion"]) - counted).sum() <= 2
    assert plain["confusion"] != json.loads(segnet("eval", model, "--data", data, "--json").out)["confusion"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--by loss", "--by ranks the worst images; give --worst or --out too"),
        ("--worst 0", "--worst must be 1 or more, got 0"),
        ("--worst 3 --by iuo", '"iuo"'),
        ("--group-by weather", "doesn't say which weather an image is of; give --group-table a CSV file"),
        ("--group-by wether --group-table weather.csv", "did you mean 'weather'?"),
        ("--group-table weather.csv", "--group-table needs --group-by, the column to group by"),
        ("--out runs/one", "runs/one is a run folder; give --out a folder of its own"),
        ("--out weather.csv", "can't make the folder weather.csv"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_scored(segnet, model, data, here, options, says):
    (here / "runs/one").mkdir(parents=True)
    (here / "runs/one/config.yaml").write_text("model: segnet\n")
    ended = segnet("eval", model, "--data", data, *options.split())
    ended.is_a_mistake_in_one_line(says)
    assert "mean IoU" not in ended.out


@pytest.fixture
def runs(here, data):
    """Two runs on the same images, and one on others."""
    for name, loss, seed in (("one", "cross-entropy", 0), ("two", "dice", 0), ("other", "dice", 1)):
        train(
            TrainConfig(
                data=str(data), model="segnet-lite", model_options=OPTIONS, size=(32, 32), batch_size=2,
                epochs=1, loss=loss, seed=seed, holdout=0.5, out=here / "runs" / name,
            )
        )  # fmt: skip


def test_compare_says_whether_the_difference_is_beyond_chance(segnet, runs, here):
    ended = segnet("compare", "runs/one", "runs/two")
    assert ended.code == 0
    assert re.search(
        r"mean IoU of runs/two is [\d.]+ points (above|below) that of runs/one, 95 % interval", ended.out
    )
    others = segnet("compare", "runs/one", "runs/other")
    others.is_a_mistake_in_one_line("runs/one and runs/other don't compare: of their val images")
    (here / "runs/two/images.csv").unlink()
    older = segnet("compare", "runs/one", "runs/two")
    assert older.code == 0
    assert "runs/two, of an older segnet, has no images.csv" in older.err


def test_runs_whose_classes_are_in_another_order_compare_by_name(segnet, runs, here):
    as_it_was = segnet("compare", "runs/one", "runs/two")
    order = {"right": 0, "truth": 1, "predicted": 2}
    table = here / "runs/two/images.csv"
    rows = list(csv.DictReader(table.open()))
    kinds = ["iou", *order]
    classes = ("border", "pet", "background")
    columns = [name for name in rows[0] if name.split()[0] not in kinds or " " not in name]
    columns += [f"{kind} {name}" for kind in kinds for name in classes]
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    assert read_image_scores(table)[0] == classes
    again = segnet("compare", "runs/one", "runs/two")
    assert again.code == 0
    assert as_it_was.out.endswith(again.out)
    table.write_text(table.read_text().replace("border", "rim"))
    segnet("compare", "runs/one", "runs/two").is_a_mistake_in_one_line(
        "one has the classes pet, background, border"
    )


def test_seeds_on_the_command_line(segnet, data, here):
    options = ("--data", data, "--model", "segnet-lite", "--model-options", json.dumps(OPTIONS))
    options += ("--size", "32", "--batch-size", "2", "--epochs", "1", "--val-list", "val.txt")
    (here / "val.txt").write_text("a\nb\nc\n")
    for name in ("first", "second"):
        ended = segnet("train", *options, "--seeds", "2", "--out", f"runs/{name}")
        assert ended.code == 0, ended.err
        assert "mean ± sd" in ended.out
        assert ended.out.endswith(f"summary  runs/{name}/summary.json\n")
    both = segnet("compare", "runs/first", "runs/second")
    assert both.code == 0
    assert "within chance" in both.out
    assert "that is within what the choice of 2 and 2 seeds gives" in both.out
    assert segnet("resume", "runs/first").code == 0
    segnet("compare", "runs/first", "runs/second/seed-0").is_a_mistake_in_one_line("one seed has no spread")
    segnet("resume", "runs/first", "--epochs", "3").is_a_mistake_in_one_line("holds several runs")
    segnet("train", *options, "--seeds", "1").is_a_mistake_in_one_line("a spread takes two seeds or more")
    both_given = segnet("train", *options, "--seeds", "2", "--seed", "5")
    both_given.is_a_mistake_in_one_line("the seed 5 and --seeds are one too many")
