"""Parameters, size, latency and memory of models in every runtime, taken in turns: ``segnet bench models``.

Time is that of a batch of float32 images in memory to logits in memory; reading and scaling photos isn't in
it. All runtimes get the same number of threads. Each model in each runtime is a side in a process of its own
(side.py), and all sides take turns, so that whatever else the machine does falls on all of them.

Memory is the most that a side's process has held, after it has opened the model and run this batch size and
all smaller ones, less what it held before it opened the model, with its runtime already imported. For
compiled torch that has the compiler in it. Systems that don't say it (Windows) leave it out.
"""

from __future__ import annotations

import math
import statistics
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table

from segnet.base.errors import SegnetError, did_you_mean
from segnet.base.extras import is_installed, require_package
from segnet.base.files import write_csv as write_table
from segnet.base.readable import number_table
from segnet.base.threads import count_cores
from segnet.bench.entries import (
    STOCK,
    draw_pictures,
    open_model,
    sides_of_file,
    sides_of_model,
    sides_of_stock,
)
from segnet.bench.side import Side, SideProcess
from segnet.core.pooling import Size

PACKAGES = {
    "torch": "torch",
    "torch-compiled": "torch",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "onnxruntime-int8": "onnxruntime",
    "openvino-int8": "openvino",
    "litert": "ai_edge_litert",
    "litert-int8": "ai_edge_litert",
}
"""The runtimes by what ``--runtimes`` calls them, and what must be installed for each."""

# To be asked for: torch-compiled, which compiles for up to a minute a model and batch size, with a compiler,
# and LiteRT, which doesn't take every model.
USUAL_RUNTIMES = tuple(name for name in PACKAGES if name not in ("torch-compiled", "litert", "litert-int8"))
USUAL_MODELS = ("segnet-lite", "segnet-dsc")
_CALIBRATED = 16  # pictures; enough for speed, which is all that is measured here

Say = Callable[[str], None]


@dataclass(frozen=True)
class Latency:
    """What was measured of one side with one batch size."""

    side: Side
    batch_size: int
    seconds: Sequence[float]
    memory_mib: float | None

    @property
    def fastest_ms(self) -> float:
        """The quickest run of a batch, which other programs disturbed least."""
        return 1000 * min(self.seconds)

    @property
    def median_ms(self) -> float:
        """The median of all runs of a batch."""
        return 1000 * statistics.median(self.seconds)

    @property
    def p95_ms(self) -> float:
        """What 95 of 100 runs don't exceed."""
        return 1000 * sorted(self.seconds)[math.ceil(0.95 * len(self.seconds)) - 1]

    @property
    def images_a_second(self) -> float:
        """By the median."""
        return 1000 * self.batch_size / self.median_ms


def compare_models(
    models: Sequence[str] = USUAL_MODELS,
    *,
    beside: Sequence[Path] = (),
    runtimes: Sequence[str] | None = None,
    size: Size = (128, 128),
    batch_sizes: Sequence[int] = (1, 16),
    threads: int | None = None,
    repeats: int = 15,
    stock: bool = True,
    say: Say = print,
) -> list[Latency]:
    """Measure models in several runtimes, in turns.

    Args:
        models: names, which get fresh weights; run folders, ``.safetensors`` and ``.onnx`` files, bundled
            names.
        beside: other people's ONNX files, each with one float input ``(N, 3, H, W)``.
        runtimes: some of ``PACKAGES``; by default all that are installed but torch-compiled.
        size: ``(H, W)`` of the images.
        batch_sizes: images in a batch.
        threads: how many compute, in every runtime; by default all cores.
        repeats: rounds; in each, every side runs a batch up to three times.
        stock: also measure each SegNet made of stock layers and exported by stock PyTorch.
        say: takes the lines that tell the user what goes on and what is left out.

    Raises:
        SegnetError: nothing to measure, an unknown runtime or one that isn't installed, a model that isn't
            there or can't be exported, a file that can't be run.
    """
    chosen = _choose(runtimes, say)
    threads = count_cores() if threads is None else threads
    require_counts(repeats, batch_sizes, threads)
    ascending = sorted({*batch_sizes})
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        pictures = draw_pictures(max(_CALIBRATED, *ascending), size)
        images = folder / "images.npy"
        np.save(images, np.ascontiguousarray(pictures.transpose(0, 3, 1, 2), np.float32) / np.float32(255))

        def start(sides: Iterable[Side]) -> list[SideProcess]:
            return [stack.enter_context(SideProcess(side, images, threads)) for side in sides]

        # A mistake should show before the minutes that exports take, so files and sources are opened first.
        theirs = [
            process
            for path in beside
            for process in start(sides_of_file(path, chosen, size, ascending, say, is_beside=True))
        ]
        files = [each for each in models if each.endswith(".onnx")]
        opened = {each: open_model(each, size, pictures) for each in models if each not in files}
        ours: list[SideProcess] = []
        for number, source in enumerate(models):
            if source in files:
                sides = sides_of_file(Path(source), chosen, size, ascending, say, is_beside=False)
                ours += start(sides)
                continue
            say(f"prepares {source}")
            (folder / f"{number}/stock").mkdir(parents=True)
            model, to = opened[source], folder / str(number)
            ours += start(sides_of_model(model, chosen, size, ascending, pictures[:_CALIBRATED], to))
            if stock:
                try:
                    ours += start(sides_of_stock(model, chosen, size, ascending, to / "stock"))
                except TypeError as error:
                    say(f"left out: {source} of stock layers; {error}")
        if not ours and not theirs:
            raise SegnetError("nothing to measure: none of the models can be run by these runtimes")
        say(f"measures {len(ours + theirs)} sides in turns")
        return [row for batch_size in ascending for row in _measure([*ours, *theirs], batch_size, repeats)]


def reference_of(row: Latency, rows: Sequence[Latency]) -> Latency:
    """Return the row that a ratio is taken to, of the same batch size.

    That is the first model from ``beside``, or without such models the same network of stock layers; in the
    same runtime if it is run by that one. Where there is neither, it is the first row.
    """
    same_batch = [each for each in rows if each.batch_size == row.batch_size]
    beside = [each for each in same_batch if each.side.is_beside]
    stock = row.side.model.removesuffix(STOCK) + STOCK
    others = beside or [each for each in same_batch if each.side.model == stock]
    same_engine = [each for each in others if each.side.engine == row.side.engine]
    return (same_engine or others or same_batch)[0]


def latency_table(rows: Sequence[Latency], title: str) -> Table:
    """Return what was measured, a row for each side and batch size."""
    times = ("fastest", "median", "95 %")
    columns = ("model", "runtime", "batch", "parameters", "MB", *times, "images/s", "MiB", "ratio")
    lines = [
        (
            row.side.model,
            row.side.runtime,
            str(row.batch_size),
            f"{row.side.parameters:,}",
            f"{row.side.size_bytes / 1e6:.2f}",
            *(f"{value:.2f}" for value in (row.fastest_ms, row.median_ms, row.p95_ms)),
            f"{row.images_a_second:.1f}",
            "–" if row.memory_mib is None else f"{row.memory_mib:.0f}",
            f"{row.median_ms / reference_of(row, rows).median_ms:.2f}",
        )
        for row in rows
    ]
    return number_table(columns, lines, texts=(0, 1), title=title)


LEGEND = """\
MB       the file: weights for torch, the exported file elsewhere
median   milliseconds a batch, as the fastest run and what 95 of 100 don't exceed
MiB      the most memory that opening and running took
ratio    to the median of the first model from --beside, or else of the same network of stock layers, at the
         same batch size and in the same runtime, or the first it runs in; without either, to that of the
         first row. Below 1 is faster
"""


def write_csv(path: Path, rows: Sequence[Latency], machine: str) -> None:
    """Write a line for each side and batch size, below a comment line that says where they were taken."""
    columns = (
        "model runtime batch_size parameters file_bytes runs fastest_ms median_ms p95_ms images_a_second"
    )
    lines: list[Sequence[object]] = [[*columns.split(), "peak_memory_mib", "ratio", "ratio_to"]]
    for row in rows:
        side, other = row.side, reference_of(row, rows)
        times = (row.fastest_ms, row.median_ms, row.p95_ms, row.images_a_second)
        lines.append(
            (
                *(side.model, side.runtime, row.batch_size, side.parameters, side.size_bytes),
                *(len(row.seconds), *(f"{value:.4g}" for value in times)),
                "" if row.memory_mib is None else f"{row.memory_mib:.1f}",
                *(f"{row.median_ms / other.median_ms:.4g}", f"{other.side.model} in {other.side.runtime}"),
            )
        )
    write_table(path, lines, machine)


def require_counts(repeats: int, batch_sizes: Sequence[int], threads: int) -> None:
    """Raise SegnetError for a number below 1, or no batch size at all."""
    if min(repeats, threads, *batch_sizes, len(batch_sizes)) < 1:
        given = ", ".join(map(str, batch_sizes)) or "none"
        raise SegnetError(
            f"--repeats, --batch-sizes and --threads must be at least 1, got {repeats}, {given} and {threads}"
        )


def _choose(runtimes: Sequence[str] | None, say: Say) -> list[str]:
    if runtimes is not None:
        for runtime in runtimes:
            if runtime not in PACKAGES:
                raise SegnetError(f"there is no runtime {runtime!r}{did_you_mean(runtime, PACKAGES)}")
            require_package(f"--runtimes {runtime}", PACKAGES[runtime])
        return [name for name in PACKAGES if name in runtimes]
    for package in sorted({*PACKAGES.values()}):
        if not is_installed(package):
            say(f"left out: {package}, which isn't installed")
    return [name for name in USUAL_RUNTIMES if is_installed(PACKAGES[name])]


def _measure(sides: Sequence[SideProcess], batch_size: int, repeats: int) -> list[Latency]:
    taking = [each for each in sides if batch_size in each.side.batch_sizes]
    seconds: list[list[float]] = [[] for _ in taking]
    for _ in range(repeats):
        for times, each in zip(seconds, taking, strict=True):
            times += each.take_turn(batch_size)
    return [
        Latency(each.side, batch_size, times, each.memory_mib[batch_size])
        for times, each in zip(seconds, taking, strict=True)
    ]
