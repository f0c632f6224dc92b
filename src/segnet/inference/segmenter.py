"""Prediction: open a model, give it an image of any size and kind, get a mask of the image's own size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from segnet.core.classes import ClassTable
from segnet.core.device import move, pick_device
from segnet.core.errors import SegnetError, did_you_mean
from segnet.core.files import expand_home
from segnet.data.images import RESIZE, open_rgb
from segnet.inference.bundle import Description, read_model
from segnet.inference.overlay import overlay
from segnet.inference.sampling import (
    SoftmaxSamples,
    paint_uncertainty,
    require_sampling,
    sample_softmax,
)

WEIGHTS = Path(__file__).parent.parent / "weights"
"""Where the bundled models are, one ``NAME.safetensors`` each."""

ImageSource = str | Path | BinaryIO | Image.Image | npt.NDArray[np.uint8]

_STRIP_VALUES = 1 << 22  # 16 MiB of a resampled map at a time


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What was found in one image of ``(H, W)`` pixels."""

    image: Image.Image
    """The image, RGB, turned upright."""

    classes: ClassTable

    logits: Tensor
    """``(C, h, w)`` float32, at the size the model works at; mask and probabilities resample them. Those of a
    sampled prediction are the log of its mean softmax."""

    samples: SoftmaxSamples | None = None
    """What the passes with dropout said; mask and probabilities then resample their mean softmax."""

    @cached_property
    def mask(self) -> npt.NDArray[np.uint8]:
        """Class id of each pixel, ``(H, W)`` uint8."""
        scores = self.samples.mean if self.samples else self.logits
        return torch.cat([strip.argmax(0).to(torch.uint8) for strip in self._strips(scores)]).numpy()

    @cached_property
    def probabilities(self) -> npt.NDArray[np.float32]:
        """Softmax over the classes, ``(C, H, W)`` float32: 12 bytes a pixel for three classes."""
        strips = (
            self._strips(self.samples.mean)
            if self.samples
            else (strip.softmax(0) for strip in self._strips(self.logits))
        )
        probabilities: npt.NDArray[np.float32] = torch.cat(list(strips), dim=1).numpy()
        return probabilities

    @cached_property
    def uncertainty(self) -> npt.NDArray[np.float32] | None:
        """Variance of the softmax over the samples, averaged over the classes, ``(H, W)`` float32.

        From 0, where all samples agree, to 0.25; see ``SoftmaxSamples``. None for a prediction without
        samples: it was not measured, as with every score that isn't there.
        """
        if self.samples is None:
            return None
        strips = self._strips(self.samples.variance.unsqueeze(0))
        uncertainty: npt.NDArray[np.float32] = torch.cat(list(strips), dim=1)[0].numpy()
        return uncertainty

    def areas(self) -> dict[str, float]:
        """Return the share of the image's pixels that each class takes, 0 to 1."""
        counts = Image.fromarray(self.mask).histogram()
        return {name: counts[i] / self.mask.size for i, name in enumerate(self.classes.names)}

    def overlay(self) -> Image.Image:
        """Return the image with the classes painted over it; a class named background stays bare."""
        return overlay(self.image, self.mask, self.classes)

    def index_image(self) -> Image.Image:
        """Return the mask as a palette image: its values are class ids, its look the class colours."""
        image = Image.fromarray(self.mask)
        image.putpalette(self.classes.palette().tobytes())  # makes it mode P
        return image

    def uncertainty_image(self) -> Image.Image:
        """Return the uncertainty as a picture: black where samples agree, brighter where they differ.

        Its palette is matplotlib's magma over a standard deviation of 0 to 0.5, in every picture alike.

        Raises:
            SegnetError: a prediction without samples.
        """
        if self.uncertainty is None:
            raise SegnetError("a prediction without samples has no uncertainty; predict with samples=20, say")
        return paint_uncertainty(self.uncertainty)

    def _strips(self, maps: Tensor) -> Iterator[Tensor]:
        """Yield maps ``(C, h, w)`` resampled bilinearly to the image's size, as strips ``(C, rows, W)``.

        What ``F.interpolate`` gives for the whole, but a photo of 100 megapixels needs no gigabytes for it.
        """
        count, height, _ = maps.shape
        rows = (torch.arange(self.image.height) + 0.5) * (height / self.image.height) - 0.5
        rows = rows.clamp(0, height - 1)
        above = rows.long()
        below = (above + 1).clamp(max=height - 1)
        weight = (rows - above).unsqueeze(1)
        size = max(1, _STRIP_VALUES // (count * self.image.width))
        for first in range(0, self.image.height, size):
            strip = slice(first, first + size)
            narrow = torch.lerp(maps[:, above[strip]], maps[:, below[strip]], weight[strip])
            wide = (narrow.shape[1], self.image.width)
            yield F.interpolate(narrow.unsqueeze(0), wide, mode="bilinear", align_corners=False)[0]


class Segmenter:
    """A model with all it needs to predict; ``segnet.load`` opens one."""

    def __init__(
        self, model: nn.Module, description: Description, device: torch.device | str = "cpu"
    ) -> None:
        self.device = torch.device(device)
        self.description = description
        self.model = move(model, self.device).eval()

    def __repr__(self) -> str:
        return f"Segmenter({self.description.model}: {', '.join(self.classes.names)}, on {self.device})"

    @property
    def classes(self) -> ClassTable:
        """Names and colours of the mask's values."""
        return self.description.classes

    def predict(self, image: ImageSource, *, samples: int = 0, seed: int = 0) -> Segmentation:
        """Segment one image, once without dropout or as the mean of ``samples`` passes with it.

        Samples need a model trained with dropout (Bayesian SegNet, arXiv 1511.02680); the result then has an
        ``uncertainty``. The paper gains over one pass from about 6 on.

        Args:
            image: a path, an open binary file, a PIL image of any mode, or uint8 ``(H, W, 3)`` RGB.
            samples: passes with dropout; 0 is one pass without.
            seed: decides what is dropped; the same seed gives the same bits.

        Raises:
            SegnetError: an image that can't be read or is empty, an array of another shape or dtype, or
                samples or a seed as ``require_sampling`` refuses them.
        """
        require_sampling(self.model, samples, seed)
        picture = _as_rgb(image)
        height, width = self.description.size
        small = picture.resize((width, height), RESIZE[self.description.resize])
        batch = torch.from_numpy(np.array(small)).permute(2, 0, 1).unsqueeze(0)
        scaled = batch.to(self.device).float() / 255
        if samples:
            sampled = sample_softmax(self.model, scaled, samples, seed)
            smallest = torch.finfo(sampled.mean.dtype).tiny  # the log of 0 would not be finite
            return Segmentation(picture, self.classes, sampled.mean.clamp(min=smallest).log(), sampled)
        with torch.inference_mode():
            logits = self.model(scaled)
        return Segmentation(picture, self.classes, logits[0].float().cpu())


def load(
    path_or_name: str | Path, *, model: nn.Module | None = None, device: torch.device | str = "auto"
) -> Segmenter:
    """Open a run folder, a ``.safetensors`` file or a bundled name, in this order.

    Args:
        path_or_name: what to open.
        model: for a file that holds a module of your own, that module, built as for training. It is this very
            object that gets the weights, moves to the device and goes into evaluation mode.
        device: "auto", or a device.

    Raises:
        SegnetError: nothing of that name, a run without a model yet, a file that is no model of ours, no
            ``model`` where one is needed, or one that the weights don't fit.
    """
    if not str(path_or_name).strip():  # an unset variable of a shell; as a path it would be this folder
        raise SegnetError("the model's name is empty; name a run folder, a model file or a bundled model")
    path = expand_home(path_or_name)
    if path.is_dir():
        path = path / "model.safetensors"
        if not path.is_file():
            raise SegnetError(
                f"{path.parent} holds no model.safetensors: it is no run folder, or its run has no epoch yet"
            )
    elif not path.exists():
        path = _bundled(str(path_or_name))
    opened, description = read_model(path, model)
    return Segmenter(opened, description, pick_device(device))


def _bundled(name: str) -> Path:
    models = {file.stem: file for file in WEIGHTS.glob("*.safetensors")}
    if name not in models:
        remedy = did_you_mean(name, models) if models else "; segnet train makes a run folder"
        raise SegnetError(f"{name} is no run folder, no model file and no bundled model{remedy}")
    return models[name]


def _as_rgb(image: ImageSource) -> Image.Image:
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise SegnetError(f"an array must be uint8 (H, W, 3) RGB, got {image.dtype} {image.shape}")
        image = Image.fromarray(image)
    if isinstance(image, str | Path):
        if not str(image):
            raise SegnetError("the image's path is empty; name a file")
        image = expand_home(image)
    elif not isinstance(image, Image.Image) and not hasattr(image, "read"):
        hint = {
            "Tensor": "; give tensor.permute(1, 2, 0).numpy() of a uint8 (3, H, W)",
            "bytes": "; give io.BytesIO(...) of an image file's bytes",
        }.get(type(image).__name__, "")
        raise SegnetError(
            "an image is a path, an open file, a PIL image or a uint8 (H, W, 3) array, not "
            f"a {type(image).__name__}{hint}"
        )
    picture = open_rgb(image)
    if 0 in picture.size:
        raise SegnetError(f"an image of {picture.width}x{picture.height} pixels has nothing to segment")
    return picture
