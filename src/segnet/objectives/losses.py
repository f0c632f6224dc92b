"""The losses that training can minimise, each from logits ``(N, C, H, W)`` and a mask ``(N, H, W)``."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from segnet.core.classes import IGNORE_INDEX


def cross_entropy(logits: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of -log softmax(logits)[mask] over the pixels that aren't ignored, in float32.

    A batch without such a pixel has loss 0, not NaN: one fully ignored crop must not end a run.
    """
    target = mask.long()
    total = F.cross_entropy(logits.float(), target, ignore_index=IGNORE_INDEX, reduction="sum")
    return total / (target != IGNORE_INDEX).sum().clamp(min=1)
