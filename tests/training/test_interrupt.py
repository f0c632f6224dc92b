"""Signals that stop the command: while it imports, they end it at once."""

import os
import signal
import subprocess
import sys

import pytest

from segnet.training.interrupt import INTERRUPTED, interrupts_wait

# what is imported is stopped while it swallows whatever is raised, as some libraries do
IMPORTED = """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGNAL)
    for _ in range(100): pass
except BaseException:
    pass
"""
STOPPED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it, and nohup SIGHUP
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
from segnet.training.interrupt import interrupts_wait, stop_like_ctrl_c
stop_like_ctrl_c()
try:
    with interrupts_wait():
        os.kill(os.getpid(), signal.SIGNAL)
        print("whole", flush=True)
except KeyboardInterrupt:
    print("stopped", flush=True)
try:
    os.kill(os.getpid(), signal.SIGNAL)
    for _ in range(100): pass
except KeyboardInterrupt:
    print("stopped again", flush=True)
import half
print("went on")
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows sends itself no signals")
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_while_a_library_is_imported_a_signal_ends_the_program(tmp_path, number):
    (tmp_path / "half.py").write_text(IMPORTED.replace("SIGNAL", number))
    command = [sys.executable, "-c", STOPPED.replace("SIGNAL", number)]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout.split("\n") == ["whole", "stopped", "stopped again", ""], done.stderr
    assert (done.returncode, done.stderr) == (INTERRUPTED, "")


def test_handlers_of_others_stay_as_they_are():
    def mine(number, frame):
        raise AssertionError

    before = signal.signal(signal.SIGTERM, mine), signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with interrupts_wait():
            assert signal.getsignal(signal.SIGTERM) is mine
            assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
            signal.signal(number, handler)
