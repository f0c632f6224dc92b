"""Files of labels and images below a folder, their text, and what their names tell; of any system."""

from __future__ import annotations

import codecs
import json
import os
import re
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from segnet.base.walking import paths_below
from segnet.data.check.near_names import SPLIT_WORDS, same_form
from segnet.data.faults import Fault
from segnet.data.images.suffixes import IMAGE_SUFFIXES
from segnet.data.labels.fields import Malformed, require, shortened

_LEFT_BY_SYSTEMS = ("__macosx", "thumbs.db", "desktop.ini", "ehthumbs.db")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_HALF = re.compile(r"\\u[dD][89a-fA-F]")  # how JSON spells halves of characters


def read_text(file: Path, encoding: str = "utf-8") -> str:
    """Read a text file whose byte order mark, if it has one, says how it is encoded.

    Args:
        file: the text file.
        encoding: how it is encoded without such a mark.

    Raises:
        Fault: it can't be read, or is no text in that encoding.
    """
    try:
        content = file.read_bytes()
        marked = next((name for mark, name in _MARKS if content.startswith(mark)), encoding)
        return content.decode(marked)
    except OSError as error:
        raise Fault("bad-label", file, f"can't be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, LookupError) as error:
        raise Fault("bad-label", file, f"is no text in {encoding} ({error})", "save it as UTF-8") from error


def read_json(file: Path) -> Any:
    """Read a JSON file; halves of characters outside the basic plane, which can't be written, become ``?``.

    Raises:
        Fault: it can't be read or isn't JSON.
    """
    text = read_text(file)
    try:
        content = json.loads(text)
        if _HALF.search(text):
            content = json.loads(json.dumps(content, ensure_ascii=False).encode("utf-8", "replace"))
        return content
    except (ValueError, RecursionError) as error:
        raise Fault("bad-label", file, f"can't be read as JSON: {error}") from error


def lines_of(file: Path) -> list[str]:
    """Return the lines of a text file that say something, without comments that begin with ``#``.

    Raises:
        Fault: as ``read_text``.
    """
    lines = [line.strip() for line in read_text(file).splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden, or one that a system leaves behind, such as ``__MACOSX``."""
    return name.startswith(".") or name.lower() in _LEFT_BY_SYSTEMS


def files_below(folder: Path) -> list[Path]:
    """Return the files in a folder and those in it, sorted, without what is hidden.

    Linked folders are followed, each folder is walked once.
    """
    below = paths_below(folder) if folder.is_dir() else []
    return [
        file for file in below if file.is_file() and not any(map(is_hidden, file.relative_to(folder).parts))
    ]


def images_below(folder: Path) -> list[Path]:
    """Return the images in a folder and those in it, sorted, without what is hidden."""
    return [file for file in files_below(folder) if file.suffix.lower() in IMAGE_SUFFIXES]


def parts_of(text: str) -> tuple[str, ...]:
    """Return the parts of a path that another machine may have written, without drive, root and dots.

    A name must not lead out of the folder that it is looked for in, so ``..`` is left out as well.
    """
    parts = PurePosixPath(text.strip().strip("\"'").replace("\\", "/")).parts
    return tuple(part for part in parts if part not in ("/", "//", ".", "..") and not part.endswith(":"))


def find_by_tail(
    text: str, roots: Sequence[Path], fewest: int = 1, is_there: Callable[[Path], bool] = Path.is_file
) -> Path | None:
    """Return what lies below one of the folders at the longest end of a path.

    Args:
        text: the path, as another machine may have written it.
        roots: the folders.
        fewest: how many of its parts the end must have.
        is_there: what is looked for.
    """
    parts = parts_of(text)
    places = (root.joinpath(*parts[start:]) for start in range(len(parts) - fewest + 1) for root in roots)
    return next(filter(is_there, places), None)


def key_below(file: Path, folder: Path) -> str:
    """Return a path below a folder without suffix, in one Unicode form: an image and its mask share it."""
    return same_form(file.relative_to(folder).with_suffix("").as_posix())


def find_image(names: Any, folders: Sequence[Path]) -> Path:
    """Return the image that a file of labels names: by its path below a folder, else by its last part.

    Nothing outside the folders is read, wherever a name leads: labels come from other people.

    Args:
        names: what the file says, or several names, the likeliest first.
        folders: where images may be.

    Raises:
        Malformed: no text, an image outside the folders, or none at all.
    """
    wanted = [names] if isinstance(names, str) else names
    texts = isinstance(wanted, list | tuple) and all(isinstance(name, str) for name in wanted)
    require(texts and any(wanted), "doesn't name its image")
    paths = [name.replace("\\", "/") for name in wanted if name]
    roots = [Path(os.path.normpath(folder.absolute())) for folder in folders]
    spelled = [*paths, *(path.rpartition("/")[2] for path in paths)]
    forms = [unicodedata.normalize(form, path) for path in spelled for form in ("NFC", "NFD")]
    outside: Path | None = None
    for candidate in filter(None, dict.fromkeys([*spelled, *forms])):  # macOS takes letters and accents apart
        for path in (Path(os.path.normpath(root / candidate)) for root in roots):
            if os.path.isfile(path):  # noqa: PTH113 - false also where no file can have such a name
                if any(path.is_relative_to(each) for each in roots):
                    return path
                outside = outside or path
    if outside:
        said = f"names the image {outside}, which lies outside the folders that are searched"
        raise Malformed(said, f"give --images {outside.parent} if it is meant", "no-image")
    said = f"names the image {shortened(wanted[0])}, which is not there"
    raise Malformed(said, "give --images its folder", "no-image")


def name_below(name: str) -> str:
    """Return an image's name below the new folder: its path without suffix, if that leads nowhere else."""
    path = Path(name.replace("\\", "/"))
    inside = not path.is_absolute() and ".." not in path.parts and "://" not in name
    return path.with_suffix("").as_posix() if inside else path.stem


def split_of(text: str) -> str:
    """Return the split that a word of a file's or folder's name is, the first if several are, or nothing.

    ``instances_train2017`` and ``TrainImages`` have one; ``trainval``, ``latest`` and ``interval`` have none.
    """
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", text)
    return next((SPLIT_WORDS[word] for word in map(str.lower, words) if word in SPLIT_WORDS), "")
