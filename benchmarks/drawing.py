"""What the scripts that draw data share: smooth noise, pairs of files, and their command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]


def noise(random: np.random.Generator, side: int, cells: int) -> Floats:
    """Return smooth noise ``(side, side)`` around 0 with so many bumps on a side."""
    coarse = Image.fromarray(random.normal(0, 0.3, (cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), np.float64)


def write_pairs(folder: Path, pairs: Iterable[tuple[Bytes, Bytes]]) -> Path:
    """Write images and masks as ``000.png`` and so on below ``images`` and ``masks``; return the folder."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for number, (image, mask) in enumerate(pairs):
        Image.fromarray(image).save(folder / "images" / f"{number:03}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number:03}.png")
    return folder


def draw(about: str | None, what: str, images: int, write: Callable[[Path, int, int], object]) -> None:
    """Read the command line of a script that draws, and draw.

    Args:
        about: the script's documentation.
        what: it draws.
        images: how many, unless something else is asked for.
        write: takes the folder, how many and the seed.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=images)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    write(args.folder, args.images, args.seed)
    print(f"drew {args.images} images of {what} in {args.folder}")
