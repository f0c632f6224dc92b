"""SegNet with depthwise-separable convolutions, as Part 3 of the series builds it: 1,749,671 parameters.

Stages and channels are those of Part 2; every convolution, the first and the last too, becomes a depthwise
3x3 and a pointwise 1x1 without biases or anything between them: 1.0777 GMAC at 128x128 in place of 9.116.
"""

from __future__ import annotations

from segnet.base.errors import SegnetError
from segnet.core.blocks import ConvBNReLU, SeparableBNReLU, Unit
from segnet.models.segnet import MirroredSegNet, require_stages


class SegNetDSC(MirroredSegNet):
    """Part 3's SegNet. Images ``(N, C, H, W)`` in [0, 1], H and W at least ``2 ** stages``.

    Part 3 also asks what replacing only some convolutions does: the ``ordinary_stages`` outermost stages keep
    ordinary ones, in encoder and decoder. Those have few channels, so they cost few parameters and many
    multiply-adds; with all of them ordinary this is ``segnet``.

    Raises:
        SegnetError: a number of stages outside 1 to 5, or of ordinary stages outside 0 to ``stages``.
    """

    def __init__(
        self, num_classes: int = 3, in_channels: int = 3, *, stages: int = 4, ordinary_stages: int = 0
    ) -> None:
        require_stages(stages)
        if ordinary_stages not in range(stages + 1):
            raise SegnetError(f"segnet-dsc has 0 to {stages} ordinary stages, got {ordinary_stages}")
        separable: list[Unit] = [SeparableBNReLU] * (stages - ordinary_stages)
        super().__init__(num_classes, in_channels, [ConvBNReLU] * ordinary_stages + separable)
