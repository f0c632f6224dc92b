"""What a person sees of a training: a bar on a terminal, and in a log lines that show that it goes on."""

import io

import pytest
from rich.console import Console

from segnet.training.outputs import console as progress


@pytest.fixture
def log():
    return io.StringIO()


def test_a_log_gets_a_line_a_minute_while_an_epoch_goes_on(log, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    asked = []

    def status():
        asked.append(now[0])
        return f"loss {now[0] / 1000:.3f}"

    with progress.epoch_progress(Console(file=log), "epoch 2/20", 10, done=3) as step:
        for _ in range(7):
            now[0] += 25
            step(status)
    assert log.getvalue() == "epoch 2/20 · step 6/10 · loss 0.075\nepoch 2/20 · step 9/10 · loss 0.150\n"
    assert asked == [75, 150], "reading a loss waits for the device"


def test_a_short_epoch_says_nothing_but_its_own_line(log):
    with progress.epoch_progress(Console(file=log), "epoch 1/20", 2) as step:
        for _ in range(2):
            step(lambda: pytest.fail("nothing is to be said"))
    assert log.getvalue() == ""


def test_who_doesnt_write_doesnt_look_at_the_loss_either():
    with progress.epoch_progress(Console(quiet=True, force_terminal=True), "epoch 1/20", 1) as step:
        step(lambda: pytest.fail("nobody sees it"))
