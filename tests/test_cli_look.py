"""The commands that look at models, runs and figures, through the real ``main``."""

import json

import pytest

from segnet import MODELS


def test_show_pooling_prints_the_example_and_refuses_an_unknown_kind_of_file(segnet):
    shown = segnet("show", "pooling")
    assert shown.code == 0
    assert "share a byte" in shown.out
    refused = segnet("show", "pooling", "--out", "a.doc")
    assert refused.code == 2
    assert refused.err.startswith("segnet: ")
    assert "must end in .png or .svg" in refused.err


@pytest.mark.campaign
def test_models_compares_all_of_them(segnet):
    shown = segnet("models")
    assert (shown.code, shown.err) == (0, "")
    for name in MODELS:
        costs, figures = (line.split() for line in shown.out.splitlines() if line.split()[:1] == [name])
        assert len(costs) == 6
        assert len(figures) >= 3
    article = next(line.split() for line in shown.out.splitlines() if line.split()[:1] == ["segnet"])
    assert article[1:3] == ["15,274,892", "9.1163"]
    basic = next(line.split() for line in shown.out.splitlines() if line.split()[:1] == ["segnet-basic"])
    assert basic[-1] == "106"


def test_models_leaves_out_what_cannot_take_the_size_and_says_why(segnet):
    shown = segnet("models", "--size", "20")
    assert shown.code == 0
    assert "left out: vit can't cut images of 20x20 into patches of 16x16" in shown.out
    assert "left out: fcn needs images of at least 32 px" in shown.out
    assert "segnet-basic" in shown.out


def test_a_model_is_shown_layer_by_layer_however_narrow_the_terminal(segnet, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    shown = segnet("models", "segnet-vgg16", "--num-classes", "11")
    assert shown.code == 0
    assert "…" not in shown.out
    assert "29,441,425" in shown.out
    last = next(line.split() for line in shown.out.splitlines() if "decoder.4.units.1" in line)
    assert last == ["decoder.4.units.1", "conv", "3x3", "11x128x128", "6,347", "103.8"]


def test_models_as_json_can_be_read_by_a_program(segnet):
    facts = json.loads(segnet("models", "segnet", "--json", "--model-options", "stages=5").out)
    assert facts["parameters"] == 29_436_812
    assert facts == json.loads(segnet("models", "segnet", "--json", "--model-options", '{"stages":5}').out)
    assert sum(layer["macs"] for layer in facts["layers"]) == facts["macs"]
    some = json.loads(segnet("models", "--json", "--size", "20").out)
    too_small = ("segnet-efficient", "segnet-vgg16", "fcn", "vit")
    assert [each["name"] for each in some] == [name for name in MODELS if name not in too_small]


@pytest.mark.campaign
def test_all_models_as_json_can_be_read_by_a_program(segnet):
    every = json.loads(segnet("models", "--json", "--size", "32x48").out)
    assert [each["name"] for each in every] == list(MODELS)


def test_show_separable_has_the_notebooks_slip_beside_the_count(segnet):
    shown = segnet("show", "separable")
    assert shown.code == 0
    row = next(line.split() for line in shown.out.splitlines() if "16x16" in line)
    assert row == [
        "16x16",
        "512→1024",
        "4,718,592",
        "528,896",
        "1,208.0",
        "135.4",
        "0.1121",
        "77,309.4",
        "8,665.4",
    ]
    assert "measures every row at 128" in shown.out


def run(folder, name, iou, **settings):
    (folder / name).mkdir()
    config = {"model": "segnet-lite", "data": "synthetic", "border": "class", "seed": 0} | settings
    (folder / name / "config.yaml").write_text(json.dumps(config))
    scores = {"mean_iou": iou, "pixel_accuracy": iou, "per_class": {"pet": {"iou": iou}}}
    line = json.dumps({"epoch": 1, "seconds": 1.0, "val": scores})
    (folder / name / "metrics.jsonl").write_text(line + "\n")


def test_compare_puts_runs_side_by_side_and_draws_them(segnet, here):
    run(here, "one", 0.4)
    run(here, "two", 0.6)
    shown = segnet("compare", "one", "two", "--out", "curves.svg")
    assert (shown.code, shown.err) == (0, "")
    assert ["mean", "IoU", "0.4000", "0.6000"] in [line.split() for line in shown.out.splitlines()]
    assert "drawn in curves.svg" in shown.out
    assert (here / "curves.svg").read_text().startswith("<?xml")


def test_compare_says_which_scores_do_not_compare(segnet, here):
    run(here, "one", 0.4)
    run(here, "two", 0.6, seed=1)
    shown = segnet("compare", "one", "two")
    assert shown.code == 0
    assert shown.err == "segnet: these scores don't compare: the runs differ in seed (0, 1)\n"


MISTAKES = {
    "models vti": "there is no model 'vti'; did you mean 'vit'?",
    "models vit --size 100": "can't cut images of 100x100 into patches of 16x16; make --size",
    "models segnet-vgg16 --size 16": "segnet-vgg16 needs images of at least 32 px each way; raise --size",
    "models segnet --size 99999999999": "--size can be up to 16384 px each way",
    "models segnet --size 8": "segnet needs images of at least 16 px each way",
    "models --size 8": "needs images of at least 16 px each way",
    "models --num-classes 4": "--num-classes and --model-options are for one model; name it",
    "models segnet --num-classes 0": "at least one class",
    "models segnet --model-options stages": "a JSON object",
    'models segnet --model-options {"stages":9}': "a SegNet has 1 to 5 stages, got 9",
    "compare": "no run given; name the run folders to compare",
    "compare nowhere": "there is no run folder nowhere",
    "compare one --out curves.doc": "curves.doc: the file's name must end in .png or .svg",
    "compare one --score iou": "no run has a score 'iou'",
    'models vit --size 96 --model-options {"image_size":100}': "can't be cut into patches of 16x16",
    "show seperable": 'Unknown command "seperable"',
}


@pytest.mark.parametrize(("arguments", "says"), MISTAKES.items())
def test_a_mistake_is_one_line_that_says_what_would_work(segnet, here, arguments, says):
    run(here, "one", 0.4)
    ended = segnet(*arguments.split())
    ended.is_a_mistake_in_one_line(says)
    assert not (here / "curves.png").exists()


def test_more_runs_than_a_picture_can_show_are_refused_before_the_table(segnet, here):
    for number in range(9):
        folder = here / f"run{number}"
        folder.mkdir()
        (folder / "config.yaml").write_text("model: segnet\ndata: synthetic\n")
        val = {"mean_iou": 0.5, "pixel_accuracy": 0.6, "per_class": {"pet": {"iou": 0.5}}}
        (folder / "metrics.jsonl").write_text(json.dumps({"epoch": 1, "val": val}) + "\n")
    runs = [f"run{number}" for number in range(9)]
    ended = segnet("compare", *runs, "--out", "curves.png")
    ended.is_a_mistake_in_one_line("a picture shows up to 7 runs, got 9; draw fewer at once")
    assert ended.out == ""
    assert segnet("compare", *runs).code == 0
