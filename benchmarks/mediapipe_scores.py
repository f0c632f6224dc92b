"""Score MediaPipe with a .tflite file of ours, at the photos' own size, beside segnet itself.

    python benchmarks/mediapipe_scores.py MODEL.tflite DATA_ROOT [--limit N]

DATA_ROOT is oxford-pets in its official layout; its test split is scored, border as a class. MediaPipe runs
in the environment that ``make clients`` makes. Both sides get the same decoded photos; each resizes them, and
the masks back, in its own way.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from segnet import DataOptions, load, load_dataset

ROOT = Path(__file__).parents[1]
CLIENT = ROOT / ".clients" / "mediapipe" / "bin" / "python"
SCRIPT = ROOT / "tests" / "export" / "run_mediapipe.py"


def main() -> None:
    """Print the mean IoU of both, and the share of pixels that they agree on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("data_root", type=Path)
    parser.add_argument("--limit", type=int, default=None)
    options = parser.parse_args()
    segmenter = load(options.model)
    dataset = load_dataset(DataOptions(data="oxford-pets", data_root=options.data_root, border="class"))
    samples = dataset.splits["val"][: options.limit]  # without images held out, the official test split
    classes = len(segmenter.classes)
    counts = {side: np.zeros((classes, classes), np.int64) for side in ("segnet", "mediapipe")}
    equal = total = 0
    with tempfile.TemporaryDirectory() as name:
        photos, masks = Path(name) / "photos", Path(name) / "masks"
        photos.mkdir()
        for number, sample in enumerate(samples):
            sample.read()[0].save(photos / f"{number:05}.png")
        subprocess.run([CLIENT, SCRIPT, options.model, photos, masks], check=True)
        for number, sample in enumerate(samples):
            photo, mask = sample.read()
            truth = np.asarray(mask)
            found = {
                "segnet": segmenter.predict(photo).mask,
                "mediapipe": np.load(masks / f"{number:05}.mask.npy"),
            }
            equal += int((found["segnet"] == found["mediapipe"]).sum())
            total += truth.size
            for side, each in found.items():
                known = truth < classes
                pairs = truth[known].astype(np.int64) * classes + each[known]
                counts[side] += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    scores = {side: round(mean_iou(each), 4) for side, each in counts.items()}
    print(json.dumps({"images": len(samples), "equal pixels": round(equal / total, 4), "mean IoU": scores}))


def mean_iou(confusion: np.ndarray) -> float:
    """Return the mean over classes of a confusion matrix, truth in rows."""
    hits = confusion.diagonal()
    return float((hits / (confusion.sum(0) + confusion.sum(1) - hits)).mean())


if __name__ == "__main__":
    main()
