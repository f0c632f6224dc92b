"""A test file in processes of its own, forked from one that has imported torch, which takes seconds."""

import runpy
from contextlib import contextmanager
from multiprocessing import get_context

_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        "pytest",
        "torch",
        "torch.distributed",
        "segnet.base.distributed.shared_memory",
        "segnet.base.distributed.collectives",
        "segnet.training.losses.losses",
    ]
)


@contextmanager
def started(file, *lists):
    """Run the file as a script in a process for each list, there called ``ARGUMENTS``; none outlives this."""
    processes = [
        _FORKS.Process(
            target=runpy.run_path,
            args=(str(file),),
            kwargs={"init_globals": {"ARGUMENTS": arguments}, "run_name": "__main__"},
        )
        for arguments in lists
    ]
    try:
        for process in processes:
            process.start()
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.join()


def ends(processes, longest_s):
    """Wait for processes and return how each ended."""
    for process in processes:
        process.join(longest_s)
    return [process.exitcode for process in processes]
