"""``segnet export --to litert``: write the file, and open it in LiteRT."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segnet.export.litert.bias_folding import with_biases_moved
from segnet.export.litert.lowering import lowered
from segnet.export.litert.metadata import files, tables
from segnet.export.litert.ranges import ranges_of
from segnet.export.parity import Logits, Precision
from segnet.export.target_files import Job
from segnet.inference.opening import load


def write(job: Job, path: Path) -> None:
    """Write a model as a ``.tflite`` file for images of its size."""
    description = job.segmenter.description.for_devices()
    network = with_biases_moved(job.layers)
    ranges = None if job.calibration is None else ranges_of(network, job.calibration.pixels)
    half = job.precision == "float16"
    graph, image, logits = lowered(network, description.size, half_weights=half, ranges=ranges)
    path.write_bytes(graph.to_bytes(image, logits, tables(description)) + files(description))


@contextmanager
def opened(path: Path) -> Iterator[tuple[Logits, str]]:
    """Give what a file computes, and the name of the runtime."""
    runtime = load(path).runtime
    yield runtime.logits, runtime.name


def remarks_on(path: Path, size_bytes: int, stored: Precision, run_by: str) -> tuple[str, ...]:
    """Return what there is to know of a file that was written, in sentences."""
    del path, size_bytes, stored, run_by
    return (
        "the file doesn't say which images the model was trained on, so segnet eval can't tell which of them "
        "it has seen: score the model it was exported from",
    )
