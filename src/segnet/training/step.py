"""One step of training: a batch is moved about, answered and scored, and the weights follow its gradients.

Whatever is random in it is a function of the seed, the epoch and the step, so a resumed run takes it as one
that never stopped. A batch may be spread over processes, and computed part by part: its gradients are those
of the whole batch all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from segnet.base.classes import IGNORE_INDEX
from segnet.base.device import autocast
from segnet.base.distributed.rank import this_process
from segnet.core.sync_batch_norm import standing_in
from segnet.data.store.batch_shares import Share
from segnet.training.batch_norm import average_statistics
from segnet.training.epoch import seed_of
from segnet.training.loss_watch import LossWatch
from segnet.training.losses.losses import make_loss
from segnet.training.optimizer import set_learning_rate
from segnet.training.schedule import Step, learning_rate, train_size, warm_up
from segnet.training.setup import Learner

Loss = tuple[Tensor, Mapping[str, Tensor]]
"""A scalar, and what was measured besides, scalars by name."""


def take_step(
    learner: Learner,
    network: nn.Module,
    images: Tensor,
    masks: Tensor,
    step: Step,
    share: Share,
    watch: LossWatch,
) -> Loss | None:
    """Learn from a batch, and return its loss; None where that isn't finite and the step was dropped.

    Args:
        learner: what learns, and how.
        network: its model, compiled or ``shared`` with other processes where it is.
        images: this process's share of the batch, uint8 ``(N, C, H, W)``.
        masks: uint8 ``(N, H, W)``, 255 = ignore.
        step: which step it is.
        share: which images of the batch they are.
        watch: says whether the weights may follow.
    """
    config, optimizer = learner.config, learner.optimizer
    set_learning_rate(optimizer, learning_rate(config, step.epoch, step.progress))

    size, seed = train_size(config, step.epoch), seed_of(config.seed, step.epoch, step.number)
    images, masks = learner.augment(images, masks, size, seed, share)

    optimizer.zero_grad(set_to_none=True)
    loss, measured = take_gradients(learner, network, images, masks, step, share)
    if not watch.lets_learn(loss, step):
        return None

    if config.clip_norm:
        nn.utils.clip_grad_norm_(learner.model.parameters(), config.clip_norm)
    optimizer.step()
    if learner.ema is not None:
        learner.ema.update(learner.model)
    return loss, measured


def take_gradients(
    learner: Learner, network: nn.Module, images: Tensor, masks: Tensor, step: Step, share: Share
) -> Loss:
    """Leave the whole batch's gradients in the network, and return its loss.

    Args:
        learner: what learns.
        network: its model, ``shared`` where there are other processes.
        images: this process's share, float32 ``(N, C, H, W)`` in [0, 1], augmented.
        masks: uint8 ``(N, H, W)``, 255 = ignore.
        step: which step it is.
        share: which images of the batch they are.
    """
    config, here = learner.config, this_process()
    if here.total > 1:  # dropout draws on each process for other images
        torch.manual_seed(seed_of(config.seed, step.epoch, f"{step.number} on {here.rank}"))
    measured: Mapping[str, Tensor] = {}
    for part in share.parts:
        if part.stands_in:
            masks[part.first : part.end] = IGNORE_INDEX
    whole = masks if len(share.parts) > 1 else None
    losses = []
    for part in share.parts:
        rows = slice(part.first, part.end)
        apart = standing_in() if part.stands_in else nullcontext()
        own: AbstractContextManager[object] = nullcontext()
        if isinstance(network, DistributedDataParallel) and part is not share.parts[-1]:
            own = network.no_sync()  # gradients stay each process's own: there is more to add to them
        with own, apart:
            loss, measured = loss_of(learner, network, images[rows], masks[rows], step, whole)
            # the gradients' mean over the processes is then their sum
            (loss * here.total if here.total > 1 else loss).backward()
        losses.append(loss.detach())
    if not config.sync_batch_norm:
        average_statistics(network, share)
    return torch.stack(losses).sum() if whole is not None else losses[0], measured


def loss_of(
    learner: Learner,
    network: nn.Module,
    images: Tensor,
    masks: Tensor,
    step: Step,
    whole: Tensor | None = None,
) -> Loss:
    """Run the network and return what it should make small: against the masks, and what else it learns from.

    Args:
        learner: what learns.
        network: its model.
        images: float32 ``(N, C, H, W)`` in [0, 1], augmented.
        masks: uint8 ``(N, H, W)``, 255 = ignore.
        step: which step it is.
        whole: the masks of the whole step, where these are a part of it; the parts' losses then sum up.
    """
    config, teacher, strong, answers = learner.config, learner.teacher, None, None
    if learner.unlabeled is not None:  # as many images without masks as there are with masks
        first, size = step.number * config.batch_size, train_size(config, step.epoch)
        strong, answers = learner.unlabeled.views(step.epoch, first, len(images), size, learner.device)
    with autocast(learner.device, config.precision):
        logits = network(images if strong is None else torch.cat((images, strong)))
        taught = None if teacher is None else teacher.logits(images)

    with_masks = logits if answers is None else logits[: len(images)]
    loss = make_loss(config.loss)(with_masks, masks, learner.class_weights, whole)
    if teacher is not None and taught is not None:
        loss = teacher.mixed(loss, with_masks, taught, masks, whole)
    if answers is None:
        return loss, {}

    without = answers.loss(logits[len(images) :])
    weight = warm_up(config, step.epoch, step.progress) * config.unlabeled_weight
    return loss + weight * without, {"unlabeled_loss": without} | answers.measured()
