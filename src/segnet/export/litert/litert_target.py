"""``segnet export --to litert``: write the file, and open it in LiteRT."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segnet.core.pooling import Size
from segnet.data.images.pixel_values import Pixels
from segnet.export.litert.bias_folding import with_biases_moved
from segnet.export.litert.lowering import lowered
from segnet.export.litert.metadata import files, tables
from segnet.export.litert.ranges import ranges_of
from segnet.export.network import Network
from segnet.export.parity import Logits, Precision
from segnet.export.target_files import Job
from segnet.inference.opening import load


def write(job: Job, path: Path) -> None:
    """Write a model as a ``.tflite`` file for images of its size."""
    description = job.segmenter.description.for_devices()
    pixels = None if job.calibration is None else job.calibration.pixels
    half, about = job.precision == "float16", tables(description)
    graph = graph_bytes(job.layers, description.size, pixels, half_weights=half, metadata=about)
    path.write_bytes(graph + files(description))


def graph_bytes(
    network: Network,
    size: Size,
    calibration: Pixels | None,
    *,
    half_weights: bool = False,
    metadata: dict[str, bytes] | None = None,
) -> bytes:
    """Return a network as LiteRT's graph for images of one size, without what stands behind it in a file.

    Args:
        network: the layers.
        size: ``(H, W)``
        calibration: int8: images ``(N, h, w, C)`` that show which values to expect; None for floating point.
        half_weights: keep weights as float16.
        metadata: what the graph says of itself, by name.
    """
    network = with_biases_moved(network)
    ranges = None if calibration is None else ranges_of(network, calibration)
    graph, image, logits = lowered(network, size, half_weights=half_weights, ranges=ranges)
    return graph.to_bytes(image, logits, metadata or {})


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
