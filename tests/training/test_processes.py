"""Many processes are one run: all that is said here is seen from outside.

Torchrun starts some, of which each imports PyTorch for seconds; the others are forked, and told of each other
as torchrun does.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch.distributed as dist
from PIL import Image

from segnet import TrainConfig, resume, train
from segnet.runs.records import read_run
from segnet.runs.steps import read_steps

from ..forked import new_store
from .conftest import TINY, draw_folder

pytestmark = [
    pytest.mark.skipif(not dist.is_available(), reason="this torch has no torch.distributed"),
    pytest.mark.usefixtures("plain_runs"),
]

PLAIN = Path(__file__).parents[1] / "plain.py"

PATIENCE_S = 300
"""What a test waits before it fails; each takes a fraction of it on an idle machine."""


def draw_noise(root, count):
    """Draw images full of noise: where a channel is almost constant, batch norm blows its rounding up."""
    draw_folder(root, count=count)
    for path in root.glob("*/images/*.png"):
        seed = [int(path.stem), "val" in path.parts]
        noise = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(noise).save(path)
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return draw_noise(tmp_path_factory.mktemp("processes"), count=19)


@pytest.fixture(scope="module")
def full_batches(tmp_path_factory):
    return draw_noise(tmp_path_factory.mktemp("full"), count=48)


def options(data, **changes):
    """Settings that say the same in one process and in many; SGD, since Adam blows rounding up."""
    settings = {
        "data": str(data),
        "model": "segnet-lite",
        "model_options": TINY,
        "size": 32,
        "batch_size": 8,
        "epochs": 2,
        "optimizer": "sgd",
        "lr": 0.01,
        "device": "cpu",
        "precision": "float32",
    }
    return settings | changes


def typed(settings):
    words = []
    for name, value in settings.items():
        option = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            words.append(option if value else option.replace("--", "--no-", 1))
        else:
            words += [option, json.dumps(value) if isinstance(value, dict) else str(value)]
    return words


@contextmanager
def started(processes, *words, folder, more=(), program=(PLAIN,)):
    """Let torchrun start a command, and clear away whatever is left of it."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes), *more]
    running = subprocess.Popen(
        [*map(str, (*command, *program, *words))],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield running
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGTERM)
            try:
                running.wait(40)
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)
        running.stdout.close()


def let_torchrun(processes, *words, folder, program=(PLAIN,)):
    with started(processes, *words, folder=folder, program=program) as running:
        out, _ = running.communicate(timeout=PATIENCE_S)
    return running.returncode, out


def said(out):
    """The lines that are segnet's errors."""
    return [line for line in out.splitlines() if line.startswith("segnet: ")]


def losses(folder):
    return [step.loss for step in read_steps(folder)]


def lines_until(running, wanted):
    """Read lines until one matches."""
    lines = []
    for line in running.stdout:
        lines.append(line)
        if re.search(wanted, line):
            return lines
    raise AssertionError("".join(lines))


def workers(running):
    """The process of each rank."""
    found = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rsplit(")", 1)[1].split()[1])
            if parent == running.pid:
                words = (status.parent / "environ").read_bytes().split(b"\0")
                rank = next(word[5:] for word in words if word.startswith(b"RANK="))
                found[int(rank)] = int(status.parent.name)
        except (OSError, StopIteration):
            continue
    return found


def assert_the_losses_of_one(forker, settings, processes, folder, steps):
    train(TrainConfig(**settings, out=folder / "one"))
    code, out = forker.run_many(processes, "train", *typed(settings), "--out", "many", cwd=folder)
    assert code == 0, out
    one, many = losses(folder / "one"), losses(folder / "many")
    assert len(one) == len(many) >= steps
    assert many[:steps] == pytest.approx(one[:steps], abs=1e-5)
    val = [read_run(folder / name).epochs[0].val for name in ("one", "many")]
    assert val[0].loss == pytest.approx(val[1].loss, abs=1e-4)
    assert sum(map(sum, val[0].confusion)) == sum(map(sum, val[1].confusion))


@pytest.mark.parametrize(
    ("model", "model_options"),
    [
        ("segnet-lite", {"stages": [[16, 1], [32, 2]], "bottleneck": [32, 2, 3]}),
        pytest.param("segnet", {"stages": 2}, marks=pytest.mark.campaign),
    ],
)
def test_two_of_8_images_have_the_losses_of_one_of_16(forker, full_batches, tmp_path, model, model_options):
    """Small images and steps: one process's own float32 is off by more where many pixels are summed."""
    settings = options(full_batches, model=model, model_options=model_options, size=16, lr=1e-4)
    assert_the_losses_of_one(forker, settings | {"batch_size": 16, "epochs": 7}, 2, tmp_path, steps=20)


def test_a_last_batch_that_leaves_one_without_an_image_is_trained_on_too(forker, data, tmp_path):
    """Of 19 images in batches of 8 it has three, for four processes."""
    changes = {"class_weights": "median-frequency", "loss": "cross-entropy+dice", "dihedral": True}
    assert_the_losses_of_one(forker, options(data, lr=0.001, **changes), 4, tmp_path, steps=6)


def test_bfloat16_takes_many_processes_too(forker, data, tmp_path):
    settings = options(data, precision="bfloat16", epochs=1)
    train(TrainConfig(**settings, out=tmp_path / "one"))
    code, out = forker.run_many(2, "train", *typed(settings), "--out", "many", cwd=tmp_path)
    assert code == 0, out
    assert losses(tmp_path / "many") == pytest.approx(losses(tmp_path / "one"), abs=0.05)


@pytest.mark.usefixtures("whole_runs")
def test_one_of_them_writes_and_speaks(data, tmp_path):
    settings = options(data, recipe="modern", epochs=2)
    train(TrainConfig(**settings, out=tmp_path / "one"))
    code, out = let_torchrun(2, "train", *typed(settings), folder=tmp_path, program=("-m", "segnet"))
    assert code == 0, out
    (many,) = (tmp_path / "runs").iterdir()
    files = [
        {path.relative_to(root) for path in root.rglob("*") if path.is_file()}
        for root in (tmp_path / "one", many)
    ]
    assert files[1] - files[0] == {Path("last/job")}
    assert files[0] <= files[1]
    assert len(re.findall(r"^epoch 1/2", out, re.MULTILINE)) == 1
    assert "2 processes take 4 of 8 images a step; batch norm over all of them" in out
    assert json.loads((many / "environment.json").read_text())["processes"] == 2
    for name in ("many", "one"):
        assert len(read_run(many if name == "many" else tmp_path / name).epochs) == 2


def test_a_run_of_two_goes_on_with_one_and_with_three(forker, data, tmp_path):
    settings = options(data, lr=0.001, epochs=3)
    train(TrainConfig(**settings, out=tmp_path / "one"))
    code, out = forker.run_many(2, "train", *typed(settings | {"epochs": 1}), "--out", "many", cwd=tmp_path)
    assert code == 0, out
    resume(tmp_path / "many", epochs=2)
    code, out = forker.run_many(3, "resume", "many", "--epochs", "3", cwd=tmp_path)
    assert code == 0, out
    # looser than above: the last batch of an epoch has few images, whose batch norm magnifies rounding
    assert losses(tmp_path / "many") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)


def test_without_synchronised_batch_norm_each_normalises_its_own(forker, data, tmp_path):
    settings = options(data, sync_batch_norm=False)
    code, out = forker.run_many(2, "train", *typed(settings), "--out", "many", cwd=tmp_path)
    assert code == 0, out
    assert "batch norm over each process's own" in out
    train(TrainConfig(**options(data, accumulate=2), out=tmp_path / "parts"))
    # the first step's parts are the processes' shares, and so are the images that batch norm sees
    assert losses(tmp_path / "many")[0] == pytest.approx(losses(tmp_path / "parts")[0], abs=1e-5)


def assert_one_line_of_a_death(out):
    assert len(said(out)) == 1, out
    assert "another process of this run has died" in said(out)[0]


@pytest.mark.parametrize("rank", [0, 1])
def test_one_that_is_killed_ends_the_others_in_one_line(forker, data, tmp_path, rank):
    settings = options(data, epochs=100_000)
    group = forker.start_many(2, "train", *typed(settings), "--out", "run", cwd=tmp_path)
    group[0].shows("^epoch 2/")
    group[rank].send(signal.SIGKILL)
    killed = time.monotonic()
    assert all(each.wait() != 0 for each in group)
    assert time.monotonic() - killed < 30
    assert_one_line_of_a_death("".join(each.output for each in group))


@pytest.mark.campaign
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to find the processes")
@pytest.mark.parametrize("rank", [0, 1])
def test_torchrun_too_ends_the_others_in_one_line(data, tmp_path, rank):
    settings = options(data, epochs=100_000)
    with started(2, "train", *typed(settings), "--out", "run", folder=tmp_path) as running:
        lines_until(running, "^epoch 2/")
        os.kill(workers(running)[rank], signal.SIGKILL)
        killed = time.monotonic()
        out = running.stdout.read()
        assert running.wait(PATIENCE_S) != 0
        assert time.monotonic() - killed < 30
    assert_one_line_of_a_death(out)


def assert_the_losses_of_one_that_nothing_happened_to(run, settings, folder):
    assert len(read_run(run).epochs) == settings["epochs"]
    train(TrainConfig(**settings, out=folder / "one"))
    assert losses(run)[:20] == pytest.approx(losses(folder / "one")[:20], abs=1e-4)


def test_processes_that_are_started_again_go_on_with_their_run(forker, data, tmp_path):
    settings, store = options(data, epochs=10, lr=0.001), new_store()
    for restart in (0, 1):
        job = {"TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_RESTART_COUNT": str(restart)}
        group = forker.start_many(2, "train", *typed(settings), cwd=tmp_path, store=store, **job)
        if restart:
            assert [each.wait() for each in group] == [0, 0], group[0].output
        else:
            group[0].shows("^epoch 3/")
            group[0].send(signal.SIGKILL)
            assert all(each.wait() != 0 for each in group)
    (run,) = (tmp_path / "runs").iterdir()
    assert_the_losses_of_one_that_nothing_happened_to(run, settings, tmp_path)


@pytest.mark.campaign
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to find the processes")
def test_what_torchrun_restarts_goes_on_with_its_run(data, tmp_path):
    settings = options(data, epochs=40, lr=0.001)
    more = ("--max-restarts", "1")
    with started(2, "train", *typed(settings), folder=tmp_path, more=more) as running:
        lines_until(running, "^epoch 3/")
        os.kill(workers(running)[0], signal.SIGKILL)
        out = running.stdout.read()
        assert running.wait(PATIENCE_S) == 0, out
    (run,) = (tmp_path / "runs").iterdir()
    assert_the_losses_of_one_that_nothing_happened_to(run, settings, tmp_path)


def test_a_stop_that_one_hears_is_a_stop_of_all(forker, data, tmp_path):
    settings = options(data, epochs=100_000)
    group = forker.start_many(2, "train", *typed(settings), "--out", "run", cwd=tmp_path)
    group[0].shows("^epoch 2/")
    group[1].send(signal.SIGTERM)
    assert [each.wait() for each in group] == [130, 130]
    out = "".join(each.output for each in group)
    assert said(out) == []
    assert "stopped; go on with: segnet resume run" in out
    assert not read_run(tmp_path / "run").outcome.finished


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"batch_size": 8, "accumulate": 5}, "give 10 or more (10, 20, 30, ... share evenly)"),
        ({"device": "mps"}, "--device mps with 2 processes; give cuda, of which each takes a GPU, or cpu"),
        ({"compile": True}, "--compile takes one process"),
        ({"loss": "cross-entropi"}, "cross-entropi"),
    ],
)
def test_a_mistake_is_said_once(forker, data, tmp_path, changes, says):
    words = typed(options(data, **changes))
    code, out = forker.run_many(2, "train", *words, "--out", "run", cwd=tmp_path)
    assert code == 2
    assert len(said(out)) == 1, out
    assert says in said(out)[0]
    assert not (tmp_path / "run").exists()


@pytest.mark.campaign
def test_a_mistake_is_said_once_to_torchrun_too(data, tmp_path):
    words = typed(options(data, accumulate=5))
    code, out = let_torchrun(2, "train", *words, "--out", "run", folder=tmp_path)
    assert code != 0
    assert len(said(out)) == 1, out
    assert re.findall(r"exitcode  : (-?\d+)", out)[-1] == "2"
    assert not (tmp_path / "run").exists()
