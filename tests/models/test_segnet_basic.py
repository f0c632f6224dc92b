"""SegNet-Basic against the paper's counts, and its dropout where the paper has it."""

import pytest
import torch
from torch import nn

from segnet import SegnetError, create_model
from segnet.models.inspection.costs import count_parameters


def test_parameters_at_the_papers_eleven_classes_are_the_count_by_hand():
    convolutions = 3 * 64 * 49 + 7 * 64 * 64 * 49
    norms = 8 * 2 * 64
    assert convolutions + norms + 64 * 11 == 1_416_064  # the paper's structure
    ours = count_parameters(create_model("segnet-basic", 11))
    assert ours == 1_416_064 + 11 + 2 * 3 == 1_416_081


def test_there_is_a_relu_after_each_encoder_convolution_and_none_in_the_decoder():
    model = create_model("segnet-basic")
    assert sum(isinstance(layer, nn.ReLU) for layer in model.encoder.modules()) == 4
    assert not any(isinstance(layer, nn.ReLU) for layer in model.decoder.modules())
    assert create_model("segnet-basic").eval()(torch.rand(1, 3, 32, 32)).min() < 0  # logits aren't cut at 0


def test_dropout_follows_the_third_and_fourth_pool_and_the_two_deepest_decoder_stages():
    model = create_model("segnet-basic", channels=4, dropout=0.5)
    shapes = []
    model.dropout.register_forward_hook(lambda module, inputs, output: shapes.append(output.shape[-1]))
    model(torch.rand(2, 3, 64, 64))
    assert shapes == [8, 4, 8, 16]


def test_the_bayesian_variant_has_the_same_weights_and_evaluates_without_chance():
    model = create_model("segnet-basic", channels=4, dropout=0.5)
    assert list(model.state_dict()) == list(create_model("segnet-basic", channels=4).state_dict())
    image = torch.rand(2, 3, 32, 32)
    assert not torch.equal(model(image), model(image))
    assert torch.equal(model.eval()(image), model(image))


def test_a_dropout_that_drops_everything_is_refused():
    with pytest.raises(SegnetError, match="from 0 to below 1, got 64 and 1"):
        create_model("segnet-basic", dropout=1)
