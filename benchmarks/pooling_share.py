"""What share of a model's time in ONNX Runtime pooling takes, by that runtime's own profiler.

To pooling counts all that gives places and puts values there (core/kernels/exported.py), the max-pool itself,
what turns maps into another memory layout, and what asks for the image's size. The rest is the network: what
has weights of the model, batch norm, and additions and activations of what comes from these. Nodes are marked
so by name before the file is opened; what ONNX Runtime fuses or adds, it names after its parts. Usage::

    python benchmarks/pooling_share.py segnet-lite --csv pooling_share.csv
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import GraphProto, ModelProto, NodeProto
from rich.console import Console
from rich.table import Table

from segnet.base.files import write_csv
from segnet.base.readable import number_table
from segnet.base.threads import count_cores
from segnet.bench.entries import draw_pictures, open_model
from segnet.bench.latency import USUAL_MODELS, require_counts
from segnet.bench.machine import describe_machine
from segnet.core.pooling import Size
from segnet.export.onnx_graph import to_graph
from segnet.inference.runtimes import INPUT

NETWORK, POOLING = "network", "pooling"

_ONLY_FATAL = 4
_UNCOUNTED_RUNS = 3
# What takes maps of the network as they are, and yet is no part of it.
_POOLS = ("Conv", "ConvTranspose", "MaxPool", "Mul", "Resize", "Slice", "Pad", "Shape", "Gather")


@dataclass(frozen=True)
class Spent:
    """The time of one kind of operation in one part of a model."""

    model: str
    batch_size: int
    part: str
    """``network`` or ``pooling``."""
    operation: str
    ms: float
    """Of one batch, mean of all runs."""
    share: float
    """Of the time of all operations."""


def profile_pooling(
    models: Sequence[str], *, size: Size, batch_sizes: Sequence[int], threads: int, repeats: int
) -> list[Spent]:
    """Run each model in ONNX Runtime's profiler.

    Args:
        models: names, run folders, ``.safetensors`` files or bundled names.
        size: ``(H, W)`` of the images.
        batch_sizes: images in a batch.
        threads: how many compute.
        repeats: runs that count.

    Returns:
        For each model and batch size what its two parts spend on each kind of operation, the most first.

    Raises:
        SegnetError: as ``open_model``; a model that can't be exported; a number below 1.
    """
    require_counts(repeats, batch_sizes, threads)
    pictures = draw_pictures(max(16, *batch_sizes), size)
    found = []
    for source in models:
        graph = to_graph(open_model(source, size, pictures).module, size)
        mark_parts(graph.graph)
        for batch_size in batch_sizes:
            images = np.ascontiguousarray(pictures[:batch_size].transpose(0, 3, 1, 2), dtype=np.float32)
            events = _profile(graph, images, threads, repeats)
            totals: dict[tuple[str, str], float] = defaultdict(float)
            for event in events:
                part = NETWORK if f"{NETWORK}/" in event["name"] else POOLING
                totals[part, event["args"]["op_name"]] += event["dur"]
            whole = sum(totals.values())
            found += [
                Spent(source, batch_size, part, operation, spent / 1000 / repeats, spent / whole)
                for (part, operation), spent in sorted(totals.items(), key=lambda total: -total[1])
            ]
    return found


def mark_parts(graph: GraphProto) -> None:
    """Put ``network/`` or ``pooling/`` before the names of all nodes and of what they give.

    Also in the branches of an ``If``; what the graph takes and gives keeps its name.
    """
    # A vector may be a constant of pooling too: equal tensors are kept once, and fresh batch norms hold ones.
    weights = {each.name for each in graph.initializer if ".weight" in each.name and len(each.dims) > 1}
    _mark(graph, {value.name: value.name for value in graph.output}, weights, set())


def share_table(rows: Sequence[Spent], title: str) -> Table:
    """Return a row for each model and part, with the operations that take most of it."""
    cases = dict.fromkeys((row.model, row.batch_size) for row in rows)
    lines = []
    for (model, batch_size), part in product(cases, (POOLING, NETWORK)):
        own = [row for row in rows if (row.model, row.batch_size, row.part) == (model, batch_size, part)]
        ms, share = sum(row.ms for row in own), sum(row.share for row in own)
        listed = ", ".join(f"{row.operation} {row.share:.1%}" for row in own[:6])
        lines.append((model, part, listed, str(batch_size), f"{ms:.2f}", f"{share:.1%}"))
    columns = ("model", "part", "most of it", "batch", "ms", "share")
    return number_table(columns, lines, texts=(0, 1, 2), title=title)


def _mark(graph: GraphProto, names: dict[str, str], weights: set[str], network: set[str]) -> None:
    """Mark one graph.

    Args:
        graph: a graph, or that of a branch, which shares the weights of the one around it.
        names: what values with a new name, or one to keep, are called now; grows.
        weights: names of the model's own.
        network: former names of what the network gives; grows.
    """
    for node in graph.node:
        part = NETWORK if _is_network(node, weights, network) else POOLING
        if part == NETWORK:
            network.update(node.output)
        node.name = f"{part}/{node.name}"
        node.input[:] = [names.get(name, name) for name in node.input]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                kept = {value.name: value.name for value in attribute.g.output}
                _mark(attribute.g, names | kept, weights, network)
        for name in node.output:
            names.setdefault(name, f"{part}/{name}")
        node.output[:] = [names[name] for name in node.output]
    for value in graph.value_info:  # what ONNX Runtime fuses depends on the shapes that it knows
        value.name = names.get(value.name, value.name)


def _is_network(node: NodeProto, weights: set[str], network: set[str]) -> bool:
    if node.op_type in ("BatchNormalization", "Div") or not weights.isdisjoint(node.input):
        return True
    return node.op_type not in _POOLS and not network.isdisjoint(node.input)


def _profile(
    graph: ModelProto, images: np.ndarray[Any, np.dtype[np.float32]], threads: int, repeats: int
) -> list[dict[str, Any]]:
    """Return the profiler's events of all nodes, those of the runs that count."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "marked.onnx"
        onnx.save(graph, path)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ONLY_FATAL
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        for _ in range(_UNCOUNTED_RUNS + repeats):
            session.run(None, {INPUT: images})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    runs = sorted(event["ts"] for event in events if event["name"] == "model_run")
    # An If's time is that of the nodes in its branch, which have events of their own.
    return [
        event
        for event in events
        if event["cat"] == "Node"
        and event["name"].endswith("_kernel_time")
        and event["args"]["op_name"] != "If"
        and event["ts"] >= runs[_UNCOUNTED_RUNS]
    ]


def main() -> None:
    """Measure, print the table and write the CSV."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=USUAL_MODELS, metavar="MODEL")
    parser.add_argument("--size", type=int, default=128, help="pixels of an image's sides")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=(1, 16))
    parser.add_argument("--threads", type=int, default=count_cores())
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    size, threads = (options.size, options.size), options.threads
    machine = describe_machine(threads)
    print(machine.removeprefix("# "))
    spent = profile_pooling(
        options.models, size=size, batch_sizes=options.batch_sizes, threads=threads, repeats=options.repeats
    )
    Console(width=160).print(share_table(spent, f"{options.size}x{options.size}, {threads} threads"))
    if options.csv:
        columns = ("model", "batch_size", "part", "operation", "ms", "share")
        lines = [
            (row.model, row.batch_size, row.part, row.operation, f"{row.ms:.4g}", f"{row.share:.4g}")
            for row in spent
        ]
        write_csv(options.csv, [columns, *lines], machine)


if __name__ == "__main__":
    main()
