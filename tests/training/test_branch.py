"""``segnet resume --from``: another run begins where this one was, and this one stays as it is."""

import json
import shutil
from contextlib import contextmanager

import pytest
import torch
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_post_hook

import segnet
from segnet import SegnetError
from segnet.inference.model_file import read_weights
from segnet.runs.run_folder import RunFolder
from segnet.training import run, setup
from segnet.training.state import model_epoch, read_checkpoint

from .test_resume import STEPS, ctrl_c_at, flip, modern, require_same

pytestmark = pytest.mark.usefixtures("plain_runs")


def everything(folder):
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def whole(drawn_folder, tmp_path_factory):
    """Four epochs of the modern recipe, all of whose states are kept."""
    out = tmp_path_factory.mktemp("whole") / "run"
    return segnet.train(modern(drawn_folder, out, epochs=4, keep_epochs=4)).folder


@pytest.fixture(scope="module")
def plain(drawn_folder, tmp_path_factory):
    """The same run without ``keep_epochs``."""
    return segnet.train(modern(drawn_folder, tmp_path_factory.mktemp("plain") / "run", epochs=4)).folder


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_a_branch_without_changes_ends_with_the_bytes_of_the_run_it_left(whole, tmp_path, epoch):
    before = everything(whole)
    run = segnet.resume(whole, from_epoch=epoch, out=tmp_path / "branch")
    assert run.folder == tmp_path / "branch"
    require_same(run.folder, whole)
    assert (run.folder / "steps.jsonl").read_bytes() == (whole / "steps.jsonl").read_bytes()
    assert everything(whole) == before
    left = json.loads((run.folder / "environment.json").read_text())["branched_from"]
    assert left == {"run": str(whole.resolve()), "epoch": epoch, "takes": "the whole state"}


def test_keeping_epochs_changes_nothing_else(whole, plain):
    require_same(plain, whole)


def test_the_last_epochs_are_kept_and_the_best(drawn_folder, tmp_path):
    folder = RunFolder(segnet.train(modern(drawn_folder, tmp_path / "run", epochs=4, keep_epochs=1)).folder)
    best = read_checkpoint(folder.state).state.best.epoch
    assert folder.kept_epochs() == sorted({best, 4})
    for epoch in folder.kept_epochs():
        state = read_checkpoint(folder.kept_state(epoch)).state
        assert state.at == (epoch, 0)
        assert model_epoch(folder.kept_model(epoch)) == state.best.epoch
    assert len([*folder.path.glob("kept/*")]) == 2 * len(folder.kept_epochs()), "nothing else is left there"


@contextmanager
def forgetting():
    """Make every step forget all that was learnt."""

    def forget(optimizer, *_):
        for group in optimizer.param_groups:
            for weight in group["params"]:
                weight.detach().zero_()

    hook = register_optimizer_step_post_hook(forget)
    try:
        yield
    finally:
        hook.remove()


def test_without_kept_states_the_best_epoch_gives_its_weights_and_a_new_optimizer(plain, tmp_path):
    older = tmp_path / "older"
    shutil.copytree(plain, older)
    folder = RunFolder(older)
    best = read_checkpoint(folder.state).state.best.epoch
    with forgetting():  # so that neither of the last two states is the best epoch's
        segnet.resume(older, epochs=6)
    assert read_checkpoint(folder.state).state.best.epoch == best
    with ctrl_c_at(1):
        run = segnet.resume(older, from_epoch="best", epochs=best + 1, out=tmp_path / "branch")
    begun = read_checkpoint(RunFolder(run.folder).state_before)
    weights = read_weights(folder.model)[0]
    for part in (begun.parts["model"], begun.parts["ema"]["module"]):
        assert all(torch.equal(part[name], value) for name, value in weights.items())
    assert begun.parts["optimizer"]["state"] == {}
    assert [record.epoch for record in begun.state.records] == list(range(1, best + 1))
    again = segnet.resume(run.folder)
    assert again.finished
    assert "the optimizer starts anew" in (run.folder / "environment.json").read_text()


def test_what_is_not_kept_is_refused_with_what_is(plain, tmp_path):
    best = read_checkpoint(RunFolder(plain).state).state.best.epoch
    with pytest.raises(
        SegnetError, match=rf"epoch 1 of .* isn't kept; whole states: .*; best: epoch {best}; with"
    ):
        segnet.resume(plain, from_epoch=1, out=tmp_path / "branch")
    assert not (tmp_path / "branch").exists()


def test_a_state_whose_best_model_is_gone_is_not_offered(plain, tmp_path):
    """A later epoch was better, and its model has replaced what was best before."""
    run = tmp_path / "run"
    shutil.copytree(plain, run)
    (run / "model.safetensors").unlink()
    for wanted in (3, 4, "best"):
        with pytest.raises(SegnetError, match=r"whole states: none; .* is not that of its best epoch"):
            segnet.resume(run, from_epoch=wanted)


def test_a_run_that_replaces_its_best_model_meanwhile_leaves_no_wrong_branch(whole, tmp_path, monkeypatch):
    """It may be at work; what is copied must be what was found."""
    left, kept = tmp_path / "run", RunFolder(tmp_path / "run").kept_model(1)
    shutil.copytree(whole, left)

    def build(*arguments, **more):
        kept.unlink()  # as a run does that keeps the last few
        return setup.build(*arguments, **more)

    monkeypatch.setattr(run, "build", build)
    with pytest.raises(SegnetError, match=r"has moved on, and .* with it, before it was copied; try again"):
        segnet.resume(left, from_epoch=1, out=tmp_path / "branch")
    assert not (tmp_path / "branch").exists()


def test_a_branch_that_diverges_says_how_it_goes_on(whole, tmp_path):
    def break_it(module, inputs):
        if module.training and isinstance(module, torch.nn.Conv2d):
            return (inputs[0] * torch.nan,)

    hook = register_module_forward_pre_hook(break_it)
    try:
        with pytest.raises(SegnetError, match="to go on after epoch 2 without such steps: segnet resume"):
            segnet.resume(whole, from_epoch=2, out=tmp_path / "branch")
    finally:
        hook.remove()
    require_same(segnet.resume(tmp_path / "branch").folder, whole)


@pytest.mark.usefixtures("whole_runs")  # pictures and report are equal too
def test_a_branch_of_a_module_of_ones_own(drawn_folder, tmp_path):
    def tiny():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3, padding=1), torch.nn.BatchNorm2d(2))

    config = modern(drawn_folder, tmp_path / "run", model="segnet", model_options={}, epochs=2, keep_epochs=3)
    left = segnet.train(config, model=tiny()).folder
    run = segnet.resume(left, from_epoch=1, model=tiny(), out=tmp_path / "branch")
    require_same(run.folder, left)


def test_what_a_kill_has_left_of_a_kept_pair_goes_with_the_others(drawn_folder, tmp_path):
    config = modern(drawn_folder, tmp_path / "run", epochs=2, keep_epochs=1)
    folder = RunFolder(segnet.train(config).folder)
    folder.kept_state(2).unlink()
    segnet.resume(folder.path, epochs=4)
    names = {path.stem for path in folder.path.glob("kept/*")}
    assert names == {f"epoch_{epoch:03d}" for epoch in folder.kept_epochs()}


def test_a_kept_epoch_is_there_even_where_the_last_two_states_are_damaged(whole, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    for path in (RunFolder(run).state, RunFolder(run).state_before):
        flip(path)
    require_same(segnet.resume(run, from_epoch=3, out=tmp_path / "branch").folder, whole)


def test_a_branch_that_is_stopped_goes_on_and_one_with_another_end_ends_there(whole, tmp_path):
    with ctrl_c_at(STEPS + 1):
        run = segnet.resume(whole, from_epoch=2, out=tmp_path / "branch")
    require_same(segnet.resume(run.folder).folder, whole)
    longer = segnet.resume(whole, from_epoch=4, epochs=5, out=tmp_path / "longer")
    assert len((longer.folder / "metrics.jsonl").read_text().splitlines()) == 5


MISTAKES = {
    "resume run --from 4": "epoch 4 is where the run ends, so there is nothing to train after it; give",
    "resume run --from 9": "epoch 9 of run isn't kept; whole states: 1, 2, 3, 4; best: epoch ",
    "resume run --from last": "--from takes best or the number of an epoch, not 'last'",
    "resume run --out elsewhere": "--out is for a branch, which --from begins",
    "resume run --from 1 --out run": "run isn't empty; take another --out",
}


@pytest.mark.parametrize(("arguments", "says"), MISTAKES.items())
def test_a_mistake_is_one_line(segnet, here, whole, arguments, says):
    shutil.copytree(whole, here / "run")
    before = everything(here)
    segnet(*arguments.split()).is_a_mistake_in_one_line(says)
    assert everything(here) == before


def test_on_the_command_line(segnet, here, whole):
    shutil.copytree(whole, here / "run")
    ended = segnet("resume", "run", "--from", "best", "--epochs", "5", "--out", "branch")
    assert ended.code == 0, ended.err
    assert ended.out.startswith("branches from epoch ")


def test_a_branch_to_a_later_end_says_that_the_learning_rate_rises(whole, tmp_path, capsys):
    run = segnet.resume(whole, from_epoch=3, epochs=8, out=tmp_path / "branch")
    rates = [json.loads(line)["lr"] for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert f"rises from {rates[2]:.2g} to " in capsys.readouterr().out
    assert rates[3] > rates[2]
    segnet.resume(whole, from_epoch=3, out=tmp_path / "same")
    assert "learning rate" not in capsys.readouterr().out
