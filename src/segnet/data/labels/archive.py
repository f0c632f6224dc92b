"""Labels in a ``.zip``, as annotation tools export them: unpacked with care, for the time of a conversion."""

from __future__ import annotations

import lzma
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from segnet.base.errors import SegnetError
from segnet.data.labels.finding import is_hidden

_NAME_IS_UTF_8 = 0x800  # APPNOTE.TXT 4.4.4
_MOST_FILES = 2_000_000
_ALWAYS_FINE_BYTES = 1 << 30
_MOST_TIMES_LARGER = 200  # than the archive: images hardly shrink, and texts of labels to a tenth


def is_archive(path: Path) -> bool:
    """Whether a path is that of a zip archive."""
    return path.suffix.lower() == ".zip" and path.is_file()


@dataclass
class Unpacked:
    """Paths, with a temporary folder in place of each that is a zip archive."""

    paths: list[Path] = field(default_factory=list)
    archives: dict[str, str] = field(default_factory=dict)
    """The archive of each temporary folder."""

    def named(self, text: str) -> str:
        """Return a message with the archives' names in place of the folders that they are unpacked into."""
        for folder, archive in self.archives.items():
            text = text.replace(folder, archive)
        return text


@contextmanager
def unpacked(paths: Sequence[Path]) -> Iterator[Unpacked]:
    """Give folders in place of archives, for as long as the context lasts.

    Errors raised within it name the archive and the file in it.

    Raises:
        SegnetError: no zip archive, one that is damaged or encrypted, one whose files would lie outside its
            folder, or one that would fill the disk.
    """
    if not any(map(is_archive, paths)):
        yield Unpacked([*paths])
        return
    with tempfile.TemporaryDirectory(prefix="segnet-", ignore_cleanup_errors=True) as temporary:
        found = Unpacked()
        for number, path in enumerate(paths):
            folder = Path(temporary).resolve() / str(number)
            if is_archive(path):
                found.archives[str(folder)] = str(path)
                _unpack(path, folder)
            found.paths.append(folder if is_archive(path) else path)
        try:
            yield found
        except SegnetError as error:
            raise SegnetError(found.named(str(error))) from error


def _unpack(archive: Path, folder: Path) -> None:
    folder.mkdir()
    try:
        with zipfile.ZipFile(archive) as opened:
            targets = _targets(archive, opened.infolist())
            _require_room(archive, [*targets.values()], folder)
            for name, entry in targets.items():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(entry) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy, 1 << 20)
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        EOFError,
        ValueError,
        zlib.error,
        lzma.LZMAError,
    ) as error:
        raise SegnetError(f"{archive} is damaged or no zip archive ({error}); export it again") from error
    except OSError as error:
        raise SegnetError(
            f"{archive} can't be unpacked ({error.strerror or error}); unpack it first"
        ) from error


def _targets(archive: Path, entries: Sequence[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Return the entry of each file to write, by its path below the folder."""
    targets: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        name = _name(entry)
        parts = PurePosixPath(name).parts
        is_outside = name.startswith("/") or ".." in parts or re.match("[A-Za-z]:", name) or "\0" in name
        if not is_outside and (entry.is_dir() or name.endswith("/") or any(map(is_hidden, parts))):
            continue
        refused = {
            "would lie outside its folder": is_outside,
            "is a link": stat.S_ISLNK(entry.external_attr >> 16),
            "is encrypted": entry.flag_bits & 1,
            "is in it twice": name in targets,
        }
        for what in (what for what, is_so in refused.items() if is_so):
            raise SegnetError(f"{archive}: {name!r} {what}; unpack it yourself and give the folder")
        targets[name] = entry
    return targets


def _name(entry: zipfile.ZipInfo) -> str:
    """Return an entry's path with / between its parts; a name that can be UTF-8 is UTF-8."""
    name = entry.filename
    if not entry.flag_bits & _NAME_IS_UTF_8:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def _require_room(archive: Path, entries: Sequence[zipfile.ZipInfo], folder: Path) -> None:
    total, packed = sum(entry.file_size for entry in entries), archive.stat().st_size
    if len(entries) > _MOST_FILES or total > max(_ALWAYS_FINE_BYTES, packed * _MOST_TIMES_LARGER):
        raise SegnetError(
            f"{archive} has {packed:,} bytes and would become {total:,} in {len(entries):,} files, which no "
            "export does; unpack it yourself if you trust it"
        )
    free = shutil.disk_usage(folder).free
    if total > free:
        raise SegnetError(
            f"{archive} needs {total:,} bytes in {folder.parent.parent}, where {free:,} are free; make room, "
            "or set TMPDIR to another folder"
        )
