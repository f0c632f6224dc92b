"""segnet-efficient: the compact SegNets' decoder on an encoder that has learnt from ImageNet.

The encoder is EfficientNet-Lite (``models/encoders/efficientnet_lite.py``). Each of its five maps goes to the
decoder through a 1x1 convolution. There the deepest one passes depthwise-separable units, as in the compact
family, is doubled in height and width, and the map of the next level is added; and so on up. Logits come out
of channels at the end (``pixel_shuffle``, arXiv 1609.05158), so no map has the image's full size.

With efficientnet-lite0 it has 3,122,284 parameters, 2,958,848 of them in the encoder.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional as F

from segnet.base.errors import SegnetError, did_you_mean
from segnet.core.blocks import ConvBN, crop, pad_to_multiple
from segnet.core.pooling import max_pool_2x2, max_unpool_2x2
from segnet.models.compact import SeparableUnit, scaled
from segnet.models.encoders.efficientnet_lite import SCALES, efficientnet_lite
from segnet.models.encoders.efficientnet_weights import PUBLISHED, load_efficientnet

CHANNELS = (48, 64, 96, 128, 128)
"""Channels of the decoder's maps at width 1, from half the image's size down."""
UNITS = 2  # of each level
# What the encoder's weights were trained on: values from 0 to 255, less 127, divided by 128.
_SCALE, _SHIFT = 255 / 128, -127 / 128


class SegNetEfficient(nn.Module):
    """A SegNet decoder on EfficientNet-Lite. Images ``(N, C, H, W)`` in [0, 1], H and W at least 32.

    Sides that can't be halved five times are padded with the last row and column, so no map is ever odd.

    Args:
        num_classes: channels of the logits.
        in_channels: channels of the image.
        encoder: efficientnet-lite0, -lite1 or -lite2.
        width: factor on the decoder's channels, 0.25 to 4; multiples of 16.
        upsampling: "nearest", or "indices": each value goes to where the largest one of the added map is.

    Raises:
        SegnetError: one of these is out of its range.
    """

    def __init__(
        self,
        num_classes: int = 3,
        in_channels: int = 3,
        *,
        encoder: str = "efficientnet-lite0",
        width: float = 1.0,
        upsampling: str = "nearest",
    ) -> None:
        super().__init__()
        if encoder not in SCALES:
            raise SegnetError(f"there is no encoder {encoder!r}{did_you_mean(encoder, SCALES)}")
        if upsampling not in ("nearest", "indices"):
            raise SegnetError(f"segnet-efficient upsamples by nearest or indices, got {upsampling!r}")
        self.encoder, given = efficientnet_lite(encoder, in_channels)
        self.minimum_size = 2 ** len(given)
        self.encoder_name = encoder
        self.published = PUBLISHED[encoder]
        self.by_indices = upsampling == "indices"
        taken = [scaled(channels, width) for channels in CHANNELS]
        self.laterals = nn.ModuleList(ConvBN(*channels, 1) for channels in zip(given, taken, strict=True))
        self.decoder = nn.ModuleList(
            nn.Sequential(
                *(SeparableUnit(before, before) for _ in range(UNITS - 1)), SeparableUnit(before, after)
            )
            for before, after in pairwise((*reversed(taken), taken[0]))
        )
        self.classifier = nn.Conv2d(taken[0], num_classes * 4, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(N, classes, H, W)``."""
        x = pad_to_multiple(image, self.minimum_size) * _SCALE + _SHIFT
        maps = []
        for level, lateral in zip(self.encoder, self.laterals, strict=True):
            x = level(x)
            maps.append(lateral(x))
        x = maps.pop()
        for stage in self.decoder:
            x = stage(x)
            if maps:
                x = self._upsampled(x, maps[-1]) + maps.pop()
        logits = F.pixel_shuffle(self.classifier(x), 2)
        return crop(logits, (image.shape[-2], image.shape[-1]))

    def load_encoder(self, path: Path) -> None:
        """Start the encoder from weights of the same EfficientNet-Lite; see ``efficientnet_weights.py``."""
        load_efficientnet(path, self.encoder, self.encoder_name)

    def _upsampled(self, x: Tensor, beside: Tensor) -> Tensor:
        """Return a map twice as high and wide, as high and wide as the one that it is added to."""
        if not self.by_indices:
            return F.interpolate(x, scale_factor=2.0, mode="nearest")
        _, codes = max_pool_2x2(beside)
        return max_unpool_2x2(x, codes, (beside.shape[-2], beside.shape[-1]))
