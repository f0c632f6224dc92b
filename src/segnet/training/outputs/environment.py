"""What a run's numbers depend on besides its configuration and data."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from segnet import __version__
from segnet.base.device import cpu_name
from segnet.base.distributed.rank import this_process


def describe_environment(device: torch.device) -> dict[str, Any]:
    """Return the command, the versions and the machine."""
    names = ("torch", "numpy", "pillow", "kornia", "safetensors")
    return {
        "command": _command(),
        "segnet": __version__,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in names},
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processes": this_process().total,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _command() -> str | None:
    """Return the command line, also of ``python -m segnet``; None where a program of the user's trains."""
    program = Path(sys.argv[0])
    ours = program.stem == "segnet" or (program.name == "__main__.py" and program.parent.name == "segnet")
    return shlex.join(["segnet", *sys.argv[1:]]) if ours else None
