"""The report that a run folder gets."""

from __future__ import annotations

import base64
import copy
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from segnet.base.classes import ClassTable
from segnet.base.errors import SegnetError
from segnet.report.html import write_report
from segnet.report.sections import CLASS_METRICS, METRICS, class_table, headline, metric_table
from segnet.runs.scores import ClassScores, Scores
from segnet.scoring.metrics import scores_from_confusion


def class_scores(iou: float | None, share: float = 0.25) -> dict:
    return {"iou": iou, "dice": 0.81, "precision": 0.82, "recall": 0.83, "share": share, "boundary_f1": 0.84}


VAL = {
    "loss": 0.412,
    "pixel_accuracy": 0.861,
    "mean_iou": 0.652,
    "mean_dice": 0.741,
    "article_iou": 0.777,
    "article_custom_iou": 0.699,
    "mean_class_accuracy": 0.735,
    "mean_iou_without_border": 0.799,
    "boundary_f1": 0.555,
    "band_accuracy": 0.666,
    "calibration_error": 0.123,
    "per_class": {
        "pet": class_scores(0.711),
        "background": class_scores(0.888, 0.593),
        "border": class_scores(0.357),
    },
}
ENVIRONMENT = {
    "command": "segnet train --data synthetic --epochs 2",
    "segnet": "0.1.0",
    "device": "cpu",
    "git": None,
    "model": {"name": "segnet-lite", "parameters": 1_043_210, "macs": 283_115_520},
}


def epoch(number: int, val: dict | None = None) -> dict:
    return {
        "epoch": number,
        "train_loss": 0.9 / number,
        "lr": 0.001,
        "seconds": 65.0,
        "images_per_second": 55.1,
        "data_wait_share": 0.03,
        "peak_memory_mib": 812.0,
        "size": [128, 128],
        "val": val or VAL,
    }


def write_lines(folder: Path, rows: list[dict]) -> None:
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_scores(folder: Path, **changes) -> None:
    scores = {
        "finished": True,
        "best_epoch": 1,
        "val": VAL,
        "test": None,
        "splits": {"train": 1600, "val": 120, "test": 0},
        "val_is": "a tenth of the training images",
    }
    (folder / "scores.json").write_text(json.dumps(scores | changes))


def finished_run(folder: Path) -> Path:
    """A run of two epochs of which the first was kept."""
    (folder / "previews").mkdir(parents=True)
    config = {"data": "synthetic", "model": "segnet-lite", "epochs": 2, "size": [128, 128], "resume": None}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "environment.json").write_text(json.dumps(ENVIRONMENT))
    write_lines(folder, [epoch(1), epoch(2)])
    write_scores(folder)
    for number, colour in ((1, "red"), (2, "blue")):
        Image.new("RGB", (64, 40), colour).save(folder / "previews" / f"epoch_{number:03d}.png")
    Image.new("RGB", (64, 40), "green").save(folder / "learning.gif")
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return finished_run(tmp_path / "run")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return report(finished_run(tmp_path_factory.mktemp("finished") / "run"))


class Page(HTMLParser):
    """The report as a reader meets it: visible text, and whatever it would load."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags: list[str] = []
        self.links: list[str] = []
        self.images: list[bytes] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(self.source)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in {"meta", "link", "img"}:
            self.open.append(tag)
        for name, value in attributes:
            if name in {"src", "href", "srcset", "data", "poster", "action", "background"}:
                self.links.append(value)
                if tag == "img":
                    self.images.append(base64.b64decode(value.partition(",")[2]))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)


def report(folder: Path) -> Page:
    return Page(write_report(folder))


def test_the_report_loads_nothing_from_anywhere(page):
    assert len(page.images) == 6, "the GIF, four charts and the panel"
    assert all(link.startswith("data:") for link in page.links)
    assert "default-src 'none'" in page.source
    style = re.search(r"<style>(.*?)</style>", page.source, re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    assert "script" not in page.tags


def test_every_element_is_closed(page):
    assert page.open == []


def test_it_opens_with_model_data_scores_and_the_command(page):
    assert "segnet-lite on synthetic" in page.text
    assert "Epoch 1 of 2 was kept, chosen by its validation mean IoU." in page.text
    assert "Validation: a tenth of the training images." in page.text
    assert "1,600 in train, 120 in val." in page.text, "an empty split is not listed"
    assert "mean IoU 0.652 pixel accuracy 0.861 mean Dice 0.741" in page.text
    assert "“background” for every pixel has a pixel accuracy of 0.593" in page.text
    assert ENVIRONMENT["command"] in page.text


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"loss": "focal", "class_weights": None}, "is the focal loss, the validation"),
        ({"loss": "dice", "class_weights": [1, 4]}, "is the dice loss with class weights, the"),
        ({"class_weights": "median-frequency"}, "is cross-entropy with class weights, the"),
    ],
)
def test_curves_of_two_kinds_of_loss_are_said_not_to_compare(run, settings, says):
    (run / "config.yaml").write_text(yaml.safe_dump({"model": "segnet-lite", "epochs": 2} | settings))
    text = report(run).text
    assert says in text
    assert "always cross-entropy without weights: compare each with itself" in text


@pytest.mark.parametrize("settings", [{}, {"loss": "cross-entropy", "class_weights": None}])
def test_curves_of_one_kind_of_loss_need_no_word(run, settings):
    (run / "config.yaml").write_text(yaml.safe_dump({"model": "segnet-lite", "epochs": 2} | settings))
    assert "The training curve" not in report(run).text


def test_it_says_what_the_run_cost(page):
    for fact in (
        "parameters 1.04 M",
        "multiply-adds 283 M",
        "training time 2 min 10 s",
        "peak memory 812 MiB",
    ):
        assert fact in page.text


@pytest.mark.parametrize("key", [key for key in METRICS if key in VAL])
def test_every_score_has_its_definition_beside_it(page, key):
    name, definition = METRICS[key]
    assert f"{name} {definition} {VAL[key]:.3f}" in page.text


@pytest.mark.parametrize("key", ["article_iou", "article_custom_iou"])
def test_the_articles_metrics_are_said_to_overstate(key):
    assert "It can overstate" in METRICS[key][1]


def test_the_class_table_has_every_class_and_metric(page):
    for name, definition in CLASS_METRICS.values():
        assert f"{name} {definition}" in page.text
    assert "pet 25.0 % 0.711 0.810 0.820 0.830 0.840" in page.text
    assert "border 25.0 % 0.357 0.810 0.820 0.830 0.840" in page.text


def test_a_test_split_gets_its_own_scores_and_table(run):
    test = copy.deepcopy(VAL) | {"mean_iou": 0.631}
    test["per_class"]["pet"]["iou"] = 0.699
    write_scores(run, test=test)
    text = report(run).text
    assert "Test mean IoU 0.631" in text
    assert "Test, class by class" in text
    assert "pet 25.0 % 0.699" in text


def test_without_a_test_split_there_is_no_word_of_one(page):
    assert "Test" not in page.text


def test_a_score_without_a_value_is_absent_or_left_out_and_not_zero(run):
    val = copy.deepcopy(VAL) | {"article_iou": None}
    val["per_class"]["border"] = dict.fromkeys(class_scores(None))
    write_scores(run, val=val)
    write_lines(run, [epoch(1, val), epoch(2, val)])
    text = report(run).text
    assert "border absent absent absent absent absent" in text
    assert METRICS["article_iou"][1] not in text  # a row that says nothing of any split
    assert "0.000" not in text


def test_a_stopped_run_whose_outlines_were_never_scored_has_no_column_for_them(run):
    val = {key: value for key, value in VAL.items() if key != "boundary_f1"}
    val["per_class"] = {name: entry | {"boundary_f1": None} for name, entry in VAL["per_class"].items()}
    (run / "scores.json").unlink()
    write_lines(run, [epoch(1, val)])
    text = report(run).text
    assert CLASS_METRICS["boundary_f1"][1] not in text
    assert "pet 25.0 % 0.711 0.810 0.820 0.830 background" in text


def test_an_unknown_score_is_shown_under_its_own_name(run):
    write_scores(run, val=VAL | {"panoptic_quality": 0.444})
    assert "panoptic quality 0.444" in report(run).text


def test_the_confusion_matrix_is_shown_as_shares_of_each_true_class(run):
    counts = [[60, 30, 10], [0, 50, 50], [0, 0, 0]]
    write_scores(run, val=VAL | {"confusion": counts})
    text = report(run).text
    assert "Validation, what each class was taken for" in text
    assert "Per cent of the pixels that are the row's class in truth" in text
    assert "pet 60.0 30.0 10.0 background 0.0 50.0 50.0 border absent: in no mask" in text


def matrix_of(count):
    """A confusion matrix of many classes, and their scores."""
    random = np.random.RandomState(count)
    matrix = random.randint(0, 9, (count, count)) + np.diag(random.randint(50, 200, count))
    matrix[1] = 0
    matrix[1, 0] = 60
    return scores_from_confusion(matrix, ClassTable.named([f"class {i}" for i in range(count)]))


@pytest.mark.parametrize("count", [3, 11, 21, 32, 33])
def test_a_confusion_matrix_of_many_classes_is_whole_and_the_largest_confusions_are_named(run, count):
    scores = matrix_of(count)
    write_scores(run, val=scores.to_dict())
    page = report(run)
    cells = re.findall(r'<td style="background: rgb\([^"]*\)">([\d.]+)</td>', page.source)
    shares = [f"{100 * pixels / sum(row):.1f}" for row in scores.confusion for pixels in row]
    assert cells == (shares if count <= 32 else [])
    assert "Validation, what was most often taken for something else" in page.text
    assert "class 1 class 0 100.0 %" in page.text, "truth, prediction, share of the truth"
    assert f"Validation: 1 of {count} classes at IoU 0.000: class 1" in page.text


def test_how_far_outlines_may_be_off_stands_beside_boundary_f1(run):
    thin = class_scores(0.6) | {"boundary_tolerance_px": 10.4, "thickness_px": 4.6}
    val = VAL | {"boundary_tolerance_px": [5.0, 10.4], "calibration": []}
    val["per_class"] = VAL["per_class"] | {"border": thin}
    write_scores(run, val=val)
    text = report(run).text
    assert f"{METRICS['boundary_f1'][1]}: here 5 to 10.4 px 0.555" in text
    assert "boundary F1 at 5 to 10.4 px how well its outlines meet" in text
    assert "Validation: boundary F1 forgives more than the whole width of border (4.6 px thick" in text


def test_an_unfinished_run_says_so_and_shows_the_last_epoch(run):
    (run / "scores.json").unlink()
    write_lines(run, [epoch(1), epoch(2, VAL | {"mean_iou": 0.555})])
    text = report(run).text
    assert "Unfinished run. 2 of 2 epochs done" in text
    assert "mean IoU 0.555" in text
    assert "was kept" not in text


def test_a_run_that_was_interrupted_says_so_though_it_has_scores(run):
    write_scores(run, finished=False)
    text = report(run).text
    assert "Unfinished run. 2 of 2 epochs done; these are the scores of epoch 1, the best so far" in text
    assert "was kept, chosen" not in text


def test_scores_on_images_that_were_trained_on_are_said_to_be(run):
    scored_on = {"data": "photos", "split": "val", "images": 120, "trained_on": 7}
    write_scores(run, val=VAL | {"scored_on": scored_on})
    assert "Validation scores were taken on 120 images, the val split of photos (7 of them TRAINED ON)" in (
        report(run).text
    )


def test_one_epoch_is_enough(run):
    write_lines(run, [epoch(1)])
    assert len(report(run).images) == 6


def test_an_empty_folder_gets_a_report_that_says_there_is_nothing_yet(tmp_path):
    assert "No epoch is done yet" in report(tmp_path).text


@pytest.mark.parametrize("missing", ["config.yaml", "environment.json", "metrics.jsonl", "learning.gif"])
def test_a_missing_file_is_left_out(run, missing):
    (run / missing).unlink()
    assert "0.652" in report(run).text


def test_half_a_line_from_a_killed_run_is_left_out_and_mentioned(run):
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "train_lo')
    text = report(run).text
    assert "1 line of metrics.jsonl could not be read" in text
    assert "training time 2 min 10 s" in text


def test_an_epoch_that_was_done_again_after_a_resume_counts_once(run):
    write_lines(run, [epoch(1), epoch(2), epoch(2)])
    assert "training time 2 min 10 s" in report(run).text


def test_the_panel_is_the_kept_epochs_and_else_the_last_ones(run):
    page = report(run)
    assert page.images[-1] == (run / "previews/epoch_001.png").read_bytes()
    assert "after epoch 1, the one that was kept" in page.text
    (run / "scores.json").unlink()
    assert report(run).images[-1] == (run / "previews/epoch_002.png").read_bytes()


def test_names_from_outside_are_text_and_never_markup(run):
    hostile = "<script>alert('x')</script>"
    val = copy.deepcopy(VAL)
    val["per_class"] = {hostile: class_scores(0.5), '"><img src=x onerror=y>': class_scores(0.5)}
    write_scores(run, val=val, val_is=hostile)
    write_lines(run, [epoch(1, val), epoch(2, val)])
    (run / "config.yaml").write_text(yaml.safe_dump({"model": hostile, "data": hostile, hostile: hostile}))
    (run / "environment.json").write_text(json.dumps({"command": hostile, hostile: {hostile: hostile}}))
    page = report(run)
    assert "script" not in page.tags
    assert page.tags.count("img") == 6
    assert all(link.startswith("data:") for link in page.links)
    assert page.text.count(hostile) >= 8


def test_the_runs_own_class_colours_are_used_where_it_names_them(run):
    assert "rgb(230, 159, 0)" in report(run).source
    (run / "environment.json").write_text(json.dumps(ENVIRONMENT | {"colours": {"pet": [1, 2, 3]}}))
    source = report(run).source
    assert "rgb(1, 2, 3)" in source
    assert "rgb(230, 159, 0)" not in source


def test_configuration_and_environment_are_listed_as_they_were_written(page):
    for entry in (
        "size [128, 128]",
        "resume null",
        "epochs 2",
        "device cpu",
        "git null",
        "model.parameters 1043210",
    ):
        assert entry in page.text


def test_the_same_folder_gives_the_same_bytes_and_nothing_else_is_left(run):
    before = {path.name for path in run.iterdir()}
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first
    assert {path.name for path in run.iterdir()} == before | {"report.html"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.yaml", "a: [1"),
        ("config.yaml", "- a\n- b"),
        ("scores.json", '{"best_epoch": 1'),
        ("environment.json", "[]"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(run, name, content):
    (run / name).write_text(content)
    with pytest.raises(SegnetError, match=re.escape(name)) as error:
        write_report(run)
    assert "\n" not in str(error.value)


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(SegnetError, match=r"there is no run folder .*nowhere"):
        write_report(tmp_path / "nowhere")


def test_of_two_classes_the_one_that_is_looked_for_comes_first():
    entries = {"background": ClassScores(iou=0.97), "leaf": ClassScores(iou=0.61)}
    found = Scores(0.98, 0.79, 0.85, None, None, 0.1, entries, (), foreground_iou=0.61, threshold=0.37)
    assert headline(found, ("mean_iou",)) == [("foreground IoU", "0.610"), ("mean IoU", "0.790")]
    assert [row["name"] for row in class_table(found, dict.fromkeys(entries, (0, 0, 0)), CLASS_METRICS)] == [
        "leaf",
        "background",
    ]
    assert [name for name, _, _ in metric_table([found])][:2] == ["foreground IoU", "threshold"]
    assert Scores.from_dict(found.to_dict()).threshold == 0.37
