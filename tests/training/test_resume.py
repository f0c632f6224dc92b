"""A run that is stopped, killed or damaged goes on to the bits of one that never was."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
import torch
import yaml
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_post_hook

import segnet
from segnet import SegnetError, TrainConfig
from segnet.base.files import cache_folder
from segnet.runs.run_folder import RunFolder
from segnet.training.configuration.option_types import SaveEvery, parse_save_every
from segnet.training.state import Position, State, read_checkpoint, read_newest, save_checkpoint

from .conftest import TINY
from .test_patches import config_for, draw

pytestmark = pytest.mark.usefixtures("plain_runs")

STEPS = 3  # of an epoch: twelve images by four
MEASURED = ("seconds", "images_per_second", "data_wait_share", "peak_memory_mib", "validation_seconds")
RUNS = {
    "article": {"loss": "cross-entropy+0.5*dice", "epochs": 2},
    "dropout": {"model": "segnet-basic", "model_options": {"channels": 4, "dropout": 0.5}, "epochs": 2},
    "statistics": {"recompute_statistics": True, "epochs": 2},
    "skipping": {"on_nan": "skip", "epochs": 2, "recompute_statistics": True},
}


@pytest.fixture(scope="module")
def specks(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("specks"), count=3, side=70)


@pytest.fixture(scope="module")
def whole(drawn_folder, tmp_path_factory):
    """The modern recipe, never stopped."""
    return segnet.train(modern(drawn_folder, tmp_path_factory.mktemp("whole") / "run"))


def modern(data, out, **changes):
    """Progressive sizes, averaged weights, warm-up and crops."""
    settings = {"recipe": "modern", "model": "segnet-lite", "model_options": TINY, "size": 32, "seed": 3}
    settings |= {"batch_size": 4, "epochs": 3, "warmup_epochs": 1.5, "lr": 0.01}
    return TrainConfig(data=str(data), out=out, **(settings | changes))


@contextmanager
def ctrl_c_at(step):
    """Press Ctrl-C in the middle of an optimizer step, counted from 1."""
    done = 0

    def count(*_):
        nonlocal done
        done += 1
        if done == step:
            signal.raise_signal(signal.SIGINT)

    hook = register_optimizer_step_post_hook(count)
    try:
        yield
    finally:
        hook.remove()


def metrics(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in MEASURED} for line in lines]


def leaves(value, path=""):
    if isinstance(value, dict):
        return [leaf for key, each in value.items() for leaf in leaves(each, f"{path}/{key}")]
    if isinstance(value, list | tuple):
        return [leaf for key, each in enumerate(value) for leaf in leaves(each, f"{path}/{key}")]
    return [(path, value.numpy().tobytes() if isinstance(value, torch.Tensor) else value)]


def require_same(folder, whole):
    """The model file, the metrics but for times, first losses, weights, average, optimizer and pictures."""
    for name in ("model.safetensors", "steps.jsonl", "images.csv", "scores.json", "learning.gif"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    assert metrics(folder) == metrics(whole)
    ours, theirs = (read_checkpoint(RunFolder(path).state) for path in (folder, whole))
    assert ours.state.position is None
    assert leaves(ours.parts) == leaves(theirs.parts)


def stop_at_every_step(config, steps):
    """Train one step at a time, each time resumed from what Ctrl-C left."""
    with ctrl_c_at(1):
        run = segnet.train(config)
    for step in range(2, steps + 1):
        assert not run.finished
        epoch, inside = read_checkpoint(RunFolder(run.folder).state).state.at
        assert epoch * (steps // config.epochs) + inside == step - 1, "nothing was lost"
        torch.manual_seed(step)  # another process, another state
        with ctrl_c_at(1):
            run = segnet.resume(run.folder)
    assert not run.finished, "stopped before the last validation"
    return segnet.resume(run.folder)


@pytest.mark.parametrize(
    "name",
    [name if name == "article" else pytest.param(name, marks=pytest.mark.campaign) for name in RUNS],
)
def test_a_run_that_is_stopped_at_every_step_ends_with_the_same_bytes(tiny_config, tmp_path, name):
    whole = segnet.train(tiny_config(**RUNS[name], out=tmp_path / "whole"))
    config = tiny_config(**RUNS[name])
    stopped = stop_at_every_step(config, config.epochs * STEPS)
    assert stopped.finished
    require_same(stopped.folder, whole.folder)


def test_with_the_modern_recipe_too(drawn_folder, tmp_path, whole):
    stopped = stop_at_every_step(modern(drawn_folder, tmp_path / "stopped"), 3 * STEPS)
    require_same(stopped.folder, whole.folder)


def test_on_patches_too(specks, tmp_path):
    changes = {"patches": 8, "batch_size": 4, "epochs": 2, "crop_scale": 0.5, "ema_decay": 0.9}
    whole = segnet.train(config_for(specks, tmp_path / "whole", **changes))
    stopped = stop_at_every_step(config_for(specks, tmp_path / "stopped", **changes), 4)
    require_same(stopped.folder, whole.folder)


@pytest.mark.parametrize("name", ["article", "statistics"])
def test_ctrl_c_while_an_epoch_is_validated_loses_none_of_its_steps(tiny_config, tmp_path, name):
    whole = segnet.train(tiny_config(**RUNS[name], out=tmp_path / "whole"))
    steps = layers = 0

    def count(*_):
        nonlocal steps
        steps += 1

    def stop(*_):
        nonlocal layers
        layers += steps == STEPS
        if layers == 5:  # in the middle of the network, which is no step's
            signal.raise_signal(signal.SIGINT)

    hooks = register_optimizer_step_post_hook(count), register_module_forward_pre_hook(stop)
    try:
        stopped = segnet.train(tiny_config(**RUNS[name]))
    finally:
        for hook in hooks:
            hook.remove()
    assert read_checkpoint(RunFolder(stopped.folder).state).state.at == (0, STEPS)
    require_same(segnet.resume(stopped.folder).folder, whole.folder)


def test_saving_at_every_step_changes_nothing(drawn_folder, tmp_path, whole):
    saving = segnet.train(modern(drawn_folder, tmp_path / "run", save_every=1))
    require_same(saving.folder, whole.folder)


KILLED = """
import os, signal, sys
from torch.optim.optimizer import register_optimizer_step_post_hook
import segnet
from segnet.training.configuration.config_file import read_config
steps = iter(range(int(sys.argv[2]) - 1))
def kill(*_):
    if next(steps, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
register_optimizer_step_post_hook(kill)
segnet.train(read_config(sys.argv[1]))
"""


@pytest.mark.parametrize(("save_every", "at"), [("1", (1, 1)), (0, (1, 0))])
def test_a_run_that_is_killed_in_an_epoch_goes_on_from_its_last_save(
    forker, drawn_folder, tmp_path, capsys, whole, save_every, at
):
    config = modern(drawn_folder, tmp_path / "run", save_every=save_every)
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(config.to_dict()))
    code, output = forker.run(file, STEPS + 2, script=KILLED)
    assert code == -signal.SIGKILL, output
    assert read_newest(RunFolder(config.out))[0].state.at == at
    capsys.readouterr()
    require_same(segnet.resume(config.out).folder, whole.folder)
    assert ("it goes on after step 1 of epoch 2" in capsys.readouterr().out) == (at == (1, 1))


@pytest.mark.usefixtures("whole_runs")
@pytest.mark.parametrize(
    "place",
    [
        pytest.param("segnet.training.outputs.artifacts.write_learning_gif", marks=pytest.mark.campaign),
        "segnet.report.html.write_page",
    ],
)
def test_a_run_that_is_killed_when_all_but_its_pictures_is_written_makes_them(
    tiny_config, tmp_path, monkeypatch, place
):
    whole = segnet.train(tiny_config(epochs=1, out=tmp_path / "whole"))

    def kill(*_, **__):
        raise SystemExit  # as good as a kill: nothing that follows is written

    with monkeypatch.context() as patched:
        patched.setattr(place, kill)
        with pytest.raises(SystemExit):
            segnet.train(tiny_config(epochs=1))
    assert json.loads((tmp_path / "run/scores.json").read_text())["finished"]
    require_same(segnet.resume(tmp_path / "run").folder, whole.folder)
    assert (tmp_path / "run/report.html").is_file()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_a_terminal_that_is_closed_stops_a_run_like_ctrl_c(forker, tiny_config, tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(tiny_config().to_dict()))
    script = KILLED.replace("SIGKILL", "SIGHUP").replace(
        "segnet.train(",
        "from segnet.training.interrupt import stop_like_ctrl_c; stop_like_ctrl_c(); segnet.train(",
    )
    code, output = forker.run(file, 2, script=script)
    assert code == 0, output
    assert read_checkpoint(RunFolder(tmp_path / "run").state).state.at == (0, 2)


def test_another_end_is_planned_inside_an_epoch(tiny_config, tmp_path):
    changes = {"schedule": "constant"}
    whole = segnet.train(tiny_config(epochs=3, out=tmp_path / "whole", **changes))
    with ctrl_c_at(5):
        part = segnet.train(tiny_config(epochs=2, **changes))
    run = segnet.resume(part.folder, epochs=3)
    expected, found = (
        read_checkpoint(RunFolder(path).state).parts["model"] for path in (whole.folder, run.folder)
    )
    assert leaves(found) == leaves(expected)


def test_how_often_a_run_is_saved_may_change_while_it_goes_on(tiny_config):
    with ctrl_c_at(1):
        run = segnet.train(tiny_config(epochs=1))
    config = run.folder / "config.yaml"
    config.write_text(config.read_text().replace("save_every: 0", "save_every: 10min"))
    assert segnet.resume(run.folder).config.save_every == "10min"


@pytest.mark.parametrize(
    ("typed", "means"),
    [
        (0, SaveEvery()),
        (500, SaveEvery(steps=500)),
        ("500", SaveEvery(steps=500)),
        ("90s", SaveEvery(seconds=90)),
        ("10min", SaveEvery(seconds=600)),
        ("2 h", SaveEvery(seconds=7200)),
    ],
)
def test_how_often_is_steps_or_a_time(typed, means):
    assert parse_save_every(typed) == means


@pytest.mark.parametrize("typed", ["-1", "1.5", "often", "10m", "", True])
def test_what_is_neither_is_one_line(tiny_config, typed):
    with pytest.raises(
        SegnetError, match="--save-every takes steps or a time, such as 500, 90s, 10min or 2h"
    ):
        tiny_config(save_every=typed)


def test_a_time_is_over_once_it_has_passed():
    assert [SaveEvery(seconds=60).is_due(1, waited) for waited in (0.0, 59.9, 60.0)] == [False, False, True]
    assert [SaveEvery(steps=3).is_due(step, 1e9) for step in (1, 2, 3, 4, 6)] == [0, 0, 1, 0, 1]


# Damage


@pytest.fixture
def sealed(tmp_path):
    folder = RunFolder(tmp_path / "tiny")
    position = Position(step=2, loss_sum=torch.tensor(0.1), seen=8, lr=0.5)
    save_checkpoint(folder, {"lr": 1}, State([], position), {"model": nn.Linear(2, 1)})
    return folder.state


def test_what_is_saved_is_what_is_read(sealed):
    read = read_checkpoint(sealed)
    assert read.state.at == read.state.saved == (0, 2)
    assert read.state.position.loss_sum.equal(torch.tensor(0.1))
    assert torch.load(sealed, weights_only=True)["settings"] == {"lr": 1}, "torch alone reads it too"


def test_a_run_that_an_older_version_began_has_no_first_steps(sealed):
    content = torch.load(sealed, weights_only=True)
    del content["first_steps"]
    torch.save(content | {"format": 2}, sealed)
    assert read_checkpoint(sealed).state.first_steps is None


def test_every_flipped_byte_and_every_cut_is_noticed(sealed):
    content = sealed.read_bytes()
    for place in range(0, len(content), 3):
        for damaged in (
            content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :],
            content[:place],
        ):
            sealed.write_bytes(damaged)
            with pytest.raises(SegnetError, match="can't be read as the state of this run"):
                read_checkpoint(sealed)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "flipped": flip,
    "missing": lambda path: path.unlink(),  # killed between two renamings
    "empty": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_gives_way_to_the_one_before_it_with_a_warning(
    drawn_folder, tmp_path, capsys, whole, damage
):
    with ctrl_c_at(5):
        stopped = segnet.train(modern(drawn_folder, tmp_path / "run", save_every=1))
    folder = RunFolder(stopped.folder)
    DAMAGES[damage](folder.state)
    capsys.readouterr()
    with ctrl_c_at(1):
        segnet.resume(folder.path)
    warnings = [line for line in capsys.readouterr().out.splitlines() if "can't be read" in line]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"warning: {folder.state} can't be read as the state of this run: ")
    assert warnings[0].endswith("the run goes on after step 1 of epoch 2, from before.pt")
    at = [read_checkpoint(path).state.at for path in (folder.state_before, folder.state)]
    assert at == [(1, 1), (1, 2)], "the good one is still there, the damaged one isn't"
    require_same(segnet.resume(folder.path).folder, whole.folder)


def test_two_damaged_states_are_one_clear_error(tiny_config):
    run = segnet.train(tiny_config(epochs=1))
    folder = RunFolder(run.folder)
    for path in (folder.state, folder.state_before):
        flip(path)
    says = (
        r"both states of this run are damaged.*state.pt .*before.pt .*train it anew with segnet train --con"
    )
    with pytest.raises(SegnetError, match=says) as error:
        segnet.resume(run.folder, epochs=2)
    assert "\n" not in str(error.value)


def test_a_state_without_checksum_of_an_older_version_goes_on(tiny_config, tmp_path):
    whole = segnet.train(tiny_config(epochs=2, out=tmp_path / "whole"))
    with ctrl_c_at(STEPS + 1):
        run = segnet.train(tiny_config(epochs=2))
    folder = RunFolder(run.folder)
    content = torch.load(folder.state_before, weights_only=True)
    del content["position"], content["settings"]["save_every"], content["settings"]["on_nan"]
    torch.save(content | {"format": 2}, folder.state)
    folder.state_before.unlink()
    require_same(segnet.resume(run.folder).folder, whole.folder)


def test_a_disk_that_is_full_leaves_both_states_as_they_were(sealed, monkeypatch):
    resource = pytest.importorskip("resource", reason="file size limits are POSIX's")
    folder = RunFolder(sealed.parents[1])
    save_checkpoint(folder, {"lr": 2}, State(), {"model": nn.Linear(2, 1)})
    before = [path.read_bytes() for path in (folder.state, folder.state_before)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(SegnetError, match=r"can't write .*state\.pt"):
            save_checkpoint(folder, {}, State(), {"model": nn.Linear(300, 300)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.read_bytes() for path in (folder.state, folder.state_before)] == before


def test_a_disk_that_fills_up_ends_a_run_in_one_line_and_it_goes_on(drawn_folder, here, segnet, whole):
    """A limit on the size of files is as good as a full disk."""
    resource = pytest.importorskip("resource", reason="file size limits are POSIX's")
    (here / "config.yaml").write_text(yaml.safe_dump(modern(drawn_folder, here / "run").to_dict()))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    steps = iter(range(STEPS + 1))

    def fill(*_):
        if next(steps, None) is None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))

    hook = register_optimizer_step_post_hook(fill)
    try:
        ended = segnet("train", "--config", "config.yaml", "--save-every", "1")
    finally:
        hook.remove()
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    ended.is_a_mistake_in_one_line(f"can't write {here / 'run' / 'last' / 'state.pt'}: ")
    states = [read_checkpoint(path).state.at for path in (here / "run/last").glob("*.pt")]
    assert sorted(states) == [(1, 0), (1, 1)]
    assert segnet("resume", "run").code == 0
    require_same(here / "run", whole.folder)


def test_on_the_command_line_how_often_and_what_a_fault_does_are_typed(drawn_folder, here, segnet):
    (here / "config.yaml").write_text(yaml.safe_dump(modern(drawn_folder, here / "run", epochs=1).to_dict()))
    with ctrl_c_at(2):
        ended = segnet("train", "--config", "config.yaml", "--save-every", "10min")
    assert ended.code == 130
    assert "save_every: 10min" in (here / "run/config.yaml").read_text()
    ended = segnet("resume", "run", "--on-nan", "skip")
    assert ended.code == 0
    assert ended.out.startswith("it goes on after step 2 of epoch 1\n")
    assert "on_nan: skip" in (here / "run/config.yaml").read_text()
    again = segnet("train", "--config", "run/config.yaml", "--out", "again", "--epochs", "1")
    assert again.code == 0
    assert "save_every: 10min" in (here / "again/config.yaml").read_text()
    segnet("train", "--config", "config.yaml", "--save-every", "1.5").is_a_mistake_in_one_line(
        "steps or a time"
    )


@pytest.mark.usefixtures("whole_runs")
def test_ctrl_c_while_the_gif_is_drawn_says_how_to_go_on(tiny_config, tmp_path, monkeypatch, capsys):
    whole = segnet.train(tiny_config(epochs=1, out=tmp_path / "whole"))

    def stop(*_):
        signal.raise_signal(signal.SIGINT)

    capsys.readouterr()
    with monkeypatch.context() as patched:
        patched.setattr("segnet.training.outputs.artifacts.write_learning_gif", stop)
        with pytest.raises(KeyboardInterrupt):
            segnet.train(tiny_config(epochs=1))
    assert capsys.readouterr().out.endswith(f"stopped; go on with: segnet resume {tmp_path / 'run'}\n")
    require_same(segnet.resume(tmp_path / "run").folder, whole.folder)


def test_a_clock_that_was_set_back_changes_nothing(drawn_folder, tmp_path, whole):
    """All files are from tomorrow then."""
    with ctrl_c_at(STEPS + 1):
        run = segnet.train(modern(drawn_folder, tmp_path / "run"))
    tomorrow = time.time() + 86400
    for path in (*run.folder.rglob("*"), *cache_folder().rglob("*")):
        os.utime(path, (tomorrow, tomorrow))
    require_same(segnet.resume(run.folder).folder, whole.folder)


@pytest.mark.parametrize("seconds", [0.2, 0.6, 1.5])
def test_sigterm_while_libraries_are_imported_ends_without_a_word(drawn_folder, tmp_path, seconds):
    command = [sys.executable, "-m", "segnet", "train", "--data", str(drawn_folder)]
    command += ["--out", str(tmp_path / "run"), "--model", "segnet-lite", "--epochs", "1000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        time.sleep(seconds)
        process.terminate()
        _, errors = process.communicate(timeout=120)
    assert process.returncode in (130, -signal.SIGTERM), "the latter while Python itself begins"
    assert errors == b""
