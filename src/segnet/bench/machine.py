"""On which machine a measurement was taken."""

from __future__ import annotations

import os
from datetime import date

import torch

from segnet.core.device import cpu_name


def describe_machine(threads: int) -> str:
    """Return date, processor, load, threads and torch as a comment line for a CSV."""
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return (
        f"# {date.today()}, {cpu_name()}, {os.cpu_count()} cores, load before the start {load}, "
        f"{threads} threads, torch {torch.__version__}"
    )
