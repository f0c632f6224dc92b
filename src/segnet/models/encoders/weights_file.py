"""Other people's weights: where they are published, and tensors out of a file; nothing else is unpickled."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from segnet.base.errors import SegnetError


class PublishedWeights(ABC):
    """The weights that somebody has published for an encoder."""

    @property
    @abstractmethod
    def notice(self) -> str:
        """Licence and source, which whoever passes on the weights passes on too."""

    @property
    @abstractmethod
    def missing(self) -> str:
        """Why they aren't there where they aren't, and what would bring them."""

    @abstractmethod
    def find(self) -> Path | None:
        """Return the file, fetched where it must be; or None where it is ``missing``.

        Raises:
            SegnetError: a file of another content, or one that can't be fetched.
        """


def read_weights(path: Path, network: str, advice: str) -> dict[str, Tensor]:
    """Return the tensors of a ``.safetensors`` file, or of a state dict as torch saved it.

    Args:
        path: the file.
        network: whose weights they are to be, as messages name it.
        advice: what to give in their place; ends the messages.

    Raises:
        SegnetError: no such file, one that is damaged, or one that holds something else than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise SegnetError(f"there is no file of encoder weights {path}; {advice}") from None
    except IsADirectoryError:
        raise SegnetError(f"the encoder weights {path} are a folder; give a file in it") from None
    except Exception as error:  # torch raises about anything for a file it can't read safely
        raise SegnetError(
            f"{path} can't be read as {network}'s weights: it is damaged, or holds more than tensors; "
            f"{advice}"
        ) from error
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise SegnetError(
            f"{path} can't be read as {network}'s weights: it holds something else than names and tensors; "
            f"{advice}"
        )
    return state


def require_finite(path: Path, name: str, tensor: Tensor) -> None:
    """Check that a tensor of a file holds floating-point numbers, and all of them finite.

    Raises:
        SegnetError: it doesn't.
    """
    if not tensor.is_floating_point():
        raise SegnetError(f"{path} can't be used: {name} holds {tensor.dtype}, no floats")
    if not tensor.isfinite().all():
        raise SegnetError(f"{path} can't be used: {name} holds NaN or infinity")
