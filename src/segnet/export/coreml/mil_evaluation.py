"""Compute a Core ML file's operations in PyTorch, since Core ML runs on Apple's systems alone.

The file is read back, and each of the few kinds of operations that our files have is computed as coremltools
documents it, in float32 with results rounded to what the file says.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import coremltools
import numpy as np
import numpy.typing as npt
import torch
from coremltools.converters.mil.frontend.milproto.load import load as load_program
from torch import Tensor
from torch.nn import functional as F

from segnet.data.images.pixel_values import Pixels
from segnet.inference.runtimes import INPUT, OUTPUT


class Evaluation:
    """A file that was read back.

    Args:
        path: an ``.mlpackage``.
    """

    def __init__(self, path: Path) -> None:
        model = coremltools.models.MLModel(str(path), skip_model_load=True)
        spec = model.get_spec()
        program = load_program(spec, spec.specificationVersion, model.weights_dir)
        self._operations = program.functions["main"].operations

    def logits(self, images: Pixels) -> npt.NDArray[np.float32]:
        """Return logits ``(N, classes, h, w)`` of images ``(N, h, w, C)``."""
        return torch.cat([self._run(each) for each in images]).numpy()

    def _run(self, image: Pixels) -> Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].float()
        known = {INPUT: pixels}

        def value(given: Any) -> Any:
            if isinstance(given, list | tuple):
                return [value(each) for each in given]
            if given.name in known:
                return known[given.name]
            return torch.from_numpy(given.val).float() if isinstance(given.val, np.ndarray) else given.val

        with torch.inference_mode():
            for operation in self._operations:
                if operation.op_type == "const":
                    continue
                inputs = {name: value(each) for name, each in operation.inputs.items()}
                found = _COMPUTED[operation.op_type](**inputs)
                (output,) = operation.outputs
                known[output.name] = found.half().float() if "fp16" in output.dtype.__name__ else found
        return known[OUTPUT]


def _conv(
    x: Tensor, weight: Tensor, bias: Tensor, strides: Tensor, pad: Tensor, groups: int, **_: Any
) -> Tensor:
    top, bottom, left, right = (int(each) for each in pad)
    padded = F.pad(x, (left, right, top, bottom))
    return F.conv2d(padded, weight, bias, [int(each) for each in strides], groups=int(groups))


def _batch_norm(
    x: Tensor, mean: Tensor, variance: Tensor, gamma: Tensor, beta: Tensor, epsilon: float
) -> Tensor:
    return F.batch_norm(x, mean, variance, gamma, beta, eps=float(epsilon))


def _slice(x: Tensor, begin: Tensor, end: Tensor, stride: Tensor | None = None, **_: Any) -> Tensor:
    steps = [1] * x.ndim if stride is None else [int(each) for each in stride]
    parts = zip(begin.int().tolist(), end.int().tolist(), steps, strict=True)
    return x[tuple(slice(first, last, step) for first, last, step in parts)]


def _pad(x: Tensor, pad: Tensor, mode: str = "constant", **_: Any) -> Tensor:
    top, bottom, left, right = (int(each) for each in pad[-4:])
    return F.pad(x, (left, right, top, bottom), mode)


_COMPUTED: dict[str, Callable[..., Tensor]] = {
    "add": lambda x, y: x + y,
    "batch_norm": _batch_norm,
    "cast": lambda x, dtype: x,
    "ceil": lambda x: x.ceil(),
    "conv": _conv,
    "identity": lambda x: x,
    "maximum": lambda x, y: torch.maximum(x, y),
    "minimum": lambda x, y: x.clamp(max=float(y)),
    "mul": lambda x, y: x * y,
    "pad": _pad,
    "pixel_shuffle": lambda x, upscale_factor: F.pixel_shuffle(x, int(upscale_factor)),
    "relu": lambda x: x.relu(),
    "relu6": lambda x: F.relu6(x),
    "reshape": lambda x, shape: x.reshape([int(each) for each in shape]),
    "slice_by_index": _slice,
    "stack": lambda values, axis: torch.stack(values, int(axis)),
    "sub": lambda x, y: x - y,
    "upsample_nearest_neighbor": lambda x, **_: F.interpolate(x, scale_factor=2.0, mode="nearest"),
}
