"""Dropout in evaluation mode: what drops, by whose random numbers, and in this thread alone."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from segnet import SegnetError
from segnet.core.dropout import require_dropout, sampling_dropout


def network(dropout):
    return nn.Sequential(nn.Conv2d(3, 64, 1), nn.BatchNorm2d(64), nn.Sequential(dropout, nn.Conv2d(64, 2, 1)))


@pytest.mark.parametrize(
    ("kind", "spatial"),
    [
        (nn.Dropout, (4, 4)),
        (nn.Dropout1d, (4,)),
        (nn.Dropout2d, (4, 4)),
        (nn.Dropout3d, (4, 4, 4)),
        (nn.AlphaDropout, (4, 4)),
        (nn.FeatureAlphaDropout, (4, 4)),
    ],
)
def test_every_kind_of_dropout_drops_inside_and_not_outside(kind, spatial):
    dropout, ones = kind(0.5).eval(), torch.ones(3, 64, *spatial)
    assert torch.equal(dropout(ones), ones)
    with sampling_dropout(torch.Generator()):
        assert not torch.equal(dropout(ones), ones)
    assert torch.equal(dropout(ones), ones)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        (nn.Dropout, (3, 8, 5, 5)),
        (nn.Dropout1d, (3, 8, 5)),
        (nn.Dropout1d, (8, 5)),
        (nn.Dropout2d, (3, 8, 5, 5)),
        (nn.Dropout3d, (3, 8, 4, 4, 4)),
        (nn.Dropout3d, (8, 4, 4, 4)),
        (nn.AlphaDropout, (3, 8, 4)),
        (nn.FeatureAlphaDropout, (3, 8, 4, 4)),
    ],
)
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("inplace", [False, True])
def test_what_is_dropped_is_what_torch_drops_after_the_same_seed(kind, shape, p, inplace):
    torch.manual_seed(0)
    x = torch.randn(shape)
    dropout = kind(p, inplace=inplace).train()
    torch.manual_seed(7)
    expected = [dropout(x.clone()) for _ in range(2)]
    dropout.eval()
    before = torch.get_rng_state()
    with sampling_dropout(torch.Generator().manual_seed(7)):
        found = [dropout(x.clone()) for _ in range(2)]
    assert all(map(torch.equal, found, expected))
    assert torch.equal(torch.get_rng_state(), before)
    assert not dropout.training


def test_nothing_but_dropout_is_as_in_training():
    model = network(nn.Dropout2d(0.5)).eval()
    with sampling_dropout(torch.Generator()):
        model(torch.rand(2, 3, 8, 8))
    assert torch.equal(model[1].running_mean, torch.zeros(64))
    assert model[1].num_batches_tracked == 0


def test_another_thread_drops_nothing():
    model, ones = nn.Dropout(0.5).eval(), torch.ones(100)
    with sampling_dropout(torch.Generator()), ThreadPoolExecutor(1) as pool:
        assert torch.equal(pool.submit(model, ones).result(), ones)
        assert not torch.equal(model(ones), ones)


def test_after_an_exception_nothing_drops():
    model, ones = nn.Dropout(0.5).eval(), torch.ones(100)
    with pytest.raises(KeyError), sampling_dropout(torch.Generator()):
        raise KeyError
    assert torch.equal(model(ones), ones)


@pytest.mark.parametrize("none", [nn.Identity(), nn.Dropout(0.0)])
def test_a_model_without_dropout_is_refused_with_what_to_train(none):
    says = "has no dropout, so all samples would be alike; train"
    with pytest.raises(SegnetError, match=says) as error:
        require_dropout(network(none))
    assert "--model segnet-basic --model-options dropout=0.5" in str(error.value)


def test_torchs_own_transformer_layers_drop_too_though_they_run_fused_in_evaluation_mode():
    torch.manual_seed(0)
    model = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.5, batch_first=True).eval()
    tokens = torch.rand(2, 5, 16)
    with torch.no_grad():
        assert torch.equal(model(tokens), model(tokens))
        with sampling_dropout(torch.Generator()):
            assert not torch.equal(model(tokens), model(tokens))
    assert torch.backends.mha.get_fastpath_enabled()
