"""Processes that share a batch find its loss, gradients and statistics, to the last digits of float64."""

import json
import os
import socket
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from segnet import SegnetError, create_model
from segnet.base.distributed import collectives
from segnet.base.distributed.collectives import agreed, first_of_machine, from_writer, joined, shared
from segnet.base.distributed.rank import may_speak, this_process
from segnet.core.sync_batch_norm import standing_in, synchronised
from segnet.training.losses.losses import make_loss

if __name__ != "__main__":
    from .apart import ends, started

LOSS = "cross-entropy+boundary+focal+label-smoothing+dice+tversky"
MODELS = {"segnet": {"stages": 2}, "segnet-lite": {"stages": [[8, 1], [8, 1]], "bottleneck": [8, 1, 3]}}
SHARES = (slice(0, 1), slice(1, 5), None)  # the third process has no image
PATIENCE_S = 300
needs_distributed = pytest.mark.skipif(
    not dist.is_available(), reason="this torch was built without torch.distributed"
)


def batch():
    random = torch.Generator().manual_seed(1)
    images = torch.rand(5, 3, 20, 18, dtype=torch.float64, generator=random)
    masks = torch.randint(0, 3, (5, 20, 18), generator=random).byte()
    masks[0, :9] = 255  # shares differ in what they count, too
    return images, masks


def learn(name):
    """Return the loss, the gradients and the statistics of one step, as this process finds them."""
    torch.manual_seed(0)
    model = create_model(name, 3, **MODELS[name]).double().train()
    images, masks = batch()
    here = this_process()
    rows = SHARES[here.rank] if here.total > 1 else slice(None)
    apart = nullcontext()
    if rows is None:
        rows, apart = slice(0, 2), standing_in()
        masks = torch.full_like(masks, 255)
    with synchronised(model) if here.total > 1 else nullcontext(), apart:
        weights = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
        network = shared(model)
        loss = make_loss(LOSS)(network(images[rows]), masks[rows], weights)
        (loss * here.total).backward()
    return [loss.detach(), *(parameter.grad for parameter in model.parameters()), *model.buffers()]


def many(rank, folder):
    with joined():
        found = {name: learn(name) for name in MODELS}
        found["agreed"] = list(agreed(rank == 1, False))
        found["said"] = from_writer(lambda: f"by {rank}")
    torch.save(found, f"{folder}/{rank}.pt")


class OddError(Exception):
    """One that can't be pickled."""

    def __init__(self, message):
        super().__init__(message)
        self.hook = lambda: None


FAILURES = [
    (first_of_machine, 1, ValueError("an odd image")),
    (first_of_machine, 0, KeyError("an odd name")),
    (first_of_machine, 1, SegnetError("an odd option")),
    (first_of_machine, 1, KeyboardInterrupt()),
    (first_of_machine, 0, OddError("no pickle")),
    (from_writer, 0, ValueError("an odd folder")),
    (from_writer, 0, OddError("no pickle")),
    (from_writer, 0, SegnetError("an odd file")),
]
"""How something is made, the process where that fails, and by what."""


def fail(rank, folder):
    """Let one process after another fail, and write down what this one hears of each."""
    heard = []
    with joined():
        for together, failing, error in FAILURES:

            def make(failing=failing, error=error):
                if rank == failing:
                    raise error

            try:
                together(make)
                heard.append("nothing")
            except BaseException as error:
                heard.append(f"{type(error).__name__}: {error}")
        # the first comes last and is done at once; the others ask its store again when it could have ended
        collectives._POLL_S = 2.0 * rank
        heard.append(first_of_machine(lambda: time.sleep(1 - rank / 2) or "made"))
    Path(folder, f"{rank}.json").write_text(json.dumps(heard))


def run_processes(count, what, folder):
    """Run this very file in several processes that meet."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    each = [(what, rank, str(folder), where | {"RANK": str(rank)}) for rank in range(count)]
    with started(__file__, *each) as processes:
        assert ends(processes, PATIENCE_S) == [0] * count


@needs_distributed
def test_whatever_one_process_raises_ends_the_others_by_name(tmp_path):
    run_processes(3, "fail", tmp_path)
    heard = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(3)]
    assert [each.pop() for each in heard] == ["made"] * 3
    elsewhere = "EndedElsewhereError: another process of this run has ended with "
    for (together, failing, error), *each in zip(FAILURES, *heard, strict=True):
        own = f"{type(error).__name__}: {error}"
        assert each.pop(failing) == own
        if isinstance(error, SegnetError):
            others = own if together is from_writer else f"{elsewhere}{error}"
        else:
            others = f"{elsewhere}{own}"
        assert each == [others] * 2


@needs_distributed
def test_three_processes_learn_what_one_does(tmp_path):
    run_processes(3, "many", tmp_path)
    alone = {name: learn(name) for name in MODELS}
    for rank in range(3):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert found["agreed"] == [True, False]
        assert found["said"] == "by 0"
        for name, one in alone.items():
            for ours, expected in zip(found[name], one, strict=True):
                torch.testing.assert_close(ours, expected, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("stopped", [False, True])
def test_before_they_have_met_the_others_leave_the_first_time_to_say_what_is_wrong(monkeypatch, stopped):
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        if stopped:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    for name, value in {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RANK", "0")
    assert may_speak()
    assert waits == []
    monkeypatch.setenv("RANK", "1")
    assert not may_speak()
    assert waits[0] > 0


if __name__ == "__main__":
    what, rank, folder, environment = ARGUMENTS  # noqa: F821 - as apart.py calls them
    os.environ.update(environment)
    {"many": many, "fail": fail}[what](rank, folder)
