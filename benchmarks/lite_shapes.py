"""Compare shapes of segnet-lite: accuracy on a part held out of trainval, and training speed and latency.

The official test split has no part in it. Accuracy takes about five minutes a shape on two CPU cores, and
finished shapes are kept in the CSV, so an interrupted comparison goes on; speed wants an idle machine::

    python benchmarks/lite_shapes.py accuracy --data-root DIR --csv docs/explanation/lite_accuracy.csv
    python benchmarks/lite_shapes.py speed --csv docs/explanation/lite_speed.csv
"""

from __future__ import annotations

import argparse
import csv
import statistics
import tempfile
import time
from pathlib import Path

import torch

import segnet
from segnet.core.device import autocast, keep_freed_memory
from segnet.models.describe import count_macs, count_parameters

SHAPES = {
    "five stages, no bottleneck": {
        "stages": [[16, 1], [32, 2], [96, 2], [192, 3], [384, 3]],
        "bottleneck": [384, 0, 3],
    },
    "four stages, 5x5 bottleneck": {
        "stages": [[24, 1], [48, 2], [128, 2], [256, 2]],
        "bottleneck": [256, 6, 5],
    },
    "wider and deeper": {
        "stages": [[32, 1], [64, 2], [128, 3], [256, 2]],
        "bottleneck": [288, 8, 5],
    },
    "narrow top": {
        "stages": [[16, 1], [32, 2], [96, 3], [192, 3]],
        "bottleneck": [320, 6, 5],
    },
    "four stages, inputs not added": {
        "stages": [[24, 1], [48, 2], [128, 2], [256, 2]],
        "bottleneck": [256, 6, 5],
        "residual": False,
    },
}


def latency_ms(model: torch.nn.Module) -> float:
    """Return the median time of one 128x128 image in float32, of 50 after 10 to warm up."""
    image = torch.rand(1, 3, 128, 128).to(memory_format=torch.channels_last)
    model = model.eval().to(memory_format=torch.channels_last)
    times = []
    with torch.inference_mode():
        for _ in range(60):
            started = time.perf_counter()
            model(image)
            times.append(time.perf_counter() - started)
    return 1e3 * statistics.median(times[10:])


def step_images_per_second(model: torch.nn.Module, batch: int = 32) -> float:
    """Return the median training speed at 128x128 of 10 steps after 3, in the precision ``auto`` picks."""
    device = torch.device("cpu")
    images = torch.rand(batch, 3, 128, 128).to(memory_format=torch.channels_last)
    masks = torch.randint(0, 3, (batch, 128, 128))
    model = model.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters())
    times = []
    for _ in range(13):
        started = time.perf_counter()
        with autocast(device, "auto"):
            logits = model(images)
        loss = torch.nn.functional.cross_entropy(logits.float(), masks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - started)
    return batch / statistics.median(times[3:])


def measure_speed(csv_file: Path, rounds: int) -> None:
    """Measure every shape in turn, several times, and keep the medians."""
    keep_freed_memory()
    latencies: dict[str, list[float]] = {name: [] for name in SHAPES}
    speeds: dict[str, list[float]] = {name: [] for name in SHAPES}
    for _ in range(rounds):
        for name, options in SHAPES.items():
            latencies[name].append(latency_ms(segnet.create_model("segnet-lite", **options)))
            speeds[name].append(step_images_per_second(segnet.create_model("segnet-lite", **options)))
    write_rows(
        csv_file,
        [
            {
                "shape": name,
                "latency_ms": round(statistics.median(latencies[name]), 2),
                "train_images_per_second": round(statistics.median(speeds[name]), 1),
            }
            for name in SHAPES
        ],
    )


def measure_accuracy(csv_file: Path, data_root: Path, extra_list: str, epochs: int) -> None:
    """Train every shape that the CSV doesn't hold yet, and score it on what was held out of trainval."""
    rows: list[dict[str, object]] = list(csv.DictReader(csv_file.open())) if csv_file.exists() else []
    for name, options in SHAPES.items():
        if name in {row["shape"] for row in rows}:
            continue
        model = segnet.create_model("segnet-lite", **options)
        with tempfile.TemporaryDirectory() as folder:
            run = segnet.train(
                segnet.TrainConfig(
                    data="oxford-pets",
                    data_root=data_root,
                    extra_list=extra_list,
                    holdout=0.3,
                    model="segnet-lite",
                    model_options=options,
                    recipe="modern",
                    crop_detail=1.0,  # this and the next as in the published table
                    ema_decay=0.995,
                    epochs=epochs,
                    out=Path(folder) / "run",
                )
            )
        rows.append(
            {
                "shape": name,
                "parameters": count_parameters(model),
                "macs": count_macs(model),
                "pixel_accuracy": round(run.val.pixel_accuracy, 4),
                "mean_iou": round(run.val.mean_iou, 4),
                "border_iou": round(run.val.per_class["border"].iou, 4),
            }
        )
        write_rows(csv_file, rows)


def write_rows(csv_file: Path, rows: list[dict[str, object]]) -> None:
    with csv_file.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(csv_file.read_text(), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("what", choices=["accuracy", "speed"])
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--extra-list", default="trainval_extra.txt")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.what == "speed":
        measure_speed(arguments.csv, arguments.rounds)
    elif arguments.data_root is None:
        parser.error("accuracy needs --data-root")
    else:
        measure_accuracy(arguments.csv, arguments.data_root, arguments.extra_list, arguments.epochs)


if __name__ == "__main__":
    main()
