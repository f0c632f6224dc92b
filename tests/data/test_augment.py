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


@pytest.mark.parametrize("settings", [{"rotate": 20}, {"zoom_out": 0.7}, {"rotate": 20, "zoom_out": 0.7}])
def test_turning_and_shrinking_keep_the_mask_on_the_image_and_show_nothing_but_the_image(settings):
    images, masks = marked_batch(32)
    images, masks = images.clamp(100), masks.clamp(1)  # no 0 anywhere: one that is there was filled in
    out, out_masks = Augmentation(**settings)(images, masks, (32, 32), seed=3)
    assert set(out_masks.unique().tolist()) == {1, 2}
    assert out.min() >= 100 / 255 - 1e-4
    nearest_class = (out[:, 0] * 255 / 100).round()
    assert (nearest_class == out_masks).float().mean() > 0.85  # the rest are blended pixels on edges
    still = sum(torch.equal(after, before) for after, before in zip(out_masks, masks, strict=True))
    assert 3 <= still <= 16, "three of ten"


def test_an_image_is_turned_by_up_to_the_angle_either_way():
    """The image is a ramp from left to right: its slope down the rows tells the angle."""
    ramp = torch.arange(64, dtype=torch.uint8).mul(2).add(60).expand(128, 3, 64, 64)
    masks = torch.zeros(128, 64, 64, dtype=torch.uint8)
    out, _ = Augmentation(rotate=30)(ramp, masks, (64, 64), seed=0)
    middle = out[:, 0, 28:36, 28:36]
    across, down = middle.diff(dim=2).mean((1, 2)), middle.diff(dim=1).mean((1, 2))
    degrees = torch.atan2(down, across).rad2deg()
    assert 25 < degrees.max() <= 30.5
    assert -30.5 <= degrees.min() < -25


def test_what_is_shrunk_shows_all_of_the_image_and_its_mirror_beside_it():
    images = torch.full((64, 3, 40, 40), 100, dtype=torch.uint8)
    masks = torch.zeros(64, 40, 40, dtype=torch.uint8)
    masks[:, 10:30, 10:30] = 1
    _, out = Augmentation(zoom_out=0.5)(images, masks, (40, 40), seed=0)
    shares = out[:, 8:32, 8:32].float().mean((1, 2)) * 24**2 / 20**2  # of the square's area, if it is whole
    assert shares.max() <= 1.01
    assert 0.25 <= shares.min() < 0.35


@pytest.mark.parametrize("chance", [0.3, 1.0])
def test_some_images_lose_their_colours(chance):
    images = torch.randint(40, 220, (200, 3, 16, 16), dtype=torch.uint8)
    masks = torch.zeros(200, 16, 16, dtype=torch.uint8)
    out, _ = Augmentation(grayscale=chance)(images, masks, (16, 16), seed=0)
    grey = (out.amax(1) - out.amin(1)).amax((1, 2)) < 1e-5
    assert abs(grey.float().mean().item() - chance) < 0.1
    weights = torch.tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)
    expected = (images.float() / 255 * weights).sum(1)
    torch.testing.assert_close(out[grey][:, 0], expected[grey], atol=1e-3, rtol=0)
    torch.testing.assert_close(out[~grey], images[~grey].float() / 255)


def test_some_images_are_blurred_and_none_by_more_than_a_pixel():
    images = torch.zeros(200, 3, 17, 17, dtype=torch.uint8)
    images[:, :, 8, 8] = 255
    out, _ = Augmentation(blur=0.3)(images, torch.zeros(200, 17, 17, dtype=torch.uint8), (17, 17), seed=0)
    assert abs((out[:, 0, 8, 8] < 0.999).float().mean().item() - 0.3) < 0.1
    torch.testing.assert_close(out[:, 0].sum((1, 2)), torch.ones(200), atol=1e-3, rtol=0)
    distance = torch.arange(17.0).sub(8).square()
    variance = (out[:, 0].sum(1) * distance).sum(1)
    assert 0.5 < variance.max() <= 0.8**2 + 0.01
