"""Dropout at prediction: a model's answers with parts of it left out, as Bayesian SegNet samples them.

Kendall et al., "Bayesian SegNet" (arXiv 1511.02680): a network trained with dropout and run with it is a
sample from an approximate posterior over its weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar, Token
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from segnet.base.errors import SegnetError

_MODULES = (
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
)

# What these modules call: elements are dropped one by one, or channels as a whole.
_ELEMENTS = (F.dropout, F.alpha_dropout)
_CHANNELS = (F.dropout1d, F.dropout2d, F.dropout3d, F.feature_alpha_dropout)
_ALPHA = (F.alpha_dropout, F.feature_alpha_dropout)
_WITHOUT_BATCH = ((F.dropout1d, 2), (F.dropout3d, 4))  # functions that take such inputs for one sample's

_SATURATION = 1.7580993408473766  # of SELU, what alpha dropout puts in place of 0 (arXiv 1706.02515)

_is_sampling: ContextVar[bool] = ContextVar("is_sampling", default=False)


def require_dropout(model: nn.Module) -> None:
    """Check that there is dropout to sample with.

    Raises:
        SegnetError: no dropout module with p > 0. Dropout that is only called as a function is not seen.
    """
    if not any(isinstance(module, _MODULES) and module.p > 0 for module in model.modules()):
        raise SegnetError(
            f"the model ({type(model).__name__}) has no dropout, so all samples would be alike; train a "
            "Bayesian one, for example --model segnet-basic --model-options dropout=0.5"
        )


def is_sampling() -> bool:
    """Say whether this thread is inside ``sampling_dropout``."""
    return not torch.compiler.is_compiling() and _is_sampling.get()


class sampling_dropout(TorchFunctionMode):  # noqa: N801 - used as a context manager
    """Inside, and in this thread alone, dropout drops in a model that is in evaluation mode.

    No module is changed, and no random numbers but the generator's are drawn: other threads may use the same
    model. The numbers are those that torch draws itself after ``torch.manual_seed`` on a CPU.

    Args:
        generator: decides what is dropped; on the model's device.
    """

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self._generator = generator
        self._tokens: list[Token[bool]] = []

    def __enter__(self) -> sampling_dropout:
        self._tokens.append(_is_sampling.set(True))
        super().__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        _is_sampling.reset(self._tokens.pop())

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Answer for dropout; everything else is torch's own.

        While a mode like this is active, torch's transformer layers don't take their fused path, which knows
        no dropout.
        """
        if func in _ELEMENTS or func in _CHANNELS:
            return self._dropped(func, *args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _dropped(
        self, func: Callable[..., Any], x: Tensor, p: float, training: bool, inplace: bool = False
    ) -> Tensor:
        """Return what ``func`` gives in training, operation by operation as torch computes it."""
        del training  # dropout is on, whatever the module's mode
        if p == 0:
            return x
        leading = x.dim() if func in _ELEMENTS else 1 if (func, x.dim()) in _WITHOUT_BATCH else 2
        if p == 1:
            kept, added = x.new_zeros(()), None
        else:
            size = x.shape[:leading] + (1,) * (x.dim() - leading)
            kept = torch.empty_like(x) if size == x.shape else x.new_empty(size)
            kept.bernoulli_(1 - p, generator=self._generator)
            added = None
            if func in _ALPHA:
                scale = ((_SATURATION**2 * p + 1) * (1 - p)) ** -0.5
                added = kept.add(-1).mul_(_SATURATION * scale).add_(_SATURATION * scale * p)
                kept.mul_(scale)
            else:
                kept.div_(1 - p)
        result = x.mul_(kept) if inplace else x * kept
        return result if added is None else result.add_(added)
