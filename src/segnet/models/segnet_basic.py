"""SegNet-Basic, the small model of the SegNet paper (arXiv 1511.00561), with its Bayesian variant.

Four 7x7 convolutions of 64 channels down and four up, batch norm after each, ReLU in the encoder only, no
biases, then a 1x1 classifier. A deepest value sees 106x106 pixels: 1 + 6 · (1 + 2 + 4 + 8) by convolutions
and 1 + 2 + 4 + 8 by pools. The paper says 1.425M parameters; counting gives 1,416,081 at its 11 classes, 17
of them the classifier's biases and our batch norm of the image, for its local contrast normalisation.
"""

from __future__ import annotations

from torch import Tensor, nn

from segnet.base.errors import SegnetError
from segnet.core.blocks import ConvBN, ConvBNReLU, DecoderStage, EncoderStage, encode_decode

STAGES = 4
KERNEL = 7


class SegNetBasic(nn.Module):
    """SegNet-Basic. Images ``(N, C, H, W)`` in [0, 1], H and W at least 16.

    With ``dropout`` (the paper: 0.5) this is Bayesian SegNet-Basic (arXiv 1511.02680): dropout after the
    third and fourth pool and after the two deepest decoder stages. The paper keeps it at test:
    ``Segmenter.predict(image, samples=N)``.

    Raises:
        SegnetError: no channels, or a dropout outside 0 to 1.
    """

    def __init__(
        self, num_classes: int = 3, in_channels: int = 3, *, channels: int = 64, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if channels < 1 or not 0 <= dropout < 1:
            raise SegnetError(
                "segnet-basic takes at least 1 channel and a dropout from 0 to below 1, "
                f"got {channels} and {dropout}"
            )
        self.minimum_size = 2**STAGES
        self.normalise = nn.BatchNorm2d(in_channels)
        inputs = (in_channels, *[channels] * (STAGES - 1))
        self.encoder = nn.ModuleList(
            EncoderStage([ConvBNReLU(before, channels, KERNEL)]) for before in inputs
        )
        self.decoder = nn.ModuleList(
            DecoderStage([ConvBN(channels, channels, KERNEL)]) for _ in range(STAGES)
        )
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(N, classes, H, W)``."""
        x = encode_decode(self.normalise(image), self.encoder, self.decoder, dropout=self.dropout)
        return self.classifier(x)
