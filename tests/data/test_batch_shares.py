"""Whatever the processes and parts, every image of a batch is somebody's, once, and meets the same fate."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segnet.data.augment import Augmentation
from segnet.data.store.batch_shares import share_of, smallest_share


@given(st.integers(1, 40), st.integers(0, 1), st.integers(1, 5), st.integers(1, 9), st.data())
def test_each_image_is_taken_once(batch_size, one_more, accumulate, processes, data):
    images = data.draw(st.integers(1, batch_size + one_more))
    shares = [share_of(images, batch_size, accumulate, rank, processes) for rank in range(processes)]
    taken = [
        row
        for share in shares
        for part in share.parts
        if not part.stands_in
        for row in share.rows[part.first : part.end]
    ]
    assert sorted(taken) == list(range(images))
    assert len({len(share.parts) for share in shares}) == 1  # all wait for each other in each of them
    sizes = [len(share.rows) for share in shares if not any(part.stands_in for part in share.parts)]
    assert max(sizes, default=0) - min(sizes, default=0) <= len(shares[0].parts)


def test_one_process_takes_all_at_once():
    assert share_of(5, 8, 1).rows == (0, 1, 2, 3, 4)
    assert [tuple(part) for part in share_of(5, 8, 1).parts] == [(0, 5, False)]


def test_a_last_batch_is_cut_into_parts_as_large_as_the_others():
    assert [part.end - part.first for part in share_of(16, 16, 4).parts] == [4, 4, 4, 4]
    assert [part.end - part.first for part in share_of(7, 16, 4).parts] == [3, 4]
    assert smallest_share(16, 16, 4, 2) == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"flip": 0.5, "contrast": 0.3},
        {"flip": 0.5, "crop_scale": 0.4, "brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.05},
        {"dihedral": True, "flip": 0.5},
        {"rotate": 20, "zoom_out": 0.7, "crop_scale": 0.4, "grayscale": 0.3, "blur": 0.3, "hue": 0.1},
    ],
)
def test_a_share_is_augmented_as_in_the_whole_batch(settings):
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (7, 3, 32, 32), dtype=torch.uint8, generator=random)
    masks = torch.randint(0, 3, (7, 32, 32), dtype=torch.uint8, generator=random)
    augment = Augmentation(**settings)
    whole_images, whole_masks = augment(images, masks, (24, 24), seed=3)
    for rank in range(3):
        share = share_of(7, 8, 2, rank, 3)
        rows = list(share.rows)
        own_images, own_masks = augment(images[rows], masks[rows], (24, 24), seed=3, share=share)
        assert torch.equal(own_images, whole_images[rows])
        assert torch.equal(own_masks, whole_masks[rows])
