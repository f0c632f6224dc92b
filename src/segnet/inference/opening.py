"""``segnet.load``: from a path or a name to a segmenter, with the runtime that can open it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from segnet.base.classes import ClassTable
from segnet.base.errors import SegnetError, did_you_mean
from segnet.base.extras import is_installed, require_package
from segnet.base.files import expand_home
from segnet.inference.description import described, opened
from segnet.inference.runtimes import RUNTIMES, ExportedRuntime
from segnet.inference.segmenter import Segmenter

if TYPE_CHECKING:
    import torch
    from torch import nn

WEIGHTS = Path(__file__).parent.parent / "weights"
"""Where the bundled models are: ``NAME.safetensors``, and beside it ``NAME.onnx`` where it was exported."""

_TRAINED = ".safetensors"
# Who opens an exported file, the first choice first.
_OPENED_BY = {".onnx": ("onnxruntime", "openvino"), ".xml": ("openvino",), ".tflite": ("litert",)}
# By runtime: the package that is imported, and what segnet export calls the files that it opens.
_PACKAGES = {"onnxruntime": "onnxruntime", "openvino": "openvino", "litert": "ai_edge_litert"}
_TARGETS = {"onnxruntime": "onnx", "openvino": "onnx", "litert": "litert"}
_BUNDLED_EXPORT = ".onnx"


def load(
    path_or_name: str | Path,
    *,
    model: nn.Module | None = None,
    device: torch.device | str = "auto",
    runtime: str = "auto",
    threads: int | None = None,
) -> Segmenter:
    """Open a run folder, a model file or a bundled name, in this order.

    A model file is a ``.safetensors`` or what ``segnet export`` writes: ``.onnx``, ``.xml``, ``.tflite``.

    Args:
        path_or_name: what to open.
        model: for a ``.safetensors`` file that holds a module of your own, that module, built as for
            training. It is this very object that gets the weights, moves to the device and goes into
            evaluation mode.
        device: "auto", or a device.
        runtime: what computes. "auto" takes torch for what was trained, LiteRT for ``.tflite``, and for what
            else was exported ONNX Runtime or, where that isn't installed, OpenVINO; a bundled name on a CPU
            opens its exported file where one of these two is installed. Else "torch", "onnxruntime",
            "openvino" or "litert".
        threads: how many compute an exported model on the CPU, by default as many as its runtime sees fit;
            torch's are set by ``torch.set_num_threads``.

    Raises:
        SegnetError: nothing of that name, a run without a model yet, a file that is no model of ours, no
            ``model`` where one is needed, one that the weights don't fit, a device that isn't there, a
            runtime that can't open the file or isn't installed.
    """
    if runtime not in RUNTIMES:
        raise SegnetError(f"there is no runtime {runtime!r}{did_you_mean(runtime, RUNTIMES)}")
    path = find_model(path_or_name, exported=model is None and wants_exported(runtime, str(device)))
    if path.suffix.lower() in _OPENED_BY:
        if model is not None:
            raise SegnetError(f"{path} is exported and holds its model; open it without model=")
        return _open_exported(path, str(device), runtime, threads)
    return _open_trained(path, model, device, runtime)


def find_model(path_or_name: str | Path, *, exported: bool) -> Path:
    """Return the file that a run folder, a path or a bundled name stands for.

    Args:
        path_or_name: what ``load`` takes.
        exported: which file of a bundled model, where it has both.

    Raises:
        SegnetError: nothing of that name, or a run without a model yet.
    """
    if not str(path_or_name).strip():  # an unset variable of a shell; as a path it would be this folder
        raise SegnetError("the model's name is empty; name a run folder, a model file or a bundled model")
    path = expand_home(path_or_name)
    if path.suffix == ".mlpackage" and path.is_dir():
        raise SegnetError(
            f"Core ML opens {path} on Apple's systems; give the run folder it was exported from"
        )
    if path.is_dir():
        path = path / "model.safetensors"
        if not path.is_file():
            raise SegnetError(
                f"{path.parent} holds no model.safetensors: it is no run folder, or its run has no epoch yet"
            )
    return path if path.exists() else _bundled(str(path_or_name), exported=exported)


def read_classes(path_or_name: str | Path) -> ClassTable:
    """Return the classes of what ``load`` would open; a trained model's without torch.

    Raises:
        SegnetError: as ``load``.
    """
    path = find_model(path_or_name, exported=False)
    if path.suffix.lower() in _OPENED_BY:
        return load(path).classes
    with opened(path, "np") as file:
        return described(file, path).classes


def is_bundled(name: str) -> bool:
    """Say whether ``load`` takes this for the name of a bundled model."""
    return not expand_home(name).exists() and name in _bundled_files()


def is_there(name: str) -> bool:
    """Say whether there is a file or folder, or else a bundled model, of this name."""
    return not name.strip() or expand_home(name).exists() or name in _bundled_files()


def bundled_names() -> list[str]:
    """Return the names of the bundled models."""
    return sorted(_bundled_files())


def wants_exported(runtime: str, device: str) -> bool:
    """Say whether ``load`` takes the exported file of a bundled model."""
    if runtime == "auto":
        return device in ("auto", "cpu") and any(map(is_installed, _OPENED_BY[_BUNDLED_EXPORT]))
    return runtime in _OPENED_BY[_BUNDLED_EXPORT]


def _bundled(name: str, *, exported: bool) -> Path:
    models = _bundled_files()
    if name not in models:
        remedy = did_you_mean(name, models) if models else "; segnet train makes a run folder"
        raise SegnetError(f"{name} is no run folder, no model file and no bundled model{remedy}")
    files = models[name]
    wanted = (_BUNDLED_EXPORT, _TRAINED) if exported else (_TRAINED, _BUNDLED_EXPORT)
    return next(files[suffix] for suffix in wanted if suffix in files)


def _bundled_files() -> dict[str, dict[str, Path]]:
    """Return the files of each bundled model by suffix."""
    models: dict[str, dict[str, Path]] = {}
    for suffix in (_TRAINED, _BUNDLED_EXPORT):
        for file in WEIGHTS.glob(f"*{suffix}"):
            models.setdefault(file.stem, {})[suffix] = file
    return models


def _open_trained(path: Path, model: nn.Module | None, device: torch.device | str, runtime: str) -> Segmenter:
    if runtime in _TARGETS:
        command = f"segnet export {path} --to {_TARGETS[runtime]}"
        raise SegnetError(f"{runtime} can't open {path}; export it first with: {command}")
    require_package(str(path), "torch", "; or export it where PyTorch is, with segnet export")
    from segnet.base.device import pick_device
    from segnet.inference.model_file import read_model
    from segnet.inference.runtimes.with_torch import TorchRuntime, spare_threads

    place = pick_device(device)
    spare_threads(place)
    opened, description = read_model(path, model)
    return Segmenter(TorchRuntime(opened, place), description)


def _open_exported(path: Path, device: str, runtime: str, threads: int | None) -> Segmenter:
    openers = _OPENED_BY[path.suffix.lower()]
    if runtime == "auto":
        runtime = next((each for each in openers if is_installed(_PACKAGES[each])), openers[0])
    if runtime not in openers:
        instead = (
            "give the run folder or the .safetensors file that it was exported from"
            if runtime == "torch"
            else f"take --runtime {openers[0]}"
        )
        raise SegnetError(f"{runtime} can't open {path}; {instead}")
    require_package(str(path), _PACKAGES[runtime])
    opened = _opener(runtime)(path, device, threads)
    return Segmenter(opened, opened.description)


def _opener(runtime: str) -> type[ExportedRuntime[Any]]:
    """Return what opens exported files by a runtime, which is imported here."""
    if runtime == "onnxruntime":
        from segnet.inference.runtimes.with_onnxruntime import OnnxRuntime

        return OnnxRuntime
    if runtime == "openvino":
        from segnet.inference.runtimes.with_openvino import OpenVino

        return OpenVino
    from segnet.inference.runtimes.with_litert import LiteRt

    return LiteRt
