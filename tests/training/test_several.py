"""Runs of several seeds in one folder: each as it is alone, gone on with, summed up and compared."""

import json
import shutil
import statistics

import pytest

import segnet
from segnet import SegnetError
from segnet.report.spread import (
    difference_table,
    read_groups,
    require_alike,
    verdict_of_images,
    verdict_of_seeds,
)
from segnet.runs.records import read_run
from segnet.runs.run_folder import locked
from segnet.runs.seeds import SeedFolder, parse_seeds, read_seeds
from segnet.training import several
from segnet.training.several import require_seedless, resume_seeds, train_seeds

from .conftest import draw_folder

pytestmark = pytest.mark.usefixtures("plain_runs")


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def test_each_seed_is_the_run_that_it_is_alone(tiny_config, tmp_path):
    folder = SeedFolder(train_seeds(tiny_config(epochs=1, out=tmp_path / "group"), (0, 3)))
    alone = segnet.train(tiny_config(epochs=1, seed=3, out=tmp_path / "alone"))
    assert weights(folder.run(3)) == weights(alone.folder)
    summary = json.loads(folder.summary.read_text())
    values = [read_run(folder.run(seed)).outcome.val.mean_iou for seed in (0, 3)]
    assert (summary["seeds"], summary["split"]) == ([0, 3], "val")
    assert summary["scores"]["mean IoU"] == {
        "mean": pytest.approx(statistics.fmean(values)),
        "sd": pytest.approx(statistics.stdev(values)),
        "values": values,
    }
    assert {"boundary F1", "object IoU", "object boundary F1"} <= summary["scores"].keys()


def test_a_group_that_was_stopped_goes_on_where_it_was(tiny_config, tmp_path, monkeypatch):
    whole = SeedFolder(train_seeds(tiny_config(epochs=2, out=tmp_path / "whole"), (0, 1, 2)))
    folder = SeedFolder(tmp_path / "group")
    shutil.copytree(whole.path, folder.path)
    folder.summary.unlink()
    shutil.rmtree(folder.run(1))
    (folder.run(2) / "last" / "state.pt").unlink()  # killed before it could be resumed
    (folder.run(2) / "scores.json").unlink()

    def stop(config, **options):
        monkeypatch.setattr(several, "train", segnet.train)
        run = segnet.train(tiny_config(epochs=1, seed=1, out=config.out), **options)
        return type(run)(**(vars(run) | {"finished": False}))

    monkeypatch.setattr(several, "train", stop)
    resume_seeds(folder.path)
    with pytest.raises(SegnetError, match="has 2 of its 3 seeds; the others come with: segnet resume"):
        read_seeds(folder.path)
    shutil.rmtree(folder.run(1))
    resume_seeds(folder.path)
    assert json.loads(folder.summary.read_text()) == json.loads(whole.summary.read_text())
    assert weights(folder.run(2)) == weights(whole.run(2))


def test_groups_are_compared_by_their_spread_and_runs_by_their_images(tiny_config, tmp_path):
    first = train_seeds(tiny_config(epochs=1, out=tmp_path / "ce"), (0, 1))
    second = train_seeds(tiny_config(epochs=1, out=tmp_path / "dice", loss="dice"), (0, 1))
    one, two = read_groups([first, second])
    require_alike([one, two])
    assert next(iter(difference_table(one, two).columns[0].cells)) == "mean IoU"
    assert f"that of {first}, 95 % interval" in verdict_of_seeds(one, two)
    assert "what the choice of 2 and 2 seeds gives" in verdict_of_seeds(one, two)
    runs = [read_run(SeedFolder(folder).run(0)) for folder in (first, second)]
    verdict = verdict_of_images(*runs)
    assert verdict.startswith("on the 4 val images mean IoU of ")
    assert "what the choice of images gives (paired bootstrap). It says nothing of other seeds" in verdict
    with pytest.raises(SegnetError, match="is one run, and one seed has no spread to compare"):
        read_groups([first, SeedFolder(second).run(0)])
    with pytest.raises(SegnetError, match="there is no folder"):
        read_groups([first, tmp_path / "none"])
    assert read_groups([SeedFolder(first).run(0)]) is None


def test_runs_on_other_images_or_classes_do_not_compare(tiny_config, tmp_path):
    other = draw_folder(tmp_path / "other")
    image = sorted((other / "val" / "images").iterdir())[0]
    image.write_bytes(image.read_bytes() + b"another")
    renamed = draw_folder(tmp_path / "renamed")
    (renamed / "dataset.yaml").write_text("classes: [background, thing]\n")
    groups = [
        train_seeds(tiny_config(epochs=1, out=tmp_path / f"group{number}", **where), (0, 1))
        for number, where in enumerate(({}, {"data": str(other)}, {"data": str(renamed)}))
    ]
    for number, says in ((1, "their val images differ"), (2, "they have other classes")):
        with pytest.raises(SegnetError, match=f"don't compare: {says}"):
            require_alike(read_groups([groups[0], groups[number]]))
    smaller = train_seeds(tiny_config(epochs=1, out=tmp_path / "smaller", size=(16, 16)), (0, 1))
    with pytest.raises(SegnetError, match="don't compare: they were scored at other sizes"):
        require_alike(read_groups([groups[0], smaller]))
    with pytest.raises(SegnetError, match="at other sizes or against other masks"):
        verdict_of_images(*(read_run(SeedFolder(group).run(0)) for group in (groups[0], smaller)))
    runs = [read_run(SeedFolder(group).run(0)) for group in groups]
    with pytest.raises(SegnetError, match="of their val images, 4 and 4, they share 3"):
        verdict_of_images(runs[0], runs[1])
    with pytest.raises(SegnetError, match=r"one has the classes .* thing"):
        verdict_of_images(runs[0], runs[2])


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", (0, 1, 2)), ("0,1,2", (0, 1, 2)), ("4, 2", (4, 2)), (" 2 ", (0, 1))]
)
def test_seeds_are_how_many_or_which(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1", "a spread takes two seeds or more"),
        ("0", "a spread takes two seeds or more"),
        ("12345", "would be 12345 runs; name the seeds"),
        ("0,0", "names a seed twice"),
        ("x", "must be how many, such as 3, or which"),
        ("-3", "must be how many"),
        ("", "must be how many"),
        ("1,", "must be how many"),
        ("1 2", "must be how many"),
    ],
)
def test_seeds_that_make_no_sense_are_refused(text, says):
    with pytest.raises(SegnetError, match=says):
        parse_seeds(text)


def test_a_seed_beside_seeds_is_refused(tiny_config):
    with pytest.raises(SegnetError, match="the seed 3 and --seeds are one too many"):
        require_seedless(tiny_config(seed=3))


def test_a_group_goes_on_from_anywhere_and_one_process_at_a_time(tiny_config, tmp_path, monkeypatch):
    data = draw_folder(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    folder = SeedFolder(train_seeds(tiny_config(epochs=1, data="data", out=tmp_path / "group"), (0, 1)))
    shutil.rmtree(folder.run(1))
    monkeypatch.chdir(data)
    with (
        locked(folder.lock, folder.path),
        pytest.raises(SegnetError, match="another process is still at work"),
    ):
        resume_seeds(folder.path)
    resume_seeds(folder.path)
    assert read_seeds(folder.path).sentence().endswith("over 2 seeds, on the val split")


def test_ctrl_c_before_a_seeds_first_epoch_leaves_a_group_that_goes_on(tiny_config, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(several, "train", stop)
    folder = SeedFolder(train_seeds(tiny_config(epochs=1, out=tmp_path / "group"), (0, 1)))
    assert not folder.summary.exists()
    monkeypatch.setattr(several, "train", segnet.train)
    resume_seeds(folder.path)
    assert folder.summary.exists()


def test_nothing_is_left_of_a_group_that_could_not_begin(tiny_config, tmp_path):
    config = tiny_config(out=tmp_path / "group", class_weights=(1.0, 1.0, 4.0))
    with pytest.raises(SegnetError, match="needs 2 numbers"):
        train_seeds(config, (0, 1))
    assert not (tmp_path / "group").exists()
