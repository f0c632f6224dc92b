"""Where bulk prediction reads and writes: paths and addresses of any file system that fsspec knows."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any

from segnet.base.errors import SegnetError
from segnet.base.files import expand_home
from segnet.data.images.suffixes import IMAGE_SUFFIXES
from segnet.inference.predict_files import find_images, names_of, without_outputs

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

MANIFEST = "manifest"
"""The folder of the output address that says what is done; in it, what is being written lies in ``.tmp``."""

_TEMPORARY = f"{MANIFEST}/.tmp"


@dataclass(frozen=True)
class Source:
    """An image to segment, wherever it lies."""

    file_system: int
    """Which one, of those that ``find_sources`` returns."""
    path: str
    """Its path there."""
    shown: str
    """What lines and messages call it."""
    name: str
    """What its outputs are called, with the folders they lie in."""


@dataclass(frozen=True)
class Address:
    """The address that results are written to; other machines open it too."""

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
        if is_address(address):
            file_system, root = open_address(address)
            return cls(address.rstrip("/"), file_system, root.rstrip("/"))
        folder = expand_home(address)
        return cls(str(folder), _local(), str(folder.absolute()))

    def show(self, name: str) -> str:
        """Return what lines call a file."""
        if "::" in self.shown:  # of a chain, the first address is the one inside all others
            first, chain, rest = self.shown.partition("::")
            return f"{first}/{name}{chain}{rest}"
        return f"{self.shown}/{name}" if is_address(self.shown) else str(Path(self.shown) / name)

    def publish(self, file: Path, name: str) -> None:
        """Copy a local file to its name here, whole or not at all; what is there already stays.

        Raises:
            SegnetError: it can't be written.
        """
        target, temporary = f"{self.root}/{name}", f"{self.root}/{_TEMPORARY}/{secrets.token_hex(8)}"
        try:
            if self.file_system.exists(target):
                return
            for path in (temporary, target):
                self.file_system.makedirs(path.rpartition("/")[0], exist_ok=True)
            self.file_system.put_file(str(file), temporary)
            self.file_system.mv(temporary, target)
        except Exception as error:  # file systems raise what their libraries do
            raise SegnetError(
                f"can't write {self.show(name)}: {reason(error)}; choose another place or make room"
            ) from error

    def require_writable(self) -> None:
        """Write a file and remove it.

        Raises:
            SegnetError: that can't be done.
        """
        temporary = f"{self.root}/{_TEMPORARY}/{secrets.token_hex(8)}"
        try:
            self.file_system.makedirs(f"{self.root}/{_TEMPORARY}", exist_ok=True)
            self.file_system.pipe_file(temporary, b"-")
            self.file_system.rm_file(temporary)
        except Exception as error:
            raise SegnetError(
                f"can't write to {self.shown}: {reason(error)}; choose another place or make room"
            ) from error

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with suppress(FileNotFoundError):
            self.file_system.rm_file(f"{self.root}/{name}")

    def begin_again(self, name: str, most: int) -> int | None:
        """Note that something is begun, and return how often it was before; None for so often or more.

        Raises:
            SegnetError: that can't be written.
        """
        try:
            self.file_system.makedirs(f"{self.root}/{_TEMPORARY}", exist_ok=True)
            for number in range(most):
                marker = f"{self.root}/{_TEMPORARY}/{name}-{number}"
                if not self.file_system.exists(marker):
                    self.file_system.pipe_file(marker, b"-")
                    return number
        except Exception as error:
            raise SegnetError(f"can't write to {self.shown}: {reason(error)}; make room") from error
        return None

    def drop_temporaries(self) -> None:
        """Remove what processes that were killed have left."""
        with suppress(Exception):
            self.file_system.rm(f"{self.root}/{_TEMPORARY}", recursive=True)

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes, or None where there is none of this name.

        Raises:
            SegnetError: it can't be read.
        """
        try:
            content: bytes = self.file_system.cat_file(f"{self.root}/{name}")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Exception as error:
            raise SegnetError(f"can't read {self.show(name)}: {reason(error)}") from error
        return content

    def names(self, folder: str = "") -> list[str]:
        """Return the names in the folder, or in one below it; none where it isn't there.

        Raises:
            SegnetError: it is a file, or can't be read.
        """
        path = f"{self.root}/{folder}".rstrip("/")
        try:
            self.file_system.invalidate_cache()
            if self.file_system.isfile(path):
                raise SegnetError(f"{self.shown} is a file; name a folder")
            found = self.file_system.ls(path, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except SegnetError:
            raise
        except Exception as error:
            raise SegnetError(f"can't read {self.shown}: {reason(error)}") from error
        names = (str(each).rstrip("/").rpartition("/")[2] for each in found)
        return sorted(name for name in names if name)


def find_sources(
    sources: Sequence[str], skipped: list[PurePath] | None = None
) -> tuple[list[AbstractFileSystem], list[Source]]:
    """Return the images that paths, folders, patterns and addresses stand for, each once, in their order.

    Args:
        sources: what is asked for.
        skipped: is given the files of folders that have no suffix of a picture.

    Returns:
        The file systems, and the images in them.

    Raises:
        SegnetError: as ``find_images``, or an address that can't be opened.
    """
    file_systems: list[AbstractFileSystem] = [_local()]
    images: dict[str, tuple[int, str, PurePath]] = {}  # by what they are called
    folders: list[PurePath] = []
    skipped = [] if skipped is None else skipped
    for source in sources:
        if not is_address(source):
            folders += [expand_home(source)] * expand_home(source).is_dir()
            for file in find_images([source], skipped):
                images.setdefault(str(file), (0, str(file.absolute()), file))
            continue
        file_system, path = open_address(source)
        try:
            found, is_folder = _list(file_system, path, skipped)
        except Exception as error:  # file systems raise what their libraries do
            raise SegnetError(f"can't list {source}: {reason(error)}") from error
        if not found:
            held = "the folder holds none" if is_folder else "no file or folder of this name or pattern"
            raise SegnetError(f"there is no image {source}: {held}; check the address")
        folders += [PurePosixPath(file_system.unstrip_protocol(path))] * is_folder
        chain = "".join(source.partition("::")[1:])
        for each in found:
            address = str(file_system.unstrip_protocol(each))
            images.setdefault(f"{address}{chain}", (len(file_systems), each, PurePosixPath(address)))
        file_systems.append(file_system)
    kept = without_outputs(images.items(), sources, lambda item: item[1][2].name)
    names = names_of((path for _, (_, _, path) in kept), folders)
    return file_systems, [
        Source(number, path, shown, name)
        for (shown, (number, path, _)), name in zip(kept, names, strict=True)
    ]


def is_address(text: str) -> bool:
    """Say whether a text is an address of fsspec's rather than a path."""
    return "://" in text or "::" in text


def open_address(address: str) -> tuple[Any, str]:
    """Return the file system of an address and the path in it.

    Raises:
        SegnetError: no such file system, a package that it needs isn't installed, or it can't be opened.
    """
    from fsspec.core import url_to_fs

    try:
        file_system, path = url_to_fs(address)
    except ImportError as error:
        raise SegnetError(f"{address} needs a package that isn't installed: {reason(error)}") from error
    except Exception as error:
        raise SegnetError(f"can't open {address}: {reason(error)}") from error
    return file_system, str(path)


def is_local(file_system: AbstractFileSystem) -> bool:
    """Say whether its paths are this machine's own."""
    from fsspec.implementations.local import LocalFileSystem

    return isinstance(file_system, LocalFileSystem)


def reason(error: BaseException) -> str:
    """Return what an error of any library says, in one line."""
    said = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return " ".join(said.split())


def _list(file_system: AbstractFileSystem, path: str, skipped: list[PurePath]) -> tuple[list[str], bool]:
    """Return the images at a path, and whether it is a folder."""
    if file_system.isdir(path):
        depth, found = len(PurePosixPath(path).parts), []
        for each in file_system.find(path):
            file = PurePosixPath(each)
            if any(part.startswith(".") for part in file.parts[depth:]):
                continue
            if file.suffix.lower() in IMAGE_SUFFIXES:
                found.append(each)
            else:
                skipped.append(file)
        return sorted(found, key=lambda each: PurePosixPath(each).parts), True
    if file_system.isfile(path):
        return [path], False
    matches = file_system.glob(path, detail=True)
    files = (each for each, info in matches.items() if info["type"] != "directory")
    # as a shell and Python's glob see it, patterns don't match what is hidden unless they say so
    seen = files if "/." in path else (each for each in files if "/." not in f"/{each}")
    return sorted(seen, key=lambda each: PurePosixPath(each).parts), False


def _local() -> AbstractFileSystem:
    from fsspec.implementations.local import LocalFileSystem

    return LocalFileSystem()
