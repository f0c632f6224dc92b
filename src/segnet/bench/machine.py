"""On which machine a measurement was taken."""

from __future__ import annotations

import os
import subprocess
from datetime import date

import torch

from segnet.base.device import cpu_name


def describe_machine(threads: int, device: torch.device | None = None) -> str:
    """Return date, processor, load, threads, torch and, of a CUDA device, its GPU: a CSV's comment line."""
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    gpu = f"; {describe_gpu(device)}" if device is not None and device.type == "cuda" else ""
    return (
        f"# {date.today()}, {cpu_name()}, {os.cpu_count()} cores, load before the start {load}, "
        f"{threads} threads, torch {torch.__version__}{gpu}"
    )


def describe_gpu(device: torch.device) -> str:
    """Return a CUDA device's name, its driver, and the versions of CUDA and cuDNN that torch brings."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, check=True, timeout=30)
        driver = said.stdout.split()[0]
    except (OSError, IndexError, subprocess.SubprocessError):
        driver = "unknown"
    return (
        f"{torch.cuda.get_device_name(device)}, driver {driver}, CUDA {torch.version.cuda}, "
        f"cuDNN {torch.backends.cudnn.version()}"
    )
