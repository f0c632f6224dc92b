"""FCN-8s against its count by hand and against the paper's sum of three scores, written with stock layers."""

import itertools

import torch
import torch.nn.functional as F

from segnet import create_model
from segnet.models.inspection.costs import count_parameters


def test_parameters_are_the_count_by_hand():
    channels = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    by_hand = sum(9 * a * b + 2 * b for a, b in itertools.pairwise(channels))
    by_hand += 49 * 512 * 4096 + 2 * 4096 + 4096 * 4096 + 2 * 4096
    by_hand += 3 * (4096 + 1 + 512 + 1 + 256 + 1)  # scores of head, fourth and third pool
    by_hand += 3 * 3 * (4 * 4 + 4 * 4 + 16 * 16)  # transposed convolutions
    assert count_parameters(create_model("fcn")) == by_hand + 6 == 134_290_159


def test_enlarging_starts_as_bilinear_interpolation():
    from segnet.models.fcn import bilinear

    scores = torch.randn(2, 3, 9, 7)
    for factor in (2, 8):
        with torch.no_grad():
            ours = bilinear(3, factor)(scores)
        stock = F.interpolate(scores, scale_factor=factor, mode="bilinear", align_corners=False)
        assert ours.shape == stock.shape
        inner = (..., slice(factor, -factor), slice(factor, -factor))  # at the rim zeros come in
        torch.testing.assert_close(ours[inner], stock[inner])


def test_logits_are_the_papers_sum_of_scores_at_three_depths():
    torch.manual_seed(0)
    model = create_model("fcn", width=4, head=16).eval()
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        x, pools = model.normalise(image), []
        for stage in model.encoder:
            x = F.max_pool2d(stage(x), 2)
            pools.append(x)
        at_32 = model.score_head(model.head(pools[4]))
        at_16 = model.twice_to_fourth(at_32) + model.score_fourth(pools[3])
        at_8 = model.twice_to_third(at_16) + model.score_third(pools[2])
        torch.testing.assert_close(model(image), model.eight_times(at_8))


def test_an_odd_image_is_continued_by_its_last_row_and_column_and_its_logits_are_cut_to_it():
    model = create_model("fcn", width=4, head=16).eval()
    image = torch.rand(1, 3, 50, 61)
    with torch.no_grad():
        padded = F.pad(image, (0, 3, 0, 14), mode="replicate")
        assert torch.equal(model(image), model(padded)[..., :50, :61])
