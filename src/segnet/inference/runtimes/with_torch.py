"""PyTorch as the runtime: models as they are trained, on every device that torch knows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from segnet.core.device import move
from segnet.inference.runtimes import Images, Logits


class TorchRuntime:
    """A module in evaluation mode; it is moved to the device and stays this very object.

    Args:
        model: from images ``(N, C, h, w)`` in [0, 1] to logits ``(N, classes, h, w)``.
        device: where it computes from now on.
    """

    name = "torch"

    def __init__(self, model: nn.Module, device: torch.device | str = "cpu") -> None:
        self.place = torch.device(device)
        self.model = move(model, self.place).eval()

    @property
    def device(self) -> str:
        """Torch's name of the device."""
        return str(self.place)

    def scaled(self, images: Images) -> Tensor:
        """Return what the model takes for uint8 images ``(N, h, w, C)``: ``(N, C, h, w)`` in [0, 1].

        Channels are last in memory, as they come, which is the order that the weights have too.
        """
        return torch.from_numpy(images).permute(0, 3, 1, 2).to(self.place).float().div_(255)

    def logits(self, images: Images) -> Logits:
        """Return float32 logits ``(N, classes, h, w)`` of uint8 images ``(N, h, w, C)``."""
        with torch.inference_mode():
            logits: Tensor = self.model(self.scaled(images))
        return np.ascontiguousarray(logits.float().cpu().numpy())
