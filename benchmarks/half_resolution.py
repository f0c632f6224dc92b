"""Shapes under trial for a compact SegNet that works at half of the image's resolution; see ``peers.py``.

Blocks of 2x2 pixels become channels at the way in (``pixel_unshuffle``), logits come out of channels at the
way out, so no map has the image's full size. With ``features`` each un-pooled map also gets the encoder's map
of that size, through a 1x1 convolution and batch norm: what a U-Net hands over, added in place of appended.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from segnet.core.pooling import max_pool_2x2, max_unpool_2x2
from segnet.models.segnet_lite import SegNetLite


class HalfResolution(nn.Module):
    """A ``segnet-lite`` between ``pixel_unshuffle`` and ``pixel_shuffle``. Sides in multiples of 16."""

    minimum_size = size_multiple = 16

    def __init__(
        self,
        stages: Sequence[Sequence[int]] = ((48, 1), (128, 2), (256, 2)),
        bottleneck: Sequence[int] = (256, 6, 5),
        *,
        features: bool = False,
    ) -> None:
        super().__init__()
        self.normalise = nn.BatchNorm2d(3)
        inner = SegNetLite(3 * 4, 3 * 4, stages=stages, bottleneck=bottleneck)
        self.encoder, self.decoder = inner.encoder, inner.decoder
        self.bottleneck, self.classifier = inner.bottleneck, inner.classifier
        self.across = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width))
            for width, _ in (stages if features else ())
        )

    def forward(self, image: Tensor) -> Tensor:
        """Map images ``(N, 3, H, W)`` in [0, 1] to logits ``(N, 3, H, W)``."""
        x = F.pixel_unshuffle(self.normalise(image), 2)
        kept = []
        for depth, stage in enumerate(self.encoder):
            x = stage.units(x)
            features = self.across[depth](x) if self.across else 0
            size = (x.shape[-2], x.shape[-1])
            x, codes = max_pool_2x2(x)
            kept.append((codes, size, features))
        x = self.bottleneck(x)
        for stage in self.decoder:
            codes, size, features = kept.pop()
            x = stage.units(max_unpool_2x2(x, codes, size) + features)
        return F.pixel_shuffle(self.classifier(x), 2)
