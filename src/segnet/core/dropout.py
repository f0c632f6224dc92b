"""Dropout at prediction: a model's answers with parts of it left out, as Bayesian SegNet samples them.

Kendall et al., "Bayesian SegNet" (arXiv 1511.02680): a network trained with dropout and run with it is a
sample from an approximate posterior over its weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from segnet.core.errors import SegnetError

_DROPOUTS = (
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
)


def require_dropout(model: nn.Module) -> None:
    """Check that there is dropout to sample with.

    Raises:
        SegnetError: no dropout module with p > 0. Dropout inside other layers or called as a function is not
            seen: only a module can be switched on alone.
    """
    if not _active_dropouts(model):
        raise SegnetError(
            f"the model ({type(model).__name__}) has no dropout, so all samples would be alike; train a "
            "Bayesian one, for example --model segnet-basic --model-options '{\"dropout\": 0.5}'"
        )


@contextmanager
def sampling_dropout(model: nn.Module) -> Iterator[None]:
    """Inside, dropout drops and everything else is in evaluation mode; afterwards each module is as it was.

    Raises:
        SegnetError: as ``require_dropout``.
    """
    require_dropout(model)
    modes = {module: module.training for module in model.modules()}
    # in evaluation mode torch's own transformer layers run as one kernel that knows no dropout
    fused = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        model.eval()
        for dropout in _active_dropouts(model):
            dropout.train()
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for module, mode in modes.items():
            module.training = mode  # train() would set all the modules inside it too


def _active_dropouts(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, _DROPOUTS) and module.p > 0]
