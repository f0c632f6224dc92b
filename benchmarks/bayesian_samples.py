"""Does the mean of samples with dropout beat one pass without? Bayesian SegNet: from about 6 samples on.

``python benchmarks/bayesian_samples.py RUN`` takes the run folder of a model trained with dropout, such as
``segnet train --data synthetic --model segnet-basic --model-options '{"dropout": 0.5}'``, and scores it on
its own validation images: once with dropout off (the paper's weight averaging), then by the mean softmax of
the first 1, 2, ... samples. All of it comes from the same weights in one run.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import torch

from segnet import Scores, load, load_dataset
from segnet.bench.machine import describe_machine
from segnet.core.dropout import sampling_dropout
from segnet.data.store.batches import load_batches, split_into_batches
from segnet.data.store.fit_to_size import Fit
from segnet.data.store.open_split import open_pixels
from segnet.scoring.data_to_score import choose_samples
from segnet.scoring.metrics import ScoreCounter
from segnet.training.configuration.config_file import read_config

BATCH = 30


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()

    segmenter, config = load(options.run), read_config(options.run / "config.yaml")
    device = torch.device(segmenter.device)
    dataset = load_dataset(config)
    samples, _, _ = choose_samples(segmenter, dataset)
    split = open_pixels(samples, dataset.classes, Fit(config.size, config.resize))
    batches = split_into_batches(range(len(split)), BATCH)
    counters = [ScoreCounter(dataset.classes, device) for _ in range(options.samples + 1)]
    model = segmenter.model
    with torch.inference_mode():
        for number, (images, masks) in enumerate(load_batches(split.take, batches, device)):
            image = images.float().div_(255)
            counters[0].add(model(image), masks)
            mean = torch.zeros(())
            with sampling_dropout(torch.Generator(device).manual_seed(options.seed + number)):
                for count in range(1, options.samples + 1):
                    mean = mean + (model(image).softmax(1) - mean) / count
                    counters[count].add(mean.clamp(min=torch.finfo(mean.dtype).tiny).log(), masks)
            print(f"batch {number + 1} of {len(batches)}", flush=True)

    rows = [("dropout off", counters[0].scores())]
    rows += [(f"{count} samples", counter.scores()) for count, counter in enumerate(counters[1:], 1)]
    names = ["pixel_accuracy", "mean_iou", *(f"{name} IoU" for name in dataset.classes.names), "loss"]
    print(f"{'':14}{'  '.join(names)}")
    for name, scores in rows:
        print(f"{name:14}{'  '.join(cells(scores))}")
    if options.csv:
        with options.csv.open("w", newline="") as file:
            file.write(describe_machine(torch.get_num_threads()) + "\n")
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["prediction", *names])
            writer.writerows([name, *cells(scores)] for name, scores in rows)


def cells(scores: Scores) -> list[str]:
    """Return the scores in words; a class that is absent has none."""
    ious = [entry.iou for entry in scores.per_class.values()]
    values = [scores.pixel_accuracy, scores.mean_iou, *ious, scores.loss]
    return ["" if value is None else f"{value:.5f}" for value in values]


if __name__ == "__main__":
    main()
