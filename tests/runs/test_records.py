"""What a run says of itself: there and back, old files too, and which epoch is the best."""

import json
from dataclasses import replace

import pytest

from segnet import SegnetError
from segnet.runs.identity import DataIdentity, ImageRecord, Manifest, image_id
from segnet.runs.records import EpochRecord, Outcome, best_of, parse_epochs, read_run
from segnet.runs.run_folder import RunFolder
from segnet.runs.scores import CalibrationBin, ClassScores, ScoredOn, Scores


def scores(mean_iou=0.5, loss=1.0, **changes):
    values = {
        "pixel_accuracy": 0.8,
        "mean_iou": mean_iou,
        "mean_dice": 0.6,
        "article_iou": None,
        "article_custom_iou": 0.25,
        "loss": loss,
        "per_class": {"pet": ClassScores(0.4, 0.5, None, 0.7, 0.3), "sky": ClassScores()},
        "confusion": ((3, 1), (0, 2)),
        "scored_on": ScoredOn("photos", "val", 12, 0),
    }
    return Scores(**(values | changes))


def epoch(number, **of_scores):
    return EpochRecord(number, scores(**of_scores), train_loss=0.9, lr=1e-3, size=(32, 48), seconds=1.5)


def test_an_epoch_goes_to_json_and_back():
    record = epoch(3)
    assert EpochRecord.from_dict(json.loads(json.dumps(record.to_dict()))) == record


def test_an_epoch_says_how_many_steps_were_dropped_only_where_some_were():
    dropped = replace(epoch(3), skipped=2)
    assert EpochRecord.from_dict(json.loads(json.dumps(dropped.to_dict()))) == dropped
    assert "skipped" not in epoch(3).to_dict()


def test_a_full_evaluation_goes_to_json_and_back():
    full = scores(
        per_class={"pet": ClassScores(0.4, boundary_f1=0.3), "sky": ClassScores()},
        boundary_f1=0.3,
        calibration_error=0.1,
        calibration=(CalibrationBin(0, None, None), CalibrationBin(6, 0.8, 0.7)),
    )
    assert Scores.from_dict(json.loads(json.dumps(full.to_dict()))) == full


def test_an_outcome_goes_to_json_and_back_and_says_what_the_majority_class_gives():
    outcome = Outcome(False, 3, "a tenth", scores(), scores(mean_iou=0.4), {"train": 5, "val": 2, "test": 0})
    plain = json.loads(json.dumps(outcome.to_dict()))
    assert Outcome.from_dict(plain) == outcome
    assert plain["majority"] == {"class": "pet", "pixel_accuracy": 0.3}


def test_scores_of_another_version_keep_what_this_one_does_not_know():
    plain = scores().to_dict() | {"panoptic_quality": 0.25}
    assert Scores.from_dict(plain).others == {"panoptic_quality": 0.25}
    assert Scores.from_dict(plain).to_dict() == plain


def test_scores_of_an_older_version_have_nothing_where_it_wrote_nothing():
    old = Scores.from_dict({"mean_iou": 0.5, "per_class": {"pet": {"iou": 0.4}}})
    assert (old.mean_iou, old.loss, old.scored_on) == (0.5, None, None)
    assert old.per_class["pet"] == ClassScores(iou=0.4)


@pytest.mark.parametrize(
    ("found", "best"),
    [
        ([(0.1, 1.0), (0.3, 1.0), (0.2, 0.1)], 2),
        ([(0.2, 1.0), (0.2, 0.9), (0.2, 0.95)], 2),
        ([(0.2, 1.0), (0.2, 1.0)], 1),
        ([(None, None), (None, 0.5)], 2),
    ],
    ids=[
        "the highest mean IoU",
        "of equal ones the lowest loss",
        "of these the first",
        "even without a score",
    ],
)
def test_the_epoch_that_is_kept(found, best):
    records = [epoch(number, mean_iou=iou, loss=loss) for number, (iou, loss) in enumerate(found, 1)]
    assert best_of(records).epoch == best


def test_half_a_line_is_counted_and_of_an_epoch_that_was_done_again_the_last_counts():
    lines = [
        json.dumps(epoch(number, loss=loss).to_dict()) for number, loss in ((1, 3.0), (2, 2.0), (2, 1.0))
    ]
    epochs, unreadable = parse_epochs([*lines, lines[0][:40], "", "[]", '{"epoch": 3, "val": null}'])
    assert [record.val.loss for record in epochs] == [3.0, 1.0]
    assert unreadable == 3


def manifest(*splits):
    def record(name):
        return ImageRecord(name, (image_id(name.encode()),), f"fingerprint of {name}"[-12:].encode())

    names = ("train", "val", "test")
    return Manifest(
        "photos",
        {"data": "/home/somebody/photos", "seed": 3},
        ("sky", "pet"),
        {split: tuple(map(record, content)) for split, content in zip(names, splits, strict=True)},
    )


def test_a_manifest_goes_to_its_file_and_back_a_line_for_each_image(tmp_path):
    written = manifest(["a", "b"], ["c"], [])
    RunFolder(tmp_path).write_manifest(written)
    assert RunFolder(tmp_path).read_manifest() == written
    lines = (tmp_path / "data.json").read_text().splitlines()
    assert sum(1 for line in lines if line.startswith("   [")) == 3


@pytest.mark.parametrize("content", ["{", "[]", '{"name": "x", "options": {}, "splits": {"train": [["a"]]}}'])
def test_a_damaged_manifest_is_named(tmp_path, content):
    (tmp_path / "data.json").write_text(content)
    with pytest.raises(SegnetError, match=r"data\.json is damaged"):
        RunFolder(tmp_path).read_manifest()
    assert read_run_fails(tmp_path)


def read_run_fails(folder):
    with pytest.raises(SegnetError):
        read_run(folder)
    return True


def test_changes_are_said_split_by_split_with_an_example():
    before = manifest(["a", "b", "c"], ["d"], [])
    assert before.changes(before) == ""
    assert before.changes(manifest(["a", "c", "x", "y"], ["d"], [])) == (
        "train had 3 images, of which now 1 missing (b) and 2 new (x, ..)"
    )
    renamed = replace(before, classes=("pet", "sky"))
    assert before.changes(renamed) == "the classes were sky, pet, are pet, sky"
    assert "reordered" in before.changes(manifest(["b", "a", "c"], ["d"], []))


def test_the_short_identity_has_six_bytes_an_image_and_no_path():
    identity = DataIdentity.of(manifest(["a", "b"], ["c"], []), paths={"data"})
    plain = json.dumps(identity.to_plain())
    assert "somebody" not in plain
    assert DataIdentity.from_plain(json.loads(plain)) == identity
    assert len(identity.to_plain()["splits"]["train"]["ids"]) == 2 * 6 * 4 // 3
    assert identity.held_out == "val"


def test_images_that_an_earlier_model_was_trained_on_stay_known(tmp_path):
    first, then = manifest(["a", "b"], ["c"], []), manifest(["d"], ["e"], [])
    tuned = replace(then, before=DataIdentity.of(first, ()).trained)
    RunFolder(tmp_path).write_manifest(tuned)
    assert RunFolder(tmp_path).read_manifest() == tuned
    identity = DataIdentity.of(tuned, ())
    assert DataIdentity.from_plain(json.loads(json.dumps(identity.to_plain()))) == identity
    assert identity.trained_on([*first.splits["train"], *first.splits["val"], *then.splits["train"]]) == 3
    assert tuned.changes(then) == "", "what it started from is no part of its data"


def test_whatever_the_order_and_the_names_the_same_images_are_the_same():
    one, other = manifest(["a", "b"], ["c"], []), manifest(["b", "a"], ["c"], [])
    renamed = [ImageRecord(f"new {each.name}", each.ids, each.fingerprint) for each in other.splits["train"]]
    identity = DataIdentity.of(one, ())
    assert identity.splits["train"] == DataIdentity.of(other, ()).splits["train"]
    assert identity.trained_on(renamed) == 2
    assert identity.trained_on(one.splits["val"]) == 0
    assert identity.own("val", [*renamed, *one.splits["val"]], ["train", "train", "train"]) == [2]


def test_the_own_split_is_taken_where_it_was_and_copies_elsewhere_are_not_counted():
    run = manifest(["a"], ["c", "d"], [])
    c, d = run.splits["val"]
    identity = DataIdentity.of(run, ())
    assert identity.own("val", [c, d, c], ["val", "val", "train"]) == [0, 1]
    assert identity.own("val", [c, d, d], ["train", "train", "train"]) == [0, 1]
    other_mask = ImageRecord("copy", c.ids, b"another mask")
    assert identity.own("val", [other_mask, c, d], ["train", "val", "val"]) == [1, 2]
    with pytest.raises(SegnetError, match="has 2 images, of which 1 are here"):
        identity.own("val", [c], ["val"])
    with pytest.raises(SegnetError, match="masks of the model's own val split"):
        identity.own("val", [other_mask, d], ["val", "val"])
