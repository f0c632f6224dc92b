"""Compare shapes of segnet-lite: accuracy on a part held out of trainval against training speed and latency.

The official test split has no part in it. Usage (about five minutes a shape on two CPU cores)::

    python benchmarks/lite_shapes.py DATA_ROOT --epochs 24 --csv docs/explanation/lite_shapes.csv

Finished shapes are kept in the CSV, so an interrupted comparison goes on where it stopped.
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
import segnet.core.device
from segnet.core.device import keep_freed_memory
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
        with segnet.core.device.autocast(device, "auto"):
            logits = model(images)
        loss = torch.nn.functional.cross_entropy(logits.float(), masks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - started)
    return batch / statistics.median(times[3:])


def measure(name: str, options: dict, arguments: argparse.Namespace) -> dict[str, object]:
    model = segnet.create_model("segnet-lite", **options)
    row = {
        "shape": name,
        "parameters": count_parameters(model),
        "macs": count_macs(model),
        "latency_ms": round(latency_ms(model), 2),
        "step_images_per_second": round(step_images_per_second(model), 1),
    }
    with tempfile.TemporaryDirectory() as folder:
        run = segnet.train(
            segnet.TrainConfig(
                data="oxford-pets",
                data_root=arguments.data_root,
                extra_list=arguments.extra_list,
                holdout=0.3,
                model="segnet-lite",
                model_options=options,
                recipe="modern",
                epochs=arguments.epochs,
                out=Path(folder) / "run",
            )
        )
    return row | {
        "pixel_accuracy": round(run.val.pixel_accuracy, 4),
        "mean_iou": round(run.val.mean_iou, 4),
        "border_iou": round(run.val.per_class["border"].iou, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("data_root", type=Path)
    parser.add_argument("--extra-list", default="trainval_extra.txt")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--csv", type=Path, default=Path("lite_shapes.csv"))
    arguments = parser.parse_args()
    keep_freed_memory()
    done = list(csv.DictReader(arguments.csv.open())) if arguments.csv.exists() else []
    for name, options in SHAPES.items():
        if name in {row["shape"] for row in done}:
            continue
        done.append(measure(name, options, arguments))
        with arguments.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(done[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(done)
        print(done[-1], flush=True)


if __name__ == "__main__":
    main()
