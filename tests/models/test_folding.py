"""Folded batch norms: the same function, with fewer modules, in a copy."""

import pytest
import torch
from torch import nn

from segnet import create_model
from segnet.models.folding import fold_batch_norms

# Batch norms that stay: of the image, which a convolution pads after it; U-Net and FCN as they are built.
CASES = {
    "segnet": ({"stages": 2}, 1),
    "segnet-basic": ({"channels": 4}, 1),
    "segnet-dsc": ({"stages": 2}, 1),
    "segnet-lite": ({"stages": [[8, 1], [16, 2]], "bottleneck": [16, 2, 3]}, 1),
    "segnet-vgg16": ({"width": 2}, 1),
}


def batch_norms(model):
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@pytest.mark.parametrize("name", CASES)
def test_predicts_the_same_to_rounding_and_leaves_the_model_alone(name):
    options, staying = CASES[name]
    torch.manual_seed(0)
    model = create_model(name, **options)
    with torch.no_grad():
        for _ in range(5):  # so that the statistics are none of a fresh model
            model(torch.rand(4, 3, 64, 64) * 2)
    before = {key: value.clone() for key, value in model.eval().state_dict().items()}
    folded = fold_batch_norms(model)
    assert batch_norms(folded) == staying
    image = torch.rand(2, 3, 48, 33).repeat_interleave(2, dim=2)
    with torch.no_grad():
        torch.testing.assert_close(folded(image), model(image), rtol=1e-3, atol=1e-5)
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_batch_norm_without_statistics_stays():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False))
    assert batch_norms(fold_batch_norms(model)) == 1
