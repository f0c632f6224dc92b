"""What --start-from brings where images are few: the same runs from pets-lite's weights and from random ones.

The first 54 training and 60 validation images of ``synthetic``, written as a folder whose three classes have
other names than those of pets-lite, so that its last layer starts anew.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from PIL import Image
from rich.console import Console

from segnet import DataOptions, TrainConfig, load_dataset, train

CLASSES = ("animal", "ground", "rim")


def write(root: Path, train_images: int, val_images: int) -> None:
    """Write the folder."""
    dataset = load_dataset(DataOptions(data="synthetic"))
    for split, samples in (("train", dataset.train[:train_images]), ("val", dataset.val[:val_images])):
        for number, sample in enumerate(samples):
            image, mask = sample.read()
            for part, picture in (("images", image), ("masks", Image.fromarray(mask))):
                file = root / split / part / f"{number:03}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                picture.save(file)
    (root / "dataset.yaml").write_text(f"classes: [{', '.join(CLASSES)}]\n")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=54)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        write(Path(place) / "data", args.images, 60)
        found: dict[str, list[float]] = {"random weights": [], "pets-lite": []}
        for seed in range(args.seeds):
            for start, scores in found.items():
                config = TrainConfig(
                    data=f"{place}/data",
                    model="segnet-lite",
                    recipe="modern",
                    epochs=args.epochs,
                    batch_size=8,
                    seed=seed,
                    start_from="pets-lite" if start == "pets-lite" else None,
                    out=Path(place) / f"{start}-{seed}",
                )
                run = train(config, console=Console(quiet=True))
                assert run.val is not None
                scores.append(run.val.mean_iou or 0.0)
                print(f"seed {seed}, from {start}: mean IoU {scores[-1]:.3f}", flush=True)
        medians = {start: statistics.median(scores) for start, scores in found.items()}
    print(", ".join(f"from {start}: median {median:.3f}" for start, median in medians.items()))


if __name__ == "__main__":
    main()
