"""A label project: the folder beside a folder of photos that knows which of them have masks, and from whom.

``project.json`` lists every photo in a line of its own, and every training; ``masks/NAME.png`` holds class
ids, ``runs/`` a run folder for each training. The photos are only read. Each is known by its content, so
whatever a tool has called its copy, its mask finds its way back.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any

from segnet.base.class_roles import BACKGROUND, is_background
from segnet.base.classes import ClassTable
from segnet.base.errors import SegnetError, refuse
from segnet.base.files import expand_home, require_new, write_text
from segnet.base.readable import counted
from segnet.data.images.file_records import file_digest
from segnet.data.images.headers import look_at_images
from segnet.data.images.suffixes import said_skipped
from segnet.inference.predict_files import find_images, names_of
from segnet.runs.run_folder import locked

FILE, _VERSION = "project.json", 1
_LEAST, _LEAST_SCORED, _MOST_SCORED, _SHARE_SCORED = 4, 10, 100, 0.1
_LISTED = 3


@dataclass
class Photo:
    """One photo of a project."""

    name: str
    """What its mask and its copies are called, without suffix."""
    file: str
    """Its path below the folder of photos."""
    sha256: str
    scored: bool = False
    """Whether it is set aside for scoring, for good."""
    given: str = ""
    """The folder in which it was given to be labelled, the last time, as seen from the project's."""
    suggested: str = ""
    """The digest of the mask that the model's outlines in there make."""
    labelled: str = ""
    """When its mask came; empty where it has none."""
    source: str = ""
    """What the mask was read from."""
    by: str = ""
    """Who has labelled it, where that was said."""


@dataclass
class Round:
    """One training of a project."""

    run: str
    """Its run folder, below the project."""
    masks: int
    """Images with masks that it was trained on."""
    scored_on: int
    """Images set aside that its score was taken on."""
    mean_iou: float | None
    finished: str
    """When."""


@dataclass
class Project:
    """What ``project.json`` holds; see ``open_project``."""

    folder: Path
    photos: Path
    classes: list[str]
    model: str
    """The newest model: a run below the folder, or what ``start`` was given; empty where there is none."""
    images: list[Photo] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    """What the last training brought, in sentences."""

    def chosen(self, *, scored: bool, labelled: bool) -> list[Photo]:
        """Return the photos that are for scoring or not, and have a mask or not."""
        return [each for each in self.images if each.scored == scored and bool(each.labelled) == labelled]

    def photo(self, each: Photo) -> Path:
        """Return where a photo lies."""
        return self.photos / each.file

    def mask(self, each: Photo) -> Path:
        """Return where a photo's mask lies, or will lie."""
        return self.folder / "masks" / f"{each.name}.png"

    def model_path(self) -> str:
        """Return the newest model as ``segnet.load`` takes it."""
        return str(self.folder / self.model) if self.rounds else self.model

    def table(self) -> ClassTable:
        """Return the classes with their colours."""
        return ClassTable.named(self.classes)

    def save(self) -> None:
        """Write ``project.json``, whole or not at all."""
        head = {
            "segnet_label_project": _VERSION,
            "photos": relative(self.photos, self.folder),
            "classes": self.classes,
            "model": self.model,
            "said": self.said,
        }
        lists = {
            name: "[\n" + ",\n".join(f"  {json.dumps(_filled(each))}" for each in rows) + "\n ]"
            for name, rows in (("rounds", self.rounds), ("images", self.images))
        }
        rows = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in head.items()]
        rows += [f' "{name}": {text}' for name, text in lists.items()]
        write_text(self.folder / FILE, "{\n" + ",\n".join(rows) + "\n}\n")

    def add_new_photos(self) -> list[str]:
        """Take in photos that have come since; return a line for each thing that is odd about them."""
        known = {each.file for each in self.images}
        files, skipped = _images_in(self.photos)
        new = [file for file in files if file.relative_to(self.photos).as_posix() not in known]
        lost = {each.sha256: each for each in self.images if not self.photo(each).is_file()}
        for file in new if lost else []:
            if (moved := lost.pop(file_digest(file).hex(), None)) is not None:
                moved.file = file.relative_to(self.photos).as_posix()
                new = [each for each in new if each != file]
        added, lines = _photos_of(new, self.photos, self.images)
        self.images += added
        gone = [each.file for each in self.images if not self.photo(each).is_file()]
        if added:
            lines.append(f"{counted(len(added), 'new photo')} since the start, to train on")
        if gone:
            lines.append(f"{counted(len(gone), 'photo')} no longer there: {listed(gone)}")
        return lines + skipped


def start_project(
    photos: Path, folder: Path, *, classes: Sequence[str] = (), model: str = "", scored: int | None = None
) -> tuple[Project, list[str]]:
    """Begin a project, and set photos aside for scoring, by chance.

    Args:
        photos: a folder of images, searched to the bottom.
        folder: the new project's folder, outside ``photos``.
        classes: their names, in the order of their ids; a background is put first where none is among them.
            Without them the model's, or those of the first masks.
        model: the model to begin with, if any.
        scored: how many photos are set aside; None for a tenth, from 10 to 100, but never more than half.

    Returns:
        The project, and a line for each thing that was left out.

    Raises:
        SegnetError: no folder of photos, too few of them, a folder that isn't new, or classes that don't fit
            the model's.
    """
    refuse(
        (not photos.is_dir(), f"{photos} is no folder; give the folder of your photos"),
        (
            folder.resolve().is_relative_to(photos.resolve()),
            f"{folder} lies inside {photos}, which is only read; put the project beside it",
        ),
    )
    require_new(folder)
    names = [*dict.fromkeys(classes)]
    if model:
        from segnet.inference.opening import read_classes

        of_model = read_classes(model).names
        unknown = [name for name in of_model if names and name not in names and not is_background(name)]
        if unknown:
            raise SegnetError(
                f"{model} finds {', '.join(unknown)}, which isn't among the classes {', '.join(names)}; "
                "name it too, or leave --classes out to take the model's"
            )
        names = names or [*of_model]
    if names and not any(map(is_background, names)):
        names.insert(0, BACKGROUND)
    files, skipped = _images_in(photos)
    if masks := [file for file in files if "masks" in file.relative_to(photos).parts[:-1]]:
        raise SegnetError(
            f"{photos} holds masks ({masks[0]}), which would be taken for photos: start with the images' own "
            f"folder, and take the masks with segnet label take {folder} {photos} --skip"
        )
    images, lines = _photos_of(files, photos, ())
    if len(images) < _LEAST:
        raise SegnetError(f"{photos} holds {len(images)} photos that can be read; a project needs {_LEAST}")
    usual = min(_MOST_SCORED, max(_LEAST_SCORED, round(_SHARE_SCORED * len(images))), len(images) // 2)
    count = usual if scored is None else scored
    if not 1 <= count <= len(images) - 2:
        raise SegnetError(f"--scored must leave 2 photos to train on: 1 to {len(images) - 2}, not {count}")
    for each in sorted(images, key=lambda each: hashlib.sha256(each.sha256.encode()).digest())[:count]:
        each.scored = True
    if model and expand_home(model).exists():
        model = str(expand_home(model).resolve())
    project = Project(folder, photos, names, model, images)
    project.save()
    return project, lines + skipped


@contextmanager
def open_project(folder: Path) -> Iterator[Project]:
    """Open a project for as long as the context lasts; no other process may change it meanwhile.

    Raises:
        SegnetError: no project there, one of a newer version or a damaged one, or one that is in use.
    """
    read_project(folder)  # before anything is written there
    with locked(folder / ".lock", folder):
        yield read_project(folder)


def read_project(folder: Path) -> Project:
    """Read a project's file.

    Raises:
        SegnetError: as ``open_project``.
    """
    file = folder / FILE
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        version = stored["segnet_label_project"]
        if version != _VERSION:
            raise SegnetError(
                f"{file} is of version {version}; a newer segnet has written it, so update segnet"
            )
        images = [Photo(**_known(Photo, each)) for each in stored["images"]]
        rounds = [Round(**_known(Round, each)) for each in stored["rounds"]]
        photos = Path(os.path.normpath(folder / stored["photos"]))
        plain = [[str(each) for each in stored[name]] for name in ("classes", "said")]
        project = Project(folder, photos, plain[0], str(stored["model"]), images, rounds, plain[1])
    except FileNotFoundError:
        raise SegnetError(
            f"{folder} is no label project; segnet label start PHOTOS --project {folder} begins one"
        ) from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SegnetError(f"{file} can't be read ({error!r}); mend it by hand or take a backup") from None
    if not photos.is_dir():
        raise SegnetError(f"the photos of {folder} aren't at {photos}; move them back, or correct {file}")
    return project


def now() -> str:
    """Return the time as the project's file has it."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def listed(names: Sequence[str]) -> str:
    """Name a few things, and count the others."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _images_in(photos: Path) -> tuple[list[Path], list[str]]:
    """Return the image files of a folder, and a line on other files."""
    skipped: list[PurePath] = []
    return find_images([str(photos)], skipped), [said_skipped(skipped)] if skipped else []


def _photos_of(files: Sequence[Path], photos: Path, known: Sequence[Photo]) -> tuple[list[Photo], list[str]]:
    """Return the photos among files that can be labelled, each content once, and a line on the others."""
    flat = [PurePath("__".join(file.relative_to(photos).parts)) for file in files]
    others = [PurePath(f"{each.name}.png") for each in known]
    names = names_of([*others, *flat], [])[len(known) :]
    digests, found, left_out = {each.sha256 for each in known}, [], Counter[str]()
    examples: dict[str, str] = {}
    for file, name in zip(files, names, strict=True):
        below = file.relative_to(photos).as_posix()
        faults = [fault for fault in look_at_images([file])[1] if fault.is_error]
        reason = faults[0].detail if faults else ""
        digest = "" if reason else file_digest(file).hex()
        reason = "is a copy of another" if digest in digests else reason
        if reason:
            left_out[reason] += 1
            examples.setdefault(reason, below)
            continue
        digests.add(digest)
        found.append(Photo(name, below, digest))
    return found, [
        f"left out {count}: {examples[reason]}{' and others' if count > 1 else ''} {reason}"
        for reason, count in left_out.items()
    ]


def relative(path: Path, folder: Path) -> str:
    """Return a path as seen from a folder, so that both may be moved together."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive
        return str(path.resolve())


def _filled(row: Photo | Round) -> dict[str, Any]:
    return {name: value for name, value in asdict(row).items() if value not in ("", False)}


def _known(kind: type[Photo | Round], row: dict[str, Any]) -> dict[str, Any]:
    return {each.name: row[each.name] for each in fields(kind) if each.name in row}
