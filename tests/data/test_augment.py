"""Augmentation: image and mask move together, colour follows its formula, the seed decides."""

import numpy as np
import pytest
import torch

from segnet.data.augment import Augmentation


def marked_batch(count=8, side=32):
    """Images whose grey value tells the class of the pixel: classes stay exact under nearest sampling."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randint(0, 3, (count, 4, 4), generator=generator, dtype=torch.uint8)
    masks = coarse.repeat_interleave(side // 4, 1).repeat_interleave(side // 4, 2)
    return (masks * 100).unsqueeze(1).repeat(1, 3, 1, 1), masks


def test_without_any_change_only_the_scale_differs():
    images, masks = marked_batch()
    out, out_masks = Augmentation()(images, masks, (32, 32), seed=0)
    assert torch.equal(out, images.float() / 255)
    assert torch.equal(out_masks, masks)


def test_a_flip_moves_image_and_mask_together_in_about_half_of_the_cases():
    images, masks = marked_batch(64)
    out, out_masks = Augmentation(flip=0.5)(images, masks, (32, 32), seed=0)
    flipped = [
        bool(torch.equal(after, before.flip(-1))) for after, before in zip(out_masks, masks, strict=True)
    ]
    assert 16 < sum(flipped) < 48
    assert torch.equal((out[:, 0] * 255).round().to(torch.uint8), out_masks * 100)


def dihedral_batch(height, width, count=400):
    """Images and masks in which every pixel is another: each symmetry shows."""
    mask = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    masks = torch.from_numpy(mask).expand(count, height, width)
    return mask, masks.unsqueeze(1).repeat(1, 3, 1, 1), masks


@pytest.mark.parametrize(("shape", "turns"), [((8, 8), (0, 1, 2, 3)), ((6, 10), (0, 2))])
def test_dihedral_takes_each_flip_and_turn_of_numpys_as_often_and_moves_the_mask_along(shape, turns):
    mask, images, masks = dihedral_batch(*shape)
    out, moved = Augmentation(dihedral=True)(images, masks, shape, seed=0)
    assert torch.equal((out * 255).round().to(torch.uint8), moved.unsqueeze(1).expand(-1, 3, -1, -1))
    ways = [np.rot90(each, turn) for each in (mask, mask[:, ::-1]) for turn in turns]
    counts = [sum(np.array_equal(one, way) for one in moved.numpy()) for way in ways]
    assert sum(counts) == len(masks), "nothing else occurs"
    assert min(counts) > 0.7 * len(masks) / len(ways)


def test_dihedral_is_decided_by_the_seed_and_off_unless_asked_for():
    _, images, masks = dihedral_batch(8, 8)
    augment = Augmentation(dihedral=True, flip=0.5, crop_scale=0.4)
    first, again, other = (augment(images, masks, (8, 8), seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[1], other[1])
    assert torch.equal(Augmentation()(images, masks, (8, 8), seed=0)[1], masks)


@pytest.mark.parametrize("size", [(32, 32), (16, 16), (24, 48)])
def test_a_crop_keeps_the_mask_on_the_image(size):
    images, masks = marked_batch(16)
    out, out_masks = Augmentation(flip=0.5, crop_scale=0.4)(images, masks, size, seed=3)
    assert out.shape == (16, 3, *size)
    assert out_masks.shape == (16, *size)
    assert set(out_masks.unique().tolist()) <= {0, 1, 2}
    nearest_class = (out[:, 0] * 255 / 100).round()
    assert (nearest_class == out_masks).float().mean() > 0.85  # the rest are blended pixels on edges


@pytest.mark.parametrize("side", [64, 65, 71])
def test_halved_images_and_masks_have_one_size_and_stay_together(side):
    masks = torch.zeros(2, side, side, dtype=torch.uint8)
    masks[:, :, side // 2 :] = 1
    images = (masks * 200).unsqueeze(1).repeat(1, 3, 1, 1)
    out, out_masks = Augmentation()(images, masks, (16, 16), seed=0)
    assert out.shape[-2:] == out_masks.shape[-2:] == (16, 16)
    assert ((out[:, 0] > 100 / 255) == out_masks.bool()).float().mean() > 0.9


def test_ignored_pixels_stay_ignored():
    images, masks = marked_batch()
    masks[:] = 255
    _, out = Augmentation(flip=0.5, crop_scale=0.4)(images, masks, (16, 16), seed=1)
    assert out.eq(255).all()


def test_contrast_blends_with_the_mean_of_the_grey_image_as_torchvision_does():
    images = torch.randint(60, 200, (16, 3, 8, 8), dtype=torch.uint8)
    masks = torch.zeros(16, 8, 8, dtype=torch.uint8)
    out, _ = Augmentation(contrast=0.3)(images, masks, (8, 8), seed=5)
    weights = torch.tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)
    factors = []
    for before, after in zip(images.float() / 255, out, strict=True):
        mean = (before * weights[0]).sum(0).mean()
        factor = ((after - mean) * (before - mean)).sum() / (before - mean).square().sum()
        torch.testing.assert_close(after, (mean + factor * (before - mean)).clamp(0, 1), atol=2e-3, rtol=0)
        factors.append(factor.item())
    assert 0.7 <= min(factors) < 0.85
    assert 1.15 < max(factors) <= 1.3


def test_the_seed_decides_everything_and_dropout_after_it():
    images, masks = marked_batch()
    augment = Augmentation(flip=0.5, crop_scale=0.4, brightness=0.3, contrast=0.3, saturation=0.3, hue=0.05)

    def draw(seed):
        out, moved = augment(images, masks, (32, 32), seed)
        return out, moved, torch.rand(3)

    assert all(torch.equal(a, b) for a, b in zip(draw(1), draw(1), strict=True))
    assert not torch.equal(draw(1)[0], draw(2)[0])


def test_the_result_is_a_float_batch_in_channels_last_memory():
    out, _ = Augmentation(flip=0.5)(*marked_batch(), (32, 32), seed=0)
    assert out.dtype == torch.float32
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert out.min() >= 0
    assert out.max() <= 1


def test_images_far_larger_than_the_result_are_averaged_before_they_are_sampled():
    images = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    images[..., ::2] = 200  # columns of one pixel: sampling alone would find only one kind
    masks = torch.zeros(1, 64, 64, dtype=torch.uint8)
    out, _ = Augmentation(crop_scale=0.99)(images, masks, (16, 16), seed=0)
    torch.testing.assert_close(out, torch.full_like(out, 100 / 255), atol=0.02, rtol=0)


@pytest.mark.parametrize("crop_scale", [0.4, 1.0])
@pytest.mark.parametrize("side", [192, 191, 128, 97])
def test_shrinking_moves_no_mask_off_its_image(crop_scale, side):
    """The image is a ramp and the mask its columns: each tells where the other's pixel came from."""
    columns = torch.arange(side, dtype=torch.uint8).expand(32, side, side)
    images = columns.unsqueeze(1).expand(32, 3, side, side)
    out, out_masks = Augmentation(crop_scale=crop_scale)(images, columns, (48, 48), seed=0)
    offset = (out_masks.float() - out[:, 0] * 255)[..., 4:-4]
    assert abs(offset.mean().item()) < 0.1, "in pixels of the image before"
