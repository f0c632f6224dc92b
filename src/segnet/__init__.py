"""Train, understand and ship compact image-segmentation networks in PyTorch.

The names below are loaded when first used, so that ``import segnet`` and ``segnet --help`` are quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import segnet.base.forked  # noqa: F401 - whose hook must be there before a process is forked

if TYPE_CHECKING:
    from segnet.base.classes import ClassTable as ClassTable
    from segnet.base.errors import SegnetError as SegnetError
    from segnet.data.dataset import Dataset as Dataset
    from segnet.data.options import DataOptions as DataOptions
    from segnet.data.sources import load_dataset as load_dataset
    from segnet.inference.opening import load as load
    from segnet.inference.segmentation import Segmentation as Segmentation
    from segnet.inference.segmenter import Segmenter as Segmenter
    from segnet.models import MODELS as MODELS
    from segnet.models import create_model as create_model
    from segnet.runs.scores import Scores as Scores
    from segnet.scoring.evaluate import evaluate as evaluate
    from segnet.training.configuration.config import TrainConfig as TrainConfig
    from segnet.training.loop import Run as Run
    from segnet.training.run import resume as resume
    from segnet.training.run import train as train

__version__ = "0.2.0"

_HOME = {
    "ClassTable": "base.classes",
    "SegnetError": "base.errors",
    "Dataset": "data.dataset",
    "DataOptions": "data.options",
    "load_dataset": "data.sources",
    "evaluate": "scoring.evaluate",
    "Segmentation": "inference.segmentation",
    "Segmenter": "inference.segmenter",
    "load": "inference.opening",
    "MODELS": "models",
    "create_model": "models",
    "Scores": "runs.scores",
    "TrainConfig": "training.configuration.config",
    "Run": "training.loop",
    "resume": "training.run",
    "train": "training.run",
}

__all__ = ["__version__", *_HOME]


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'segnet' has no attribute {name!r}")
    try:
        return getattr(import_module(f"segnet.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        from segnet.base.extras import missing_package

        missing = missing_package(f"segnet.{name}", error.name)
        if missing is None:
            raise
        raise missing from error
