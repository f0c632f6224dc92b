"""Commands in processes forked from one that has imported all that training takes: no command waits for that.

``benchmarks/faults.py`` starts its trials like this. Tests that are about how Python starts, or about
torchrun, start their processes anew.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

LIMIT_S = 300
"""What a test waits before it fails; each takes a fraction of it on an idle machine."""


class Forked:
    """A command that runs."""

    def __init__(self, output):
        self.pid = None
        self.code = None
        """How it has ended: the exit code, or minus the number of the signal that killed it."""
        self.begun, self.over = threading.Event(), threading.Event()
        self._output = output

    @property
    def output(self):
        """What it has printed by now, to either stream."""
        return self._output.read_text() if self._output.exists() else ""

    def send(self, number):
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def shows(self, wanted):
        """Wait until it has printed what this pattern finds."""
        until = time.monotonic() + LIMIT_S
        while not re.search(wanted, self.output, re.MULTILINE):
            assert not self.over.is_set(), self.output
            assert time.monotonic() < until, self.output
            time.sleep(0.02)

    def wait(self):
        assert self.over.wait(LIMIT_S), self.output
        return self.code


def new_store():
    """Where processes meet."""
    from torch.distributed import TCPStore

    return TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


class Forker:
    """What commands are forked from."""

    def __init__(self, folder):
        self._folder, self._forked = folder, []
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("forking.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},  # threads don't outlive a fork
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            number, what, value = json.loads(line)
            forked = self._forked[number]
            if what == "pid":
                forked.pid = value
                forked.begun.set()
            else:
                forked.code = value
                forked.over.set()

    def start(self, *words, cwd=None, script=None, draws=False, **environment):
        """Start ``segnet`` with these words, or a script that has them as its arguments."""
        number, output = len(self._forked), self._folder / f"{len(self._forked)}.txt"
        forked = Forked(output)
        self._forked.append(forked)
        order = {
            "number": number,
            "words": [*map(str, words)],
            "script": script,
            "draws": draws,
            "cwd": str(cwd or Path.cwd()),
            "output": str(output),
            "environment": environment | {"SEGNET_CACHE": os.environ["SEGNET_CACHE"]},
        }
        print(json.dumps(order), file=self._process.stdin, flush=True)
        assert forked.begun.wait(LIMIT_S), "the process that is forked from says nothing"
        return forked

    def run(self, *words, **how):
        """Return how a command ended, and what it printed."""
        forked = self.start(*words, **how)
        return forked.wait(), forked.output

    def start_many(self, processes, *words, store=None, **how):
        """Tell as many processes of each other as torchrun does, which keeps what they meet in itself."""
        store = store or new_store()
        place = {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
        place |= {"MASTER_ADDR": store.host, "MASTER_PORT": str(store.port)}
        place |= {"TORCHELASTIC_USE_AGENT_STORE": "True"}
        ranks = map(str, range(processes))
        group = [self.start(*words, RANK=rank, LOCAL_RANK=rank, **place | how) for rank in ranks]
        group[0].store = store  # which is there as long as somebody holds it
        return group

    def run_many(self, processes, *words, **how):
        """Return how many processes ended, and what they printed; once one fails all others are stopped."""
        group = self.start_many(processes, *words, **how)
        left, code = [*group], 0
        while left:
            for each in [each for each in left if each.over.wait(0.02)]:
                left.remove(each)
                if each.code and not code:
                    code = each.code
                    for other in left:
                        other.send(signal.SIGTERM)
        return code, "".join(each.output for each in group)

    def close(self):
        for forked in self._forked:
            if not forked.over.is_set():
                forked.send(signal.SIGKILL)
        self._process.kill()
        self._process.wait(LIMIT_S)
        self._reader.join()
        self._process.stdin.close()
        self._process.stdout.close()
