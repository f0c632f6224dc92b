"""The errors that public SegNets make, one test each, over every SegNet that we have."""

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import segnet
from segnet import create_model
from segnet.core.blocks import DecoderStage, EncoderStage
from segnet.models.compact import CompactSegNet
from segnet.scoring.metrics import ScoreCounter
from segnet.training.losses.losses import cross_entropy

COMPACT = ("segnet-nano", "segnet-lite", "segnet-plus")
SEGNETS = ("segnet", "segnet-basic", "segnet-dsc", "segnet-vgg16", *COMPACT)


def stages(model, kind):
    return [module for module in model.modules() if isinstance(module, kind)]


def watched(model, image):
    """What went into and came out of each encoder and decoder stage."""
    seen = {}

    def note(module, inputs, output):
        seen[module] = (inputs, output)

    handles = [stage.register_forward_hook(note) for stage in stages(model, (EncoderStage, DecoderStage))]
    with torch.no_grad():
        model.eval()(image)
    for handle in handles:
        handle.remove()
    return seen


@pytest.fixture(scope="module", params=SEGNETS)
def model(request):
    torch.manual_seed(0)
    return create_model(request.param)


def test_each_decoder_stage_has_the_channels_of_its_own_encoder_stage_not_of_the_next(model):
    seen = watched(model, torch.rand(1, 3, 64, 64))
    encoders, decoders = stages(model, EncoderStage), stages(model, DecoderStage)
    assert len(encoders) == len(decoders)
    for encoder, decoder in zip(encoders, reversed(decoders), strict=True):
        (values, codes, size, _), _ = seen[decoder]
        pooled, own_codes, own_size, _ = seen[encoder][1]
        assert values.shape == pooled.shape
        assert codes is own_codes
        assert size == own_size


def test_a_decoder_stage_gives_the_channels_that_the_next_un_pool_needs(model):
    seen = watched(model, torch.rand(1, 3, 64, 64))
    decoders = stages(model, DecoderStage)
    for decoder, following in pairwise(decoders):
        assert seen[decoder][1].shape[1] == seen[following][0][0].shape[1]


@pytest.mark.parametrize("size", [(33, 47), (63, 34), (35, 35)])
def test_every_map_of_an_odd_image_comes_back_at_its_size(model, size):
    seen = watched(model, torch.rand(1, 3, *size))
    for encoder, decoder in zip(
        stages(model, EncoderStage), reversed(stages(model, DecoderStage)), strict=True
    ):
        assert tuple(seen[decoder][1].shape[-2:]) == seen[encoder][1][2]


def test_only_the_articles_models_end_in_a_relu():
    image = torch.rand(2, 3, 64, 64)
    for name in SEGNETS:
        torch.manual_seed(0)
        with torch.no_grad():
            negative = bool((create_model(name).train()(image) < 0).any())
        assert negative == (name not in ("segnet", "segnet-dsc"))


def test_no_layer_of_the_decoder_is_a_layer_of_the_encoder(model):
    def layers(kind):
        return {layer for stage in stages(model, kind) for layer in stage.modules()}

    assert not layers(EncoderStage) & layers(DecoderStage)


def test_no_layer_is_there_twice(model):
    layers = [layer for _, layer in model.named_modules(remove_duplicate=False) if list(layer.parameters())]
    assert len(set(layers)) == len(layers)


def test_nothing_called_segnet_enlarges_by_transposed_convolution(model):
    assert not any(isinstance(layer, nn.ConvTranspose2d | nn.Upsample) for layer in model.modules())
    seen = watched(model, torch.rand(1, 3, 64, 64))
    for decoder in stages(model, DecoderStage):
        _, codes, *_ = seen[decoder][0]
        assert codes.dtype == torch.uint8  # positions, two bits each


def test_the_papers_models_hand_on_positions_alone_and_the_compact_ones_features_too(model):
    seen = watched(model, torch.rand(1, 3, 64, 64))
    for decoder in stages(model, DecoderStage):
        *_, features = seen[decoder][0]
        assert (features is not None) == isinstance(model, CompactSegNet)


def test_the_decoder_puts_values_where_the_maxima_were_and_does_not_just_resize(model):
    encoder, decoder = stages(model, EncoderStage)[0], stages(model, DecoderStage)[-1]
    sparse, features = [], []
    first = decoder.units[0]
    first = (
        first
        if isinstance(first, nn.Conv2d)
        else next(m for m in first.modules() if isinstance(m, nn.Conv2d))
    )
    inputs = []
    handle = encoder.register_forward_hook(
        lambda module, given, output: inputs.append(module.units(given[0]))
    )
    sparse_handle = first.register_forward_hook(lambda module, given, output: sparse.append(given[0]))
    decoder.register_forward_pre_hook(lambda module, given: features.append(given[3]))
    with torch.no_grad():
        model.eval()(torch.rand(1, 3, 32, 32))
    handle.remove()
    sparse_handle.remove()
    _, indices = F.max_pool2d(inputs[0], 2, return_indices=True)
    at_maxima = torch.zeros_like(inputs[0]).flatten(2).scatter(2, indices.flatten(2), 1).view_as(inputs[0])
    unpooled = sparse[0] if features[0] is None else sparse[0] - features[0]
    assert not unpooled[at_maxima == 0].any()


def test_the_loss_takes_logits_and_applies_softmax_once():
    logits, mask = torch.randn(2, 3, 8, 8), torch.randint(3, (2, 8, 8))
    assert cross_entropy(logits, mask).item() == pytest.approx(F.nll_loss(logits.log_softmax(1), mask).item())
    for name in segnet.MODELS:
        with torch.device("meta"):
            layers = [type(layer) for layer in create_model(name).modules()]
        assert not {nn.Softmax, nn.LogSoftmax, nn.Softmax2d} & set(layers)


def test_each_pixel_is_decoded_by_its_own_logits_in_batches_and_odd_sizes_too():
    classes = segnet.ClassTable.named(("pet", "background", "border"))
    logits, mask = torch.randn(3, 3, 5, 7), torch.randint(3, (3, 5, 7))
    counted = np.zeros((3, 3), int)
    for image, y, x in np.ndindex(3, 5, 7):
        guess = max(range(3), key=lambda c: logits[image, c, y, x].item())
        counted[mask[image, y, x], guess] += 1
    counter = ScoreCounter(classes, torch.device("cpu"))
    counter.add(logits, mask.byte())
    assert np.array_equal(counter.scores().confusion, counted)
