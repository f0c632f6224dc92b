"""The losses that training can minimise, each from logits and a mask.

Every loss takes logits ``(N, C, H, W)`` of any float type, a mask ``(N, H, W)`` of class ids with 255 =
ignore and class weights ``(C,)`` or None, and returns a scalar in float32 (float64 for float64 logits).
Ignored pixels take no part. Where nothing counts, because every pixel is ignored or has a class of weight
0, loss and gradients are 0, not NaN: one empty crop must not end a run. A new loss is a function here, a
line in ``LOSSES`` and its name in ``loss_sum.NAMES``.

Where a batch is spread over processes, sums run over all of them (``batch_sums``), so each gets the loss of
the whole batch. Where logits and mask are a part of a batch that is computed part by part, ``whole`` is the
mask of all of it: of a mean over pixels the parts then sum up to the batch's loss. The others, which are no
such means, are a mean over the parts, weighted by their images.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from segnet.base.classes import IGNORE_INDEX
from segnet.base.distributed.collectives import batch_sums
from segnet.base.errors import SegnetError
from segnet.scoring.boundary import class_edges, squared_distance
from segnet.training.losses.loss_sum import parse_loss

EXTRA, SIGMA_PX = 4.0, 2.0
"""How much more the boundary loss counts an edge pixel, and how far from it that lasts."""


def cross_entropy(
    logits: Tensor, mask: Tensor, class_weights: Tensor | None = None, whole: Tensor | None = None
) -> Tensor:
    """Return Σ w·(-log p) / Σ w over the pixels, with p the softmax at the true class and w its weight.

    Without weights the article's loss; with them the mean that ``torch.nn.CrossEntropyLoss`` takes.
    """
    return _mean_over_pixels(negative_log_likelihood(logits, mask), mask, class_weights, whole)


def label_smoothing(
    logits: Tensor,
    mask: Tensor,
    class_weights: Tensor | None = None,
    whole: Tensor | None = None,
    *,
    share: float = 0.1,
) -> Tensor:
    """Return Σ w·((1 - share)·(-log p) + share·mean(-log q)) / Σ w, with q the softmax of every class.

    Cross-entropy against a truth of which ``share`` is spread over all classes (Szegedy et al., arXiv
    1512.00567, section 7), so that no probability has to reach 1. Without weights it is torch's
    ``label_smoothing``; a weight is that of the pixel's class, for all of the pixel's loss.
    """
    nll = negative_log_likelihood(logits, mask)
    counted = mask != IGNORE_INDEX
    spread = -_precise(logits).log_softmax(1).mean(1) * counted
    return _mean_over_pixels((1 - share) * nll + share * spread, mask, class_weights, whole)


def boundary_cross_entropy(
    logits: Tensor,
    mask: Tensor,
    class_weights: Tensor | None = None,
    whole: Tensor | None = None,
    *,
    extra: float = EXTRA,
    sigma: float = SIGMA_PX,
) -> Tensor:
    """Return Σ w·v·(-log p) / Σ w·v with v = 1 + extra·exp(-d² / 2·sigma²): cross-entropy, more at edges.

    d is the distance in pixels to the next class change, 0 on both of its sides: U-Net's weight (Ronneberger
    et al., arXiv 1505.04597, equation 2) with one distance in place of those to two cells, so that it
    serves any classes. Beyond three sigma v is 1.
    """

    def nearness(mask: Tensor) -> Tensor:
        squared = squared_distance(class_edges(mask), 3 * sigma)
        return 1 + extra * torch.exp(-squared / (2 * sigma**2))

    nll = negative_log_likelihood(logits, mask)
    return _mean_over_pixels(nll, mask, class_weights, whole, nearness)


def focal(
    logits: Tensor,
    mask: Tensor,
    class_weights: Tensor | None = None,
    whole: Tensor | None = None,
    *,
    gamma: float = 2.0,
) -> Tensor:
    """Return Σ w·(1 - p)^gamma·(-log p) / Σ w: cross-entropy in which pixels that are right count little.

    Focal loss (Lin et al., arXiv 1708.02002) with its softmax at the true class for p and class weights for
    alpha. The paper divides by the number of boxes; a mean over pixels has none, so ours is the same mean as
    cross-entropy's, which gamma 0 gives.
    """
    nll = negative_log_likelihood(logits, mask)
    # 1 - p without cancellation. Kept off 0, where the gradient of a power below 1 is infinite.
    wrong = (-torch.expm1(-nll)).clamp(min=torch.finfo(nll.dtype).tiny)
    return _mean_over_pixels(wrong**gamma * nll, mask, class_weights, whole)


def soft_iou(
    logits: Tensor, mask: Tensor, class_weights: Tensor | None = None, whole: Tensor | None = None
) -> Tensor:
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
    total, images = batch_sums((iou * (counted > 0)).sum(), (counted > 0).sum())
    mean = total / images.clamp(min=1)
    return _of_part(-torch.where(images > 0, mean, 1.0).log(), mask, whole)


def soft_dice(
    logits: Tensor, mask: Tensor, class_weights: Tensor | None = None, whole: Tensor | None = None
) -> Tensor:
    """Return Σ w·(1 - D) / Σ w over the classes in the batch, with D = 2 Σ p·y / (Σ p² + Σ y²) of a class.

    V-Net's Dice (Milletari et al., arXiv 1606.04797), with its squares, for each class against the rest. Sums
    run over the whole batch: for a class with a few pixels in an image, that image's own ratio is noise.

    A class that the mask lacks is left out, as in our scores. Its D is 0 whatever is predicted, so it would
    add a constant and no gradient; a pixel wrongly given to it costs the class that it belongs to.
    """
    probability, truth, pixels, counted = _by_class(logits, mask)
    overlap, squares, pixels = batch_sums(
        (probability * truth).sum((0, 2, 3)), (probability.square() * counted).sum((0, 2, 3)), pixels
    )
    present = pixels > 0
    squares = squares + pixels
    dice = 2 * overlap / torch.where(present, squares, 1.0)
    return _of_part(_mean_over_classes(1 - dice, present, class_weights), mask, whole)


def tversky(
    logits: Tensor,
    mask: Tensor,
    class_weights: Tensor | None = None,
    whole: Tensor | None = None,
    *,
    alpha: float = 0.3,
    beta: float = 0.7,
) -> Tensor:
    """Return Σ w·(1 - T) / Σ w over the classes in the batch.

    T of a class is Σ p·y / (Σ p·y + alpha·Σ p·(1 - y) + beta·Σ (1 - p)·y).
    Tversky loss (Salehi et al., arXiv 1706.05721, equation 2) for each class against the rest: alpha weighs
    what was wrongly given to a class, beta what was missed of it; 0.5 and 0.5 is Dice without squares. Sums
    run over the batch and absent classes are left out, as in ``soft_dice``.
    """
    probability, truth, pixels, counted = _by_class(logits, mask)
    overlap, given, pixels = batch_sums(
        (probability * truth).sum((0, 2, 3)), (probability * counted).sum((0, 2, 3)), pixels
    )
    index = overlap + alpha * (given - overlap) + beta * (pixels - overlap)
    present = pixels > 0
    loss = _mean_over_classes(1 - overlap / torch.where(present, index, 1.0), present, class_weights)
    return _of_part(loss, mask, whole)


Loss = Callable[[Tensor, Tensor, Tensor | None, Tensor | None], Tensor]
"""From logits, a mask, class weights and, where these are a part of a batch, its whole mask, to a scalar."""

LOSSES: dict[str, Loss] = {
    "cross-entropy": cross_entropy,
    "label-smoothing": label_smoothing,
    "boundary": boundary_cross_entropy,
    "focal": focal,
    "iou": soft_iou,
    "dice": soft_dice,
    "tversky": tversky,
}


def make_loss(text: str) -> Loss:
    """Return the loss that ``--loss`` names: the sum of its terms, each times its weight.

    Raises:
        SegnetError: as ``parse_loss``.
    """
    terms = [(term.weight, LOSSES[term.name]) for term in parse_loss(text)]

    def total(
        logits: Tensor, mask: Tensor, class_weights: Tensor | None = None, whole: Tensor | None = None
    ) -> Tensor:
        return torch.stack(
            [weight * loss(logits, mask, class_weights, whole) for weight, loss in terms]
        ).sum()

    return terms[0][1] if len(terms) == 1 and terms[0][0] == 1 else total


def negative_log_likelihood(logits: Tensor, mask: Tensor) -> Tensor:
    """Return -log softmax(logits) at the true class, ``(N, H, W)``, 0 where ignored."""
    # Summed by us: the sum inside is the part that torch has no deterministic CUDA kernel for.
    return F.cross_entropy(_precise(logits), mask.long(), ignore_index=IGNORE_INDEX, reduction="none")


def _precise(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def _mean_over_pixels(
    values: Tensor,
    mask: Tensor,
    class_weights: Tensor | None,
    whole: Tensor | None,
    nearness: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Return the mean of values ``(N, H, W)``, weighted by each pixel's class; those ignored are 0."""
    counted = mask != IGNORE_INDEX
    if class_weights is None and nearness is None:
        pixels = (counted if whole is None else whole != IGNORE_INDEX).sum()
        total, pixels = batch_sums(values.sum(), pixels)
        return total / pixels.clamp(min=1)

    def weigh(mask: Tensor, counted: Tensor) -> Tensor:
        weights = counted.to(values)
        if class_weights is not None:
            weights = class_weights.to(values)[mask.long().masked_fill(~counted, 0)] * counted
        return weights if nearness is None else weights * nearness(mask).to(values)

    weights = weigh(mask, counted)
    whole_weights = weights if whole is None else weigh(whole, whole != IGNORE_INDEX)
    return _divide(*batch_sums((weights * values).sum(), whole_weights.sum()))


def _of_part(loss: Tensor, mask: Tensor, whole: Tensor | None) -> Tensor:
    """Return the loss of a part of a batch times its share of the images that anything of is counted."""
    if whole is None:
        return loss
    part, batch = batch_sums(*((each != IGNORE_INDEX).flatten(1).any(1).sum() for each in (mask, whole)))
    return loss * (part / batch.clamp(min=1))


def _by_class(logits: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the softmax and the one-hot truth ``(N, C, H, W)``, pixels ``(C,)`` and what is scored."""
    classes = torch.arange(logits.shape[1], device=logits.device).view(1, -1, 1, 1)
    truth = mask.unsqueeze(1) == classes
    counted = (mask != IGNORE_INDEX).unsqueeze(1)
    return _precise(logits).softmax(1), truth, truth.sum((0, 2, 3)), counted


def _mean_over_classes(values: Tensor, present: Tensor, class_weights: Tensor | None) -> Tensor:
    weights = present.to(values) if class_weights is None else present * class_weights.to(values)
    return _divide((weights * values).sum(), weights.sum())


def _divide(total: Tensor, weight: Tensor) -> Tensor:
    return total / torch.where(weight > 0, weight, 1.0)
