"""The loss of each step: one that isn't finite is noticed with its images, the first ones are kept."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from segnet.base.errors import SegnetError
from segnet.base.progress import say
from segnet.models.inspection.costs import learned_names
from segnet.models.names import is_own
from segnet.runs.run_folder import RunFolder
from segnet.runs.scores import Scores
from segnet.runs.steps import FIRST_STEPS, StepRecord
from segnet.training.schedule import Step
from segnet.training.setup import Learner
from segnet.training.state import State, place_of


class LossWatch:
    """Looks at the loss of each step before anything is learnt from it; on a GPU a step later.

    There the loss is copied while the next step is computed, so that nothing waits for it: what was learnt
    from a bad one is then thrown away with the run's last step, and ``settle`` keeps it out of what is saved.
    Only a run that drops such steps waits for each loss.
    """

    def __init__(self, learner: Learner, folder: RunFolder, state: State) -> None:
        self._learner, self._folder, self._state = learner, folder, state
        self._skips = learner.config.on_nan == "skip"
        self._late = learner.device.type == "cuda" and not self._skips
        self._waiting: tuple[Step, Tensor, torch.cuda.Event] | None = None
        self._said = -1
        # a forward pass moves batch norm's statistics; a step that is dropped leaves no trace in them
        self._buffers = list(learner.model.buffers()) if self._skips else []
        self._before = [buffer.clone() for buffer in self._buffers]

    def lets_learn(self, loss: Tensor, step: Step) -> bool:
        """Say whether a step may change the weights; where it may not, it is as if it had never been.

        Raises:
            SegnetError: a loss that isn't finite, this step's or the one's before, where that ends the run.
        """
        if self._late:
            copied = loss.detach().to("cpu", non_blocking=True)
            event = torch.cuda.Event()
            event.record()
            self.settle()
            self._waiting = step, copied, event
            return True
        if math.isfinite(value := float(loss.detach())):
            self._note(step, value)
            self.keep_buffers()
            return True
        if not self._skips:
            raise self._stop(value, step)
        self._note(step, None)
        for kept, buffer in zip(self._before, self._buffers, strict=True):
            buffer.copy_(kept)
        if self._said != step.epoch:  # once an epoch: it may be every step, and the epoch's line counts them
            self._said = step.epoch
            say(self._learner.console, f"warning: {self._found(value, step)}; the step is dropped")
        return False

    def require_sound(self) -> None:
        """Look at all that the running epoch has learnt, before it is saved.

        Raises:
            SegnetError: the run has diverged.
        """
        self.settle()
        if position := self._state.position:
            require_finite(float(position.loss_sum), self._learner.eval_model, self._state.epoch + 1)

    def settle(self) -> None:
        """Look at what has not been looked at yet.

        Raises:
            SegnetError: a loss that isn't finite.
        """
        if self._waiting is None:
            return
        (step, copied, event), self._waiting = self._waiting, None
        event.synchronize()
        if not math.isfinite(value := float(copied)):
            raise self._stop(value, step)
        self._note(step, value)

    def _note(self, step: Step, loss: float | None) -> None:
        """Keep the loss of one of the first steps; it is known here anyway, so nothing waits for it."""
        first = self._state.first_steps
        if first is not None and len(first) < FIRST_STEPS:
            first.append(StepRecord(step.epoch + 1, step.number + 1, loss))

    def keep_buffers(self) -> None:
        """Take batch norm's statistics as they are for good."""
        for kept, buffer in zip(self._before, self._buffers, strict=True):
            kept.copy_(buffer)

    def _found(self, value: float, step: Step) -> str:
        names = ", ".join(self._learner.train.names_of(step.batch))
        place = f"epoch {step.epoch + 1}, step {step.number + 1}, on {names}"
        return f"the loss ({value}) went beyond all bounds in {place}"

    def _stop(self, value: float, step: Step) -> SegnetError:
        advice = "look at these images, lower --lr, or set --clip-norm 1 or --precision float32"
        said = f"{self._found(value, step)}; {advice}"
        if self._state.saved == (0, 0):
            return SegnetError(f"{said}; --on-nan skip drops such steps")
        path = self._folder.path
        own = is_own(self._learner.config.model)
        command = (
            f'segnet.resume("{path}", model=..., on_nan="skip")'
            if own
            else f"segnet resume {path} --on-nan skip"
        )
        return SegnetError(f"{said}; to go on {place_of(self._state.saved)} without such steps: {command}")


def require_finite(train_loss: float, model: nn.Module, epoch: int) -> None:
    """Raise SegnetError where a run has diverged, before its weights are kept.

    Batch norm can keep the loss finite while weights and statistics overflow, so these are looked at too.
    """
    state = model.state_dict()
    tensors = [state[name] for name in learned_names(model) & state.keys()]
    # one answer for all of them: each that is read is a wait for the device
    if math.isfinite(train_loss) and bool(torch.stack([each.isfinite().all() for each in tensors]).all()):
        return
    what = "weights" if math.isfinite(train_loss) else f"loss ({train_loss})"
    raise _diverged(what, epoch)


def require_finite_logits(scores: Scores, epoch: int) -> None:
    """Raise SegnetError where finite weights answered with what is no number: they are as useless."""
    if scores.loss is not None and not math.isfinite(scores.loss):
        raise _diverged(f"logits of validation images (loss {scores.loss})", epoch)


def _diverged(what: str, epoch: int) -> SegnetError:
    return SegnetError(
        f"the {what} went beyond all bounds in epoch {epoch}; lower --lr, or set --clip-norm 1 or "
        "--precision float32"
    )
