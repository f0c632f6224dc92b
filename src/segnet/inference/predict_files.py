"""Prediction for many files: which they are, and what is written for each."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from segnet.core.errors import SegnetError
from segnet.core.files import expand_home, replacing
from segnet.data.images import IMAGE_SUFFIXES
from segnet.inference.sampling import require_sampling
from segnet.inference.segmenter import Segmentation, Segmenter

_MASK, _OVERLAY, _UNCERTAINTY = ".mask.png", ".overlay.png", ".uncertainty.png"


@dataclass(frozen=True)
class Written:
    """The files written for one image."""

    mask: Path
    """Class ids as a palette PNG."""

    overlay: Path
    """A picture for people."""

    uncertainty: Path | None
    """A picture of the uncertainty; None for a prediction without samples."""


def find_images(sources: Sequence[str]) -> list[Path]:
    """Return the image files that the sources stand for, each once, in the order given.

    Files named like an output, ``NAME.mask.png``, ``NAME.overlay.png`` and ``NAME.uncertainty.png``, are left
    out wherever they come from: the second ``segnet predict *.png --out .`` must not segment what the first
    one wrote.

    Args:
        sources: files, folders (searched to the bottom, by suffix) and glob patterns.

    Raises:
        SegnetError: a source that stands for nothing, or sources that hold nothing but outputs.
    """
    found: dict[Path, None] = {}
    for source in sources:
        if not source.strip():  # an unset variable of a shell; as a path it would be all of this folder
            raise SegnetError("an image's name is empty; name files, folders or patterns")
        path = expand_home(source)
        files = _images_below(path) if path.is_dir() else [path] if path.exists() else _matches(path)
        if not files:
            reason = (
                "the folder holds none"
                if path.is_dir()
                else "no file or folder of this name, and as a pattern it matches none"
            )
            raise SegnetError(f"there is no image {source}: {reason}; check the path")
        found |= dict.fromkeys(files)
    images = [file for file in found if not file.name.endswith((_MASK, _OVERLAY, _UNCERTAINTY))]
    if not images:
        raise SegnetError(
            f"{' '.join(sources)}: by their names (*{_MASK}, *{_OVERLAY}, *{_UNCERTAINTY}) these are "
            "outputs of segnet; give photos, or rename a file to segment it all the same"
        )
    return images


def output_names(images: Sequence[Path]) -> Iterator[str]:
    """Yield a name for each image: its stem, with a number from the second of the same stem on."""
    used: set[str] = set()
    for image in images:
        name, number = image.stem, 2
        while name.casefold() in used:  # some file systems don't tell a.png from A.png
            name, number = f"{image.stem}-{number}", number + 1
        used.add(name.casefold())
        yield name


def write_segmentation(result: Segmentation, folder: Path, name: str) -> Written:
    """Write ``NAME.mask.png`` and ``NAME.overlay.png`` into the folder, each whole or not at all.

    A prediction by samples leaves ``NAME.uncertainty.png`` too.

    Raises:
        SegnetError: the folder can't be written to.
    """
    uncertainty = folder / f"{name}{_UNCERTAINTY}" if result.samples else None
    written = Written(folder / f"{name}{_MASK}", folder / f"{name}{_OVERLAY}", uncertainty)
    _save(result.index_image(), written.mask)
    _save(result.overlay(), written.overlay)
    if written.uncertainty is not None:
        _save(result.uncertainty_image(), written.uncertainty)
    return written


def predict_files(
    segmenter: Segmenter, images: Sequence[Path], *, samples: int = 0, seed: int = 0
) -> Iterator[tuple[Path, str, Segmentation | SegnetError]]:
    """Yield each image with its output name and what was found, or the error of a file that is bad.

    ``samples`` and ``seed`` are those of ``Segmenter.predict``; each image starts at the seed, so what it
    gets doesn't depend on its neighbours.

    Raises:
        SegnetError: samples that the model can't give, before any image is read.
    """
    require_sampling(segmenter.model, samples, seed)
    for image, name in zip(images, output_names(images), strict=True):
        result: Segmentation | SegnetError
        try:
            result = segmenter.predict(image, samples=samples, seed=seed)
        except SegnetError as error:
            result = error
        yield image, name, result


def _images_below(folder: Path) -> list[Path]:
    """Return the image files of a folder and all folders in it, without hidden ones, sorted."""
    return sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in IMAGE_SUFFIXES
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        and not file.is_dir()  # a broken link stays in, to be reported
    )


def _matches(pattern: Path) -> list[Path]:
    names = glob.glob(str(pattern), recursive=True)  # noqa: PTH207 - Path.glob takes no absolute patterns
    return sorted(path for path in map(Path, names) if not path.is_dir())


def _save(image: Image.Image, target: Path) -> None:
    with replacing(target) as temporary:
        image.save(temporary)
