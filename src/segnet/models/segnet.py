"""SegNet as "Efficient Image Segmentation Using PyTorch", Part 2, builds it: 15,274,892 parameters.

After Badrinarayanan, Kendall and Cipolla, "SegNet", arXiv 1511.00561: VGG16's convolutions as the encoder,
their mirror image as the decoder, and between the two only the positions of the pooling maxima. Two things
differ from the paper: four stages in place of five, and logits that pass batch norm and ReLU like any other
layer, so they are never negative and a pixel where all are zero gets class 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, nn

from segnet.core.blocks import ConvBNReLU, DecoderStage, EncoderStage, encode_decode
from segnet.core.errors import SegnetError

Unit = Callable[[int, int], nn.Module]

# Output channels of each convolution, stage by stage: VGG16's. The article stops after the fourth stage.
ENCODER = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def vgg16_channels(width: int) -> list[tuple[int, ...]]:
    """Return ``ENCODER`` with ``width`` channels in the first stage and the others in proportion."""
    return [tuple(channels // ENCODER[0][0] * width for channels in stage) for stage in ENCODER]


def mirrored(encoder: Sequence[Sequence[int]], num_classes: int) -> list[tuple[int, ...]]:
    """Return the decoder's channels, deepest stage first.

    Every convolution keeps its stage's channels but the last, which reduces to those of the next stage up;
    in the last stage to the classes.
    """
    reduce_to = [num_classes, *(stage[-1] for stage in encoder[:-1])]
    return [(*(stage[-1] for _ in stage[1:]), last) for stage, last in zip(encoder, reduce_to, strict=True)][
        ::-1
    ]


def conv_chain(in_channels: int, out_channels: Sequence[int], unit: Unit = ConvBNReLU) -> list[nn.Module]:
    """Return one unit for each entry of ``out_channels``, each fed by the one before."""
    return [unit(before, after) for before, after in pairwise((in_channels, *out_channels))]


def require_stages(stages: int) -> None:
    """Raise SegnetError for a number of stages outside 1 to 5."""
    if not 1 <= stages <= len(ENCODER):
        raise SegnetError(f"a SegNet has 1 to {len(ENCODER)} stages, got {stages}")


class MirroredSegNet(nn.Module):
    """Encoder and decoder of the same stages, with the unit that each stage is made of given.

    Args:
        num_classes: channels of the logits.
        in_channels: channels of the image.
        units: one for each stage, outermost first, up to five.
    """

    def __init__(self, num_classes: int, in_channels: int, units: Sequence[Unit]) -> None:
        super().__init__()
        encoder = ENCODER[: len(units)]
        decoder = mirrored(encoder, num_classes)
        inputs = (in_channels, *(stage[-1] for stage in encoder))
        self.minimum_size = 2 ** len(units)
        self.normalise = nn.BatchNorm2d(in_channels)
        self.encoder = nn.ModuleList(
            EncoderStage(conv_chain(before, stage, unit))
            for before, stage, unit in zip(inputs, encoder, units, strict=False)
        )
        self.decoder = nn.ModuleList(
            DecoderStage(conv_chain(before, stage, unit))
            for before, stage, unit in zip(reversed(inputs[1:]), decoder, reversed(units), strict=True)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(N, classes, H, W)``, at least 0."""
        return encode_decode(self.normalise(image), self.encoder, self.decoder)


class SegNet(MirroredSegNet):
    """The article's SegNet. Images ``(N, C, H, W)`` in [0, 1], H and W at least ``2 ** stages``.

    Raises:
        SegnetError: a number of stages outside 1 to 5.
    """

    def __init__(self, num_classes: int = 3, in_channels: int = 3, *, stages: int = 4) -> None:
        require_stages(stages)
        super().__init__(num_classes, in_channels, [ConvBNReLU] * stages)
