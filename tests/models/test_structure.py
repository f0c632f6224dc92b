"""What models are made of: sums against other counts, and what passes against sizes worked out by hand."""

import pytest
from torch import nn

from segnet import MODELS
from segnet.models.inspection.costs import count_parameters, list_layers
from segnet.models.inspection.structure import Passed, channels_of, describe_structure, places_of

from .conftest import meta


@pytest.mark.parametrize("name", MODELS)
def test_parts_hold_all_layers_and_all_parameters(name):
    model = meta(name)
    structure = describe_structure(model)
    assert structure.parameters == count_parameters(model)
    assert sum(len(part.layers) for part in structure.parts) == len(list_layers(model))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_the_articles_stages_have_its_channels_and_sizes():
    structure = describe_structure(meta("segnet"))
    stages = [
        (part.name, part.side, part.places, [channels_of(layer) for layer in part.multiplying])
        for part in structure.parts
    ]
    assert stages[1:] == [
        ("encoder.0", "down", (128, 128), [64, 64]),
        ("encoder.1", "down", (64, 64), [128, 128]),
        ("encoder.2", "down", (32, 32), [256, 256, 256]),
        ("encoder.3", "down", (16, 16), [512, 512, 512]),
        ("decoder.0", "up", (16, 16), [512, 512, 256]),
        ("decoder.1", "up", (32, 32), [256, 256, 128]),
        ("decoder.2", "up", (64, 64), [128, 64]),
        ("decoder.3", "up", (128, 128), [64, 3]),
    ]


def codes(channels, side=64):
    """Two bits for each window of pools that halve maps again and again, outermost first, to ``side``."""
    deepest = len(channels) - 1
    for depth, count in enumerate(channels):
        windows = count * side * side
        yield Passed(
            f"encoder.{depth}", f"decoder.{deepest - depth}", "codes", (count, side, side), windows * 2 // 8
        )
        side //= 2


def maps(source, target, shape, **more):
    return Passed(source, target, "maps", shape, 4 * shape[0] * shape[1] * shape[2], **more)


def both(channels):
    """What the compact SegNets hand on: codes and, of the size before the pool, maps."""
    for each in codes(channels, side=32):
        count, side, _ = each.shape
        yield each
        yield maps(each.source, each.target, (count, 2 * side, 2 * side))


PASSED = {
    "segnet": [*codes((64, 128, 256, 512))],
    "segnet-dsc": [*codes((64, 128, 256, 512))],
    "segnet-vgg16": [*codes((64, 128, 256, 512, 512))],
    "segnet-basic": [*codes((64, 64, 64, 64))],
    "segnet-nano": [*both((16, 32, 80))],
    "segnet-lite": [*both((32, 96, 256))],
    "segnet-plus": [*both((64, 192, 512))],
    "segnet-efficient": [
        maps(f"encoder.{depth}", f"decoder.{4 - depth}", (channels, 64 >> depth, 64 >> depth), is_alone=True)
        for depth, channels in enumerate((16, 24, 40, 112))
    ],
    "unet": [
        maps(f"encoder.{depth}", f"decoder.{3 - depth}", (64 << depth, 128 >> depth, 128 >> depth))
        for depth in range(4)
    ],
    "fcn": [
        maps("encoder.2", "score_third", (256, 16, 16), is_alone=True),
        maps("encoder.3", "score_fourth", (512, 8, 8), is_alone=True),
    ],
    "vit": [],
}


@pytest.mark.parametrize("name", MODELS)
def test_what_passes_is_what_the_papers_say(name):
    assert [*describe_structure(meta(name)).passed] == PASSED[name]


def test_sums_are_those_that_are_known():
    """Of the article's model: 491,520 windows; a U-Net's maps, 7.5 MiB."""
    assert sum(each.bytes for each in describe_structure(meta("segnet")).passed) == 491_520 // 4
    assert sum(each.bytes for each in describe_structure(meta("unet")).passed) == 7.5 * 2**20


def test_what_works_on_the_deepest_maps_alone_is_at_the_bottom():
    for name, expected in {
        "segnet-lite": ["bottleneck"],
        "unet": ["bottom"],
        "fcn": ["head", "score_head"],
    }.items():
        assert [
            part.name for part in describe_structure(meta(name)).parts if part.side == "bottom"
        ] == expected
    vit = describe_structure(meta("vit", depth=2)).parts
    assert [part.name for part in vit] == [
        "normalise",
        "embed",
        "blocks.0",
        "blocks.1",
        "to_logits",
        "position",
    ]
    assert [part.places for part in vit[1:5]] == [(64,)] * 4


def test_a_model_of_ones_own_is_followed_too():
    class Skips(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 4, 3, padding=1)
            self.second = nn.Conv2d(4, 6, 3, padding=1, stride=2)
            self.up = nn.ConvTranspose2d(6, 4, 2, stride=2)
            self.last = nn.Conv2d(4, 2, 1)

        def forward(self, image):
            x = self.first(image).relu()
            return self.last(self.up(self.second(x).relu()) + x)

    structure = describe_structure(Skips(), (16, 24))
    assert [(part.name, part.side) for part in structure.parts] == [
        ("first", "down"), ("second", "bottom"), ("up", "up"), ("last", "up"),
    ]  # fmt: skip
    assert structure.passed == (maps("first", "last", (4, 16, 24)),)


def test_places_and_channels_of_maps_and_of_tokens():
    layers = {layer.name: layer for layer in list_layers(meta("vit", depth=1), (32, 64))}
    assert places_of(layers["normalise"]) == (32, 64)
    assert channels_of(layers["normalise"]) == 3
    assert places_of(layers["embed"]) == places_of(layers["blocks.0.project"]) == (8,)
    assert channels_of(layers["blocks.0.query_key_value"]) == 3 * 768


def test_odd_sizes_are_the_models_own():
    structure = describe_structure(meta("segnet", stages=2), (33, 50))
    assert [part.places for part in structure.parts[1:]] == [(33, 50), (16, 25), (16, 25), (33, 50)]
    assert [each.shape for each in structure.passed] == [(64, 16, 25), (128, 8, 12)]
