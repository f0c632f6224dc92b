"""What a ``.safetensors`` file of a model says about itself, read without torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from segnet.base.errors import SegnetError
from segnet.base.files import require_text_name
from segnet.inference.description import KEY, Description

REMEDY = "give a run folder or the model.safetensors of one"


@contextmanager
def opened(path: Path, framework: str) -> Iterator[Any]:
    """Open a safetensors file for a framework, ``pt`` or ``np``; what goes wrong inside names it."""
    require_text_name(path, "safetensors")
    try:
        with safe_open(path, framework) as file:
            yield file
    except FileNotFoundError:
        raise SegnetError(f"there is no model file {path}; {REMEDY}") from None
    except OSError as error:
        raise SegnetError(f"the model file {path} can't be read: {error}") from error
    except SafetensorError as error:
        if path.suffix.lower() != ".safetensors":
            other = "; torch.export.load opens it" if path.suffix == ".pt2" else ""
            raise SegnetError(
                f"{path} is no model file that segnet opens; those end in .safetensors, .onnx and .xml{other}"
            ) from error
        raise SegnetError(f"{path} is damaged or no safetensors file ({error}); {REMEDY}") from error


def described(file: Any, path: Path) -> Description:
    """Return what an opened file says about itself."""
    metadata = file.metadata() or {}
    if KEY not in metadata:
        raise SegnetError(f"{path} holds weights but not what they belong to: no model of segnet; {REMEDY}")
    return Description.from_json(metadata[KEY], path, REMEDY)
