"""PyTorch as the runtime: models as they are trained, on every device that torch knows."""

from __future__ import annotations

import io
import sys
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from segnet.base.device import move, pick_device
from segnet.base.errors import SegnetError
from segnet.base.forked import forked_after, require_cpu
from segnet.core.dropout import sampling_dropout
from segnet.inference.runtimes import Images, Logits
from segnet.inference.segmentation import SoftmaxSamples


class TorchRuntime:
    """A module in evaluation mode; it is moved to the device and stays this very object.

    Args:
        model: from images ``(N, C, h, w)`` in [0, 1] to logits ``(N, classes, h, w)``.
        device: where it computes from now on.
    """

    name = "torch"

    def __init__(self, model: nn.Module, device: torch.device | str = "cpu") -> None:
        self.place = torch.device(device)
        spare_threads(self.place)
        self._model = move(model, self.place).eval()

    def __reduce__(self) -> tuple[Any, ...]:
        """Send the module itself, with its weights: it may be of the user's own, or trained on since."""
        stream = io.BytesIO()
        try:
            torch.save(self._model, stream)
        except Exception as error:  # what stops pickle, in whatever the module holds
            raise SegnetError(
                f"the model ({type(self._model).__name__}) can't be sent to another process ({error}); call "
                "segnet.load in that process"
            ) from error
        return _restored, (stream.getvalue(), str(self.place))

    @property
    def model(self) -> nn.Module:
        """The module."""
        spare_threads(self.place)
        return self._model

    @property
    def device(self) -> str:
        """Torch's name of the device."""
        return str(self.place)

    def scaled(self, images: Images) -> Tensor:
        """Return what the model takes for uint8 images ``(N, h, w, C)``: ``(N, C, h, w)`` in [0, 1].

        Channels are last in memory, as they come, which is the order that the weights have too.
        """
        spare_threads(self.place)
        return torch.from_numpy(images).permute(0, 3, 1, 2).to(self.place).float().div_(255)

    def logits(self, images: Images) -> Logits:
        """Return float32 logits ``(N, classes, h, w)`` of uint8 images ``(N, h, w, C)``."""
        with torch.inference_mode():
            logits: Tensor = self._model(self.scaled(images))
        return np.ascontiguousarray(logits.float().cpu().numpy())

    def sample(self, image: Images, samples: int, seed: int) -> SoftmaxSamples:
        """Predict by the mean softmax of passes with dropout; their variance is the uncertainty.

        Bayesian SegNet (Kendall et al., arXiv 1511.02680): the mean predicts better than one pass without
        dropout from about 6 samples on, and the variance is high where the model doesn't know.

        The passes follow each other, so the first of many are those of few with the same seed, and memory is
        that of one. Neither the model nor torch's own random state is touched, so other threads may use both.

        Args:
            image: one uint8 image ``(h, w, C)``.
            samples: passes, at least 1; ``Segmenter.require_sampling`` has checked them and the seed.
            seed: decides what is dropped.
        """
        scaled = self.scaled(np.array(image[None]))
        mean = squares = torch.zeros((), dtype=torch.float64)
        generator = torch.Generator(scaled.device).manual_seed(seed)
        with sampling_dropout(generator), torch.inference_mode():
            for number in range(1, samples + 1):
                softmax = self.model(scaled)[0].cpu().double().softmax(0)  # not every device has float64
                # Welford's update: a sum of squares minus a square would lose digits where samples agree
                difference = softmax - mean
                mean = mean + difference / number
                squares = squares + difference * (softmax - mean)
        variance = (squares / samples).mean(0)
        return SoftmaxSamples(samples, mean.float().numpy(), variance.float().numpy())


_unsaid = [
    "segnet: this process was forked from one with PyTorch, so PyTorch computes with one thread here; "
    "processes that are spawned take more"
]


def spare_threads(device: torch.device) -> None:
    """Before anything is computed: let a process that was forked from one with torch use a single thread.

    OpenMP would wait for ever for threads that only the parent has. It is said once; each thread asks anew,
    since OpenMP has a number for each of them, which ``torch.get_num_threads`` sets when it is first called.

    Raises:
        SegnetError: a device that the parent process has used, and that this one can't use therefore.
    """
    if not forked_after("torch"):
        return
    if getattr(torch.get_device_module(device), "_is_in_bad_fork", bool)():
        require_cpu(str(device))
    if torch.get_num_threads() > 1:
        torch.set_num_threads(1)
        with suppress(IndexError):  # of threads that come at the same time one takes the text
            print(_unsaid.pop(), file=sys.stderr)


def _restored(module: bytes, device: str) -> TorchRuntime:
    place = pick_device(device)
    spare_threads(place)
    # no more is trusted here than pickle trusts already: the bytes are a part of what it reads
    return TorchRuntime(torch.load(io.BytesIO(module), "cpu", weights_only=False), place)
