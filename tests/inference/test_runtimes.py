"""Every runtime computes the same logits: against the module itself, for any batch and size."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from segnet.inference.runtimes.with_onnxruntime import OnnxRuntime
from segnet.inference.runtimes.with_openvino import OpenVino
from segnet.inference.runtimes.with_torch import TorchRuntime

RUNTIMES = [
    "torch",
    "onnxruntime",
    "onnxruntime, one thread",
    "openvino",
    "openvino, one thread",
    "openvino's own",
]


@pytest.fixture(scope="module", params=RUNTIMES)
def runtime(request, network, onnx_file, openvino_file):
    return {
        "torch": lambda: TorchRuntime(network),
        "onnxruntime": lambda: OnnxRuntime(onnx_file),
        "onnxruntime, one thread": lambda: OnnxRuntime(onnx_file, "cpu", threads=1),
        "openvino": lambda: OpenVino(onnx_file),
        "openvino, one thread": lambda: OpenVino(onnx_file, "cpu", threads=1),
        "openvino's own": lambda: OpenVino(openvino_file),
    }[request.param]()


def noise(count, height, width):
    return np.random.RandomState(0).randint(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(1, 48, 40), (3, 48, 40), (2, 17, 31), (1, 1, 1)])
def test_logits_are_the_modules(runtime, network, shape):
    images = noise(*shape)
    with torch.no_grad():
        expected = network(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255).numpy()
    found = runtime.logits(images)
    assert (found.shape, found.dtype) == (expected.shape, np.float32)
    assert np.allclose(found, expected, atol=1e-3)
    assert runtime.device == "cpu"


def test_an_image_gets_what_it_gets_alone_but_for_rounding(runtime):
    images = noise(5, 48, 40)
    together = runtime.logits(images)
    alone = np.concatenate([runtime.logits(images[index : index + 1]) for index in range(5)])
    assert np.allclose(together, alone, atol=1e-4)


def test_results_are_not_overwritten_by_the_next_call(runtime):
    images = noise(2, 48, 40)
    first = runtime.logits(images[:1])
    kept = first.copy()
    runtime.logits(images[1:])
    assert np.array_equal(first, kept)


def test_torchs_logits_are_the_modules_to_the_bit(tiny_model):
    images = noise(3, 64, 48)
    with torch.inference_mode():
        expected = tiny_model(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)
    assert np.array_equal(TorchRuntime(tiny_model).logits(images), expected.numpy())


def test_a_module_is_put_into_evaluation_mode_and_stays_the_same_object():
    module = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Dropout(0.9)).train()
    runtime = TorchRuntime(module)
    assert runtime.model is module
    assert not module.training


def test_a_signal_finds_a_stack_after_models_were_closed_in_the_order_of_opening(onnx_file):
    # pytest's faulthandler gives signals a stack of their own, and so do OpenVINO's plugins.
    code = """
import faulthandler, signal, sys
from pathlib import Path
from segnet.inference.runtimes.with_openvino import OpenVino

faulthandler.enable()
models = [OpenVino(Path(sys.argv[1])) for _ in range(3)]
while models:
    models.pop(0)
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", code, str(onnx_file)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "interrupted\n")
