"""The models: one file each, and the dict that names them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from segnet.base.errors import SegnetError, did_you_mean
from segnet.models.compact import WIDTHS, CompactSegNet
from segnet.models.efficient import SegNetEfficient
from segnet.models.fcn import FCN
from segnet.models.segnet import SegNet
from segnet.models.segnet_basic import SegNetBasic
from segnet.models.segnet_dsc import SegNetDSC
from segnet.models.segnet_vgg16 import SegNetVGG16
from segnet.models.unet import UNet
from segnet.models.vit import ViT

MODELS: dict[str, Callable[..., nn.Module]] = {
    "segnet": SegNet,
    "segnet-basic": SegNetBasic,
    "segnet-dsc": SegNetDSC,
    **{name: partial(CompactSegNet, width=width) for name, width in WIDTHS.items()},
    "segnet-efficient": SegNetEfficient,
    "segnet-vgg16": SegNetVGG16,
    "fcn": FCN,
    "unet": UNet,
    "vit": ViT,
}


def create_model(name: str, num_classes: int = 3, in_channels: int = 3, **options: Any) -> nn.Module:
    """Build a model by name with fresh weights.

    Args:
        name: a key of ``MODELS``.
        num_classes: channels of the logits.
        in_channels: channels of the image.
        options: what else the model takes, by name; see its class.

    Raises:
        SegnetError: an unknown name or option, or a value the model can't be built with.
    """
    if name not in MODELS:
        raise SegnetError(f"there is no model {name!r}{did_you_mean(name, MODELS)}")
    if num_classes < 1 or in_channels < 1:
        raise SegnetError(
            f"a model needs at least one class and one input channel, got {num_classes} and {in_channels}"
        )
    _, _, *parameters = inspect.signature(MODELS[name]).parameters.values()
    defaults = {parameter.name: parameter.default for parameter in parameters}
    for option, value in options.items():
        if option not in defaults:
            raise SegnetError(f"{name} has no option {option!r}{did_you_mean(option, defaults)}")
        _require_kind(f"{name} takes {option}", value, defaults[option])
    try:
        return MODELS[name](num_classes, in_channels, **options)
    except (TypeError, ValueError) as error:
        raise SegnetError(f"{name} can't be built with {options}: {error}") from error


def _require_kind(what: str, value: object, default: object) -> None:
    """Raise SegnetError where a number is asked for, as the default shows, and something else is given."""
    kinds: dict[type, tuple[tuple[type, ...], str]] = {
        bool: ((bool,), "true or false"),
        int: ((int,), "a whole number"),
        float: ((int, float), "a number"),
    }
    accepted, words = kinds.get(type(default), ((object,), ""))
    if not isinstance(value, accepted) or (isinstance(value, bool) and bool not in accepted and words):
        raise SegnetError(f"{what} as {words}, got {value!r}")


def require_image_size(name: str, model: nn.Module, size: tuple[int, int]) -> None:
    """Check that a model takes images of ``size``, ``(H, W)`` in pixels.

    Raises:
        SegnetError: too small for its pools, or no multiple of its patches.
    """
    least, multiple = getattr(model, "minimum_size", 1), getattr(model, "size_multiple", 1)
    height, width = size
    if min(size) < least:
        raise SegnetError(f"{name} needs images of at least {least} px each way; raise --size")
    if height % multiple or width % multiple:
        raise SegnetError(
            f"{name} can't cut images of {height}x{width} into patches of {multiple}x{multiple}; "
            f"make --size a multiple of {multiple}"
        )
