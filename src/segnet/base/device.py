"""The device of a run, the precision it computes in, and its random numbers."""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

import torch
from torch import nn

from segnet.base.distributed.rank import this_process
from segnet.base.errors import SegnetError, refuse


def pick_device(name: str | torch.device) -> torch.device:
    """Return the device by name; "auto" takes cuda, then mps, then cpu. Each of many processes gets its own.

    Raises:
        SegnetError: a name torch doesn't know, or a device that isn't there.
    """
    if this_process().total > 1:
        return _own_device(str(name))
    if name == "auto":
        best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(best)
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        raise SegnetError(f"the device {name!r} can't be used here; try --device auto or cpu") from error
    return device


def _own_device(name: str) -> torch.device:
    """Return the device of one of many processes: the GPU of its number on its machine, or the CPU."""
    here, gpus = this_process(), torch.cuda.device_count()
    if name == "cpu" or (name == "auto" and not gpus):
        return torch.device("cpu")
    refuse(
        (
            name not in ("auto", "cuda"),
            f"--device {name} with {here.total} processes; give cuda, of which each takes a GPU, or cpu",
        ),
        (
            gpus < here.local_total,
            f"{here.local_total} processes on this machine need as many GPUs, and it has {gpus}; "
            f"start torchrun with --nproc-per-node {max(gpus, 1)}, or give --device cpu",
        ),
    )
    torch.cuda.set_device(here.local_rank)
    return torch.device("cuda", here.local_rank)


def move(model: nn.Module, device: torch.device) -> nn.Module:
    """Move a model in place and lay its 4-D weights out channels-last, as images are."""
    model.to(device)
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return model


def has_fast_bfloat16(device: torch.device) -> bool:
    """Say whether the device multiplies bfloat16 in hardware; where it doesn't, autocast only costs time."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        # get_capabilities is younger than our oldest torch
        features: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
        return bool(features.get("avx512_bf16") or features.get("amx_bf16"))
    return False


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return the context for the forward pass: bfloat16 autocast or nothing."""
    if precision == "bfloat16" or (precision == "auto" and has_fast_bfloat16(device)):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, torch's generators of the CPU and the device start at the seed; then they go on as before.

    ``torch.manual_seed`` would seed every device there is, also those that nobody restores.
    """
    current = torch.cuda.device(device) if device.type == "cuda" else nullcontext()
    with torch.random.fork_rng(devices=[]), current:
        torch.default_generator.manual_seed(seed)
        if device.type == "cpu":
            yield
            return
        place = torch.get_device_module(device)
        before = place.get_rng_state()
        try:
            place.manual_seed(seed)
            yield
        finally:
            place.set_rng_state(before)


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory for the next step in place of handing it back to the kernel.

    By default every large tensor is a fresh mapping whose pages are zeroed again on first touch: training
    wide maps on a CPU then spends most of its time there (benchmarks/cpu_settings.py). Other C libraries and
    systems are left alone.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # musl
        return
    m_trim_threshold, m_mmap_threshold = -1, -3
    mallopt(m_mmap_threshold, 1 << 30)
    mallopt(m_trim_threshold, (1 << 31) - 1)


def peak_memory_mib(device: torch.device) -> float:
    """Return the most memory so far: torch's own on a GPU, the whole process's elsewhere, 0 if unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if sys.platform == "win32":
        return 0.0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def cpu_name() -> str:
    """Return the processor's name."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
