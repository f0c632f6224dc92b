"""From a SegNet in PyTorch to its layers: a function for each model and each kind of unit.

Batch norms are folded into the convolutions before them. The image's own is part of the scaling, since a
convolution after it pads with zeros. Dropout does nothing at prediction, so it has no layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, NoReturn, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from segnet.base.errors import SegnetError
from segnet.core.blocks import ConvBN, ConvBNReLU, DecoderStage, EncoderStage, SeparableBNReLU
from segnet.export.network import Activation, Network, NetworkLayer, Scaling, Weights
from segnet.inference.description import Description
from segnet.models.compact import CompactSegNet, SeparableUnit
from segnet.models.efficient import DecoderLevel, SegNetEfficient
from segnet.models.encoders.efficientnet_lite import (
    SCALE,
    SHIFT,
    EfficientNetLite,
    InvertedResidual,
    SamePaddedConv,
)
from segnet.models.segnet import MirroredSegNet, SegNet
from segnet.models.segnet_basic import SegNetBasic
from segnet.models.segnet_dsc import SegNetDSC
from segnet.models.segnet_vgg16 import SegNetVGG16

IMAGE = 0  # the tensor of the scaled image


class Runner(NamedTuple):
    """What runs a network, in words for errors."""

    name: str
    instead: str
    """What to do about a model that it can't run."""
    takes_photos_alone: bool
    """Whether it prepares images itself, and knows those of 8 bits and one or three channels."""


BROWSERS = Runner("segnet's engine for browsers", "take --to onnx, whose file onnxruntime-web opens", True)
LITERT = Runner("--to litert", "take --to onnx", False)
COREML = Runner("--to coreml", "take --to onnx", False)


def network_of(model: nn.Module, description: Description, runner: Runner = BROWSERS) -> Network:
    """Return the layers that are run in a model's place.

    Args:
        model: a SegNet of ours.
        description: what its file says.
        runner: what runs them.

    Raises:
        SegnetError: another model, a module inside that has no layer here, or images that the runner can't
            prepare.
    """
    if type(model) not in _MODELS:
        raise SegnetError(f"{description.model} doesn't run in {runner.name}; {runner.instead}")
    if runner.takes_photos_alone:
        _require_photos(description, runner)
    layers = _Layers(model, runner)
    with torch.inference_mode():
        scaling = _MODELS[type(model)](layers, model)
    return Network(scaling, tuple(layers.layers), tuple(layers.weights))


def _require_photos(description: Description, runner: Runner) -> None:
    intensity, model = description.intensity, description.model
    what = None
    if description.patch_scale is not None:
        what = "takes patches of an image (--patch-scale)"
    elif intensity.ranges is not None:
        what = "takes images of more than 8 bits"
    elif intensity.channels not in (1, 3):
        what = f"takes images of {intensity.channels} channels"
    if what is not None:
        raise SegnetError(f"this {model} {what}, which {runner.name} can't; {runner.instead}")


# The models.


def _compact(net: _Layers, model: CompactSegNet) -> Scaling:
    x = net.unit(model.classifier, _encode_decode(net, model, middle=model.bottleneck))
    if model.stride > 1:
        net.shuffle(x, model.stride)
    return _normalised(net, model.normalise, model.minimum_size)


def _mirrored(net: _Layers, model: MirroredSegNet) -> Scaling:
    _encode_decode(net, model)
    return _normalised(net, model.normalise)


def _basic(net: _Layers, model: SegNetBasic) -> Scaling:
    net.unit(model.classifier, _encode_decode(net, model))
    return _normalised(net, model.normalise)


def _efficient(net: _Layers, model: SegNetEfficient) -> Scaling:
    x, maps = IMAGE, []
    net.require(model.encoder, EfficientNetLite)
    for level in cast("Iterable[Any]", model.encoder):
        x = net.chain(level, x)
        maps.append(x)
    below = None
    for level in cast("Iterable[Any]", model.decoder):
        net.require(level, DecoderLevel)
        x = net.unit(level.lateral, maps.pop())
        below = net.chain(level.units, x if below is None else net.upsample(level, below, add=x))
    assert below is not None
    net.shuffle(net.unit(model.classifier, below), 2)
    channels = cast("Any", model.encoder)[0][0][0].in_channels
    return Scaling(channels, model.minimum_size, (SCALE / 255,) * channels, (SHIFT,) * channels)


_MODELS: dict[type[nn.Module], Callable[[_Layers, Any], Scaling]] = {
    CompactSegNet: _compact,
    SegNet: _mirrored,
    SegNetDSC: _mirrored,
    SegNetVGG16: _mirrored,
    SegNetBasic: _basic,
    SegNetEfficient: _efficient,
}


def _encode_decode(net: _Layers, model: Any, middle: Iterable[nn.Module] = ()) -> int:
    """Down the encoder and up the decoder, as ``core.blocks.encode_decode``."""
    x, handed = IMAGE, []
    for stage in model.encoder:
        net.require(stage, EncoderStage)
        x = net.chain(stage.units, x)
        features = None if stage.lateral is None else net.unit(stage.lateral, x)
        x = net.pool(stage, x)
        handed.append((x, features))
    x = net.chain(middle, x)
    for stage in model.decoder:
        net.require(stage, DecoderStage)
        codes, features = handed.pop()
        x = net.chain(stage.units, net.unpool(stage, x, codes, add=features))
    return x


def _normalised(net: _Layers, norm: nn.Module, multiple: int = 1) -> Scaling:
    """Values of 0 to 255 are divided by 255, then the image's batch norm acts."""
    scale, shift = _scale_and_shift(*net.batch_norm(norm))
    return Scaling(len(scale), multiple, tuple((scale / 255).tolist()), tuple(shift.tolist()))


# The units: each takes a tensor's number and returns that of what it gives.


def _conv_bn(net: _Layers, unit: ConvBN, x: int) -> int:
    conv, norm = unit
    return net.conv(unit, conv, x, norm)


def _conv_bn_relu(net: _Layers, unit: ConvBNReLU, x: int) -> int:
    conv, norm, relu = unit
    return net.conv(unit, conv, x, norm, net.activation(relu))


def _separable_bn_relu(net: _Layers, unit: SeparableBNReLU, x: int) -> int:
    depthwise, pointwise, norm, relu = unit
    y = net.conv(depthwise, depthwise, x)
    return net.conv(pointwise, pointwise, y, norm, net.activation(relu))


def _separable_unit(net: _Layers, unit: SeparableUnit, x: int) -> int:
    y = net.conv(unit.depthwise, unit.depthwise, x, unit.depthwise_norm)
    added = x if unit.adds_input else None
    return net.conv(unit.pointwise, unit.pointwise, y, unit.norm, "relu", add=added)


def _inverted_residual(net: _Layers, unit: InvertedResidual, x: int) -> int:
    y = x if type(unit.expand) is nn.Identity else _conv_norm_activation(net, unit.expand, x)
    y = _conv_norm_activation(net, unit.depthwise, y)
    conv, norm = cast("nn.Sequential", unit.project)
    return net.conv(unit.project, conv, y, norm, add=x if unit.adds_input else None)


def _conv_norm_activation(net: _Layers, unit: nn.Module, x: int) -> int:
    """EfficientNet's unit, an ``nn.Sequential``."""
    if not isinstance(unit, nn.Sequential) or len(unit) != 3:
        net.refuse(unit)
    conv, norm, relu = unit
    return net.conv(unit, conv, x, norm, net.activation(relu))


def _convolution(net: _Layers, conv: nn.Conv2d, x: int) -> int:
    return net.conv(conv, conv, x)


_UNITS: dict[type[nn.Module], Callable[[_Layers, Any, int], int]] = {
    ConvBN: _conv_bn,
    ConvBNReLU: _conv_bn_relu,
    SeparableBNReLU: _separable_bn_relu,
    SeparableUnit: _separable_unit,
    InvertedResidual: _inverted_residual,
    nn.Sequential: _conv_norm_activation,
    nn.Conv2d: _convolution,
}
_ACTIVATIONS: dict[type[nn.Module], Activation] = {nn.ReLU: "relu", nn.ReLU6: "relu6"}


class _Layers:
    """The layers so far. A method that adds one returns the number of the tensor that it gives."""

    def __init__(self, model: nn.Module, runner: Runner) -> None:
        self._runner = runner
        self.layers: list[NetworkLayer] = []
        self.weights: list[Weights | None] = []
        self._names = {module: name for name, module in model.named_modules()}

    def chain(self, units: Iterable[nn.Module], x: int) -> int:
        for unit in units:
            x = self.unit(unit, x)
        return x

    def unit(self, unit: nn.Module, x: int) -> int:
        self.require(unit, *_UNITS)
        return _UNITS[type(unit)](self, unit, x)

    def conv(
        self,
        named: nn.Module,
        conv: nn.Module,
        x: int,
        norm: nn.Module | None = None,
        activation: Activation = "none",
        *,
        add: int | None = None,
    ) -> int:
        """Add a convolution, dense or depthwise, with the batch norm after it."""
        self.require(conv, nn.Conv2d, SamePaddedConv)
        assert isinstance(conv, nn.Conv2d)
        depthwise = conv.groups > 1
        (kernel, wide), (stride, _) = conv.kernel_size, conv.stride
        groups = {1, conv.in_channels} if conv.in_channels == conv.out_channels else {1}
        plain = (conv.dilation, conv.padding_mode, kernel) == ((1, 1), "zeros", wide)
        if not plain or conv.stride != (stride, stride) or conv.groups not in groups:
            self.refuse(conv)
        weight, bias, factors = self._folded(conv, norm)  # (given, taken, kernel, kernel)
        ordered = weight[:, 0].permute(1, 2, 0) if depthwise else weight.permute(2, 3, 1, 0)
        layer = NetworkLayer(
            "depthwise" if depthwise else "conv",
            self._names[named],
            x,
            kernel=kernel,
            stride=stride,
            pad=self._padding(conv),
            channels=1 if depthwise else conv.out_channels,
            activation=activation,
            add=add,
        )
        kept = None if factors is None else _float32(factors)
        return self._add(layer, Weights(_float32(ordered), _float32(bias), kept))

    def pool(self, stage: nn.Module, x: int) -> int:
        return self._add(NetworkLayer("pool", self._names[stage], x))

    def unpool(self, stage: nn.Module, x: int, codes: int, *, add: int | None) -> int:
        return self._add(NetworkLayer("unpool", self._names[stage], x, codes=codes, add=add))

    def upsample(self, level: nn.Module, x: int, *, add: int) -> int:
        return self._add(NetworkLayer("upsample", self._names[level], x, add=add))

    def shuffle(self, x: int, factor: int) -> int:
        return self._add(NetworkLayer("shuffle", "pixel_shuffle", x, factor=factor))

    def activation(self, module: nn.Module) -> Activation:
        self.require(module, *_ACTIVATIONS)
        return _ACTIVATIONS[type(module)]

    def require(self, module: nn.Module, *kinds: type[nn.Module]) -> None:
        if type(module) not in kinds:
            self.refuse(module)

    def refuse(self, module: nn.Module) -> NoReturn:
        what = f"{self._names[module]}, which is {type(module).__name__}({module.extra_repr()})"
        raise SegnetError(f"{self._runner.name} can't run {what}; {self._runner.instead}")

    def _folded(self, conv: nn.Conv2d, norm: nn.Module | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return kernel and biases, and as ``(2, given)`` what the batch norm multiplies by and adds."""
        weight = conv.weight.double()
        bias = weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias.double()
        if norm is None:
            return weight, bias, None
        mean, variance, gamma, beta, eps = self.batch_norm(norm)
        scale, shift = _scale_and_shift(mean, variance, gamma, beta, eps)
        folded = fuse_conv_bn_weights(weight, bias, mean, variance, eps, gamma, beta)
        return *folded, torch.stack((scale, shift))

    def batch_norm(self, norm: nn.Module) -> tuple[Tensor, Tensor, Tensor, Tensor, float]:
        """Return mean, variance, gamma and beta in float64, and epsilon."""
        if type(norm) is not nn.BatchNorm2d or norm.running_mean is None or norm.running_var is None:
            self.refuse(norm)
        values = norm.running_mean, norm.running_var, norm.weight, norm.bias
        mean, variance, gamma, beta = (each.double() for each in values)
        return mean, variance, gamma, beta, norm.eps

    def _padding(self, conv: nn.Conv2d) -> tuple[int, int]:
        if isinstance(conv, SamePaddedConv) and conv.stride != (1, 1):  # sides are even: the image is padded
            kernel = conv.kernel_size[0]
            return (kernel - 2) // 2, (kernel - 1) // 2
        if isinstance(conv.padding, str) or conv.padding[0] != conv.padding[1]:
            self.refuse(conv)
        return conv.padding[0], conv.padding[0]

    def _add(self, layer: NetworkLayer, weights: Weights | None = None) -> int:
        self.layers.append(layer)
        self.weights.append(weights)
        return len(self.layers)


def _scale_and_shift(
    mean: Tensor, variance: Tensor, gamma: Tensor, beta: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """Return what a batch norm multiplies by, and what it then adds."""
    scale = gamma / (variance + eps).sqrt()
    return scale, beta - mean * scale


def _float32(values: Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.ascontiguousarray(values.detach().float().numpy())
