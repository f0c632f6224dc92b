"""SegNet as "Efficient Image Segmentation Using PyTorch", Part 2, builds it: 15,274,892 parameters.

After Badrinarayanan, Kendall and Cipolla, "SegNet", arXiv 1511.00561: VGG16's convolutions as the encoder,
their mirror image as the decoder, and between the two only the positions of the pooling maxima::

    encoder  64 64 | 128 128 | 256 256 256 | 512 512 512       a 2x2 pool ends each stage
    decoder  512 512 256 | 256 256 128 | 128 64 | 64 classes   an un-pool begins each stage

Two things differ from the paper: four stages in place of five, and logits that pass batch norm and ReLU like
any other layer, so they are never negative and a pixel where all are zero gets class 0.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from segnet.base.errors import SegnetError
from segnet.core.blocks import ConvBNReLU, DecoderStage, EncoderStage, Unit, conv_chain, encode_decode
from segnet.models.encoders.vgg import CHANNELS, VGGEncoded, mirrored, vgg16_channels


class MirroredSegNet(nn.Module):
    """VGG16's first stages and their mirror image, with the unit that each stage is made of given.

    Args:
        num_classes: channels of the logits.
        in_channels: channels of the image.
        units: one for each stage, outermost first, up to five.
        last: what gives the logits; by default a unit like all others.
        width: channels of the first stage; those of the others keep their proportion to it.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        units: Sequence[Unit],
        *,
        last: Unit | None = None,
        width: int = CHANNELS[0][0],
    ) -> None:
        super().__init__()
        encoder = vgg16_channels(width)[: len(units)]
        decoder = mirrored(encoder, num_classes)
        ends = [*units[:0:-1], last or units[0]]  # of the decoder's stages
        inputs = (in_channels, *(stage[-1] for stage in encoder))
        self.minimum_size = 2 ** len(units)
        self.normalise = nn.BatchNorm2d(in_channels)
        self.encoder = nn.ModuleList(
            EncoderStage(conv_chain(before, stage, unit))
            for before, stage, unit in zip(inputs, encoder, units, strict=False)
        )
        self.decoder = nn.ModuleList(
            DecoderStage([*conv_chain(before, stage[:-1], unit), end(*stage[-2:])])
            for before, stage, unit, end in zip(
                reversed(inputs[1:]), decoder, reversed(units), ends, strict=True
            )
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(N, classes, H, W)``, at least 0."""
        return encode_decode(self.normalise(image), self.encoder, self.decoder)


class SegNet(VGGEncoded, MirroredSegNet):
    """The article's SegNet. Images ``(N, C, H, W)`` in [0, 1], H and W at least ``2 ** stages``.

    Raises:
        SegnetError: a number of stages outside 1 to 5.
    """

    def __init__(self, num_classes: int = 3, in_channels: int = 3, *, stages: int = 4) -> None:
        require_stages(stages)
        super().__init__(num_classes, in_channels, [ConvBNReLU] * stages)


def require_stages(stages: int) -> None:
    """Raise SegnetError for a number of stages outside 1 to 5."""
    if not 1 <= stages <= len(CHANNELS):
        raise SegnetError(f"a SegNet has 1 to {len(CHANNELS)} stages, got {stages}")
