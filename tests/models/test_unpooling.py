"""Un-pooling without the indices, against stock PyTorch and loops."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from segnet import SegnetError, create_model
from segnet.core.pooling import max_pool_2x2
from segnet.models.inspection.unpooling import INDICES, WAYS, parse_ways, unpooling

TINY = {"stages": ((4, 1), (8, 1)), "bottleneck": (8, 1, 3)}
SIZES = [(4, 6), (10, 8), (7, 5), (2, 3)]


def pooled(size):
    torch.manual_seed(0)
    return max_pool_2x2(torch.randn(2, 3, *size))


def tiny():
    torch.manual_seed(0)
    return create_model("segnet-lite", 3, **TINY).eval()


@pytest.mark.parametrize("size", SIZES)
def test_first_corner_is_stock_unpooling_with_the_indices_of_corners(size):
    values, codes = pooled(size)
    rows, columns = torch.meshgrid(*(2 * torch.arange(side // 2) for side in size), indexing="ij")
    corners = (rows * size[1] + columns).expand_as(values)
    stock = F.max_unpool2d(values, corners, 2, output_size=size)
    assert torch.equal(WAYS["first-corner"](values, codes, size), stock)


@pytest.mark.parametrize("size", SIZES)
def test_at_random_each_value_is_once_in_its_window_and_nothing_else_is(size):
    values, codes = pooled(size)
    full = WAYS["random"](values, codes, size)
    seen = set()
    for n, c, y, x in torch.cartesian_prod(*map(torch.arange, values.shape)).tolist():
        window = full[n, c, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].flatten().tolist()
        place = window.index(values[n, c, y, x].item())
        assert [value for at, value in enumerate(window) if at != place] == [0, 0, 0]
        seen.add(place)
    assert full.count_nonzero() == values.count_nonzero()
    assert seen == {0, 1, 2, 3}


@pytest.mark.parametrize("size", SIZES)
def test_no_indices_repeats_each_value_four_times(size):
    values, codes = pooled(size)
    full = WAYS["no-indices"](values, codes, size)
    even = [side // 2 * 2 for side in size]
    assert torch.equal(
        full[..., : even[0], : even[1]], values.repeat_interleave(2, 2).repeat_interleave(2, 3)
    )
    assert not full[..., even[0] :, :].any()
    assert not full[..., even[1] :].any()


def test_bilinear_mixes_each_pixel_from_the_nearest_windows_nine_to_three_to_three_to_one():
    values, codes = pooled((10, 8))
    full = WAYS["bilinear"](values, codes, (10, 8))
    for y, x in ((3, 3), (4, 5), (6, 2)):
        near, far = [side // 2 for side in (y, x)], [side // 2 + (1 if side % 2 else -1) for side in (y, x)]
        mixed = (
            9 * values[..., near[0], near[1]]
            + 3 * values[..., far[0], near[1]]
            + 3 * values[..., near[0], far[1]]
            + values[..., far[0], far[1]]
        ) / 16
        torch.testing.assert_close(full[..., y, x], mixed)


@pytest.mark.parametrize("size", [(16, 16), (19, 14)])
def test_by_the_indices_a_model_stays_what_it_is_bit_by_bit_and_after_any_way_too(size):
    model, image = tiny(), torch.rand(1, 3, *size)
    before = model(image)
    with unpooling(model, INDICES):
        assert torch.equal(model(image), before)
    for way in WAYS:
        with unpooling(model, way):
            swapped = model(image)
        assert swapped.shape == before.shape
        assert not torch.equal(swapped, before), way
        assert torch.equal(model(image), before), way


def test_it_is_put_back_after_an_error_too():
    model, image = tiny(), torch.rand(1, 3, 16, 16)
    before = model(image)
    with pytest.raises(KeyboardInterrupt), unpooling(model, "bilinear"):
        raise KeyboardInterrupt
    assert torch.equal(model(image), before)


def test_in_a_model_every_stage_of_the_decoder_upsamples():
    model = tiny()
    sizes = []

    def compare(stage, inputs, result):
        x, _, size, features = inputs
        sizes.append(tuple(size))
        assert torch.equal(result, stage.units(F.interpolate(x, scale_factor=2, mode="nearest") + features))

    for stage in model.decoder:
        stage.register_forward_hook(compare)
    with unpooling(model, "no-indices"):
        model(torch.rand(1, 3, 16, 24))
    assert sizes == [(4, 6), (8, 12)]


@pytest.mark.parametrize("way", WAYS)
def test_a_model_learns_in_each_way(way):
    model = tiny().train()
    with unpooling(model, way):
        model(torch.rand(2, 3, 16, 16)).square().sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())
    assert next(model.parameters()).grad.any()


def test_a_model_without_indices_is_refused():
    for model in (create_model("unet", 3), nn.Conv2d(3, 3, 1)):
        with (
            pytest.raises(SegnetError, match="no pooling indices that could be left out"),
            unpooling(model, INDICES),
        ):
            pass


def test_ways_are_named_once_each():
    assert parse_ways("bilinear, first-corner,bilinear") == ("bilinear", "first-corner")
    assert parse_ways("all") == ("first-corner", "random", "no-indices", "bilinear")
    with pytest.raises(SegnetError, match="did you mean 'bilinear'"):
        parse_ways("first-corner,bilinaer")
