"""Two processes train a small SegNet, as DistributedDataParallel runs it."""

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from segnet import create_model

if __name__ != "__main__":
    from .apart import ends, started


def small_segnet():
    torch.manual_seed(0)
    return create_model("segnet", stages=1)


def gradients(model, x):
    model(x).square().mean().backward()
    return [parameter.grad for parameter in model.parameters()]


def images():
    return torch.rand(2, 2, 3, 11, 10, generator=torch.Generator().manual_seed(1))


def train(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.save(gradients(DistributedDataParallel(small_segnet()), images()[rank]), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_available(), reason="this torch was built without torch.distributed")
def test_two_processes_average_the_gradients_that_each_has_alone(tmp_path):
    with started(__file__, *((rank, str(tmp_path)) for rank in (0, 1))) as processes:
        assert ends(processes, 120) == [0, 0]
    alone = [gradients(small_segnet(), x) for x in images()]
    for rank in (0, 1):
        together = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for ours, first, second in zip(together, *alone, strict=True):
            torch.testing.assert_close(ours, (first + second) / 2, rtol=1e-4, atol=1e-6)


if __name__ == "__main__":
    train(*ARGUMENTS)  # noqa: F821 - as apart.py calls them
