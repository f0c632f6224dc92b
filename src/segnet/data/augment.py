"""Augmentation of whole batches, image and mask together, on the device where training runs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import kornia.augmentation as K
import torch
from kornia.augmentation.container.params import ParamItem
from torch import Tensor
from torch.nn import functional as F

from segnet.data.store.batch_shares import Share, share_of

Size = tuple[int, int]

_MOVED = 0.7  # share of the images that are turned or shrunk; the others stay as sharp as they are
_BLUR_PX = (0.1, 0.8)  # standard deviations
GEOMETRY = ("flip", "dihedral", "rotate", "zoom_out", "crop_scale")
GREYS = ("brightness", "contrast", "blur")
ON_COLOURS = ("saturation", "hue", "grayscale")
"""The arguments that only images of three channels can take."""
COLOURS = GREYS + ON_COLOURS
_OF_THE_BATCH = ("order", "forward_input_shape")  # what kornia draws once for all of its images


class Augmentation:
    """Random turns, crops, flips and colours for a batch; the geometry moves the mask along.

    Args:
        flip: chance of a horizontal flip.
        dihedral: flip both ways and turn by quarters, each of the eight ways as likely; where height and
            width differ, each of the four that keep the shape.
        rotate: largest turn in degrees, either way; what comes into view mirrors the image at its edges.
        zoom_out: smallest scale that an image is shrunk to, in the same way; 1 never shrinks.
        crop_scale: smallest share of the area that a crop keeps; 1 switches cropping off.
        brightness, contrast, saturation: largest relative changes, as in torchvision's ColorJitter.
        hue: largest turn of hue, as a share of the circle.
        grayscale: chance to lose all colour.
        blur: chance of a Gaussian blur, with a standard deviation of up to 0.8 pixels of the result.
    """

    def __init__(
        self,
        *,
        flip: float = 0.0,
        dihedral: bool = False,
        rotate: float = 0.0,
        zoom_out: float = 1.0,
        crop_scale: float = 1.0,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
        grayscale: float = 0.0,
        blur: float = 0.0,
    ) -> None:
        self._flip = flip
        self._dihedral = dihedral
        self._rotate, self._zoom_out = rotate, zoom_out
        self._crop_scale = crop_scale
        self._colour = (brightness, contrast, saturation, hue)
        self._grayscale, self._blur = grayscale, blur
        self._pipelines: dict[tuple[Size, bool], K.AugmentationSequential | None] = {}

    def __call__(
        self, images: Tensor, masks: Tensor, size: Size, seed: int, share: Share | None = None
    ) -> tuple[Tensor, Tensor]:
        """Augment one batch, or a process's share of it just as in the whole batch.

        Args:
            images: uint8 ``(N, C, H, W)``; saturation, hue and grayscale take three channels.
            masks: uint8 ``(N, H, W)``, 255 = ignore.
            size: ``(H, W)`` of the result.
            seed: decides every random choice. It also seeds torch's global generator, so whatever else is
                random in this step (dropout) is the same again after a resume.
            share: which images of the batch these are; None is all, in their order.

        Returns:
            float32 images in [0, 1] in channels-last order, and uint8 masks.
        """
        torch.manual_seed(seed)
        share = share or share_of(len(images), len(images), 1)
        if self._dihedral:
            images, masks = _flipped_and_turned(images, masks, share)
        image = images.float().div_(255)
        image, masks = self._smoothed(image, masks, size)
        pipeline = self._pipeline(size, resize=image.shape[-2:] != size)
        if pipeline is not None:
            # float masks: 0..255 are exact, and kornia samples masks by nearest
            params = _parameters(pipeline, image.shape, share)
            image, moved = pipeline(image, masks.unsqueeze(1).float(), params=params)
            masks = moved.squeeze(1).to(torch.uint8)
        return image.contiguous(memory_format=torch.channels_last), masks

    def _smoothed(self, image: Tensor, masks: Tensor, size: Size) -> tuple[Tensor, Tensor]:
        """Average each pixel with its neighbours where bilinear sampling alone would skip some and alias.

        The average is around the pixel, so the image stays on its mask; without a crop both take the same
        pixels. (Halving the image by 2x2 means would move it half a pixel off its mask.)
        """
        height, width = image.shape[-2:]
        shrinks = min(height / size[0], width / size[1])
        if shrinks < 2:
            return image, masks
        box = int(shrinks) // 2 * 2
        image = F.pad(image, (box - 1,) * 4, mode="reflect")
        for _ in range(2):  # an even box moves by half a pixel, and then back
            image = F.avg_pool2d(image, box, stride=1)
        if self._crop_scale < 1:
            return image, masks
        rows, columns = (
            ((torch.arange(after, device=image.device) + 0.5) * (before / after)).long()
            for before, after in ((height, size[0]), (width, size[1]))
        )
        return image[:, :, rows][..., columns], masks[:, rows][..., columns]

    def _pipeline(self, size: Size, *, resize: bool) -> K.AugmentationSequential | None:
        key = size, resize
        if key not in self._pipelines:
            steps = []
            if self._rotate or self._zoom_out < 1:
                scale = (self._zoom_out, 1.0)
                steps.append(K.RandomAffine(self._rotate, scale=scale, padding_mode="reflection", p=_MOVED))
            if self._crop_scale < 1:
                steps.append(K.RandomResizedCrop(size, scale=(self._crop_scale, 1.0), ratio=(3 / 4, 4 / 3)))
            elif resize:
                steps.append(K.Resize(size, antialias=True))
            if self._flip:
                steps.append(K.RandomHorizontalFlip(p=self._flip))
            if any(self._colour):
                steps.append(K.ColorJitter(*self._colour, p=1.0))
            if self._grayscale:
                steps.append(K.RandomGrayscale(p=self._grayscale))
            if self._blur:
                steps.append(K.RandomGaussianBlur((5, 5), _BLUR_PX, p=self._blur))
            self._pipelines[key] = (
                K.AugmentationSequential(*steps, data_keys=["input", "mask"]) if steps else None
            )
        return self._pipelines[key]


class StrongColour:
    """Colour that is changed so much that a network has to know a thing by more than it, and no geometry.

    Brightness, contrast, saturation and hue in most images, grey in some, blur in half of them: what
    semi-supervised segmentation takes (ST++, arXiv 2106.05095). The blur goes with the size: it was made for
    crops of 321 pixels and up to 2 of them wide.

    Args:
        channels: of the images; saturation, hue and grey are of three.
    """

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._pipelines: dict[Size, K.ImageSequential] = {}

    def __call__(self, images: Tensor) -> Tensor:
        """Return float32 images ``(N, C, H, W)`` in [0, 1] changed; torch's generator decides how."""
        changed: Tensor = self._pipeline(images.shape[-2:])(images)
        return changed.contiguous(memory_format=torch.channels_last)

    def _pipeline(self, size: torch.Size) -> K.ImageSequential:
        height, width = size
        if (height, width) not in self._pipelines:
            colours = (0.5, 0.25) if self._channels == 3 else (0.0, 0.0)
            steps = [K.ColorJitter(0.5, 0.5, *colours, p=0.8)]
            if self._channels == 3:
                steps.append(K.RandomGrayscale(p=0.2))
            widest = max(0.2, 2 * min(height, width) / 321)
            taps = 2 * math.ceil(3 * widest) + 1
            steps.append(K.RandomGaussianBlur((taps, taps), (0.1, widest), p=0.5))
            self._pipelines[height, width] = K.ImageSequential(*steps)
        return self._pipelines[height, width]


def _parameters(pipeline: K.AugmentationSequential, shape: Sequence[int], share: Share) -> list[ParamItem]:
    """Draw what happens to each image of a batch, and return it for a share of them."""
    rows = torch.tensor(share.rows)
    drawn = pipeline.forward_parameters(torch.Size((share.batch, *shape[1:])))
    return [
        ParamItem(name, {key: value if key in _OF_THE_BATCH else value[rows] for key, value in each.items()})
        for name, each in drawn
        if isinstance(each, dict)  # as it is for each of our steps
    ]


def _flipped_and_turned(images: Tensor, masks: Tensor, share: Share) -> tuple[Tensor, Tensor]:
    """Move each image and its mask by one of the symmetries that keep the batch's shape.

    Those of a rectangle are made of two flips, those of a square of these and of swapping rows and columns:
    a flip and a swap are a quarter turn. So as many coins as there are of them choose evenly.
    """
    square = images.shape[-2] == images.shape[-1]
    # drawn on the CPU: the same on every device
    drawn = torch.randint(2, (3, share.batch)).bool()
    across, down, swap = drawn[:, list(share.rows)].to(images.device)

    def moved(batch: Tensor) -> Tensor:
        shape = (-1, *(1,) * (batch.ndim - 1))
        batch = torch.where(across.view(shape), batch.flip(-1), batch)
        batch = torch.where(down.view(shape), batch.flip(-2), batch)
        return torch.where(swap.view(shape), batch.transpose(-1, -2), batch) if square else batch

    return moved(images), moved(masks)
