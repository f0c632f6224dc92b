"""Packages that not every use of segnet needs, and how to install them where one is missing."""

from __future__ import annotations

from importlib.util import find_spec

from segnet.base.errors import SegnetError

# By the name that is imported: what people call it, and what brings it.
_TRAIN = "'segnet[train]'"
_REGIONS = "'segnet[regions]'"
_SERVE = "'segnet[serve]'"
_BROUGHT_BY = {
    "torch": ("PyTorch", _TRAIN),
    "filelock": ("filelock", _TRAIN),
    "jinja2": ("Jinja2", _TRAIN),
    "kornia": ("kornia", _TRAIN),
    "matplotlib": ("matplotlib", _TRAIN),
    "requests": ("requests", _TRAIN),
    "safetensors": ("safetensors", _TRAIN),
    "yaml": ("PyYAML", _TRAIN),
    "scipy": ("SciPy", _REGIONS),
    "shapely": ("Shapely", _REGIONS),
    "fastapi": ("FastAPI", _SERVE),
    "uvicorn": ("uvicorn", _SERVE),
    "python_multipart": ("python-multipart", _SERVE),
    "prometheus_client": ("prometheus-client", _SERVE),
    "datasets": ("datasets", "'segnet[hf]'"),
    "pycocotools": ("pycocotools", "'segnet[convert]'"),
    "tifffile": ("tifffile", "'segnet[tiff]'"),
    "onnx": ("onnx", "'segnet[export]'"),
    "onnx_ir": ("onnx-ir", "'segnet[export]'"),
    "onnxscript": ("onnxscript", "'segnet[export]'"),
    "ray": ("Ray", "'segnet[ray]'"),
    "fsspec": ("fsspec", "'segnet[ray]'"),
    "psutil": ("psutil", "'segnet[ray]'"),
    "onnxruntime": ("ONNX Runtime", "onnxruntime"),
    "openvino": ("OpenVINO", "'segnet[openvino]'"),
    "ai_edge_litert": ("LiteRT", "'segnet[litert]'"),
    "coremltools": ("coremltools", "'segnet[coreml]'"),
    "timm": ("timm", "'segnet[timm]'"),
    "tensorboard": ("TensorBoard", "'segnet[tensorboard]'"),
    "mlflow": ("MLflow", "'segnet[mlflow]'"),
    "trackio": ("trackio", "'segnet[trackio]'"),
    "wandb": ("wandb", "'segnet[wandb]'"),
}


class MissingPackageError(SegnetError, ImportError):
    """A package that isn't installed: the user can correct it, and to Python it is an import that fails."""


def is_installed(package: str) -> bool:
    """Say whether a package could be imported, without importing it.

    A folder of its name that happens to be on the path, without an ``__init__.py``, is none.
    """
    found = find_spec(package)
    return found is not None and found.origin is not None


def missing_package(what: str, package: str | None, otherwise: str = "") -> MissingPackageError | None:
    """Return the error that says what needs a package and how to install it; None for one we don't know.

    Args:
        what: what needs it: "segnet train", or a file.
        package: the module that isn't there, such as "torch" or "torch.nn".
        otherwise: what else to do, put behind it.
    """
    brought_by = _BROUGHT_BY.get((package or "").partition(".")[0])
    if brought_by is None:
        return None
    name, source = brought_by
    return MissingPackageError(f"{what} needs {name}: pip install {source}{otherwise}")


def require_package(what: str, package: str, otherwise: str = "") -> None:
    """Check that a package is there before it is imported.

    Raises:
        MissingPackageError: it isn't; as ``missing_package``.
    """
    if not is_installed(package):
        error = missing_package(what, package, otherwise)
        assert error is not None
        raise error
