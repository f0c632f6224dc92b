"""Dropout switched on alone: which modules drop, and that every module is afterwards as it was."""

import pytest
import torch
from torch import nn

from segnet import SegnetError
from segnet.core.dropout import sampling_dropout


def network(dropout):
    return nn.Sequential(nn.Conv2d(3, 64, 1), nn.BatchNorm2d(64), nn.Sequential(dropout, nn.Conv2d(64, 2, 1)))


def modes(model):
    return [module.training for module in model.modules()]


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
    with sampling_dropout(nn.Sequential(dropout)):
        assert not torch.equal(dropout(ones), ones)
    assert torch.equal(dropout(ones), ones)


@pytest.mark.parametrize("training", [True, False])
def test_everything_but_dropout_is_in_evaluation_mode_inside(training):
    model = network(nn.Dropout(0.5)).train(training)
    with sampling_dropout(model):
        assert [type(module) for module in model.modules() if module.training] == [nn.Dropout]


def test_each_module_gets_its_own_mode_back():
    model = network(nn.Dropout(0.5)).train()
    model[1].eval()  # a frozen batch norm in a model that trains
    before = modes(model)
    with sampling_dropout(model):
        pass
    assert modes(model) == before


def test_modes_come_back_after_an_exception_too():
    model = network(nn.Dropout(0.5)).train()
    before = modes(model)
    with pytest.raises(KeyError), sampling_dropout(model):
        raise KeyError
    assert modes(model) == before


def test_batch_norm_keeps_its_statistics():
    model = network(nn.Dropout2d(0.5)).train()
    with sampling_dropout(model):
        model(torch.rand(2, 3, 8, 8))
    assert torch.equal(model[1].running_mean, torch.zeros(64))
    assert model[1].num_batches_tracked == 0


@pytest.mark.parametrize("none", [nn.Identity(), nn.Dropout(0.0)])
def test_a_model_without_dropout_is_refused_with_what_to_train(none):
    model = network(none).train()
    says = "has no dropout, so all samples would be alike; train"
    with pytest.raises(SegnetError, match=says) as error, sampling_dropout(model):
        pass
    assert "--model segnet-basic --model-options '{\"dropout\": 0.5}'" in str(error.value)
    assert all(modes(model))


def test_torchs_own_transformer_layers_drop_too_though_they_run_fused_in_evaluation_mode():
    torch.manual_seed(0)
    model = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.5, batch_first=True).eval()
    tokens = torch.rand(2, 5, 16)
    with torch.no_grad():
        assert torch.equal(model(tokens), model(tokens))
        with sampling_dropout(model):
            assert not torch.equal(model(tokens), model(tokens))
    assert torch.backends.mha.get_fastpath_enabled()
