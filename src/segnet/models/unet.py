"""U-Net (Ronneberger, Fischer and Brox, arXiv 1505.04597), the rival of Part 3 of the article series.

Four poolings, two 3x3 convolutions at each of five depths, and whole feature maps carried across where a
SegNet carries two bits a window::

    depth     0     1     2     3     4
    channels  64   128   256   512   1024       31,037,769 parameters with three classes

What differs from the paper: convolutions are padded, so logits are as large as the image and maps are carried
across uncropped; batch norm follows each convolution, which then has no bias, in place of a careful
initialisation; the input has a batch norm too, as the article's models have; and the deepest maps have no
dropout. The article gives its experiment no further detail than ordinary convolutions.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segnet.base.errors import SegnetError
from segnet.core.blocks import conv_chain
from segnet.core.pooling import max_pool_2x2
from segnet.models.encoders.vgg import VGGEncoded

# Channels at each depth, as multiples of the first.
WIDTHS = (1, 2, 4, 8, 16)


def double_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return the two units that each depth has on either side."""
    return nn.Sequential(*conv_chain(in_channels, (out_channels, out_channels)))


class UNet(VGGEncoded):
    """U-Net with padded convolutions. Images ``(N, C, H, W)`` in [0, 1], H and W at least 16.

    Args:
        num_classes: channels of the logits.
        in_channels: channels of the image.
        width: channels at the image's own size; each depth below doubles them.

    Raises:
        SegnetError: a width below 1.
    """

    vgg = "vgg13"  # all depths but the deepest

    def __init__(self, num_classes: int = 3, in_channels: int = 3, *, width: int = 64) -> None:
        super().__init__()
        if width < 1:
            raise SegnetError(f"unet takes a width of at least 1, got {width}")
        *widths, deepest = (width * factor for factor in WIDTHS)
        self.minimum_size = 2 ** len(widths)
        self.normalise = nn.BatchNorm2d(in_channels)
        self.encoder = nn.ModuleList(
            double_conv(before, after) for before, after in pairwise((in_channels, *widths))
        )
        self.bottom = double_conv(widths[-1], deepest)
        # Batch norm follows only after the next convolution, so these keep the paper's biases.
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * to, to, 2, stride=2) for to in reversed(widths))
        self.decoder = nn.ModuleList(double_conv(2 * to, to) for to in reversed(widths))
        self.classifier = nn.Conv2d(width, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(N, classes, H, W)``."""
        x: Tensor = self.normalise(image)
        skips = []
        for stage in self.encoder:
            skips.append(stage(x))
            # Only the maxima go on, but this pool keeps two bits a window for training and the stock one 64.
            x, _ = max_pool_2x2(skips[-1])
        x = self.bottom(x)
        for up, stage in zip(self.up, self.decoder, strict=True):
            skip = skips.pop()
            x = stage(torch.cat((skip, pad_to(up(x), skip)), 1))
        return self.classifier(x)


def pad_to(x: Tensor, like: Tensor) -> Tensor:
    """Add the zero row and column that pooling dropped from a map of odd size."""
    return F.pad(x, (0, like.shape[-1] - x.shape[-1], 0, like.shape[-2] - x.shape[-2]))
