"""The article's SegNet against a second one, written here from stock layers alone."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segnet import SegnetError, create_model
from segnet.models.inspection.costs import count_macs, count_parameters

# FACTS of Part 2, stage by stage: (in, out) of every convolution.
ARTICLE_ENCODER = [
    [(3, 64), (64, 64)],
    [(64, 128), (128, 128)],
    [(128, 256), (256, 256), (256, 256)],
    [(256, 512), (512, 512), (512, 512)],
]
ARTICLE_DECODER = [
    [(512, 512), (512, 512), (512, 256)],
    [(256, 256), (256, 256), (256, 128)],
    [(128, 128), (128, 64)],
    [(64, 64), (64, 3)],
]


class StockSegNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.bn_input = nn.BatchNorm2d(3)
        self.convs = nn.ModuleList()
        self.norms = nn.ModuleList()
        for stage in ARTICLE_ENCODER + ARTICLE_DECODER:
            for before, after in stage:
                self.convs.append(nn.Conv2d(before, after, 3, padding=1, bias=False))
                self.norms.append(nn.BatchNorm2d(after))

    def forward(self, x):
        x = self.bn_input(x)
        units = iter(zip(self.convs, self.norms, strict=True))
        indices = []
        for stage in ARTICLE_ENCODER:
            for _ in stage:
                conv, norm = next(units)
                x = F.relu(norm(conv(x)))
            size = x.shape[-2:]
            x, index = F.max_pool2d(x, 2, return_indices=True)
            indices.append((index, size))
        for stage in ARTICLE_DECODER:
            index, size = indices.pop()
            x = F.max_unpool2d(x, index, 2, output_size=size)
            for _ in stage:
                conv, norm = next(units)
                x = F.relu(norm(conv(x)))
        return x

    def take_weights(self, model):
        convs = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
        norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
        for ours, theirs in zip([self.bn_input, *self.norms, *self.convs], norms + convs, strict=True):
            ours.load_state_dict(theirs.state_dict())


@pytest.fixture(scope="module")
def segnet():
    torch.manual_seed(0)
    return create_model("segnet")


@pytest.mark.parametrize("size", [(32, 32), (37, 50)])
def test_logits_and_gradients_equal_those_of_the_network_from_stock_layers(segnet, size):
    # in float64: batch norm is computed in another order in training, and float32 would show it
    ours, stock = copy.deepcopy(segnet).double(), StockSegNet().double()
    stock.take_weights(ours)
    image = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    target = torch.randint(0, 3, (2, *size), generator=torch.Generator().manual_seed(2))
    gradients = []
    logits = []
    for model in (ours, stock):
        model.train()
        out = model(image)
        F.cross_entropy(out, target).backward()
        logits.append(out.detach())
        named = [m.weight.grad for m in model.modules() if isinstance(m, nn.Conv2d)]
        named += [m.bias.grad for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
        gradients.append(named)
    torch.testing.assert_close(*logits, rtol=1e-10, atol=1e-10)
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=float(b.abs().max()) * 1e-9)


def test_a_trained_networks_logits_are_those_of_stock_layers_bit_by_bit(segnet):
    stock = StockSegNet()
    stock.take_weights(segnet)
    image = torch.rand(2, 3, 37, 50, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(copy.deepcopy(segnet).eval()(image), stock.eval()(image))


def test_parameters_are_the_articles_stage_by_stage(segnet):
    assert count_parameters(segnet.normalise) == 6
    assert [count_parameters(stage) for stage in segnet.encoder] == [38_848, 221_696, 1_476_096, 5_901_312]
    assert [count_parameters(stage) for stage in segnet.decoder] == [5_900_800, 1_475_840, 221_568, 38_726]
    assert count_parameters(segnet) == 15_274_892


def test_multiply_adds_at_128_px_are_the_hand_count(segnet):
    by_hand = 0
    side = 128
    for stage in ARTICLE_ENCODER:
        by_hand += sum(9 * before * after * side * side for before, after in stage)
        side //= 2
    for stage in ARTICLE_DECODER:
        side *= 2
        by_hand += sum(9 * before * after * side * side for before, after in stage)
    assert count_macs(segnet) == by_hand == 9_116_319_744


def test_five_stages_are_the_papers_depth():
    with torch.device("meta"):
        assert count_parameters(create_model("segnet", stages=5)) == 29_436_812


def test_logits_are_never_negative_since_the_last_layer_is_a_relu(segnet):
    with torch.no_grad():
        assert segnet.eval()(torch.rand(1, 3, 16, 16)).min() >= 0


@pytest.mark.parametrize("stages", [0, 6])
def test_a_number_of_stages_that_does_not_exist_is_refused(stages):
    with pytest.raises(SegnetError, match=f"1 to 5 stages, got {stages}"):
        create_model("segnet", stages=stages)
