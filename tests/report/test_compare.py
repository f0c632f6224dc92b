"""Runs side by side, read from folders as segnet train leaves them."""

import io
import json

import pytest
from PIL import Image
from rich.console import Console

from segnet import SegnetError
from segnet.report.compare import (
    _told_apart,
    differences,
    draw_runs,
    read_runs,
    runs_and_settings,
    runs_table,
    settings_table,
)

CLASSES = ("pet", "background")


def run_folder(root, name, ious, **config):
    folder = root / name
    folder.mkdir()
    settings = {"model": "segnet-lite", "data": "synthetic", "border": "class", "size": [128, 128]} | config
    (folder / "config.yaml").write_text("".join(f"{key}: {value}\n" for key, value in settings.items()))
    rows = [
        {
            "epoch": epoch,
            "seconds": 30.0,
            "val": {
                "mean_iou": iou,
                "pixel_accuracy": iou + 0.1,
                "per_class": {name: {"iou": iou} for name in CLASSES},
            },
        }
        for epoch, iou in enumerate(ious, 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "environment.json").write_text(json.dumps({"model": {"parameters": 701_337}}))
    return folder


def read_one(folder):
    return read_runs([folder])[0]


def cells(table):
    return [list(column.cells) for column in table.columns]


def rows(table):
    return {name: list(values) for name, *values in zip(*cells(table), strict=True)}


def widths(printed):
    return {len(line) for line in printed.splitlines()}


def printed(table, width):
    console = Console(width=width, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


def test_a_column_shows_the_best_epoch_its_scores_and_the_time_of_all(tmp_path):
    run = read_one(run_folder(tmp_path, "one", [0.2, 0.6, 0.5]))
    assert rows(runs_table([run])) == {
        "model": ["segnet-lite"], "parameters": ["701,337"], "epochs": ["3"], "best epoch": ["2"],
        "minutes": ["1.5"], "pixel accuracy": ["0.7000"], "mean IoU": ["0.6000"], "IoU pet": ["0.6000"],
        "IoU background": ["0.6000"],
    }  # fmt: skip


def test_a_class_that_only_one_run_has_is_absent_in_the_others(tmp_path):
    folders = [run_folder(tmp_path, name, [0.5]) for name in ("one", "two")]
    lines = folders[1] / "metrics.jsonl"
    lines.write_text(lines.read_text().replace('"pet": {"iou": 0.5}, ', ""))
    assert rows(runs_table(read_runs(folders)))["IoU pet"] == ["0.5000", "absent"]


@pytest.mark.parametrize("count", [1, 2, 4, 5, 9])
def test_runs_of_any_number_and_name_fit_into_80_columns_with_every_number_whole(tmp_path, count):
    names = [f"street-scenes-segnet-lite-modern-with-a-long-name-{n:03d}" for n in range(count)]
    runs = [
        read_one(run_folder(tmp_path, name, [0.1234], data=f"/a/very/long/path/to/the/images/of/{name}"))
        for name in names
    ]
    found = [*runs_and_settings(runs, 80)]
    columns = [[str(column.header) for column in table.columns[1:]] for table in found]
    assert [name for some in columns for name in some] == [run.name for run in runs] * (2 if count > 1 else 1)
    assert all(abs(len(one) - len(other)) <= 1 for one in columns for other in columns)
    tables = [printed(table, 80) for table in found]
    assert max(map(max, map(widths, tables))) <= 80
    text = "".join(tables)
    assert (text.count("701,337"), text.count("0.2234"), text.count("0.1234")) == (count, count, 3 * count)
    assert "…" not in text


def test_of_very_many_classes_those_that_differ_most_are_shown_and_the_others_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("segnet.report.compare._MOST_CLASSES", 1)
    folders = [run_folder(tmp_path, name, [0.5]) for name in ("one", "two")]
    lines = folders[1] / "metrics.jsonl"
    lines.write_text(lines.read_text().replace('"background": {"iou": 0.5}', '"background": {"iou": 0.6}'))
    table = runs_table(read_runs(folders))
    assert [name for name in rows(table) if name.startswith("IoU ")] == ["IoU background"]
    assert "of 2 classes the 1 that differ most, metrics.jsonl of each run has the others" in table.caption


def test_runs_scored_on_other_pixels_are_told_apart_and_others_are_not(tmp_path):
    def of(name, **changes):
        return read_one(run_folder(tmp_path, name, [0.5], **({"seed": 0, "holdout": 0.0} | changes)))

    drawn, other_drawn, shown = of("a"), of("b", seed=1), of("c", border="pet", model="vit")
    assert differences([drawn, other_drawn]) == {"seed": ["0", "1"]}
    assert differences([drawn, shown]) == {}  # drawn pets have a border of their own
    pets = {"data": "oxford-pets"}
    real, seeded, merged = of("d", **pets), of("e", seed=1, **pets), of("f", border="pet", **pets)
    assert differences([real, seeded]) == {}  # both on the official test part
    assert differences([real, merged]) == {"border": ["class", "pet"]}
    held = [of(name, holdout=0.1, seed=seed, **pets) for name, seed in [("g", 0), ("h", 1)]]
    assert differences(held) == {"seed": ["0", "1"]}
    assert differences([drawn, real]) == {"data": ["synthetic", "oxford-pets"]}


def test_the_settings_in_which_runs_differ_are_a_table_of_their_own(tmp_path):
    runs = read_runs(
        [run_folder(tmp_path, name, [0.5], lr=lr, size=[64, 64]) for name, lr in (("a", 1), ("b", 2))]
    )
    assert cells(settings_table(runs, of=runs)) == [["lr"], ["1"], ["2"]]
    assert cells(settings_table(runs[:1], of=runs)) == [["lr"], ["1"]]
    assert settings_table(runs[:1], of=runs[:1]) is None


def test_a_picture_is_drawn_of_runs_of_any_length(tmp_path):
    runs = [read_one(run_folder(tmp_path, f"run{n}", [0.1] * n)) for n in range(1, 8)]
    draw_runs(runs, tmp_path / "curves.png")
    assert Image.open(tmp_path / "curves.png").width > 500
    draw_runs(runs, tmp_path / "curves.svg", score="pet")
    assert "<svg" in (tmp_path / "curves.svg").read_text()
    again = (tmp_path / "curves.svg").read_bytes()
    draw_runs(runs, tmp_path / "curves.svg", score="pet")
    assert (tmp_path / "curves.svg").read_bytes() == again


def test_the_picture_names_runs_by_what_tells_them_apart(tmp_path):
    names = ["synthetic-segnet-basic-article-001", "synthetic-segnet-lite-modern-001"]
    draw_runs([read_one(run_folder(tmp_path, name, [0.5])) for name in names], tmp_path / "x.svg")
    assert _told_apart(names) == ["basic-article", "lite-modern"]
    assert _told_apart(["a", "a"]) == ["a", "a"]
    assert _told_apart(["one-001"]) == ["one-001"]


def test_what_cannot_be_drawn_is_said(tmp_path):
    run = read_one(run_folder(tmp_path, "one", [0.5]))
    with pytest.raises(SegnetError, match=r"no run has a score 'iou'; there is mean_iou, .*, pet, back"):
        draw_runs([run], tmp_path / "x.png", score="iou")
    with pytest.raises(SegnetError, match="up to 7 runs, got 8"):
        draw_runs([run] * 8, tmp_path / "x.png")


def test_what_is_no_run_or_has_no_epoch_yet_is_named(tmp_path):
    with pytest.raises(SegnetError, match=r"there is no run folder .*nowhere"):
        read_one(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SegnetError, match=r"empty is no run folder: it has no config\.yaml"):
        read_one(tmp_path / "empty")
    with pytest.raises(SegnetError, match="has no epoch to show yet"):
        read_one(run_folder(tmp_path, "early", []))
    (tmp_path / "early" / "metrics.jsonl").write_text('{"epoch": 1, "val": {}}\n')
    (tmp_path / "early" / "environment.json").write_text('{"model": 3}')
    with pytest.raises(SegnetError, match="has no epoch to show yet"):
        read_one(tmp_path / "early")
