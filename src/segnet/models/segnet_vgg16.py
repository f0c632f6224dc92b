"""SegNet as the paper has it (arXiv 1511.00561): VGG16's 13 convolutions down, 13 mirrored ones up.

::

    encoder  64 64 | 128 128 | 256 256 256 | 512 512 512 | 512 512 512       a 2x2 pool ends each stage
    decoder  512 512 512 | 512 512 256 | 256 256 128 | 128 64 | 64 classes   an un-pool begins each stage

Every convolution is 3x3 with batch norm and ReLU; the last one, which gives the logits, has a bias and
nothing after it. At the paper's 11 classes that is 29,441,425 parameters (the paper: 29.4M), six of them our
batch norm of the image, where the paper normalises local contrast. The paper starts from VGG16's weights:
``load_encoder`` takes them.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from segnet.base.errors import SegnetError
from segnet.core.blocks import ConvBNReLU, encode_decode
from segnet.models.encoders.vgg import CHANNELS, VGGEncoded
from segnet.models.segnet import MirroredSegNet


class SegNetVGG16(VGGEncoded, MirroredSegNet):
    """The paper's SegNet. Images ``(N, C, H, W)`` in [0, 1], H and W at least 32.

    With ``dropout`` (the paper: 0.5) this is Bayesian SegNet (arXiv 1511.02680): dropout after the three
    deepest pools and the three deepest decoder stages. The paper keeps it at test:
    ``Segmenter.predict(image, samples=N)``.

    Args:
        num_classes: channels of the logits.
        in_channels: channels of the image.
        width: channels of the first stage, the paper's 64; those of the others keep their proportion to it.
        dropout: share of the values that are dropped, 0 for none.

    Raises:
        SegnetError: no channels, or a dropout outside 0 to 1.
    """

    def __init__(
        self, num_classes: int = 3, in_channels: int = 3, *, width: int = 64, dropout: float = 0.0
    ) -> None:
        if width < 1 or not 0 <= dropout < 1:
            raise SegnetError(
                "segnet-vgg16 takes a width of at least 1 and a dropout from 0 to below 1, "
                f"got {width} and {dropout}"
            )
        units = [ConvBNReLU] * len(CHANNELS)
        classifier = partial(nn.Conv2d, kernel_size=3, padding=1)
        super().__init__(num_classes, in_channels, units, last=classifier, width=width)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(N, classes, H, W)``."""
        return encode_decode(self.normalise(image), self.encoder, self.decoder, dropout=self.dropout)
