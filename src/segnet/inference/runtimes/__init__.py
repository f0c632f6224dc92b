"""What computes logits: torch for models as they are trained, ONNX Runtime and OpenVINO for exported ones."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

RUNTIMES = ("auto", "onnxruntime", "openvino", "torch")

Images = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float32]


class Runtime(Protocol):
    """A model that is opened on a device and predicts."""

    @property
    def name(self) -> str:
        """The package that computes: torch, onnxruntime or openvino."""

    @property
    def device(self) -> str:
        """Where it computes, in the package's own words in lower case: cpu, cuda:0, gpu."""

    def logits(self, images: Images) -> Logits:
        """Return float32 logits ``(N, classes, h, w)`` of uint8 images ``(N, h, w, C)``.

        What an image gets depends on its neighbours in the batch by float rounding at most.
        """
