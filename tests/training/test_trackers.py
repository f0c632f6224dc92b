"""Trackers, each read back from its own store without a network; and that none of them matters to a run."""

import importlib.util
import json
import math
from contextlib import nullcontext
from unittest.mock import Mock

import pytest

import segnet
from segnet import SegnetError
from segnet.base import extras
from segnet.training import loop
from segnet.training.outputs import artifacts, trackers
from segnet.training.outputs.trackers import NAMES, parse_trackers

pytestmark = pytest.mark.usefixtures("plain_runs")


def needs(package):
    missing = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(missing, reason=f"{package} isn't installed: pip install 'segnet[{package}]'")


def mean_ious(run):
    lines = (run.folder / "metrics.jsonl").read_text().splitlines()
    return {each["epoch"]: each["val"]["mean_iou"] for each in map(json.loads, lines)}


@pytest.fixture(autouse=True)
def _own_stores(tmp_path, monkeypatch):
    """Keep every tracker in this test's folder and off the network."""
    stores = tmp_path / "stores"
    stores.mkdir()
    monkeypatch.chdir(stores)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{stores}/mlflow.db")
    monkeypatch.setenv("TRACKIO_DIR", str(stores / "trackio"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("WANDB_MODE", "offline")


def train_and_go_on(tiny_config, tracker):
    """Two epochs, then one more in the same run."""
    segnet.train(tiny_config(epochs=2, track=tracker))
    return segnet.resume(tiny_config().out, epochs=3)


@needs("tensorboard")
def test_tensorboard_has_every_epoch_once(tiny_config):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = train_and_go_on(tiny_config, "tensorboard")
    events = EventAccumulator(str(run.folder / "tensorboard")).Reload()
    found = {event.step: event.value for event in events.Scalars("val/mean_iou")}
    assert found == pytest.approx(mean_ious(run))
    assert len(events.Scalars("val/mean_iou")) == 3
    assert events.Scalars("best/val/boundary_f1")[-1].value == pytest.approx(run.val.boundary_f1)
    assert "val/iou/object" in events.Tags()["scalars"]
    assert "configuration/text_summary" in events.Tags()["tensors"]


@needs("mlflow")
def test_mlflow_has_every_epoch_once_in_one_run(tiny_config):
    from mlflow import MlflowClient

    run = train_and_go_on(tiny_config, "mlflow")
    client = MlflowClient()
    experiment = client.get_experiment_by_name("segnet")
    (found,) = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(found.info.run_id, "val/mean_iou")
    assert {each.step: each.value for each in history} == pytest.approx(mean_ious(run))
    assert len(history) == 3
    assert (found.info.status, found.info.run_name) == ("FINISHED", run.folder.name)
    assert found.data.params["loss"] == "cross-entropy"
    assert found.data.metrics["best/val/mean_iou"] == pytest.approx(run.val.mean_iou)


@needs("trackio")
def test_trackio_has_every_epoch_once_in_one_run(tiny_config):
    from trackio.sqlite_storage import SQLiteStorage

    run = train_and_go_on(tiny_config, "trackio")
    (name,) = SQLiteStorage.get_runs("segnet")
    logs = [each for each in SQLiteStorage.get_logs("segnet", name) if "val/mean_iou" in each]
    assert [(each["step"], each["val/mean_iou"]) for each in logs] == [*mean_ious(run).items()]


def records_of(file):
    """The records in a .wandb file: LevelDB's log format after seven bytes, each whole or in fragments."""
    data, place, record = file.read_bytes(), 7, b""
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:  # no room for a header: the block's end is filled up
            place += 32768 - place % 32768
            continue
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        record += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last fragment
            yield record
            record = b""


@needs("wandb")
def test_wandb_writes_every_epoch_once_for_its_sync(tiny_config):
    from wandb.proto.wandb_internal_pb2 import Record

    run = train_and_go_on(tiny_config, "wandb")
    found, names = {}, set()
    for file in sorted(run.folder.rglob("*.wandb")):
        for data in records_of(file):
            record = Record.FromString(data)
            if record.HasField("run"):
                names.add(record.run.run_id)
            items = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
            if "val/mean_iou" in items:
                step = int(items["_step"])
                assert step not in found
                found[step] = float(items["val/mean_iou"])
    assert found == pytest.approx(mean_ious(run))
    assert len(names) == 1


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        (trackers.Tracking, "_note", 2),  # of the first epoch: it is logged, and not noted
        (trackers.Tracking, "epochs", 3),  # after the last epoch: it is saved, and not logged
        (artifacts, "write_learning_gif", 1),  # before the final scores
        (loop, "write_report", 1),  # after them
    ],
)
@needs("tensorboard")
def test_tensorboard_has_all_once_wherever_a_kill_comes(tiny_config, monkeypatch, owner, name, call):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    original, calls = getattr(owner, name), []

    def kill(*arguments):
        calls.append(name)
        if len(calls) == call:
            raise SystemExit("killed")
        return original(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, kill)
        with pytest.raises(SystemExit):
            segnet.train(tiny_config(epochs=2, track="tensorboard"))
    run = segnet.resume(tiny_config().out)
    events = EventAccumulator(str(run.folder / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("val/mean_iou")] == [1, 2]
    assert [event.step for event in events.Scalars("best/val/mean_iou")] == [run.best_epoch]
    assert (run.folder / "report.html").is_file()


@needs("tensorboard")
def test_a_run_has_the_same_bits_with_a_tracker_and_without(tiny_config, tmp_path):
    with_one = segnet.train(tiny_config(track="tensorboard", out=tmp_path / "with"))
    without = segnet.train(tiny_config(out=tmp_path / "without"))
    assert (with_one.folder / "model.safetensors").read_bytes() == (
        without.folder / "model.safetensors"
    ).read_bytes()


class Failing:
    """A tracker that takes one epoch and then has no room."""

    def __init__(self):
        self.steps = []

    def log(self, numbers, step):
        assert all(math.isfinite(value) for value in numbers.values())
        if self.steps:
            raise OSError("no space left\non the device")
        self.steps.append(step)

    def close(self, failed):
        raise AssertionError("it was left out")


class Watching:
    """A tracker that remembers how a run ended."""

    def __init__(self):
        self.ended = []

    def log(self, numbers, step):
        pass

    def close(self, failed):
        self.ended.append(failed)


@pytest.mark.parametrize(
    ("ends", "failed"), [(None, False), (KeyboardInterrupt, False), (SegnetError("diverged"), True)]
)
def test_a_tracker_is_closed_however_a_run_ends(tiny_config, monkeypatch, ends, failed):
    watching = Watching()
    monkeypatch.setitem(trackers._OPEN, "tensorboard", lambda *_: (watching, "known"))
    if ends is not None:
        monkeypatch.setattr(loop, "_validate", Mock(side_effect=ends))
    with pytest.raises(SegnetError, match="diverged") if failed else nullcontext():
        segnet.train(tiny_config(track="tensorboard"))
    assert watching.ended == [failed]


def test_a_tracker_that_fails_is_left_out_and_the_run_goes_on(tiny_config, monkeypatch, capsys):
    failing = Failing()
    monkeypatch.setattr(extras, "is_installed", lambda package: True)
    monkeypatch.setitem(trackers._OPEN, "wandb", lambda *_: (failing, "id"))
    run = segnet.train(tiny_config(track="wandb"))
    assert run.finished
    assert failing.steps == [1]
    out = capsys.readouterr().out
    assert out.count("warning: wandb fails and is left out: no space left on the device") == 1


def test_a_tracker_that_does_not_open_is_left_out(tiny_config, monkeypatch, capsys):
    def refuse(*_):
        raise RuntimeError("no server")

    monkeypatch.setattr(extras, "is_installed", lambda package: True)
    monkeypatch.setitem(trackers._OPEN, "mlflow", refuse)
    assert segnet.train(tiny_config(track="mlflow", epochs=1)).finished
    assert "warning: mlflow fails and is left out: no server" in capsys.readouterr().out


def test_a_tracker_that_is_not_installed_is_said_before_anything_is_read(tiny_config, monkeypatch):
    monkeypatch.setattr(extras, "is_installed", lambda package: False)
    with pytest.raises(SegnetError, match=r"--track mlflow needs MLflow: pip install 'segnet\[mlflow\]'"):
        segnet.train(tiny_config(track="mlflow"))
    assert not tiny_config().out.exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tensorbord", "there is no tracker 'tensorbord'; did you mean 'tensorboard'"),
        ("", "there is no tracker ''"),
        ("wandb,", "there is no tracker ''"),
        ("wandb,wandb", "names a tracker twice"),
    ],
)
def test_trackers_that_there_are_not_are_refused(tiny_config, text, says):
    with pytest.raises(SegnetError, match=says):
        segnet.train(tiny_config(track=text))


def test_trackers_stand_between_commas():
    assert parse_trackers(None) == ()
    assert parse_trackers("tensorboard, mlflow") == ("tensorboard", "mlflow")
    assert parse_trackers(",".join(NAMES)) == NAMES
