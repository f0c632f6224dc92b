"""The process that ``forked`` lets commands be forked from.

Each line that it reads is a command in JSON. For each it prints, as JSON too, the process that this has
become and, when it has ended, how.
"""

import json
import os
import signal
import sys
import threading
import traceback
from contextlib import nullcontext

import torch._dynamo

import segnet.base.distributed.shared_memory
import segnet.cli.launch
import segnet.training.run
from plain import plain  # it lies beside this script
from segnet.cli import main as be_segnet

WHAT_A_RUN_IMPORTS = (
    torch._dynamo,
    segnet.cli.launch,
    segnet.base.distributed.shared_memory,
    segnet.training.run,
)

STOPS = ("SIGINT", "SIGTERM", "SIGHUP")


def become(order):
    """Be the command, in the process that was forked for it."""
    code = 99
    try:
        os.setsid()
        os.chdir(order["cwd"])
        os.environ.update(order["environment"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(output, stream)
        for name in STOPS:
            handler = signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
            signal.signal(getattr(signal, name), handler)
        sys.argv = ["segnet", *order["words"]]
        with nullcontext() if order["draws"] else plain():
            if order["script"] is None:
                be_segnet()
            exec(order["script"], {"__name__": "__main__"})
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def answer(*words):
    os.write(1, (json.dumps(words) + "\n").encode())  # whole lines, whoever else prints


def tell_its_end(number, pid):
    _, status = os.waitpid(pid, 0)
    answer(number, "code", os.waitstatus_to_exitcode(status))


def main():
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if not pid:
            become(order)
        answer(order["number"], "pid", pid)
        threading.Thread(target=tell_its_end, args=(order["number"], pid), daemon=True).start()


if __name__ == "__main__":
    main()
