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

from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from segnet.core.blocks import DecoderStage, EncoderStage, conv_chain, encode_decode
from segnet.core.errors import SegnetError
from segnet.core.files import expand_home
from segnet.models.vgg16 import mirrored, vgg16_channels

# Of the RGB images in [0, 1] that VGG16's weights were trained on.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class SegNetVGG16(nn.Module):
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
        super().__init__()
        if width < 1 or not 0 <= dropout < 1:
            raise SegnetError(
                "segnet-vgg16 takes a width of at least 1 and a dropout from 0 to below 1, "
                f"got {width} and {dropout}"
            )
        encoder = vgg16_channels(width)
        *decoder, (*outermost, _) = mirrored(encoder, num_classes)
        inputs = (in_channels, *(stage[-1] for stage in encoder))
        self.minimum_size = 2 ** len(encoder)
        self.normalise = nn.BatchNorm2d(in_channels)
        self.encoder = nn.ModuleList(
            EncoderStage(conv_chain(before, stage)) for before, stage in zip(inputs, encoder, strict=False)
        )
        self.decoder = nn.ModuleList(
            DecoderStage(conv_chain(before, stage))
            for before, stage in zip(reversed(inputs[2:]), decoder, strict=True)
        )
        self.decoder.append(
            DecoderStage([*conv_chain(width, outermost), nn.Conv2d(width, num_classes, 3, padding=1)])
        )
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(N, classes, H, W)``."""
        return encode_decode(self.normalise(image), self.encoder, self.decoder, dropout=self.dropout)

    @torch.no_grad()
    def load_encoder(self, path: Path) -> None:
        """Start the encoder from VGG16's weights; evaluated, it then gives VGG16's feature maps.

        Nothing in the file is unpickled but tensors. VGG16's own normalisation of the image goes into our
        batch norm of it, a plain VGG16's biases into those of the batch norms.

        Args:
            path: torchvision's ``vgg16`` or ``vgg16_bn`` state, as ``.safetensors`` or as torch saved it.

        Raises:
            SegnetError: no such file, one that is damaged, or weights of another model.
        """
        convs, norms = _read_features(expand_home(path))
        units: list[Any] = [unit for stage in self.encoder for unit in cast(EncoderStage, stage).units]
        needed = [tuple(conv.weight.shape) for conv, *_ in units]
        found = [tuple(layer["weight"].shape) for layer in convs]
        if found != needed or len(norms) not in (0, len(convs)):
            difference = _difference(found, needed, norms)
            raise SegnetError(
                f"{path} isn't the VGG16 that this encoder is made like: {difference}; take torchvision's "
                "vgg16 or vgg16_bn, and leave the model's width and input channels as they are"
            )
        # a batch norm adds eps to the variance; less it, the encoder is VGG16 to rounding
        self.normalise.running_mean.copy_(torch.tensor(IMAGENET_MEAN))  # type: ignore[union-attr]
        self.normalise.running_var.copy_(torch.tensor(IMAGENET_STD) ** 2 - self.normalise.eps)  # type: ignore[union-attr]
        for i, (conv, norm, _) in enumerate(units):
            conv.weight.copy_(convs[i]["weight"])
            if norms:
                for name in _NORM:
                    getattr(norm, name).copy_(norms[i][name])
                norm.running_mean -= convs[i]["bias"].to(norm.running_mean.device)  # ours have none
            else:
                norm.reset_parameters()
                norm.running_var -= norm.eps
                norm.bias.copy_(convs[i]["bias"])


_CONV = ("weight", "bias")
_NORM = (*_CONV, "running_mean", "running_var")

Layers = list[dict[str, Tensor]]


def _read_features(path: Path) -> tuple[Layers, Layers]:
    """Return the convolutions and the batch norms of ``features.N`` in a state file, in the order of N."""
    state = _read_state(path)
    layers: dict[int, dict[str, Tensor]] = {}
    for key, tensor in state.items():
        first, place, name = (*key.split("."), "", "")[:3]
        if first == "features" and place.isdecimal():
            layers.setdefault(int(place), {})[name] = tensor
    convs: Layers = []
    norms: Layers = []
    for number, layer in sorted(layers.items()):
        names = _NORM if "running_mean" in layer else _CONV
        lacking = [name for name in names if name not in layer]
        if lacking:
            raise SegnetError(f"{path} isn't a VGG16: features.{number} has no {lacking[0]}")
        channels = layer["weight"].shape[:1]
        for name in names:
            tensor = layer[name]
            if not tensor.is_floating_point():
                raise SegnetError(
                    f"{path} can't be used: features.{number}.{name} holds {tensor.dtype}, no floats"
                )
            if not tensor.isfinite().all():
                raise SegnetError(f"{path} can't be used: features.{number}.{name} holds NaN or infinity")
            if name != "weight" and tensor.shape != channels:
                raise SegnetError(
                    f"{path} isn't a VGG16: features.{number}.{name} has shape {tuple(tensor.shape)}, not "
                    f"{tuple(channels)}"
                )
        (norms if "running_mean" in layer else convs).append(layer)
    return convs, norms


def _read_state(path: Path) -> dict[str, Tensor]:
    """Read a file of tensors; nothing else in it is unpickled."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise SegnetError(
            f"there is no file of encoder weights {path}; give torchvision's vgg16 or vgg16_bn as "
            ".safetensors or as torch saved it"
        ) from None
    except IsADirectoryError:
        raise SegnetError(f"the encoder weights {path} are a folder; give a file in it") from None
    except Exception as error:  # torch raises about anything for a file it can't read safely
        raise SegnetError(
            f"{path} can't be read as VGG16's weights: it is damaged, or holds more than tensors; save "
            "model.state_dict() of torchvision's vgg16, by torch.save or as .safetensors"
        ) from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise SegnetError(
            f"{path} can't be read as VGG16's weights: it holds something else than names and tensors; save "
            "model.state_dict() of torchvision's vgg16"
        )
    return state


def _difference(found: list[tuple[int, ...]], needed: list[tuple[int, ...]], norms: Layers) -> str:
    if len(found) != len(needed):
        return f"it has {len(found)} convolutions in features, not {len(needed)}"
    for place, (theirs, ours) in enumerate(zip(found, needed, strict=True), 1):
        if theirs != ours:
            return f"convolution {place} is {theirs}, not {ours}"
    return f"it has {len(norms)} batch norms for {len(found)} convolutions"
