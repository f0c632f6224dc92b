"""What a run is found again by, when torchrun starts its processes anew after one has died.

The command is then the same, and so is the job: torchrun's id of it, and on one machine the torchrun process
itself. A run folder keeps both in ``last/job``.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from pathlib import Path

from segnet.base.distributed.collectives import from_writer
from segnet.base.files import write_text
from segnet.runs.run_folder import RunFolder


def note_job(folder: RunFolder) -> None:
    """Note in a run folder which job it is of, where there is one."""
    if (job := _job()) is not None:
        write_text(folder.job, job)


def begun_before(out: Path | None) -> RunFolder | None:
    """Return the run that this very job has begun, and not finished, before its processes were started anew.

    Args:
        out: its folder, None for one below runs/.
    """
    if (job := _job()) is None:
        return None
    return from_writer(lambda: _newest(out, job))


def _newest(out: Path | None, job: str) -> RunFolder | None:
    places = [out] if out is not None else [path for path in Path("runs").glob("*") if path.is_dir()]
    runs = [RunFolder(path) for path in places]
    own = [run for run in runs if run.job.is_file() and run.job.read_text(encoding="utf-8") == job]
    going_on = [run for run in own if run.has_state and not run.report.is_file()]
    return max(going_on, key=lambda run: run.job.stat().st_mtime, default=None)


def _job() -> str | None:
    """Return what tells this job from others; None where nothing does, or torchrun has not started it."""
    name = os.environ.get("TORCHELASTIC_RUN_ID")
    if name is None:
        return None
    if os.environ.get("GROUP_WORLD_SIZE", "1") == "1":
        name += f" {platform.node()} {os.getppid()}"
    elif name == "none":  # torchrun's default, the same for all
        return None
    return f"{name} {hashlib.sha256(repr(sys.argv[1:]).encode()).hexdigest()}"
