"""What a model file says about itself: one JSON text, the same in safetensors, ONNX and OpenVINO files.

Nothing here needs torch: an exported model predicts without it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from segnet.base.classes import ClassTable
from segnet.base.errors import SegnetError
from segnet.base.files import require_text_name
from segnet.data.images.intensity import RGB, Intensity
from segnet.data.store.fit_to_size import RESIZE, Fit, Resize
from segnet.runs.identity import DataIdentity

KEY = "segnet"
"""The one metadata key under which every kind of model file keeps the text."""

_OPENED_ELSEWHERE = {
    ".pt2": "; torch.export.load opens it",
    ".segnet": "; segnet's engine for browsers opens it",
}

REMEDY = "give a run folder or the model.safetensors of one"

# What came later, and what it is where a file says nothing of it.
_LATER: dict[str, Any] = {
    "patch_scale": None,
    "keep_aspect": False,
    "intensity": asdict(RGB),
    "threshold": None,
}

# Of these, what an older version would predict otherwise without: it refuses format 2.
_NEEDED = ("patch_scale", "keep_aspect", "intensity")


@dataclass(frozen=True)
class Description:
    """What a model file says about itself.

    ``model`` is a key of ``segnet.MODELS``, or the qualified name of a class of the user's own
    (``models/names.py``), which only the user can build.
    ``size`` is ``(H, W)`` in pixels and ``resize`` the method that training images were brought to it with;
    prediction does the same, as ``fit`` has it, with ``patch_scale``, ``keep_aspect`` and ``intensity``: the
    channels of an image, and what is black and white in them. ``data`` tells the
    images it was trained and validated on; files of older versions don't say. ``notice`` holds licence and
    attribution of the data.
    """

    model: str
    classes: ClassTable
    size: tuple[int, int]
    resize: Resize
    options: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    data: DataIdentity | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    notice: str = ""
    patch_scale: float | None = None
    keep_aspect: bool = False
    intensity: Intensity = RGB
    threshold: float | None = None
    """Of two classes, the foreground's probability above which validation images gave the best IoU."""

    def for_devices(self) -> Description:
        """Return what prediction needs, without what a training says of itself: 30 kB for 1,000 images."""
        return replace(self, data=None, scores={}, training={}, versions={})

    def to_json(self) -> str:
        """Return the text that goes into a model file; the same description gives the same text."""
        plain = asdict(replace(self, data=None))
        if self.data is not None:
            plain["data"] = self.data.to_plain()
        for name in [name for name, default in _LATER.items() if plain[name] == default]:
            del plain[name]
        version = 2 if plain.keys() & _NEEDED else 1
        return json.dumps({"format": version, **plain}, sort_keys=True)

    @property
    def fit(self) -> Fit:
        """What happens to every image before the model."""
        return Fit(self.size, self.resize, self.patch_scale, self.keep_aspect, self.intensity)

    @classmethod
    def from_json(cls, text: str, file: Path, remedy: str) -> Description:
        """Return what ``to_json`` gave; entries that this version doesn't know are left out.

        Args:
            text: what the file holds under ``KEY``.
            file: the file, for the error.
            remedy: what to do where the text is damaged, for the error.

        Raises:
            SegnetError: a text that is damaged, or of a later format.
        """
        try:
            values = dict(json.loads(text))
            if values["format"] in (1, 2):
                return _from_plain(values)
        except (SegnetError, ValueError, KeyError, TypeError) as error:
            raise SegnetError(f"the description inside {file} is damaged ({error!r}); {remedy}") from error
        raise SegnetError(f"{file} was written by a newer segnet; upgrade with pip install -U segnet")


def _from_plain(values: Mapping[str, Any]) -> Description:
    known = {entry.name for entry in fields(Description)}
    table = values["classes"]
    colours = tuple((int(red), int(green), int(blue)) for red, green, blue in table["colours"])
    classes = ClassTable(tuple(table["names"]), colours, table["ignore_index"])
    height, width = values["size"]
    data = values.get("data")
    description = Description(
        **{name: value for name, value in values.items() if name in known}
        | {"classes": classes, "size": (int(height), int(width))}
        | {"intensity": Intensity.from_plain(values["intensity"]) if "intensity" in values else RGB}
        | {"data": None if data is None else DataIdentity.from_plain(data)}
    )
    scale, threshold = description.patch_scale, description.threshold
    fits = {
        "model": isinstance(description.model, str),
        "classes": all(0 <= channel <= 255 for colour in colours for channel in colour),
        "patch_scale": scale is None or (isinstance(scale, int | float) and 0 < scale <= 1),
        "threshold": threshold is None or (isinstance(threshold, int | float) and 0 < threshold < 1),
        "keep_aspect": isinstance(description.keep_aspect, bool),
        "resize": description.resize in RESIZE,
        "size": min(description.size) >= 1,
    }
    for name in (name for name, is_good in fits.items() if not is_good):
        raise ValueError(f"{name} {getattr(description, name)!r}")
    return description


@contextmanager
def opened(path: Path, framework: str) -> Iterator[Any]:
    """Open a safetensors file for a framework, ``pt`` or ``np``; what goes wrong inside names it."""
    from safetensors import SafetensorError, safe_open  # of exported models there needn't be one

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
            other = _OPENED_ELSEWHERE.get(path.suffix, "")
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
