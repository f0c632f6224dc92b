"""``segnet label take``: read back what was labelled, in any format that ``segnet data convert`` reads."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from segnet.base.class_roles import background_of
from segnet.base.classes import IGNORE_INDEX
from segnet.base.errors import SegnetError
from segnet.base.files import replacing
from segnet.data.check.pairing import find_pairs
from segnet.data.dataset import Dataset, Mask, Progress, uncounted
from segnet.data.folder import FolderSample, load_folder
from segnet.data.images.file_records import file_digest
from segnet.data.labels.archive import unpacked
from segnet.data.labels.convert import convert
from segnet.data.labels.recognise import read_labels
from segnet.labelling.giving_out import digest
from segnet.labelling.project import Photo, Project, listed, now


@dataclass
class Taken:
    """What became of the masks of an export; names of photos or of files."""

    format: str
    """Of what was read."""
    lines: list[str] = field(default_factory=list)
    """What of it was left out since it can't be read, or is odd."""
    some_failed: bool = False
    """Whether something can't be read."""
    new: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    """Photos that had a mask before."""
    scored: int = 0
    """Of the new ones, photos set aside for scoring."""
    empty: list[str] = field(default_factory=list)
    """Taken, of these: background alone."""
    unchanged: list[str] = field(default_factory=list)
    """Left out: just what the model's outlines say."""
    strange: list[str] = field(default_factory=list)
    """Left out: images that aren't of this project."""
    missing: list[str] = field(default_factory=list)
    """Photos that were given out together with these and didn't come back."""


def take(
    project: Project,
    source: Path,
    *,
    images: Sequence[Path] = (),
    classes: Sequence[str] = (),
    skip: bool = False,
    empty_as_background: bool = False,
    accept_unchanged: bool = False,
    by: str = "",
    progress: Progress = uncounted,
) -> Taken:
    """Take masks into a project.

    Args:
        project: an open project.
        source: a file, folder or .zip as ``segnet data convert`` takes it.
        images: where the images may be besides the project's folders.
        classes: all classes from now on, the ones known first and in their order; none to leave them.
        skip: leave out what can't be read.
        empty_as_background: take images without any shape as background where the format doesn't tell whether
            anybody has looked at them.
        accept_unchanged: take the model's outlines that nobody has touched as masks.
        by: who has labelled them.
        progress: called with the number of images.

    Raises:
        SegnetError: labels that can't be read, classes that are unknown, an export of another project, or
            none that can be taken.
    """
    _extend_classes(project, classes)
    given = {project.folder / each.given for each in project.images if each.given}
    places = [*images, *sorted(folder for folder in given if folder.is_dir()), project.photos]
    with unpacked([source]) as found:
        if _is_dataset(folder := found.paths[0]):
            taken = Taken("images with masks")
            return _finish(project, taken, load_folder(folder), accept_unchanged, by, source)
    with tempfile.TemporaryDirectory(prefix="segnet-") as temporary:
        target = Path(temporary) / "masks"
        try:
            read = convert(
                source,
                target,
                images=places,
                classes=project.classes,
                skip=skip,
                empty_as_background=empty_as_background,
                progress=progress,
            )
        except SegnetError as error:
            _require_ours(project, source, places)
            raise error from None
        said = [
            f"{count - drawn} of {count} shapes ({kind}) left out: {reasons}"
            for kind, count, drawn, reasons in read.tally.rows()
            if drawn < count
        ]
        taken = Taken(read.format, [*(f"warning: {each}" for each in read.warnings), *said], read.some_failed)
        return _finish(project, taken, load_folder(target), accept_unchanged, by, source)


def _is_dataset(source: Path) -> bool:
    """Say whether a folder holds images and masks as training takes them."""
    found = find_pairs(source) if source.is_dir() else None
    return found is not None and bool(found.pairs) and not any(fault.is_error for fault in found.faults)


def _finish(
    project: Project, taken: Taken, dataset: Dataset, accept_unchanged: bool, by: str, source: Path
) -> Taken:
    """Take the masks of a dataset, and save the project."""
    names = project.classes = project.classes or [*dataset.classes.names]
    if names[: len(dataset.classes)] != [*dataset.classes.names] and _is_unnamed(dataset):
        taken.lines.append(
            f"the masks' values have no names, so they were taken as {', '.join(names)} in turn"
        )
    _take_each(project, _masks(project, dataset), taken, accept_unchanged, by, source)
    if not taken.new and not taken.replaced:
        raise SegnetError(f"{source}: no mask is taken: {'; '.join(lines_left_out(taken))}")
    project.save()
    return taken


def lines_left_out(taken: Taken) -> list[str]:
    """Say what wasn't taken, with the way out."""
    found = (
        (taken.strange, "of images that aren't of this project, or were saved anew"),
        (
            taken.unchanged,
            "as the model's outlines were (--accept-unchanged takes them, if somebody has looked)",
        ),
        (taken.missing, "of the images given out with them didn't come back"),
    )
    return [f"{len(names)} {what}: {listed(names)}" for names, what in found if names]


def _extend_classes(project: Project, classes: Sequence[str]) -> None:
    known = project.classes
    if classes and [*classes][: len(known)] != known:
        raise SegnetError(
            f"--classes must begin with those that there are: {','.join(known)}; add new ones behind them"
        )
    project.classes = [*classes] or known


def _require_ours(project: Project, source: Path, places: Sequence[Path]) -> None:
    """Raise SegnetError where labels name no image of the project at all."""
    try:
        labels = read_labels(source, places, project.classes)
    except SegnetError:
        return
    known = {each.sha256 for each in project.images}
    found = [each.image for each in labels.images if isinstance(each.image, Path)]
    if labels.images and not any(file_digest(image).hex() in known for image in found):
        raise SegnetError(
            f"{source} belongs to another project: of the {len(labels.images)} images that it names, none is "
            f"in {project.photos}; give the project it is of, or --images where the images lie"
        )


def _masks(project: Project, dataset: Dataset) -> Iterator[tuple[Path, Mask]]:
    """Yield each image's file with its mask, in the project's class ids."""
    names, known = dataset.classes.names, project.classes
    unnamed = _is_unnamed(dataset) and len(names) <= len(known)
    strange = [] if unnamed else [name for name in names if name not in known]
    if strange:
        raise SegnetError(
            f"the masks are of {', '.join(names)}, and the project has {', '.join(known)}: add "
            f"{', '.join(strange)} behind them with --classes, or rename them in the masks' dataset.yaml"
        )
    ids = np.full(256, IGNORE_INDEX, np.uint8)
    ids[: len(names)] = range(len(names)) if unnamed else [known.index(name) for name in names]
    for part in dataset.splits.values():
        for sample in part:
            assert isinstance(sample, FolderSample)
            assert isinstance(sample.image, Path)
            yield sample.image, ids[sample.read()[1]]


def _is_unnamed(dataset: Dataset) -> bool:
    names = dataset.classes.names
    return [*names] == [f"class {number}" for number in range(len(names))]


def _take_each(
    project: Project,
    masks: Iterator[tuple[Path, Mask]],
    taken: Taken,
    accept_unchanged: bool,
    by: str,
    source: Path,
) -> None:
    """Write the masks of photos that are the project's, and note where they came from."""
    known = {each.sha256: each for each in project.images}
    around = background_of(project.classes)
    background = -1 if around is None else project.classes.index(around)
    came: list[Photo] = []
    for image, mask in masks:
        photo = known.get(file_digest(image).hex())
        if photo is None:
            taken.strange.append(image.name)
            continue
        came.append(photo)
        if photo.suggested and photo.suggested == digest(mask) and not accept_unchanged:
            taken.unchanged.append(photo.file)
            continue
        (taken.replaced if photo.labelled else taken.new).append(photo.file)
        taken.scored += photo.scored and not photo.labelled
        if (mask == background).all():
            taken.empty.append(photo.file)
        picture = Image.fromarray(mask)
        picture.putpalette(project.table().palette().tobytes())
        with replacing(project.mask(photo)) as temporary:
            picture.save(temporary)
        photo.labelled, photo.source, photo.by = now(), f"{taken.format}: {source.name}", by
    folders = {each.given for each in came if each.given}
    there = {each.sha256 for each in came}
    for each in project.images:
        if each.given in folders and not each.labelled and each.sha256 not in there:
            taken.missing.append(each.file)
