"""Random numbers of one's own: the seed decides them, and the caller's go on as if nothing had been drawn."""

import pytest
import torch

from segnet.base.device import seeded

CPU = torch.device("cpu")


def test_the_seed_decides_what_is_drawn():
    drawn = []
    for seed in (3, 3, 4):
        with seeded(seed, CPU):
            drawn.append(torch.rand(8))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_the_callers_numbers_go_on_as_if_nothing_had_been_drawn_after_an_exception_too():
    torch.manual_seed(0)
    expected = torch.rand(8)
    torch.manual_seed(0)
    with seeded(1, CPU):
        torch.rand(100)
    assert torch.equal(torch.rand(4), expected[:4])
    with pytest.raises(KeyError), seeded(1, CPU):
        raise KeyError
    assert torch.equal(torch.rand(4), expected[4:])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpus_own_generator_is_seeded_and_restored():
    device = torch.device("cuda")
    torch.manual_seed(0)
    expected = torch.rand(4, device=device)
    torch.manual_seed(0)
    drawn = []
    for _ in range(2):
        with seeded(1, device):
            drawn.append(torch.rand(4, device=device))
    assert torch.equal(*drawn)
    assert torch.equal(torch.rand(4, device=device), expected)
