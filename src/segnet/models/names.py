"""Modules of the user's own in the place of our models: what they are called.

A run and a model file remember the class's name, for people alone: no code is ever imported or run by it.
The dot in it tells such a name from those of our models.
"""

from __future__ import annotations

from torch import nn

from segnet.base.errors import SegnetError


def name_of(model: nn.Module) -> str:
    """Return the qualified name of a module's class, such as "my_nets.TinyNet".

    Raises:
        SegnetError: no module; the class itself, for example.
    """
    if not isinstance(model, nn.Module):
        what = f"the class {model.__name__}" if isinstance(model, type) else repr(model)
        raise SegnetError(f"model= takes a torch.nn.Module that was built, such as TinyNet(...), not {what}")
    return f"{type(model).__module__}.{type(model).__qualname__}"


def is_own(name: str) -> bool:
    """Say whether a model's name stands for a class of the user's own."""
    return "." in name


def short_name(name: str) -> str:
    """Return the class alone: "TinyNet" for "my_nets.TinyNet"; names of our models stay as they are."""
    return name.rpartition(".")[2]
