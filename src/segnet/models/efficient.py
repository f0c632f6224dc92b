"""segnet-efficient: the compact SegNets' decoder on an encoder that has learnt from ImageNet.

The encoder is EfficientNet-Lite (``models/encoders/efficientnet_lite.py``), or a network of the package timm
(``timm_encoder.py`` there). Each of its maps goes to a level of the decoder through a 1x1 convolution. From
the deepest up a level passes depthwise-separable units, as in the compact family, and its map, doubled in
height and width, is added to the next level's. The encoder halves maps by strides, so there are no pooling
positions to hand over. Logits come out of channels at the end (``pixel_shuffle``, arXiv 1609.05158), so no
map has the image's full size.

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
from segnet.models.encoders.efficientnet_lite import SCALES, EfficientNetLite
from segnet.models.encoders.efficientnet_weights import PUBLISHED, load_efficientnet
from segnet.models.encoders.timm_encoder import TIMM, TimmEncoder
from segnet.models.encoders.weights_file import PublishedWeights

CHANNELS = (48, 64, 96, 128, 128)
"""Channels of the decoder's maps at width 1, from half the image's size down."""
UNITS = 2  # of each level


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
    """The compact decoder on a pretrained encoder. Images ``(N, C, H, W)`` in [0, 1], H and W at least 32.

    Sides that can't be halved as often as the encoder does are padded with the last row and column, so no map
    is ever odd.

    Args:
        num_classes: channels of the logits.
        in_channels: channels of the image.
        encoder: efficientnet-lite0, -lite1 or -lite2; or ``timm:`` and the name of a network in timm.
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
        require_width("segnet-efficient", width)
        self.encoder: EfficientNetLite | TimmEncoder
        if encoder.startswith(TIMM):
            self.encoder = TimmEncoder(encoder.removeprefix(TIMM), in_channels)
            self.published: PublishedWeights = self.encoder.published
        elif encoder in SCALES:
            self.encoder, self.published = EfficientNetLite(encoder, in_channels), PUBLISHED[encoder]
        else:
            near = did_you_mean(encoder, SCALES)
            raise SegnetError(f"there is no encoder {encoder!r}{near}, or timm: and a name of timm's")
        given, reductions = self.encoder.channels, self.encoder.reductions
        self.minimum_size = reductions[-1]
        taken = [scaled(channels, width) for channels in CHANNELS[-len(given) :]]
        self.decoder = nn.ModuleList(
            DecoderLevel(channels, before, after)
            for channels, (before, after) in zip(
                reversed(given), pairwise((*reversed(taken), taken[0])), strict=True
            )
        )
        self.factor = reductions[0]
        """How much larger than the last map the logits are, each way."""
        self.classifier = nn.Conv2d(taken[0], num_classes * self.factor**2, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(N, classes, H, W)``."""
        maps, decoded = self.encoder.maps(pad_to_multiple(image, self.minimum_size)), None
        for level in self.decoder:
            decoded = level(maps.pop(), decoded)
        logits = F.pixel_shuffle(self.classifier(decoded), self.factor)
        return crop(logits, (image.shape[-2], image.shape[-1]))

    def load_encoder(self, path: Path) -> None:
        """Start the encoder from a file of weights that were published for it.

        Raises:
            SegnetError: no such file, one that is damaged, or weights of another network.
        """
        if isinstance(self.encoder, TimmEncoder):
            self.encoder.load(path)
        else:
            load_efficientnet(path, self.encoder)
