"""From labels as tools and datasets have them to a folder of images and masks, whole or not at all."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from segnet.base.class_roles import background_of
from segnet.base.classes import IGNORE_INDEX, ClassTable
from segnet.base.errors import SegnetError
from segnet.base.extras import require_package
from segnet.base.files import new_folder, write_text
from segnet.base.threads import in_order
from segnet.data.check.pairing import DESCRIPTION
from segnet.data.check.repair import require_new_folder
from segnet.data.dataset import Mask, Progress
from segnet.data.faults import Fault, lines, raise_errors
from segnet.data.images.embedded_files import Blob, File
from segnet.data.images.headers import read_header
from segnet.data.images.pixel_values import turned
from segnet.data.images.stored_layout import Header
from segnet.data.labels.archive import unpacked
from segnet.data.labels.draw import Drawn, draw
from segnet.data.labels.recognise import read_labels
from segnet.data.labels.shapes import NOT_ANNOTATED, Labelled, Labels, Shape, why
from segnet.data.labels.tally import Tally

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


@dataclass
class _Written:
    """What became of one image."""

    mask: Mask | None = None
    outcomes: list[tuple[str, str]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    left_out: str = ""
    """Why there is no mask."""


def convert(
    source: Path,
    target: Path,
    *,
    images: Sequence[Path] = (),
    classes: Sequence[str] = (),
    skip: bool = False,
    empty_as_background: bool = False,
    progress: Progress | None = None,
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
    progress: Progress | None,
) -> Converted:
    labels = read_labels(source, images, classes)
    if any(each.split for each in labels.images):  # what is in none of the splits is trained on
        labels.images = [replace(each, split=each.split or "train") for each in labels.images]
    copied = any(each.mask_file for each in labels.images)
    around = IGNORE_INDEX if copied else _declare(labels, classes, source, skip=skip)
    _leave_out_same_names(labels)
    if not skip:
        _refuse(labels.faults, source)
    tally = Tally()
    tally.begin(labels)
    if copied:
        return _copied(labels, classes, target, tally, progress)
    chosen = [each for each in labels.images if not _is_left_out(each, tally, empty_as_background)]
    if any(shape.polygons for each in chosen for shape in each.shapes):
        require_package(f"filling the polygons of {source}", "pycocotools")
    if not chosen:
        raise SegnetError(f"{source} ({labels.format}) holds no image with labels{_said(labels, tally)}")
    if len(labels.classes) > IGNORE_INDEX:
        raise SegnetError(
            f"{source} ({labels.format}) declares {len(labels.classes):,} classes with the background, and a "
            f"mask holds {IGNORE_INDEX}; name those that you want with --classes a,b,c"
        )
    table = ClassTable.named(labels.classes)
    counts, splits = np.zeros(256, np.int64), Counter[str]()

    counting = progress(len(chosen)) if progress else nullcontext(lambda: None)
    with new_folder(target) as partial, counting as advance:

        def write(each: Labelled) -> tuple[Labelled, _Written]:
            return each, _write_pair(each, labels, table, around, partial)

        for each, written in in_order(write, chosen, most=_AHEAD, weigh=_pixels, budget=_AHEAD_PIXELS):
            labels.faults += written.faults
            if written.mask is None:
                tally.leave_out(each, written.left_out)
            else:
                tally.write(written.outcomes, with_mask=each.read_mask is not None)
                counts += np.bincount(written.mask.ravel(), minlength=256)
                splits[each.split] += 1
            advance()
        if not skip:
            _refuse(labels.faults, source)
        if not tally.written or (tally.left_out and not tally.drawn):
            raise SegnetError(f"{source} ({labels.format}) holds nothing to draw{_said(labels, tally)}")
        write_text(partial / DESCRIPTION, _classes_as_yaml(labels.classes))
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


def _copied(
    labels: Labels, classes: Sequence[str], target: Path, tally: Tally, progress: Progress | None
) -> Converted:
    """Write images and mask files as they are; classes that are named are those of the values 0, 1, 2 .."""
    splits = Counter[str]()
    counting = progress(len(labels.images)) if progress else nullcontext(lambda: None)
    with new_folder(target) as partial, counting as advance:
        for each in labels.images:
            if each.left_out or each.image is None or each.mask_file is None:
                tally.leave_out(each, each.left_out)
                continue
            for kind, file in (("images", each.image), ("masks", each.mask_file)):
                name = f"{each.name}{file.suffix.lower()}"
                _copy(file, _parent_made(partial / each.split / kind / name))
            tally.write((), with_mask=True)
            splits[each.split] += 1
            advance()
        if classes:
            write_text(partial / DESCRIPTION, _classes_as_yaml(classes))
        elif labels.description is not None:
            shutil.copyfile(labels.description, partial / DESCRIPTION)
    some_failed = any(fault.is_error for fault in labels.faults)
    return Converted(labels.format, dict(splits), {}, tuple(lines(labels.faults)), tally, some_failed)


def _classes_as_yaml(classes: Sequence[str]) -> str:
    return yaml.safe_dump({"classes": [*classes]}, sort_keys=False, allow_unicode=True)


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
                "too, or ignore their pixels with --skip"
            )
        labels.images = [
            replace(each, shapes=[_undeclared(shape, undeclared) for shape in each.shapes])
            for each in labels.images
        ]
        ids = {name: class_id for class_id, name in enumerate(classes)}
        labels.wanted = {
            class_id: ids.get(name, IGNORE_INDEX) for class_id, name in enumerate(labels.classes)
        }
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
        if namesake is not each:
            fault = Fault("same-name", each.where, f"has the same name as {namesake.where}")
            left_out = "name of another image"
        elif other is not each:
            said = f"means the image {each.image}, of which {other.where} has labels too"
            fault = Fault("same-name", each.where, said, "keep one of them")
            left_out = "image labelled twice"
        else:
            continue
        labels.faults.append(fault)
        labels.images[place] = replace(each, left_out=left_out)


def _refuse(faults: Sequence[Fault], source: Path) -> None:
    try:
        raise_errors(faults, str(source))
    except SegnetError as error:
        raise SegnetError(f"{error}; --skip leaves out what can't be read and converts the rest") from None


def _is_left_out(each: Labelled, tally: Tally, empty_as_background: bool) -> bool:
    unsure = not each.shapes and each.read_mask is None and not each.looked_at and not empty_as_background
    reason = each.left_out or (NOT_ANNOTATED if unsure else "")
    if reason:
        tally.leave_out(each, reason)
    return bool(reason)


def _said(labels: Labels, tally: Tally) -> str:
    """Say what was left out, where that is all."""
    said = [f"images: {tally.images_said()}"] if tally.images_left_out else []
    said += [f"{kind}: {why}" for kind, _, _, why in tally.rows()]
    first = lines(labels.faults)[:1]
    return "".join(f"; {each}" for each in [*said, *first])


def _write_pair(each: Labelled, labels: Labels, table: ClassTable, around: int, root: Path) -> _Written:
    """Write an image and its mask; what is wrong with them is returned."""
    assert each.image is not None
    try:
        header = read_header(each.image)
        drawn = _mask_of(each, header, labels, around)
    except SegnetError as error:
        fault = error if isinstance(error, Fault) else Fault("damaged", each.where, str(error))
        return _Written(faults=[fault], left_out=why(fault))
    useless = bool(each.shapes) and not drawn.painted
    left_out = drawn.spoilt or ("no shape of it could be drawn" if useless else "")
    if left_out:
        return _Written(faults=drawn.faults, left_out=left_out)
    picture = Image.fromarray(drawn.mask)
    picture.putpalette(table.palette().tobytes())
    folder = root / each.split
    _copy(each.image, _parent_made(folder / "images" / f"{each.name}{each.image.suffix}"))
    picture.save(_parent_made(folder / "masks" / f"{each.name}.png"))
    return _Written(drawn.mask, drawn.outcomes, drawn.faults)


def _mask_of(each: Labelled, header: Header, labels: Labels, around: int) -> Drawn:
    _require_size(each.size or header.size, header, each.where)  # before labels of any size are drawn
    if each.read_mask is not None:
        ids = np.arange(256, dtype=np.uint8)
        ids[[*labels.wanted]] = [*labels.wanted.values()]
        drawn = Drawn(ids[each.read_mask()], painted=True)
    else:
        by_name = {name: class_id for class_id, name in enumerate(labels.classes)}
        drawn = draw(each.shapes, each.size or header.size, by_name, around)
    if drawn.shared_px:
        drawn.faults.append(
            Fault("overlap", each.where, f"has {drawn.shared_px:,} pixels of several objects")
        )
    if each.size not in (None, header.size):
        drawn.mask = turned(drawn.mask, header.orientation)  # the tool didn't look at EXIF data
    return drawn


def _require_size(size: tuple[int, ...], header: Header, where: str) -> None:
    if size not in (header.size, header.stored):
        said = f"is labelled as {size[0]}×{size[1]}, but the image is {header.size[0]}×{header.size[1]}"
        raise Fault("sizes-differ", where, said)


def _copy(image: File, target: Path) -> None:
    if isinstance(image, Blob):
        target.write_bytes(image.read())
    else:
        shutil.copyfile(image, target)


def _parent_made(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def _pixels(each: Labelled) -> int:
    return each.size[0] * each.size[1] if each.size else 1 << 20
