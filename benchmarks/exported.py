"""The exported models' ratios, in one run: against another network, and against stock PyTorch's own export.

``segnet-lite`` beside anyone's ONNX file, and the article's ``segnet`` beside the same network of stock layers
as stock PyTorch exports it, both in ONNX Runtime and OpenVINO. A thin script around ``segnet bench models``,
which says how it measures. Takes about ten minutes on an idle machine::

    python benchmarks/exported.py --beside other.onnx --csv exported.csv
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from segnet.bench.latency import Latency, compare_models, count_cores, write_csv
from segnet.bench.machine import describe_machine

RUNTIMES = ("onnxruntime", "openvino")


def print_ratio(rows: Sequence[Latency], model: str, other: str) -> None:
    """Print what a model's time is as a share of another's, for each runtime and batch size."""
    for row in rows:
        for base in rows:
            same = (base.side.runtime, base.batch_size) == (row.side.runtime, row.batch_size)
            if same and (row.side.model, base.side.model) == (model, other):
                print(
                    f"{model} / {other}".ljust(44),
                    f"{row.side.runtime:12} batch {row.batch_size:<4}",
                    f"fastest {row.fastest_ms:8.2f} / {base.fastest_ms:8.2f} ms",
                    f"{row.fastest_ms / base.fastest_ms:6.3f}   median {row.median_ms / base.median_ms:6.3f}",
                    flush=True,
                )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--beside", type=Path, action="append", default=[])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=count_cores())
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()

    machine = describe_machine(options.threads)
    print(machine.removeprefix("# "))
    rows = compare_models(
        ["segnet-lite", "segnet"],
        beside=options.beside,
        runtimes=RUNTIMES,
        threads=options.threads,
        repeats=options.repeats,
    )
    for file in options.beside:
        print_ratio(rows, "segnet-lite", file.name)
    for model in ("segnet-lite", "segnet"):
        print_ratio(rows, model, f"{model}, stock")
    if options.csv is not None:
        write_csv(options.csv, rows, machine)


if __name__ == "__main__":
    main()
