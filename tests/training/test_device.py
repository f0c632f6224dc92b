"""Training on a device that is not the CPU, which ``pretended`` stands in for: what lies where, who waits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from segnet import SegnetError, TrainConfig, train
from segnet.training.check import require_compiler

from .conftest import TINY

pytestmark = pytest.mark.usefixtures("plain_runs")

EPOCHS, STEPS = 2, 3  # of an epoch


@pytest.fixture(scope="module")
def settings(drawn_folder):
    return {
        "data": str(drawn_folder),
        "model": "segnet-lite",
        "model_options": TINY,
        "recipe": "modern",
        "size": (32, 32),
        "batch_size": 4,
        "epochs": EPOCHS,
        "precision": "float32",
    }


@pytest.fixture(scope="module")
def pretended(settings, tmp_path_factory):
    pytest.importorskip("torch.utils.backend_registration")
    if not hasattr(torch.utils.backend_registration, "_setup_privateuseone_for_python_backend"):
        pytest.skip("this torch has no devices made in Python")
    out = tmp_path_factory.mktemp("pretended") / "run"
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("pretended.py"), json.dumps(settings), out],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_it_learns_what_it_learns_on_the_cpu(pretended, settings, tmp_path):
    """Also when it goes on; on other devices batch norm is PyTorch's own, so digits differ."""
    here = train(TrainConfig(**settings | {"epochs": EPOCHS + 1, "out": tmp_path / "run"}))
    lines = (here.folder / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["train_loss"] for line in lines]
    assert pretended["losses"][:EPOCHS] == pytest.approx(losses[:EPOCHS], rel=0.01)
    assert len(pretended["losses"]) == EPOCHS + 1


def test_no_step_waits_for_the_device(pretended):
    """What it does once an epoch it may wait for; kornia moves its numbers to a GPU without waiting."""
    in_steps = {
        (what, who.partition(" < loop.train_epoch")[0]): count
        for what, who, count in pretended["noted"]
        if "loop.train_epoch" in who
    }
    once = {key for key, count in in_steps.items() if count <= EPOCHS}
    each_step = set(in_steps) - once
    assert each_step == {
        ("move to, no wait", "batches.read < batches.load_batches"),
        ("move from, no wait", "loss_watch.lets_learn < step.take_step"),
    }
    assert in_steps["move from, no wait", "loss_watch.lets_learn < step.take_step"] == EPOCHS * STEPS


def test_a_compiler_that_cannot_link_names_what_stands_in_the_way(monkeypatch):
    """Torch gives its own path to the linker without quotes; what follows is a screen of errors."""

    def fail(model):
        raise RuntimeError("ld returned 1 exit status")

    monkeypatch.setattr(torch, "compile", fail)
    monkeypatch.setattr(torch, "__file__", "/home/me/my work/.venv/torch/__init__.py")
    with pytest.raises(SegnetError, match=r"/my work/.venv/torch, since its path has a space"):
        require_compiler(torch.device("cpu"))
    monkeypatch.setattr(torch, "__file__", "/home/me/.venv/torch/__init__.py")
    with pytest.raises(SegnetError, match=r"needs a working C\+\+ compiler"):
        require_compiler(torch.device("cpu"))
