"""One ``.safetensors`` file that is a whole model: weights, and in its metadata all that prediction needs.

The description is one JSON text under one metadata key. safetensors keeps several keys in no fixed order,
and the same run must give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from segnet.base.errors import SegnetError
from segnet.base.extras import MissingPackageError
from segnet.base.files import replacing
from segnet.inference.description import KEY, REMEDY, Description, described, opened
from segnet.models import create_model
from segnet.models.inspection.costs import learned_names
from segnet.models.names import is_own, name_of, short_name

_OWN_REMEDY = "build it as it was built for training"
_FIRST_LITE = "segnet 0.1 wrote it, whose segnet-lite was another network: train again, or open it there"


def write_model_file(path: Path, weights: Mapping[str, Tensor], description: Description) -> None:
    """Write a model file, whole or not at all.

    Raises:
        SegnetError: the folder can't be written to, or the disk is full.
    """
    # copies, since safetensors refuses tensors that share memory, as tied weights do
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in weights.items()
    }
    with replacing(path) as temporary:
        temporary.write_bytes(save(tensors, metadata={KEY: description.to_json()}))


def build_model(description: Description) -> nn.Module:
    """Build the described model with fresh weights.

    Raises:
        SegnetError: as ``create_model``.
    """
    return create_model(
        description.model, len(description.classes), description.intensity.channels, **description.options
    )


def read_description(path: Path) -> Description:
    """Read only what a model file says about itself.

    Raises:
        SegnetError: no such file, or one that is no model of ours.
    """
    with opened(path, "pt") as file:
        return described(file, path)


def read_weights(path: Path) -> tuple[dict[str, Tensor], Description]:
    """Read a model file without building the model.

    Raises:
        SegnetError: as ``read_description``.
    """
    with opened(path, "pt") as file:
        description = described(file, path)
        return {name: file.get_tensor(name) for name in file.keys()}, description  # noqa: SIM118 - not a dict


def read_model(path: Path, model: nn.Module | None = None) -> tuple[nn.Module, Description]:
    """Open a model file: the model in evaluation mode with its weights in float32, and its description.

    Args:
        path: the file.
        model: gets the weights in place of one that is built by its name; it must have the same tensors. A
            file with a model of the user's own can't be opened without.

    Raises:
        SegnetError: as ``read_description``, no ``model`` where one is needed, or weights that don't fit or
            hold NaN; the module given is then as it was.
    """
    given = None if model is None else name_of(model)
    weights, description = read_weights(path)
    if model is None and is_own(description.model):
        raise SegnetError(
            f"{path} holds a model of your own ({description.model}); open it with "
            f"segnet.load(path, model={short_name(description.model)}(...))"
        )
    try:
        if model is None:
            with torch.random.fork_rng(devices=[]):  # fresh weights take none of the caller's numbers
                model = build_model(description)
        require_fit(model.state_dict(), weights, REMEDY if given is None else _OWN_REMEDY)
        broken = next((n for n in sorted(learned_names(model)) if not weights[n].isfinite().all()), None)
        if broken is None:
            model.load_state_dict(weights)
    except MissingPackageError:
        raise
    except SegnetError as error:
        raise SegnetError(
            f"{path} can't be used by this version of segnet: {error}; or upgrade segnet"
        ) from error
    except (RuntimeError, TypeError, ValueError) as error:
        needed = description.model if given is None else f"{given}, the model given"
        first_lite = needed == "segnet-lite" and not any("depthwise_norm" in name for name in weights)
        why = _FIRST_LITE if first_lite else error
        raise SegnetError(f"the weights in {path} don't fit {needed}: {why}") from error
    if broken is not None:
        raise SegnetError(
            f"{path} can't predict: {broken} holds NaN or infinity, so its training diverged; "
            "train again with a lower --lr"
        )
    return model.eval(), description


def require_fit(model: Mapping[str, Tensor], file: Mapping[str, Tensor], remedy: str) -> None:
    """Raise ValueError with the first tensor that only one side has, or in another shape."""
    for name in sorted(model.keys() | file.keys()):
        needed, found = (tuple(side[name].shape) if name in side else "absent" for side in (model, file))
        if needed != found:
            raise ValueError(f"{name} is {found} in the file and {needed} in the model; {remedy}")
