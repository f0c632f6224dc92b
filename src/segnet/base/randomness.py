"""Random numbers of one's own: drawn from a seed, without a trace in the caller's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch


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
