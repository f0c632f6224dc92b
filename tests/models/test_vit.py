"""Part 4's Vision Transformer against its counts and against one made of stock layers."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segnet import SegnetError, create_model
from segnet.core.dropout import sampling_dropout
from segnet.models.inspection.costs import count_macs, count_parameters

SMALL = {"image_size": 32, "patch": 8, "width": 48, "depth": 3, "heads": 4}


def test_parameters_are_the_count_by_hand_part_by_part():
    model = create_model("vit")
    block = 4 * (768 * 768 + 768) + (768 * 3072 + 3072) + (3072 * 768 + 768) + 2 * 2 * 768
    assert [count_parameters(each) for each in model.blocks] == [block] * 12
    assert model.position.numel() == 64 * 768
    assert count_parameters(model) == 6 + 2 * (768 * 768 + 768) + 64 * 768 + 12 * block == 86_284_806


def test_multiply_adds_are_the_hand_count():
    # every weight matrix once a token, and attention's two products of 64x64 tokens by 768 in each block
    matrices = 64 * (2 * 768 * 768 + 12 * (4 * 768 * 768 + 2 * 768 * 3072))
    assert count_macs(create_model("vit")) == matrices + 12 * 2 * 64 * 64 * 768 == 5_586_812_928


def test_logits_and_gradients_equal_those_of_stock_transformer_layers():
    torch.manual_seed(0)
    ours = create_model("vit", **SMALL, dropout=0.0).double()
    image = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    layers = []
    for block in ours.blocks:
        layer = nn.TransformerEncoderLayer(
            48, 4, 4 * 48, 0.0, "gelu", batch_first=True, norm_first=True, dtype=torch.float64
        )
        pairs = [
            (layer.self_attn.in_proj_weight, block.query_key_value.weight),
            (layer.self_attn.in_proj_bias, block.query_key_value.bias),
            (layer.self_attn.out_proj, block.project),
            (layer.linear1, block.mlp[0]),
            (layer.linear2, block.mlp[2]),
            (layer.norm1, block.norm_attention),
            (layer.norm2, block.norm_mlp),
        ]
        for theirs, own in pairs:
            if isinstance(theirs, nn.Module):
                theirs.load_state_dict(own.state_dict())
            else:
                theirs.data.copy_(own.data)
        layers.append(layer)

    x = F.batch_norm(image, None, None, training=True)
    patches = F.unfold(x, 8, stride=8).transpose(1, 2)  # (N, 16, 3·8·8), channel by channel
    tokens = F.linear(patches, ours.embed.weight, ours.embed.bias) + ours.position.detach().flatten(0, 1)
    for layer in layers:
        tokens = layer(tokens)
    out = F.linear(tokens, ours.to_logits.weight, ours.to_logits.bias)
    stock = F.fold(out.transpose(1, 2), (32, 32), 8, stride=8)

    logits = ours(image)
    torch.testing.assert_close(logits, stock)
    target = torch.randint(0, 3, (2, 32, 32))
    F.cross_entropy(stock, target).backward()
    expected = layers[0].self_attn.out_proj.weight.grad
    F.cross_entropy(logits, target).backward()
    torch.testing.assert_close(ours.blocks[0].project.weight.grad, expected)


@pytest.mark.parametrize("patch", [4, 8, 16, 32])
def test_any_patch_that_divides_the_image_will_do(patch):
    model = create_model("vit", image_size=32, patch=patch, width=16, depth=1, heads=2)
    assert model(torch.rand(1, 3, 32, 32)).shape == (1, 3, 32, 32)


def test_for_images_of_another_size_positions_are_interpolated_as_torch_does():
    from segnet.models.vit import resample

    position = torch.randn(4, 4, 6)
    assert torch.equal(resample(position, 4, 4), position)
    planes = position.permute(2, 0, 1)[None]
    for size in [(8, 12), (3, 5), (1, 2)]:
        stock = F.interpolate(planes, size, mode="bilinear", align_corners=False)[0].permute(1, 2, 0)
        torch.testing.assert_close(resample(position, *size), stock)


@pytest.mark.parametrize("size", [(32, 33), (20, 32), (7, 7)])
def test_an_image_that_cannot_be_cut_into_patches_is_refused(size):
    model = create_model("vit", **SMALL)
    with pytest.raises(SegnetError, match=f"{size[0]}x{size[1]} can't be cut into vit's patches of 8x8"):
        model(torch.rand(1, 3, *size))


def test_attention_starts_as_torchs_does():
    torch.manual_seed(0)
    block = create_model("vit", **SMALL).blocks[0]
    torch.manual_seed(0)
    stock = nn.MultiheadAttention(48, 4)
    for ours, theirs in [
        (block.query_key_value.weight, stock.in_proj_weight),
        (block.project.weight, stock.out_proj.weight),
    ]:
        assert ours.shape == theirs.shape
        assert ours.abs().max().item() == pytest.approx(
            theirs.abs().max().item(), rel=0.01
        )  # uniform, the same bound
    assert not block.query_key_value.bias.any()
    assert not block.project.bias.any()


def test_it_drops_a_fifth_in_training_and_nothing_when_evaluated():
    model = create_model("vit", **SMALL)
    assert model.blocks[0].dropout.p == model.blocks[0].mlp[3].p == 0.2
    image = torch.rand(2, 3, 32, 32)
    assert not torch.equal(model(image), model(image))
    assert torch.equal(model.eval()(image), model(image))


def test_attention_drops_by_itself_in_training_and_when_sampled():
    model = create_model("vit", **SMALL)
    for block in model.blocks:
        block.mlp[3].p = 0.0
    image = torch.rand(1, 3, 32, 32)
    assert not torch.equal(model(image), model(image))
    model.normalise.eval()
    torch.manual_seed(3)
    with torch.no_grad():
        expected = model(image)
    model.eval()
    with torch.no_grad(), sampling_dropout(torch.Generator().manual_seed(3)):
        assert torch.allclose(model(image), expected, atol=1e-5)  # each pass drops the same
        assert not torch.allclose(model(image), expected, atol=1e-5)
