"""What the layers of a network compute, by PyTorch's own functions: what every runner of them must give."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from segnet.data.images.pixel_values import Pixels
from segnet.export.network import Network, NetworkLayer, Weights


class Reference:
    """A network that was read back from its file.

    Args:
        network: what ``from_bytes`` gives.
        dtype: of all maps; the engine computes in float32.
    """

    def __init__(self, network: Network, dtype: torch.dtype = torch.float32) -> None:
        self._scaling, self._layers, self._dtype = network.scaling, network.layers, dtype
        self._weights = [None if each is None else _for_torch(each, dtype) for each in network.weights]

    def logits(self, images: Pixels) -> npt.NDArray[np.float32]:
        """Return logits ``(N, classes, h, w)`` of images ``(N, h, w, C)``."""
        height, width = images.shape[1:3]
        return torch.cat([self.tensors(image)[-1][..., :height, :width] for image in images]).numpy()

    def tensors(self, image: Pixels, before_adding: dict[int, Tensor] | None = None) -> list[Tensor]:
        """Return the scaled image and what each layer gives, ``(1, channels, height, width)``.

        Args:
            image: ``(h, w, C)``
            before_adding: gets what a layer has before another map is added, by the number of its tensor.
        """
        with torch.inference_mode():
            tensors = [self._scaled(image)]
            positions = dict[int, Tensor]()  # of maxima, by the number of the pool's tensor
            for layer, weights in zip(self._layers, self._weights, strict=True):
                x = tensors[layer.source]
                if weights is not None:
                    kernel, bias = weights
                    groups = x.shape[1] if layer.op == "depthwise" else 1
                    y = F.conv2d(F.pad(x, layer.pad * 2), kernel, bias, layer.stride, groups=groups)
                elif layer.op == "pool":
                    y, positions[len(tensors)] = F.max_pool2d(x, 2, return_indices=True)
                elif layer.op == "unpool":
                    full = tensors[self._layers[layer.codes - 1].source].shape[-2:]
                    y = F.max_unpool2d(x, positions[layer.codes], (2, 2), output_size=full)
                elif layer.op == "upsample":
                    y = F.interpolate(x, scale_factor=2.0, mode="nearest")
                else:
                    y = F.pixel_shuffle(x, layer.factor)
                if layer.add is not None:
                    if before_adding is not None:
                        before_adding[len(tensors)] = y
                    y = y + tensors[layer.add]
                tensors.append(_activated(layer, y))
        return tensors

    def _scaled(self, image: Pixels) -> Tensor:
        x = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].to(self._dtype)
        below, right = (-side % self._scaling.multiple for side in image.shape[:2])
        scale, shift = (
            torch.tensor(each, dtype=self._dtype)[:, None, None]
            for each in (self._scaling.scale, self._scaling.shift)
        )
        return F.pad(x, (0, right, 0, below), "replicate") * scale + shift


def _activated(layer: NetworkLayer, x: Tensor) -> Tensor:
    if layer.activation == "none":
        return x
    return F.relu(x) if layer.activation == "relu" else F.relu6(x)


def _for_torch(weights: Weights, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return kernel ``(given, taken, height, width)`` and biases."""
    kernel, bias = (torch.from_numpy(each).to(dtype) for each in (weights.kernel, weights.bias))
    ordered = kernel.permute(2, 0, 1)[:, None] if kernel.ndim == 3 else kernel.permute(3, 2, 0, 1)
    return ordered.contiguous(), bias
