"""The losses that training can minimise, each from logits and a mask.

Every loss takes logits ``(N, C, H, W)`` of any float type, a mask ``(N, H, W)`` of class ids with 255 =
ignore and class weights ``(C,)`` or None, and returns a scalar in float32 (float64 for float64 logits).
Ignored pixels take no part. Where nothing counts, because every pixel is ignored or has a class of weight
0, loss and gradients are 0, not NaN: one empty crop must not end a run. A new loss is a function here and a
line in ``LOSSES``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from segnet.core.classes import IGNORE_INDEX
from segnet.core.errors import SegnetError


def cross_entropy(logits: Tensor, mask: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Return Σ w·(-log p) / Σ w over the pixels, with p the softmax at the true class and w its weight.

    Without weights the article's loss; with them the mean that ``torch.nn.CrossEntropyLoss`` takes.
    """
    return _mean_over_pixels(negative_log_likelihood(logits, mask), mask, class_weights)


def focal(logits: Tensor, mask: Tensor, class_weights: Tensor | None = None, *, gamma: float = 2.0) -> Tensor:
    """Return Σ w·(1 - p)^gamma·(-log p) / Σ w: cross-entropy in which pixels that are right count little.

    Focal loss (Lin et al., arXiv 1708.02002) with its softmax at the true class for p and class weights for
    alpha. The paper divides by the number of boxes; a mean over pixels has none, so ours is the same mean as
    cross-entropy's, which gamma 0 gives.
    """
    nll = negative_log_likelihood(logits, mask)
    # 1 - p without cancellation. Kept off 0, where the gradient of a power below 1 is infinite.
    wrong = (-torch.expm1(-nll)).clamp(min=torch.finfo(nll.dtype).tiny)
    return _mean_over_pixels(wrong**gamma * nll, mask, class_weights)


def soft_iou(logits: Tensor, mask: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Return -log of the mean over images of (Σ p·y + 0.001) / (Σ p + y - p·y + 0.001).

    The series' IoU loss: y is the one-hot truth, sums run over all classes and pixels of an image; see
    ``article_custom_iou``. An image without a counted pixel is left out of the mean. Since classes are summed
    before the division, one that is absent has no say of its own, and weights have no place.

    Raises:
        SegnetError: class weights.
    """
    if class_weights is not None:
        raise SegnetError("the iou loss sums over all classes and takes no class weights")
    counts = mask != IGNORE_INDEX
    counted = counts.sum((1, 2))
    nll = negative_log_likelihood(logits, mask)
    # y picks p at the truth. The softmax sums to 1 at a pixel, and so does y: their sums are the pixel count.
    intersection = (torch.exp(-nll) * counts).sum((1, 2))
    iou = (intersection + 0.001) / (2 * counted - intersection + 0.001)
    images = (counted > 0).sum()
    mean = (iou * (counted > 0)).sum() / images.clamp(min=1)
    return -torch.where(images > 0, mean, 1.0).log()


def soft_dice(logits: Tensor, mask: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Return Σ w·(1 - D) / Σ w over the classes in the batch, with D = 2 Σ p·y / (Σ p² + Σ y²) of a class.

    V-Net's Dice (Milletari et al., arXiv 1606.04797), with its squares, for each class against the rest. Sums
    run over the whole batch: for a class with a few pixels in an image, that image's own ratio is noise.

    A class that the mask lacks is left out, as in our scores. Its D is 0 whatever is predicted, so it would
    add a constant and no gradient; a pixel wrongly given to it costs the class that it belongs to.
    """
    probability = _precise(logits).softmax(1)
    classes = torch.arange(logits.shape[1], device=logits.device).view(1, -1, 1, 1)
    truth = mask.unsqueeze(1) == classes
    counted = (mask != IGNORE_INDEX).unsqueeze(1)
    pixels = truth.sum((0, 2, 3))
    present = pixels > 0
    overlap = (probability * truth).sum((0, 2, 3))
    squares = (probability.square() * counted).sum((0, 2, 3)) + pixels
    dice = 2 * overlap / torch.where(present, squares, 1.0)
    weights = present.to(dice) if class_weights is None else present * class_weights.to(dice)
    return _divide((weights * (1 - dice)).sum(), weights.sum())


Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]

LOSSES: dict[str, Loss] = {
    "cross-entropy": cross_entropy,
    "focal": focal,
    "iou": soft_iou,
    "dice": soft_dice,
}


def negative_log_likelihood(logits: Tensor, mask: Tensor) -> Tensor:
    """Return -log softmax(logits) at the true class, ``(N, H, W)``, 0 where ignored."""
    # Summed by us: the sum inside is the part that torch has no deterministic CUDA kernel for.
    return F.cross_entropy(_precise(logits), mask.long(), ignore_index=IGNORE_INDEX, reduction="none")


def _precise(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def _mean_over_pixels(values: Tensor, mask: Tensor, class_weights: Tensor | None) -> Tensor:
    """Return the mean of values ``(N, H, W)``, weighted by each pixel's class; those ignored are 0."""
    counted = mask != IGNORE_INDEX
    if class_weights is None:
        return values.sum() / counted.sum().clamp(min=1)
    weights = class_weights.to(values)[mask.long().masked_fill(~counted, 0)] * counted
    return _divide((weights * values).sum(), weights.sum())


def _divide(total: Tensor, weight: Tensor) -> Tensor:
    return total / torch.where(weight > 0, weight, 1.0)
