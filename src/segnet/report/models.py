"""What ``segnet models`` prints: every model beside the others, or one of them layer by layer."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich.table import Table

from segnet.base.errors import SegnetError
from segnet.base.readable import number_table
from segnet.core.pooling import Size
from segnet.models import MODELS, create_model, require_image_size
from segnet.models.inspection.costs import Layer, list_layers, training_bytes
from segnet.models.inspection.receptive import receptive_field


@dataclass(frozen=True)
class Figures:
    """One published figure with its source, and ours.

    The two don't compare: ours is on the 411-image part of Oxford-IIIT Pet's test images, border as a class,
    trained on the 653 images of trainval's part with seed 0 where nothing else is said.
    """

    published: str = "–"
    source: str = ""
    ours: str = "–"


# Pixel accuracy in %, as the series has it; of CamVid the mean IoU over 11 classes in %.
FIGURES = {
    "segnet": Figures("88.28 % of pixels", "Part 2, 20 epochs", "76.6 %, mIoU 0.536, 20 epochs"),
    "segnet-dsc": Figures("86.96 % of pixels", "Part 3, 20 epochs", "79.8 %, mIoU 0.584, 20 epochs"),
    "vit": Figures("85.89 % of pixels", "Part 4, 50 epochs", "75.4 %, mIoU 0.493, 20 epochs"),
    "unet": Figures("91.3 % of pixels", "Part 3, 100 epochs"),
    "segnet-vgg16": Figures("CamVid mIoU 60.10", "SegNet paper, 140K steps"),
    "segnet-basic": Figures("CamVid mIoU 47.7", "SegNet paper"),
    "fcn": Figures("CamVid mIoU 49.83", "SegNet paper"),
    "segnet-nano": Figures(ours="85.7 %, mIoU 0.659, pets-nano: 1,302 images"),
    "segnet-efficient": Figures(ours="91.1 %, mIoU 0.761, 1,302 images"),
    "segnet-lite": Figures(ours="89.2 %, mIoU 0.722, pets-lite: 1,302 images"),
}

WIDEST_PX = 1 << 14
MOST_PIXELS = 512**2  # of an image with which training is tried: a GiB or two

LEGEND = """\
GMAC     multiply-adds of one image
maps     MiB of feature maps that training keeps of one image for the backward pass, in float32; measured
         up to 512x512
indices  KiB of pooling positions that go from encoder to decoder, one image
sees     side in pixels of what one value of the deepest map sees
ours     on the 411-image part of Oxford-IIIT Pet: doesn't compare with published figures; how each came
         about, and more of them: docs/reproduction.md
"""


@dataclass(frozen=True)
class ModelFacts:
    """What one model costs with images of one size, how far it sees, and the figures known of it."""

    name: str
    parameters: int
    macs: int
    training_bytes: int | None
    """Feature maps that training keeps of one image for the backward pass, in float32; None for images too
    large to try it."""
    index_bytes: int
    """Pooling positions that go from encoder to decoder, one image."""
    receptive_field_px: int | None
    """Side of what one value of the deepest map sees; None where that is the whole image."""
    figures: Figures
    layers: Sequence[Layer]


def describe_model(
    name: str,
    *,
    num_classes: int = 3,
    options: Mapping[str, Any] | None = None,
    size: Size = (128, 128),
) -> ModelFacts:
    """Build a model without weights and measure it.

    Raises:
        SegnetError: as ``create_model``; or an image size that the model can't take.
    """
    with torch.device("meta"):
        model = create_model(name, num_classes, **(options or {}))
    require_image_size(name, model, size)
    if max(size) > WIDEST_PX:
        raise SegnetError(f"--size can be up to {WIDEST_PX} px each way, got {size[0]}x{size[1]}")
    layers = list_layers(model, size)
    sees = receptive_field(model)
    return ModelFacts(
        name=name,
        parameters=sum(layer.parameters for layer in layers),
        macs=sum(layer.macs for layer in layers),
        training_bytes=training_bytes(model, size) if math.prod(size) <= MOST_PIXELS else None,
        index_bytes=sum(layer.index_bytes for layer in layers),
        receptive_field_px=None if math.isinf(sees) else int(sees),
        figures=FIGURES.get(name, Figures()),
        layers=layers,
    )


def describe_models(
    size: Size, begin: Callable[[str], object] = lambda name: None
) -> tuple[list[ModelFacts], list[SegnetError]]:
    """Measure every model as it ships.

    Args:
        size: ``(H, W)`` of the images.
        begin: told the name of each before it is measured.

    Returns:
        The models, and why others were left out: images too small for them, or that they can't cut up.

    Raises:
        SegnetError: no model takes images of this size.
    """
    every: list[ModelFacts] = []
    refused: list[SegnetError] = []
    for name in MODELS:
        begin(name)
        try:
            every.append(describe_model(name, size=size))
        except SegnetError as mistake:
            refused.append(mistake)
    if not every:
        raise refused[0]
    return every, refused


def costs_table(models: Sequence[ModelFacts], size: Size) -> Table:
    """Return what each model costs, a row each."""
    columns = ("model", "parameters", "GMAC", "maps", "indices", "sees")
    rows = (
        (
            facts.name,
            f"{facts.parameters:,}",
            f"{facts.macs / 1e9:.4f}",
            "–" if facts.training_bytes is None else f"{facts.training_bytes / 2**20:.1f}",
            f"{facts.index_bytes / 2**10:.1f}" if facts.index_bytes else "–",
            "all" if facts.receptive_field_px is None else str(facts.receptive_field_px),
        )
        for facts in models
    )
    return number_table(columns, rows, title=f"3 classes, {size[0]}x{size[1]}")


def figures_table(models: Sequence[ModelFacts]) -> Table:
    """Return what each model was published with and what it reaches here, a row each."""
    rows = ((each.name, each.figures.published, each.figures.source, each.figures.ours) for each in models)
    return number_table(("model", "published", "by", "ours"), rows, texts=range(4))


def layers_table(facts: ModelFacts, size: Size) -> Table:
    """Return a table with a row for each layer of a model, and their sums."""
    title = f"{facts.name}, one image of {size[0]}x{size[1]}"
    rows = (
        (
            layer.name,
            layer.kind,
            "x".join(str(side) for side in layer.shape),
            f"{layer.parameters:,}" if layer.parameters else "",
            f"{layer.macs / 1e6:,.1f}" if layer.macs else "",
            f"{layer.index_bytes:,}" if layer.index_bytes else "",
        )
        for layer in facts.layers
    )
    sums = ("sum", "", "", f"{facts.parameters:,}", f"{facts.macs / 1e6:,.1f}", f"{facts.index_bytes:,}")
    columns = ("layer", "kind", "gives", "parameters", "MMAC", "index bytes")
    return number_table(columns, rows, texts=(0, 1, 2), sums=sums, title=title)


def summary(facts: ModelFacts) -> str:
    """Return what the layers don't show: memory, receptive field, figures and the model's options."""
    sees = (
        "the whole image" if facts.receptive_field_px is None else f"{facts.receptive_field_px} px each way"
    )
    figures = facts.figures
    _, _, *options = inspect.signature(MODELS[facts.name]).parameters.values()
    defaults = ", ".join(f"{option.name} ({option.default})" for option in options)
    kept = "" if facts.training_bytes is None else f"{facts.training_bytes / 2**20:.1f} MiB"
    return "\n".join(
        (
            f"a value of the deepest map sees {sees}"
            + (f"; training keeps {kept} of the image for the backward pass (float32)" if kept else ""),
            f"published: {figures.published} {f'({figures.source})' if figures.source else ''}".rstrip()
            + f"; ours: {figures.ours}; see docs/reproduction.md",
            f"options, with their defaults: {defaults}",
        )
    )
