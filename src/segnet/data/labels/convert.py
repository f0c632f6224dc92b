"""From labels as tools and datasets have them to a folder of images and masks, whole or not at all."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from segnet.base.class_roles import background_of
from segnet.base.classes import IGNORE_INDEX, ClassTable
from segnet.base.errors import SegnetError, refuse
from segnet.base.extras import require_package
from segnet.base.files import new_folder, write_text
from segnet.base.threads import in_order
from segnet.data.check.pairing import DESCRIPTION
from segnet.data.check.repair import require_new_folder
from segnet.data.dataset import Progress, uncounted
from segnet.data.faults import Fault, lines, raise_errors
from segnet.data.images.embedded_files import Blob, File
from segnet.data.images.headers import read_header
from segnet.data.images.pixel_values import turned
from segnet.data.images.stored_layout import Header
from segnet.data.labels.archive import unpacked
from segnet.data.labels.draw import Drawn, draw
from segnet.data.labels.recognise import read_labels
from segnet.data.labels.shapes import NOT_ANNOTATED, Labelled, Labels, Shape, Tally, why

_AHEAD = 32
_AHEAD_PIXELS = 1 << 25
_UNDECLARED = "class not declared"


@dataclass(frozen=True)
class Converted:
    """What a new folder holds."""

    format: str
    """What was read."""
    images: dict[str, int]
    """By split; under an empty name where there is none."""
    pixels: dict[str, int]
    """By class."""
    warnings: tuple[str, ...]
    tally: Tally
    """What became of each shape and each image of the source."""
    some_failed: bool
    """Whether something was left out that can't be read."""
    ignored: int = 0
    """Pixels that belong to no class."""
    around: str = ""
    """Which class the pixels have that no shape covers; empty where they are ignored, or of mask files."""


def convert(
    source: Path,
    target: Path,
    *,
    images: Sequence[Path] = (),
    classes: Sequence[str] = (),
    skip: bool = False,
    empty_as_background: bool = False,
    progress: Progress = uncounted,
) -> Converted:
    """Write images and masks in the layout that training takes.

    Args:
        source: a file of COCO, CVAT or Label Studio, a folder of COCO's, LabelMe's or CVAT's files, YOLO's,
            VOC's, Cityscapes', Roboflow's masks, or one mask file an object, or a ``.zip`` of any of these.
        target: the new folder.
        images: where images may be besides where the labels are; folders or ``.zip`` archives.
        classes: names by class id; without them the order is the source's. Pixels that no shape covers get
            the id of the background among them, or are ignored where there is none.
        skip: leave out what can't be read: the pixels of a shape are ignored where its extent is known,
            and else its image is left out.
        empty_as_background: take images without shapes as background, where the format doesn't tell whether
            anybody has looked at them.
        progress: called with the number of images; the context it returns gives a function that is called
            after each one.

    Raises:
        SegnetError: no format that is known, labels of a class that isn't among ``classes``, without ``skip``
            everything that is wrong with the labels in one, nothing to write, or a folder that can't be
            written to.
    """
    require_new_folder(target, source if source.is_dir() else source / "file")
    with unpacked([source, *images]) as found:
        done = _convert(found.paths[0], target, found.paths[1:], classes, skip, empty_as_background, progress)
    return replace(done, warnings=tuple(map(found.named, done.warnings)))


def _convert(
    source: Path,
    target: Path,
    images: Sequence[Path],
    classes: Sequence[str],
    skip: bool,
    empty_as_background: bool,
    progress: Progress,
) -> Converted:
    labels = read_labels(source, images, classes)
    if any(each.split for each in labels.images):  # what is in none of the splits is trained on
        labels.images = [replace(each, split=each.split or "train") for each in labels.images]
    copied = any(each.mask_file for each in labels.images)
    around = IGNORE_INDEX if copied else _declare(labels, classes, source, skip=skip)
    _leave_out_same_names(labels)
    if not skip:
        _refuse(labels.faults, source)
    chosen = _chosen(labels, empty_as_background)
    if any(shape.polygons for each in chosen for shape in each.shapes):
        require_package(f"filling the polygons of {source}", "pycocotools")
    tally, what = labels.tally, f"{source} ({labels.format})"
    refuse(
        (not chosen, f"{what} holds no image with labels{_said(labels)}"),
        (
            len(labels.classes) > IGNORE_INDEX,
            f"{what} declares {len(labels.classes):,} classes with the background, and a "
            f"mask holds {IGNORE_INDEX}; name those that you want with --classes a,b,c",
        ),
    )
    palette = ClassTable.named(labels.classes).palette().tobytes() if labels.classes else b""
    counts, splits = np.zeros(256, np.int64), Counter[str]()

    with new_folder(target) as partial, progress(len(chosen)) as advance:

        def write(each: Labelled) -> tuple[Labelled, Drawn]:
            return each, _write_pair(each, labels, palette, around, partial / each.split)

        for each, drawn in in_order(write, chosen, most=_AHEAD, weigh=_pixels, budget=_AHEAD_PIXELS):
            labels.faults += drawn.faults
            if drawn.left_out:
                tally.leave_out(each.outcomes, drawn.left_out)
            else:
                tally.write(drawn.outcomes, with_mask=each.has_mask)
                splits[each.split] += 1
                if drawn.mask is not None:
                    counts += np.bincount(drawn.mask.ravel(), minlength=256)
            advance()
        if not skip:
            _refuse(labels.faults, source)
        if not tally.written or (tally.left_out and not tally.drawn):
            raise SegnetError(f"{what} holds nothing to draw{_said(labels)}")
        _write_description(labels, classes if copied else labels.classes, partial / DESCRIPTION)
    return Converted(
        labels.format,
        dict(splits),
        {name: int(counts[i]) for i, name in enumerate(labels.classes)},
        tuple(lines(labels.faults)),
        tally,
        any(fault.is_error for fault in labels.faults),
        int(counts[IGNORE_INDEX]),
        labels.classes[around] if tally.drawn and around != IGNORE_INDEX else "",
    )


def _write_description(labels: Labels, classes: Sequence[str], target: Path) -> None:
    """Write the classes; of mask files that are copied, those that are named, or the file beside them."""
    if classes:
        stored = {"classes": [*classes]}
        write_text(target, yaml.safe_dump(stored, sort_keys=False, allow_unicode=True))
    elif labels.description is not None:
        shutil.copyfile(labels.description, target)


def _declare(labels: Labels, classes: Sequence[str], source: Path, *, skip: bool) -> int:
    """Give labels the class ids that are wanted; return what a pixel is that no shape covers.

    Of two classes one may be the background by its name alone or since the other is looked for; where the
    labels have shapes of it, it isn't.
    """
    used = {shape.label for each in labels.images for shape in each.shapes if not shape.left_out}
    if classes:
        named = {*labels.classes} if any(each.read_mask for each in labels.images) else used
        undeclared = named - {*classes}
        if undeclared and not skip:
            listed = ", ".join(sorted(undeclared))
            raise SegnetError(
                f"{source} has labels of {listed}, but the classes are to be {', '.join(classes)}; name them "
                "too with --classes, or ignore their pixels with --skip"
            )
        labels.images = [
            replace(each, shapes=[_undeclared(shape, undeclared) for shape in each.shapes])
            for each in labels.images
        ]
        ids = {name: class_id for class_id, name in enumerate(classes)}
        wanted = [ids.get(name, IGNORE_INDEX) for name in labels.classes[: len(labels.wanted)]]
        labels.wanted[: len(wanted)] = wanted
        labels.classes = [*classes]
    around = background_of(labels.classes)
    if around is None or (background_of([around]) is None and around in used):
        return IGNORE_INDEX
    return labels.classes.index(around)


def _undeclared(shape: Shape, names: set[str]) -> Shape:
    if shape.left_out or shape.label not in names:
        return shape
    return replace(shape, left_out=_UNDECLARED)


def _leave_out_same_names(labels: Labels) -> None:
    """Leave out each image whose mask would have the name of another's, or whose file has labels already."""
    names: dict[tuple[str, str], Labelled] = {}
    files: dict[str, Labelled] = {}
    for place, each in enumerate(labels.images):
        if each.left_out:
            continue
        namesake = names.setdefault((each.split, each.name.casefold()), each)
        other = files.setdefault(str(each.image), each)
        said, remedy, left_out = f"has the same name as {namesake.where}", "", "name of another image"
        if namesake is each:
            said = f"means the image {each.image}, of which {other.where} has labels too"
            remedy, left_out = "keep one of them", "image labelled twice"
        if namesake is not each or other is not each:
            labels.faults.append(Fault("same-name", each.where, said, remedy))
            labels.images[place] = replace(each, left_out=left_out)


def _refuse(faults: Sequence[Fault], source: Path) -> None:
    try:
        raise_errors(faults, str(source))
    except SegnetError as error:
        raise SegnetError(f"{error}; --skip leaves out what can't be read and converts the rest") from None


def _chosen(labels: Labels, empty_as_background: bool) -> list[Labelled]:
    """Return the images that are to be written, and count the others."""
    chosen = []
    for each in labels.images:
        unsure = not each.shapes and not each.has_mask and not each.looked_at and not empty_as_background
        if reason := each.left_out or (NOT_ANNOTATED if unsure else ""):
            labels.tally.leave_out(each.outcomes, reason)
        else:
            chosen.append(each)
    return chosen


def _said(labels: Labels) -> str:
    """Say what was left out, where that is all."""
    tally = labels.tally
    said = [f"images: {tally.images_said()}"] if tally.images_left_out else []
    said += [f"{kind}: {why}" for kind, _, _, why in tally.rows()]
    said += lines(labels.faults)[:1]
    return "".join(f"; {each}" for each in said)


def _write_pair(each: Labelled, labels: Labels, palette: bytes, around: int, folder: Path) -> Drawn:
    """Write an image and its mask; what is wrong with them is returned."""
    assert each.image is not None
    image = folder / "images" / f"{each.name}{each.image.suffix}"
    mask = folder / "masks" / f"{each.name}.png"
    if each.mask_file is not None:
        _copy(each.image, image.with_suffix(image.suffix.lower()))
        _copy(each.mask_file, mask.with_suffix(each.mask_file.suffix.lower()))
        return Drawn()
    try:
        drawn = _draw(each, read_header(each.image), labels, around)
    except SegnetError as error:
        fault = error if isinstance(error, Fault) else Fault("damaged", each.where, str(error))
        return Drawn(faults=[fault], left_out=why(fault))
    if drawn.mask is not None and not drawn.left_out:
        picture = Image.fromarray(drawn.mask)
        picture.putpalette(palette)
        mask.parent.mkdir(parents=True, exist_ok=True)
        picture.save(mask)
        _copy(each.image, image)
    return drawn


def _draw(each: Labelled, header: Header, labels: Labels, around: int) -> Drawn:
    size = each.size or header.size
    if size not in (header.size, header.stored):  # before labels of any size are drawn
        said = f"is labelled as {size[0]}×{size[1]}, but the image is {header.size[0]}×{header.size[1]}"
        raise Fault("sizes-differ", each.where, said)
    if each.read_mask is not None:
        drawn = Drawn(labels.wanted[each.read_mask()])
    else:
        by_name = {name: class_id for class_id, name in enumerate(labels.classes)}
        drawn = draw(each.shapes, size, by_name, around, each.where)
    if drawn.mask is not None and size != header.size:
        drawn.mask = turned(drawn.mask, header.orientation)  # the tool didn't look at EXIF data
    return drawn


def _copy(image: File, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(image, Blob):
        target.write_bytes(image.read())
    else:
        shutil.copyfile(image, target)


def _pixels(each: Labelled) -> int:
    return each.size[0] * each.size[1] if each.size else 1 << 20
