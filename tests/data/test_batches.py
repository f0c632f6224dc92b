"""Batches: each sample once, in the order asked for, as uint8 on the device."""

import numpy as np
import pytest
import torch

from segnet.data.store.batches import load_batches, shuffled_order, split_into_batches
from segnet.data.store.split import Split

CPU = torch.device("cpu")


def numbered_split(count):
    images = np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1) + np.zeros((1, 4, 6, 3), np.uint8)
    return Split(images, images[..., 0].copy(), tuple(map(str, range(count))))


def test_the_order_is_a_permutation_that_the_seed_decides():
    assert sorted(shuffled_order(50, 1)) == list(range(50))
    assert shuffled_order(50, 1) == shuffled_order(50, 1) != shuffled_order(50, 2)


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(8, [4, 4]), (10, [4, 4, 2]), (9, [4, 5]), (3, [3]), (1, [1]), (5, [5])],
)
def test_a_last_batch_of_one_joins_the_one_before(count, sizes):
    batches = split_into_batches(range(count), 4)
    assert [len(batch) for batch in batches] == sizes
    assert [index for batch in batches for index in batch] == list(range(count))


@pytest.mark.parametrize("ahead", [0, 1, 2, 100])
def test_batches_come_in_order_as_uint8_in_channels_last_memory(ahead):
    batches = split_into_batches([3, 1, 4, 0, 2], 2)
    loaded = list(load_batches(numbered_split(5).take, batches, CPU, ahead=ahead))
    assert [images[:, 0, 0, 0].tolist() for images, _ in loaded] == [list(batch) for batch in batches]
    for images, masks in loaded:
        assert (images.dtype, masks.dtype) == (torch.uint8, torch.uint8)
        assert images.shape[1:] == (3, 4, 6)
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(images[:, 0], masks)


def test_an_error_while_reading_reaches_the_one_who_waits():
    with pytest.raises(IndexError):
        list(load_batches(numbered_split(2).take, [[0], [7]], CPU))


def test_leaving_early_ends_the_reader():
    reader = load_batches(numbered_split(200).take, split_into_batches(range(200), 2), CPU)
    next(reader)
    reader.close()
