"""How far a model sees: computed layer by layer down to its deepest map, and measured on what it has learnt.

What is computed is the largest square that can have a say. It comes from gradients too, in a copy with
positive weights, so that it holds for any module, a user's own too. What is measured is the effective
receptive field (Luo et al., arXiv 1701.04128): how much each pixel does sway the logit of the centre.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from segnet.core.blocks import EncoderStage
from segnet.models.inspection.costs import kind_of, on_cpu, part_of, watched

_WIDEST_PX = 1 << 12  # what sees further sees all

Shares = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LayerField:
    """What one value of a layer's map sees."""

    name: str
    part: str
    """What part of the model it stands in, such as "encoder.2"."""
    kind: str
    step_px: int
    """Pixels of the image from one value of the map to the next."""
    sees_px: int | None
    """Side of what a value sees; None for the whole image."""


@dataclass(frozen=True)
class _Map:
    name: str
    module: nn.Module
    output: Tensor

    @property
    def width(self) -> int:
        """Values in a row; of tokens, which may have lost their rows, all."""
        return self.output.shape[-2 if isinstance(self.module, nn.Linear) else -1]

    def middle(self) -> Tensor:
        """Return what the map holds in its middle, channels last."""
        values = self.output if isinstance(self.module, nn.Linear) else self.output.movedim(1, -1)
        for side in reversed(values.shape[1:-1]):
            values = values.select(-2, side // 2)
        return values


def receptive_field(model: nn.Module, in_channels: int = 3) -> float:
    """Return the side in pixels of what one value of the deepest map sees; infinity for the whole image.

    The deepest map is the last of the smallest ones. Its middle value sees the pixels to which it has a
    gradient, in a copy with positive weights, where no sum cancels and no ReLU blocks. A max-pool would still
    block: it has a gradient to the largest value of a window alone. So one image darkens to the right, which
    makes that the leftmost value, and another to the left.
    """
    return _look_down(model, in_channels)[0]


def layer_fields(model: nn.Module, in_channels: int = 3) -> list[LayerField]:
    """Return what a value of each layer sees, from the image down to the deepest map.

    Layers are convolutions, pools and, of transformers, linear layers; a pool that is no module of its own is
    seen in the step of the next. The first that sees the whole image is the last in the list.
    """
    whole, images, maps = _look_down(model, in_channels)
    margin, width = images.shape[-2:]
    fields: list[LayerField] = []
    for each in maps:
        seen = _seen(each.middle(), images)
        is_all = math.isinf(whole) and (seen[0] < margin or seen[-1] >= width - margin)
        sees = None if is_all else seen[-1] - seen[0] + 1
        kind = "max-pool 2x2" if isinstance(each.module, EncoderStage) else kind_of(each.module)
        name = f"{each.name}.pool" if isinstance(each.module, EncoderStage) else each.name
        fields.append(LayerField(name, part_of(model, name), kind, round(width / each.width), sees))
        if sees is None:
            break
    return fields


def effective_field(model: nn.Module, images: Tensor) -> Shares:
    """Return how much each pixel sways the logit of the class that wins in the centre.

    The absolute gradient, summed over channels, as a share of all pixels; then the mean over images.

    Args:
        model: with trained weights; stays as it is, but goes into evaluation mode.
        images: ``(N, C, H, W)`` in [0, 1].

    Returns:
        ``(H, W)``; sums to 1, or to 0 where no pixel has any influence.
    """
    images = images.detach().clone().requires_grad_()
    logits: Tensor = model.eval()(images)
    centre = logits[:, :, logits.shape[2] // 2, logits.shape[3] // 2]
    (gradient,) = torch.autograd.grad(centre.amax(1).sum(), images)
    sway = gradient.abs().sum(1).double()
    shares = sway / sway.sum((1, 2), keepdim=True).clamp(min=1e-300)
    return np.asarray(shares.mean(0).cpu().numpy())


def square_with(shares: Shares, share: float) -> int:
    """Return the side of the smallest square round the centre pixel that holds ``share`` of the whole.

    Args:
        shares: ``(H, W)``, not negative.
        share: above 0, up to 1. What is outside the image counts as nothing.
    """
    height, width = shares.shape
    rows = abs(np.arange(height) - height // 2)[:, None]
    columns = abs(np.arange(width) - width // 2)
    distance = np.maximum(rows, columns)
    by_distance = np.bincount(distance.ravel(), shares.ravel())
    inside = np.cumsum(by_distance)
    return 2 * int(np.searchsorted(inside, share * inside[-1] * (1 - 1e-12))) + 1


def _look_down(model: nn.Module, in_channels: int) -> tuple[float, Tensor, list[_Map]]:
    """Return the receptive field, the images it was found on, and the maps from the first to the deepest."""
    duplicate = on_cpu(model).eval()
    random = torch.Generator().manual_seed(0)  # equal weights would cancel in a layer norm or a softmax
    for module in duplicate.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
        if isinstance(module, nn.ReLU6):
            module.max_val = math.inf  # a value at its limit would have no gradient
    for parameter in duplicate.parameters():
        # divided by the inputs of a value, so that values stay near 1
        parameter.requires_grad_(False).uniform_(0.5, 1.5, generator=random).div_(parameter[0].numel())
    least = max(getattr(model, "minimum_size", 16), 16)
    width = 16 * least
    while True:
        brightness = torch.linspace(2, 1, width)
        rows = torch.stack((brightness, brightness.flip(0))).view(2, 1, 1, width)
        images = rows.repeat(1, in_channels, least, 1).requires_grad_()
        maps, deepest = _maps(duplicate, images)
        middle = deepest[..., deepest.shape[-2] // 2, deepest.shape[-1] // 2]
        seen = _seen(middle, images)
        # next to the edges padding darkens an image, and a max-pool may take the wrong side
        if seen[0] >= least and seen[-1] < width - least:
            return seen[-1] - seen[0] + 1, images, maps
        if width * 4 > _WIDEST_PX:
            return math.inf, images, maps
        width *= 4


def _seen(middle: Tensor, images: Tensor) -> list[int]:
    """Return the columns of the images to which the values have a gradient."""
    weights = torch.rand(middle.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((middle * weights).sum(), images, retain_graph=True)
    return gradient.sum((0, 1, 2)).nonzero().flatten().tolist()


def _maps(model: nn.Module, images: Tensor) -> tuple[list[_Map], Tensor]:
    """Run the model; return the maps of its layers up to the deepest map, and that one."""
    maps: list[_Map] = []
    deepest, reached = images, 0

    def look(name: str, module: nn.Module, output: Any, result: Tensor) -> None:
        nonlocal deepest, reached
        pools = (nn.MaxPool2d, nn.AvgPool2d, EncoderStage)
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, *pools)):
            maps.append(_Map(name, module, result))
        if math.prod(result.shape[-2:]) <= math.prod(deepest.shape[-2:]):
            deepest, reached = result, len(maps)

    with watched(model, look):
        model(images)
    return maps[:reached], deepest
