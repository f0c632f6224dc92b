"""VGG16's convolutions (arXiv 1409.1556), the encoder of the SegNets and of FCN, and their mirror image."""

from __future__ import annotations

from collections.abc import Sequence

# Output channels of each convolution, stage by stage; a 2x2 pool ends each stage.
CHANNELS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def vgg16_channels(width: int) -> list[tuple[int, ...]]:
    """Return ``CHANNELS`` with ``width`` channels in the first stage and the others in proportion."""
    return [tuple(channels // CHANNELS[0][0] * width for channels in stage) for stage in CHANNELS]


def mirrored(encoder: Sequence[Sequence[int]], num_classes: int) -> list[tuple[int, ...]]:
    """Return the decoder's channels, deepest stage first.

    Every convolution keeps its stage's channels but the last, which reduces to those of the next stage up;
    in the last stage to the classes.
    """
    reduce_to = [num_classes, *(stage[-1] for stage in encoder[:-1])]
    decoder = [(*(stage[-1] for _ in stage[1:]), to) for stage, to in zip(encoder, reduce_to, strict=True)]
    return decoder[::-1]
