"""Latency of ONNX files in ONNX Runtime and OpenVINO, in turns in one run, as ratios to the first file.

Whose files doesn't matter: one float input ``(batch, 3, height, width)`` is all that is asked of them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import openvino


def in_onnxruntime(file: Path, image: Any, threads: int) -> Callable[[], object]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # it would disturb the others
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: image})


def in_openvino(file: Path, image: Any, threads: int) -> Callable[[], object]:
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = openvino.Core().compile_model(file, "CPU", settings).create_infer_request()
    return lambda: request.infer([image])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=60)
    arguments = parser.parse_args()
    image = np.random.default_rng(0).random((1, 3, arguments.size, arguments.size), np.float32) * 255
    openers = {"ONNX Runtime": in_onnxruntime, "OpenVINO": in_openvino}
    sides = {
        (runtime, file): opener(file, image, arguments.threads)
        for runtime, opener in openers.items()
        for file in arguments.files
    }
    times: dict[tuple[str, Path], list[float]] = {side: [] for side in sides}
    for turn in range(arguments.repeats + 5):
        for side, run in sides.items():
            start = time.perf_counter()
            run()
            if turn >= 5:  # the first ones warm up
                times[side].append((time.perf_counter() - start) * 1e3)
    for (runtime, file), each in times.items():
        first = times[runtime, arguments.files[0]]
        fastest, median = min(each), statistics.median(each)
        ratios = f"{fastest / min(first):5.2f} ({median / statistics.median(first):.2f})"
        print(f"{runtime:13}{file.name:32}{fastest:8.2f} ms ({median:.2f})  of the first's {ratios}")


if __name__ == "__main__":
    main()
