"""FCN-8s (Long, Shelhamer and Darrell, arXiv 1411.4038), which the SegNet paper measures itself by.

VGG16 made fully convolutional: its 13 convolutions, then its two dense layers of 4096 as a 7x7 and a 1x1
convolution, which hold nine tenths of the parameters. Class scores at 1/32 of the size are doubled and added
to scores of the fourth pool, doubled and added to those of the third, and enlarged eight times, each time by
a transposed convolution that starts as bilinear interpolation.

What differs from the paper: convolutions are padded by as much as they cover, where the paper pads the image
by 100 pixels and crops; batch norm follows each convolution, so that it trains from scratch, where the paper
starts from VGG16's weights; and the input has a batch norm too, as the article's models have.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segnet.base.errors import SegnetError
from segnet.core.blocks import ConvBNReLU, conv_chain, crop, pad_to_multiple
from segnet.core.pooling import max_pool_2x2
from segnet.models.encoders.vgg import VGGEncoded, vgg16_channels


class FCN(VGGEncoded):
    """FCN-8s. Images ``(N, C, H, W)`` in [0, 1], H and W at least 32.

    Args:
        num_classes: channels of the logits.
        in_channels: channels of the image.
        width: channels of the first stage, VGG16's 64; those of the others keep their proportion to it.
        head: channels of the two convolutions that were VGG16's dense layers.
        dropout: share of the head's values that are dropped in training, as in the paper.

    Raises:
        SegnetError: no channels, or a dropout outside 0 to 1.
    """

    def __init__(
        self,
        num_classes: int = 3,
        in_channels: int = 3,
        *,
        width: int = 64,
        head: int = 4096,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if width < 1 or head < 1 or not 0 <= dropout < 1:
            raise SegnetError(
                "fcn takes a width and a head of at least 1 and a dropout from 0 to below 1, "
                f"got {width}, {head} and {dropout}"
            )
        encoder = vgg16_channels(width)
        inputs = (in_channels, *(stage[-1] for stage in encoder))
        self.minimum_size = 2 ** len(encoder)
        self.normalise = nn.BatchNorm2d(in_channels)
        self.encoder = nn.ModuleList(
            nn.Sequential(*conv_chain(before, stage)) for before, stage in zip(inputs, encoder, strict=False)
        )
        self.head = nn.Sequential(
            ConvBNReLU(inputs[-1], head, 7),
            nn.Dropout(dropout),
            ConvBNReLU(head, head, 1),
            nn.Dropout(dropout),
        )
        third, fourth = inputs[3:5]
        self.score_head = nn.Conv2d(head, num_classes, 1)
        self.score_fourth = nn.Conv2d(fourth, num_classes, 1)
        self.score_third = nn.Conv2d(third, num_classes, 1)
        self.twice_to_fourth = bilinear(num_classes, 2)
        self.twice_to_third = bilinear(num_classes, 2)
        self.eight_times = bilinear(num_classes, 8)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(N, classes, H, W)``."""
        height, width = image.shape[-2:]
        x: Tensor = self.normalise(pad_to_multiple(image, self.minimum_size))
        pools = []
        for stage in self.encoder:
            # Only the maxima go on, but this pool keeps two bits a window for training and the stock one 64.
            x, _ = max_pool_2x2(stage(x))
            pools.append(x)
        _, _, third, fourth, fifth = pools
        scores = self.score_head(self.head(fifth))
        scores = self.twice_to_fourth(scores) + self.score_fourth(fourth)
        scores = self.twice_to_third(scores) + self.score_third(third)
        logits: Tensor = self.eight_times(scores)
        return crop(logits, (height, width))


def bilinear(channels: int, factor: int) -> nn.ConvTranspose2d:
    """Return a transposed convolution that starts as bilinear enlargement of each channel; no biases."""
    layer = nn.ConvTranspose2d(channels, channels, 2 * factor, factor, padding=factor // 2, bias=False)
    position = (torch.arange(2 * factor, device=layer.weight.device) + 0.5) / factor - 1
    triangle = 1 - position.abs()
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[range(channels), range(channels)] = triangle[:, None] * triangle
    return layer
