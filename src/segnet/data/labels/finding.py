"""Files of labels and images below a folder, and the text that they hold, whichever system wrote them."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from segnet.base.walking import paths_below
from segnet.data.faults import Fault
from segnet.data.images.suffixes import IMAGE_SUFFIXES

_LEFT_BY_SYSTEMS = ("__macosx", "thumbs.db", "desktop.ini", "ehthumbs.db")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


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


def find_by_tail(text: str, roots: Sequence[Path]) -> Path | None:
    """Return the file below one of the folders with the longest part of a path's end that is there."""
    parts = parts_of(text)
    places = (root.joinpath(*parts[start:]) for start in range(len(parts)) for root in roots)
    return next((place for place in places if place.is_file()), None)


def only_folder(folder: Path) -> Path | None:
    """Return the folder within a folder, if nothing else lies there."""
    entries = [entry for entry in folder.iterdir() if not is_hidden(entry.name)]
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else None
