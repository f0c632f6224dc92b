"""On which machine a measurement was taken."""

from __future__ import annotations

import os
import platform
from datetime import date
from pathlib import Path

import torch


def describe_machine(threads: int) -> str:
    """Return date, processor, load, threads and torch as a comment line for a CSV."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    cpu = names[0] if names else platform.processor() or platform.machine()
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return (
        f"# {date.today()}, {cpu}, {os.cpu_count()} cores, load before the start {load}, "
        f"{threads} threads, torch {torch.__version__}"
    )
