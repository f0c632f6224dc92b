"""The three moves on 2x2 windows, ``pool``, ``place`` and ``pick``, in four forms with the same results.

``plain`` is ordinary tensor operations: the definition, and what torch.compile sees. ``blocked`` is quick on
a CPU, ``cuda`` is Triton's, ``exported`` is for graphs that leave PyTorch, where codes are no bits but a map.
``kernels_for`` picks one for segnet.core.pooling.
"""

from __future__ import annotations

import warnings
from functools import cache
from importlib.util import find_spec
from typing import Protocol

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

from segnet.core.kernels import blocked, exported, plain


class Kernels(Protocol):
    """What each form offers. Arguments were checked by segnet.core.pooling."""

    def pool(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the maxima ``(N, C, H // 2, W // 2)`` and their codes, four to a byte where not exported."""

    def place(self, values: Tensor, codes: Tensor, size: tuple[int, int], accumulate: bool) -> Tensor:
        """Return zeros ``(N, C, *size)`` with each value where its code says.

        Accumulating means adding to the zeros, as a stock backward pass does: −0 becomes +0.
        """

    def pick(self, full: Tensor, codes: Tensor) -> Tensor:
        """Return what stands where the codes say, ``(N, C, H // 2, W // 2)``."""


def kernels_for(x: Tensor, *codes: Tensor) -> Kernels:
    """Return the quickest form that can handle a map, and codes where there are any, here and now."""
    if torch.compiler.is_exporting():
        return exported
    # Tracers, vmap and tensor subclasses (fake, functional) need operations that they can look into.
    if torch.compiler.is_compiling() or type(x) not in (Tensor, torch.nn.Parameter) or x.numel() == 0:
        return plain
    if any(map(is_functorch_wrapped_tensor, (x, *codes))):
        return plain
    if x.device.type == "cpu":
        return blocked
    if x.device.type == "cuda" and _triton_works(x.device.index):
        from segnet.core.kernels import cuda

        return cuda
    return plain


@cache
def _triton_works(device: int) -> bool:
    """Try the kernel once: Triton may be missing, too old, or without the C compiler that it needs."""
    if find_spec("triton") is None:
        return False
    try:
        from segnet.core.kernels import cuda

        cuda.pool(torch.zeros(1, 1, 2, 2, device=f"cuda:{device}"))
    except Exception as error:  # whatever it is, plain operations give the same result
        warnings.warn(f"the Triton kernels can't run, pooling will be slower: {error}", stacklevel=2)
        return False
    return True
