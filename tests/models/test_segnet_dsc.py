"""Part 3's SegNet against its hand counts."""

from torch import nn

from segnet import create_model
from segnet.models.inspection.costs import count_macs, count_parameters


def test_multiply_adds_at_128_px_are_the_hand_count():
    stages = [[(3, 64), (64, 64)], [(64, 128), (128, 128)], [(128, 256), (256, 256), (256, 256)],
              [(256, 512), (512, 512), (512, 512)], [(512, 512), (512, 512), (512, 256)],
              [(256, 256), (256, 256), (256, 128)], [(128, 128), (128, 64)], [(64, 64), (64, 3)]]  # fmt: skip
    sides = (128, 64, 32, 16, 16, 32, 64, 128)
    by_hand = sum(
        (9 * m + m * n) * side * side for stage, side in zip(stages, sides, strict=True) for m, n in stage
    )
    assert count_macs(create_model("segnet-dsc")) == by_hand
    assert round(by_hand / 1e9, 4) == 1.0777


def test_a_unit_costs_what_part_3_says():
    # m·d² + n·m against n·m·d² at d = 3, m = 16, n = 32: 656 against 4,608
    from segnet.core.blocks import ConvBNReLU, SeparableBNReLU

    def weights(unit):
        return sum(count_parameters(layer) for layer in unit if isinstance(layer, nn.Conv2d))

    assert weights(SeparableBNReLU(16, 32)) == 656
    assert weights(ConvBNReLU(16, 32)) == 4_608


def test_with_every_stage_ordinary_it_is_the_ordinary_segnet():
    mixed, plain = create_model("segnet-dsc", ordinary_stages=4), create_model("segnet")
    assert list(mixed.state_dict()) == list(plain.state_dict())
    counts = [count_parameters(create_model("segnet-dsc", ordinary_stages=n)) for n in range(5)]
    assert counts == sorted(counts)
    assert (counts[0], counts[4]) == (1_749_671, 15_274_892)
