"""segnet-efficient: the compact SegNets' decoder on an encoder that has learnt from ImageNet.

The encoder is EfficientNet-Lite (``models/encoders/efficientnet_lite.py``). Each of its five maps goes to a
level of the decoder through a 1x1 convolution. From the deepest up a level passes depthwise-separable units,
as in the compact family, and its map, doubled in height and width, is added to the next level's. The encoder
halves maps by strides, so there are no pooling positions to hand over. Logits come out of channels at the end
(``pixel_shuffle``, arXiv 1609.05158), so no map has the image's full size.

With efficientnet-lite0 it has 3,122,284 parameters, 2,958,848 of them in the encoder.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional as F

from segnet.base.errors import SegnetError, did_you_mean
from segnet.core.blocks import ConvBN, crop, pad_to_multiple
from segnet.models.compact import SeparableUnit, require_width, scaled
from segnet.models.encoders.efficientnet_lite import SCALES, efficientnet_lite
from segnet.models.encoders.efficientnet_weights import PUBLISHED, load_efficientnet

CHANNELS = (48, 64, 96, 128, 128)
"""Channels of the decoder's maps at width 1, from half the image's size down."""
UNITS = 2  # of each level
# The encoder's weights expect values from 0 to 255, less 127, divided by 128.
SCALE, SHIFT = 255 / 128, -127 / 128


class DecoderLevel(nn.Module):
    """Take an encoder's map and what comes from the level below, and pass units over their sum."""

    def __init__(self, given: int, channels: int, after: int) -> None:
        super().__init__()
        self.lateral = ConvBN(given, channels, 1)
        self.units = nn.Sequential(
            *(SeparableUnit(channels, channels) for _ in range(UNITS - 1)), SeparableUnit(channels, after)
        )

    def forward(self, encoded: Tensor, below: Tensor | None) -> Tensor:
        """Map ``(N, given, H, W)`` and ``(N, channels, H / 2, W / 2)`` to ``(N, after, H, W)``."""
        x = self.lateral(encoded)
        return self.units(x if below is None else F.interpolate(below, scale_factor=2.0, mode="nearest") + x)


class SegNetEfficient(nn.Module):
    """The compact decoder on EfficientNet-Lite. Images ``(N, C, H, W)`` in [0, 1], H and W at least 32.

    Sides that can't be halved five times are padded with the last row and column, so no map is ever odd.

    Args:
        num_classes: channels of the logits.
        in_channels: channels of the image.
        encoder: efficientnet-lite0, -lite1 or -lite2.
        width: factor on the decoder's channels, 0.25 to 4; multiples of 16.

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
    ) -> None:
        super().__init__()
        if encoder not in SCALES:
            raise SegnetError(f"there is no encoder {encoder!r}{did_you_mean(encoder, SCALES)}")
        require_width("segnet-efficient", width)
        self.encoder, given = efficientnet_lite(encoder, in_channels)
        self.minimum_size = 2 ** len(given)
        self.encoder_name = encoder
        self.published = PUBLISHED[encoder]
        taken = [scaled(channels, width) for channels in CHANNELS]
        self.decoder = nn.ModuleList(
            DecoderLevel(channels, before, after)
            for channels, (before, after) in zip(
                reversed(given), pairwise((*reversed(taken), taken[0])), strict=True
            )
        )
        self.classifier = nn.Conv2d(taken[0], num_classes * 4, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(N, classes, H, W)``."""
        x = pad_to_multiple(image, self.minimum_size) * SCALE + SHIFT
        maps, decoded = [], None
        for level in self.encoder:
            x = level(x)
            maps.append(x)
        for level in self.decoder:
            decoded = level(maps.pop(), decoded)
        logits = F.pixel_shuffle(self.classifier(decoded), 2)
        return crop(logits, (image.shape[-2], image.shape[-1]))

    def load_encoder(self, path: Path) -> None:
        """Start the encoder from weights of the same EfficientNet-Lite; see ``efficientnet_weights.py``."""
        load_efficientnet(path, self.encoder, self.encoder_name)
