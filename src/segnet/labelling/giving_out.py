"""``segnet label next``: choose images, and give them out in a folder that an annotation tool opens."""

from __future__ import annotations

import hashlib
import json
import math
import random
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from segnet.base.class_roles import background_of
from segnet.base.errors import SegnetError
from segnet.base.extras import require_package
from segnet.base.files import new_folder, replacing, require_new, write_text
from segnet.data.dataset import Mask, Progress, uncounted
from segnet.data.folder import load_folder
from segnet.data.labels.convert import convert
from segnet.inference.annotations import CONFIGURATION, TASKS, AnnotationWriter
from segnet.inference.label_studio_tasks import FILES_URL, configuration
from segnet.inference.predict_files import Page, predict_files
from segnet.inference.segmenter import Segmenter
from segnet.labelling.picking import By, Floats, doubt, open_features, pick
from segnet.labelling.project import Photo, Project, relative

Tool = Literal["labelme", "coco", "label-studio"]

LEAST_PX, LEAST_OWN_PX = 20, 4
"""Smaller specks and holes are filled before outlines are drawn, in pixels of the image and of the model's
size: deleting them takes longer than drawing what is missed."""


@dataclass(frozen=True)
class GivenOut:
    """What is to be labelled next."""

    folder: Path
    scored: int
    """Images for scoring, without outlines."""
    picked: int
    """Images to train on."""
    outlined: int
    """Of these, images that come with a model's outlines."""
    lines: tuple[str, ...]
    """What else there is to say."""


def give_out(
    project: Project,
    *,
    count: int,
    by: By = "uncertainty+distance",
    tool: Tool = "labelme",
    out: Path | None = None,
    again: bool = False,
    progress: Progress = uncounted,
) -> GivenOut:
    """Copy the next images to label into a new folder, with the newest model's outlines, and note it.

    Images set aside for scoring come first, by chance and without outlines: whoever corrects a model's
    outlines agrees with it too often for the masks to judge it.

    Args:
        project: an open project.
        count: how many images.
        by: how those to train on are picked; see ``picking.py``.
        tool: whose format the outlines are in.
        out: the new folder; without it ``next-001``, and so on, in the project.
        again: give out again what was given out before and has no mask yet.
        progress: called with the number of images that are looked at.

    Raises:
        SegnetError: nothing left to label, a folder that isn't new, or a model that can't be opened.
    """
    if count < 1:
        raise SegnetError(f"--count must be 1 or more, got {count}")
    lines = project.add_new_photos()
    numbers = [int(each.name[5:]) for each in project.folder.glob("next-*") if each.name[5:].isdecimal()]
    target = out or project.folder / f"next-{max(numbers, default=0) + 1:03d}"
    require_new(target)
    scored, pool = (
        [each for each in project.chosen(scored=part, labelled=False) if project.photo(each).is_file()]
        for part in (True, False)
    )
    waiting = [each for each in (*scored, *pool) if each.given]
    if not again:
        scored, pool = ([each for each in part if not each.given] for part in (scored, pool))
    if not scored and not pool:
        remedy = "every photo has a mask; segnet label train"
        if waiting:
            remedy = f"{len(waiting)} are given out and not yet taken; --again gives them out anew"
        raise SegnetError(f"there is no image to give out: {remedy}")
    scored = sorted(scored, key=lambda each: each.sha256)[:count]
    segmenter = _open(project)
    chosen: list[Photo] = []
    if pool and len(scored) < count:
        chosen, how = _choose(project, pool, count - len(scored), by, segmenter, progress)
        lines += how
    with new_folder(target) as partial:
        for each in (*scored, *chosen):
            shutil.copyfile(project.photo(each), partial / _copy_name(each))
        suggested = (
            _write(project, segmenter, chosen, tool, partial, target.name) if segmenter and chosen else {}
        )
        _write_classes(project, tool, partial, target.name, [*scored, *chosen])
    for each in (*scored, *chosen):
        each.given, each.suggested = relative(target, project.folder), suggested.get(each.name, "")
    project.save()
    return GivenOut(target, len(scored), len(chosen), len(suggested), tuple(lines))


def _open(project: Project) -> Segmenter | None:
    if not project.model:
        return None
    require_package("outlines of a model", "scipy")
    require_package("outlines of a model", "shapely")
    from segnet.inference.opening import load

    return load(project.model_path())


def _choose(
    project: Project,
    pool: Sequence[Photo],
    count: int,
    by: By,
    segmenter: Segmenter | None,
    progress: Progress,
) -> tuple[list[Photo], list[str]]:
    """Return the photos to train on that are worth most, and how that was found, in sentences."""
    known, said = project.chosen(scored=False, labelled=True), []
    known = [each for each in known if project.photo(each).is_file()]
    features = np.zeros((len(pool) + len(known), 1))
    if by == "uncertainty+distance":
        features, what = _features(project, [*pool, *known], progress)
        said.append(f"distance is between {what}")
    uncertainty: Floats | None = None
    if segmenter is not None and by != "random":
        pages = (Page(project.photo(each), each.name) for each in pool)
        with progress(len(pool)) as count_one:
            doubts = []
            for _, result in predict_files(segmenter, pages):
                if isinstance(result, SegnetError):
                    raise result
                doubts.append(doubt(result))
                count_one()
        uncertainty = np.array(doubts)
    elif by != "random":
        way = "at random" if by == "uncertainty" else "by distance alone"
        said.append(f"there is no model yet, so images are picked {way}")
    seed = random.Random(f"{len(project.rounds)} {len(known)}").randrange(1 << 31)
    places = pick(
        by,
        count,
        uncertainty=uncertainty,
        features=features[: len(pool)],
        known=features[len(pool) :],
        seed=seed,
    )
    return [pool[place] for place in places], said


def _features(project: Project, photos: Sequence[Photo], progress: Progress) -> tuple[Floats, str]:
    """Return the features of photos, and what they are; they are kept in ``features.npz``."""
    encode, what = open_features()
    file, kept = project.folder / "features.npz", dict[str, Floats]()
    with suppress(OSError, ValueError, KeyError, zipfile.BadZipFile), np.load(file) as stored:
        if str(stored["what"]) == what:
            kept = dict(zip(stored["photos"].tolist(), stored["features"], strict=True))
    new = [each for each in photos if each.sha256 not in kept]
    if new:
        with progress(len(new)) as count_one:
            for each in new:
                kept[each.sha256] = encode(project.photo(each))
                count_one()
        with replacing(file) as temporary:
            np.savez(temporary, what=what, photos=[*kept], features=np.stack([*kept.values()]))
    return np.stack([kept[each.sha256] for each in photos]), what


def _copy_name(each: Photo) -> str:
    return f"{each.name}{Path(each.file).suffix}"


def _write(
    project: Project, segmenter: Segmenter, chosen: Sequence[Photo], tool: Tool, folder: Path, called: str
) -> dict[str, str]:
    """Write the model's outlines of photos; return by name the digest of the mask that they make."""
    writer = AnnotationWriter(tool, folder, segmenter.classes)
    above = {"labelme": folder, "coco": Path(), "label-studio": Path(called)}[tool]
    pages = (Page(above / _copy_name(each), each.name, source=project.photo(each)) for each in chosen)
    for page, result in predict_files(segmenter, pages):
        if isinstance(result, SegnetError):
            raise result
        own = result.logits.shape[1:] if isinstance(result.logits, np.ndarray) else result.logits.extent
        least = max(LEAST_PX, LEAST_OWN_PX * result.mask.size // math.prod(own))
        result.__dict__["mask"] = without_specks(result.mask, least)  # in which its regions are found
        writer.keep(writer.describe(result, page))
    writer.finish()
    return _digests(project, chosen, tool, folder)


def _digests(project: Project, chosen: Sequence[Photo], tool: Tool, folder: Path) -> dict[str, str]:
    """Read outlines back as ``take`` will, so that those which come back untouched are known."""
    names = {each.name for each in chosen}
    with tempfile.TemporaryDirectory(prefix="segnet-") as place:
        source, target = folder, Path(place) / "masks"
        if tool != "labelme":
            source = Path(place) / "annotations.json"
            text = (folder / (TASKS if tool == "label-studio" else "annotations.json")).read_text(
                encoding="utf-8"
            )
            source.write_text(text.replace('"predictions"', '"annotations"'), encoding="utf-8")
        convert(source, target, images=[folder], classes=project.classes, empty_as_background=True)
        dataset = load_folder(target)
        samples = [sample for part in dataset.splits.values() for sample in part]
        return {each.name: digest(each.read()[1]) for each in samples if each.name in names}


def without_specks(mask: Mask, least_px: int) -> Mask:
    """Return a mask ``(H, W)`` whose pieces of fewer pixels have the class of the nearest other pixel."""
    from scipy import ndimage

    is_small = np.zeros(mask.shape, bool)
    for class_id in np.unique(mask):
        pieces, _ = ndimage.label(mask == class_id)
        sizes = np.bincount(pieces.ravel())
        sizes[0] = least_px  # which are other classes
        is_small |= (sizes < least_px)[pieces]
    if is_small.all():
        return mask
    nearest = ndimage.distance_transform_edt(is_small, return_distances=False, return_indices=True)
    filled: Mask = mask[tuple(nearest)]
    return filled


def digest(mask: Mask) -> str:
    """Return what tells a mask from others."""
    return hashlib.sha256(repr(mask.shape).encode() + mask.tobytes()).hexdigest()[:16]


def _write_classes(project: Project, tool: Tool, folder: Path, called: str, photos: Sequence[Photo]) -> None:
    """Write the classes as the tool takes them, and Label Studio's tasks of images without outlines."""
    if tool == "label-studio":
        file = folder / TASKS
        tasks = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
        there = {task["data"]["image"] for task in tasks}
        urls = [f"{FILES_URL}{called}/{_copy_name(each)}" for each in photos]
        tasks += [{"data": {"image": url}} for url in urls if url not in there]
        write_text(file, json.dumps(tasks))
        if project.classes:
            write_text(folder / CONFIGURATION, configuration(project.table()))
    elif project.classes:
        around = background_of(project.classes)
        write_text(folder / "labels.txt", "".join(f"{name}\n" for name in project.classes if name != around))
