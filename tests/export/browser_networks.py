"""SegNets whose weights a file for browsers holds exactly, as float16 with their batch norms folded in."""

import torch
from torch import nn

from segnet import ClassTable, create_model
from segnet.data.images.intensity import RGB
from segnet.inference.description import Description

TAKEN = {
    "segnet": ("segnet", {"stages": 2}),
    "segnet with one stage": ("segnet", {"stages": 1}),
    "segnet-dsc": ("segnet-dsc", {"stages": 3}),
    "segnet-dsc with an ordinary stage": ("segnet-dsc", {"stages": 2, "ordinary_stages": 1}),
    "segnet-dsc with ordinary stages alone": ("segnet-dsc", {"stages": 1, "ordinary_stages": 1}),
    "segnet-basic": ("segnet-basic", {"channels": 4}),
    "segnet-basic with dropout": ("segnet-basic", {"channels": 3, "dropout": 0.5}),
    "segnet-vgg16": ("segnet-vgg16", {"width": 2}),
    "segnet-vgg16 with dropout": ("segnet-vgg16", {"width": 2, "dropout": 0.5}),
    "segnet-nano": ("segnet-nano", {}),
    "segnet-lite": ("segnet-lite", {"stages": [[8, 1], [16, 2]], "bottleneck": [24, 2, 5]}),
    "segnet-lite by its dial": ("segnet-lite", {"width": 0.25}),
    "segnet-lite with positions alone": (
        "segnet-lite",
        {"stages": [[8, 1], [16, 1]], "bottleneck": [16, 1, 3], "features": False},
    ),
    "segnet-lite without units in the middle": ("segnet-lite", {"stages": [[8, 2]], "bottleneck": [8, 0, 3]}),
    "segnet-plus at full resolution": (
        "segnet-plus",
        {"stages": [[8, 1], [16, 1]], "bottleneck": [16, 1, 3], "stride": 1},
    ),
    "segnet-efficient": ("segnet-efficient", {"width": 0.25}),
    "segnet-efficient with lite1": ("segnet-efficient", {"encoder": "efficientnet-lite1"}),
    "segnet-efficient with lite2": ("segnet-efficient", {"encoder": "efficientnet-lite2", "width": 0.5}),
}
REFUSED = {"fcn": {"width": 4, "head": 16}, "unet": {"width": 4}, "vit": {"image_size": 32, "patch": 16}}
NAMES = ("pet", "background", "border")


def exact(name, options, channels=3):
    """Return a model in float64 and evaluation mode, and its description.

    Weights are multiples of 2^-10; batch norms scale by powers of two and move by multiples of 1/8.
    """
    torch.manual_seed(1)
    model = create_model(name, len(NAMES), channels, **options).double()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.mul_(1024).round_().div_(1024)
                if module.bias is not None:
                    module.bias.mul_(1024).round_().div_(1024)
            if isinstance(module, nn.BatchNorm2d):
                factor = 2.0 ** torch.randint(-1, 2, module.weight.shape)
                module.running_var.uniform_(0.5, 2)
                module.weight.copy_((module.running_var + module.eps).sqrt() * factor)
                module.running_mean.copy_(torch.randint(-2, 3, module.weight.shape) / 8)
                module.bias.copy_(torch.randint(-2, 5, module.weight.shape) / 8)
    return model.eval(), describe(name, options, channels)


def describe(name, options=None, channels=3, **others):
    intensity = RGB if channels == 3 else type(RGB)(channels)
    table = ClassTable.named(NAMES)
    return Description(name, table, (64, 32), "area", options or {}, **{"intensity": intensity} | others)
