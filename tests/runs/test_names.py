"""Names that people choose: classes called like our own scores, and files that they put into a run folder."""

from dataclasses import replace

import numpy as np
import pytest

from segnet.base.classes import ClassTable
from segnet.report.spread import spread_table
from segnet.runs.records import EpochRecord, Outcome, RunRecord
from segnet.runs.run_folder import RunFolder
from segnet.runs.seeds import NUMBERS, SeedRuns
from segnet.scoring.metrics import scores_from_confusion
from segnet.training.outputs.trackers import _scores

ODD = ("mean", "class mean", "pixel", "boundary", "accuracy")
"""Names of classes that begin like names of scores."""


def scored(names, seed=0):
    matrix = np.random.default_rng(seed).integers(1, 50, (len(names), len(names)))
    scores = scores_from_confusion(matrix, ClassTable.named(names))
    return replace(scores, boundary_f1=0.25, band_accuracy=0.5)


def group(names):
    runs = (
        RunRecord(f"seed-{seed}", {}, outcome=Outcome(True, 1, "", scored(names, seed), None, {}))
        for seed in (0, 1)
    )
    return SeedRuns("group", (0, 1), tuple(runs))


def test_no_class_takes_the_place_of_a_score_in_a_group_of_seeds():
    found, scores = group(ODD).values(), [scored(ODD, seed) for seed in (0, 1)]
    for field, title in NUMBERS.items():
        assert found[title] == [getattr(each, field) for each in scores]
    assert found["class mean IoU"] == [each.per_class["mean"].iou for each in scores]
    assert found["class class mean IoU"] == [each.per_class["class mean"].iou for each in scores]
    assert found["pixel IoU"] == [each.per_class["pixel"].iou for each in scores]
    assert len(found) == len(NUMBERS) + len(ODD)


def test_of_many_classes_a_group_of_seeds_shows_every_score_but_no_class():
    names = [*ODD, *(f"c{number}" for number in range(40))]
    assert list(spread_table(group(names)).columns[0].cells) == list(NUMBERS.values())


def test_two_classes_that_trackers_would_spell_alike_have_two_names():
    names = [name for name, _ in _scores("val", scored(("a b", "a+b", "iou", "mean_iou"))) if "/iou/" in name]
    assert names == ["val/iou/a b class 0", "val/iou/a+b class 1", "val/iou/iou", "val/iou/mean_iou"]


@pytest.mark.parametrize(
    "names", [("mean_iou", "loss"), ("val", "confusion"), ("a", "a.iou"), ("per_class", "a,b")]
)
def test_every_class_has_a_column_of_its_own_in_the_table_of_epochs(tmp_path, names):
    import csv

    scores = scored(names)
    RunFolder(tmp_path).write_epochs([EpochRecord(1, scores, train_loss=0.5).to_dict()])
    with (tmp_path / "metrics.csv").open() as file:
        (row,) = csv.DictReader(file)
    for name in names:
        assert float(row[f"val.per_class.{name}.iou"]) == scores.per_class[name].iou
    assert float(row["val.mean_iou"]) == scores.mean_iou
    assert float(row["train_loss"]) == 0.5


def test_what_somebody_has_put_beside_the_files_of_epochs_is_left_alone(tmp_path):
    folder = RunFolder(tmp_path)
    own = [folder.preview(1), folder.preview(12), folder.preview(1000)]
    kept = [folder.kept_state(3), folder.kept_model(3), folder.kept_state(4)]
    odd = [
        "previews/epoch_001 copy.png",
        "previews/epoch_1.png",
        "previews/epoch_x.png",
        "previews/._epoch_001.png",
    ]
    odd += ["kept/epoch_3 old.pt", "kept/epoch_.pt", "kept/notes.txt", "kept/epoch_٠٠٥.pt"]
    for file in (*own, *kept, *(tmp_path / name for name in odd)):
        file.parent.mkdir(exist_ok=True)
        file.touch()
    (tmp_path / "previews" / "epoch_002.png").mkdir()
    (tmp_path / "kept" / "epoch_005.pt").mkdir()
    assert folder.previews() == own
    assert folder.kept_epochs() == [3]
    assert set(folder.kept_files()) == set(kept)
