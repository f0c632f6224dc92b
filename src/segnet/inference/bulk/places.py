"""Where bulk prediction reads and writes: paths and addresses of any file system that fsspec knows."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from segnet.base.errors import SegnetError
from segnet.base.files import expand_home
from segnet.data.images.suffixes import IMAGE_SUFFIXES
from segnet.inference.predict_files import find_images, names_of, without_outputs

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

MANIFEST = "manifest"
"""The folder of the output address that says what is done; what is being written lies in its ``.tmp``."""


class Source(NamedTuple):
    """An image to segment, wherever it lies."""

    address: str
    """What was asked for, whose file system it lies in."""
    path: str
    """Its path there."""
    shown: str
    """What lines and messages call it."""
    name: str
    """What its outputs are called, with the folders they lie in."""


@dataclass(frozen=True)
class Address:
    """The address that results are written to; other machines open it too.

    What a file system raises, be it its library's error, its methods raise as SegnetError.
    """

    shown: str
    file_system: AbstractFileSystem
    root: str

    @classmethod
    def at(cls, address: str) -> Address:
        """Open an address or a path.

        Raises:
            SegnetError: a file system that isn't known here.
        """
        if not address.strip():
            raise SegnetError("--out is empty; name a folder or an address")
        shown = address.rstrip("/") if is_address(address) else str(expand_home(address))
        file_system, root = open_address(shown)
        return cls(shown, file_system, root.rstrip("/"))

    def show(self, name: str) -> str:
        """Return what lines call a file; of a chain, the first address is the one inside all others."""
        first, chain, rest = self.shown.partition("::")
        return f"{first}/{name}{chain}{rest}" if is_address(self.shown) else str(Path(self.shown) / name)

    def publish(self, name: str, content: bytes, *, anew: bool = False) -> None:
        """Write a file; one of this length that is there already stays, unless it is to be ``anew``.

        The file appears whole or not at all where its file system moves files in one step. Other file systems
        copy: a process that is killed then leaves a part of the file, and the next process replaces it.
        """
        target = f"{self.root}/{name}"
        with explained(f"can't write {self.show(name)}", "; choose another place or make room"):
            found = self.file_system.exists(target)
            stays = found and not anew and self.file_system.size(target) == len(content)
            if found and not stays:
                self.file_system.rm_file(target)
            if not stays:
                temporary = self._temporary(secrets.token_hex(8), content)
                self.file_system.makedirs(target.rpartition("/")[0], exist_ok=True)
                self.file_system.mv(temporary, target)

    def begin_again(self, name: str, most: int) -> bool:
        """Note that something is begun; say whether that may be: it was begun fewer than ``most`` times."""
        with explained(f"can't write to {self.shown}", "; make room"):
            for number in range(most):
                if not self.file_system.exists(f"{self.root}/{MANIFEST}/.tmp/{name}-{number}"):
                    self._temporary(f"{name}-{number}", b"-")
                    return True
        return False

    def _temporary(self, name: str, content: bytes) -> str:
        folder = f"{self.root}/{MANIFEST}/.tmp"
        self.file_system.makedirs(folder, exist_ok=True)
        self.file_system.pipe_file(f"{folder}/{name}", content)
        return f"{folder}/{name}"

    def drop_temporaries(self) -> None:
        """Remove what processes that were killed have left."""
        with suppress(Exception):
            self.file_system.rm(f"{self.root}/{MANIFEST}/.tmp", recursive=True)

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes, or None where there is none of this name."""
        with explained(f"can't read {self.show(name)}"), suppress(FileNotFoundError, NotADirectoryError):
            return bytes(self.file_system.cat_file(f"{self.root}/{name}"))
        return None

    def names(self, folder: str = "") -> list[str]:
        """Return the names in the folder, or in one below it; none where it isn't there."""
        path = f"{self.root}/{folder}".rstrip("/")
        with explained(f"can't read {self.shown}"), suppress(FileNotFoundError, NotADirectoryError):
            self.file_system.invalidate_cache()
            if self.file_system.isfile(path):
                raise SegnetError(f"{self.shown} is a file; name a folder")
            found = self.file_system.ls(path, detail=False)
            return [each.rstrip("/").rpartition("/")[2] for each in found if each.rstrip("/") != path]
        return []


def find_sources(sources: Sequence[str], skipped: list[PurePath] | None = None) -> list[Source]:
    """Return the images that paths, folders, patterns and addresses stand for, each once, in their order.

    Args:
        sources: what is asked for.
        skipped: is given the files of folders that have no suffix of a picture.

    Raises:
        SegnetError: as ``find_images``, or an address that can't be opened.
    """
    images: dict[str, tuple[str, str, PurePath]] = {}  # by what they are called
    folders: list[PurePath] = []
    skipped = [] if skipped is None else skipped
    for source in sources:
        if not is_address(source):
            folders += [expand_home(source)] * expand_home(source).is_dir()
            for file in find_images([source], skipped):
                images.setdefault(str(file), ("", str(file.absolute()), file))
            continue
        file_system, path = open_address(source)
        with explained(f"can't list {source}"):
            found, is_folder = _list(file_system, path, skipped)
        if not found:
            held = "the folder holds none" if is_folder else "no file or folder of this name or pattern"
            raise SegnetError(f"there is no image {source}: {held}; check the address")
        folders += [PurePosixPath(file_system.unstrip_protocol(path))] * is_folder
        chain = "".join(source.partition("::")[1:])
        for each in found:
            address = str(file_system.unstrip_protocol(each))
            images.setdefault(f"{address}{chain}", (source, each, PurePosixPath(address)))
    kept = without_outputs(images.items(), sources, lambda item: item[1][2].name)
    names = names_of((file for _, (_, _, file) in kept), folders)
    return [Source(*place[:2], shown, name) for (shown, place), name in zip(kept, names, strict=True)]


def _list(file_system: AbstractFileSystem, path: str, skipped: list[PurePath]) -> tuple[list[str], bool]:
    """Return the images at a path, and whether it is a folder."""
    if is_folder := file_system.isdir(path):
        found = file_system.find(path)
    elif file_system.isfile(path):
        return [path], False
    else:
        matches = file_system.glob(path, detail=True)
        found = [each for each, info in matches.items() if info["type"] != "directory"]
    # as in a shell, patterns don't match what is hidden unless they say so
    own_parts = len(PurePosixPath(path).parts) if is_folder or "/." in path else 0
    files = sorted(map(PurePosixPath, found), key=lambda file: file.parts)
    seen = [file for file in files if not any(part.startswith(".") for part in file.parts[own_parts:])]
    if is_folder:
        skipped += [file for file in seen if file.suffix.lower() not in IMAGE_SUFFIXES]
        seen = [file for file in seen if file.suffix.lower() in IMAGE_SUFFIXES]
    return [*map(str, seen)], is_folder


def is_address(text: str) -> bool:
    """Say whether a text is an address that fsspec opens, and no path."""
    return "://" in text or "::" in text


def open_address(address: str) -> tuple[AbstractFileSystem, str]:
    """Return the file system of an address or a path, and the whole path in it."""
    from fsspec.core import url_to_fs

    with explained(f"can't open {address}"):
        file_system, path = url_to_fs(address if is_address(address) else str(Path(address).absolute()))
        return file_system, str(path)


@contextmanager
def explained(what: str, remedy: str = "") -> Iterator[None]:
    """Raise as SegnetError whatever is raised inside: file systems raise what their libraries do."""
    try:
        yield
    except SegnetError:
        raise
    except Exception as error:
        said = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        raise SegnetError(f"{what}: {' '.join(said.split())}{remedy}") from error
