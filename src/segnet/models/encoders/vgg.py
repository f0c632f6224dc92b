"""VGG's convolutions (arXiv 1409.1556) as encoders begin with them, and torchvision's weights for these.

Nothing in a file of weights is unpickled but tensors. Evaluated, the encoder then gives VGG's own feature
maps: VGG's normalisation of the image goes into our batch norm of it, a plain VGG's biases into those of the
batch norms.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from segnet.base.errors import SegnetError
from segnet.base.files import expand_home
from segnet.core.blocks import EncoderStage
from segnet.models.encoders.weights_file import read_weights, require_finite

# Of the RGB images in [0, 1] that VGG's weights were trained on.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# VGG16's output channels of each convolution, stage by stage; a 2x2 pool ends each stage.
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


class VGGEncoded(nn.Module):
    """A network whose ``encoder`` is made like the first stages of a VGG, after a batch norm of the image."""

    vgg: Literal["vgg13", "vgg16"] = "vgg16"
    normalise: nn.BatchNorm2d
    encoder: nn.ModuleList

    def load_encoder(self, path: Path) -> None:
        """Start the encoder from torchvision's ``vgg16``, or ``vgg13`` where it is made like that.

        See ``load_vgg``; the file with batch norm, such as ``vgg16_bn``, will do too.
        """
        chains = (stage.units if isinstance(stage, EncoderStage) else stage for stage in self.encoder)
        units = [unit for chain in chains for unit in cast(nn.Sequential, chain)]
        load_vgg(path, self.normalise, units, self.vgg)


@torch.no_grad()
def load_vgg(
    path: Path, normalise: nn.BatchNorm2d, units: Sequence[nn.Module], name: Literal["vgg13", "vgg16"]
) -> None:
    """Start an encoder from the first convolutions of a VGG.

    Args:
        path: torchvision's state of that network, with batch norm (``vgg16_bn``) or without, as
            ``.safetensors`` or as torch saved it.
        normalise: the batch norm of the image.
        units: convolution, batch norm and ReLU each, in VGG's order.
        name: the VGG that they are made like.

    Raises:
        SegnetError: no such file, one that is damaged, or weights of another model.
    """
    layers: Any = units
    convs, norms = _read_features(expand_home(path), name)
    needed = [tuple(conv.weight.shape) for conv, *_ in layers]
    found = [tuple(layer["weight"].shape) for layer in convs]
    if found[: len(needed)] != needed or len(norms) not in (0, len(convs)):
        difference = _difference(found, needed, norms)
        raise SegnetError(
            f"{path} isn't the {name.upper()} that this encoder is made like: {difference}; take "
            f"torchvision's {name} or {name}_bn, and leave the model's width and input channels as they are"
        )
    # a batch norm adds eps to the variance; less it, the encoder is VGG to rounding
    normalise.running_mean.copy_(torch.tensor(IMAGENET_MEAN))  # type: ignore[union-attr]
    normalise.running_var.copy_(torch.tensor(IMAGENET_STD) ** 2 - normalise.eps)  # type: ignore[union-attr]
    for i, (conv, norm, _) in enumerate(layers):
        conv.weight.copy_(convs[i]["weight"])
        if norms:
            for entry in _NORM:
                getattr(norm, entry).copy_(norms[i][entry])
            norm.running_mean -= convs[i]["bias"].to(norm.running_mean.device)  # ours have none
        else:
            norm.reset_parameters()
            norm.running_var -= norm.eps
            norm.bias.copy_(convs[i]["bias"])


_CONV = ("weight", "bias")
_NORM = (*_CONV, "running_mean", "running_var")

Layers = list[dict[str, Tensor]]


def _read_features(path: Path, name: str) -> tuple[Layers, Layers]:
    """Return the convolutions and the batch norms of ``features.N`` in a state file, in the order of N."""
    advice = (
        f"give torchvision's {name} or {name}_bn, as .safetensors or as torch.save wrote its state_dict()"
    )
    state = read_weights(path, name.upper(), advice)
    layers: dict[int, dict[str, Tensor]] = {}
    for key, tensor in state.items():
        first, place, entry = (*key.split("."), "", "")[:3]
        if first == "features" and place.isdecimal():
            layers.setdefault(int(place), {})[entry] = tensor
    convs: Layers = []
    norms: Layers = []
    for number, layer in sorted(layers.items()):
        names = _NORM if "running_mean" in layer else _CONV
        lacking = [entry for entry in names if entry not in layer]
        if lacking:
            raise SegnetError(f"{path} isn't a {name.upper()}: features.{number} has no {lacking[0]}")
        channels = layer["weight"].shape[:1]
        for entry in names:
            tensor = layer[entry]
            require_finite(path, f"features.{number}.{entry}", tensor)
            if entry != "weight" and tensor.shape != channels:
                raise SegnetError(
                    f"{path} isn't a {name.upper()}: features.{number}.{entry} has shape "
                    f"{tuple(tensor.shape)}, not {tuple(channels)}"
                )
        (norms if "running_mean" in layer else convs).append(layer)
    return convs, norms


def _difference(found: list[tuple[int, ...]], needed: list[tuple[int, ...]], norms: Layers) -> str:
    if len(found) < len(needed):
        return f"it has {len(found)} convolutions in features, not {len(needed)}"
    for place, (theirs, ours) in enumerate(zip(found, needed, strict=False), 1):
        if theirs != ours:
            return f"convolution {place} is {theirs}, not {ours}"
    return f"it has {len(norms)} batch norms for {len(found)} convolutions"
