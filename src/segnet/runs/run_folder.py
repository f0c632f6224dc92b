"""A run folder: the names of its files, how they are written, and who may write to it."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from segnet.base.errors import SegnetError
from segnet.base.files import drop_temporaries, write_csv, write_text
from segnet.base.readable import dotted
from segnet.runs.identity import Manifest


class PathIn:
    """The place of a file in a folder, an attribute of a class that has ``path``.

    Args:
        name: the file, from that folder.
        what: what is in it.
    """

    def __init__(self, name: str, what: str) -> None:
        self._name, self.__doc__ = name, what

    def __get__(self, folder: Any, kind: type | None = None) -> Path:
        return folder.path / self._name


@dataclass(frozen=True)
class RunFolder:
    """The places in a run folder."""

    path: Path

    config = PathIn("config.yaml", "The resolved configuration; ``segnet train --config`` takes it.")
    data = PathIn("data.json", "Which images are in which split, a ``Manifest``.")
    environment = PathIn("environment.json", "What its numbers depend on besides the configuration.")
    metrics = PathIn("metrics.jsonl", "One line for each epoch, an ``EpochRecord``.")
    steps = PathIn("steps.jsonl", "One line for each of the first steps, a ``StepRecord``.")
    scores = PathIn("scores.json", "How it ended, an ``Outcome``.")
    images = PathIn("images.csv", "What the best model scored in each image, an ``ImageScores`` a row.")
    model = PathIn("model.safetensors", "The best epoch's model file.")
    state = PathIn("last/state.pt", "Where ``segnet resume`` goes on.")
    state_before = PathIn(
        "last/before.pt",
        "The state before that one: where it goes on if that one is damaged.",
    )
    trackers = PathIn(
        "last/trackers.json",
        "By which ids trackers know the run, and how many epochs they have.",
    )
    job = PathIn("last/job", "Which job of torchrun's it is of.")
    report = PathIn("report.html", "The page for people.")
    gif = PathIn("learning.gif", "The pictures of all epochs, moving.")

    def worst(self, rank: int) -> Path:
        """The picture of one of the images that the best model got most wrong, counted from 1."""
        return self.path / "worst" / f"{rank:02d}.png"

    @property
    def has_state(self) -> bool:
        """Whether there is a state, though perhaps a damaged one."""
        return self.state.is_file() or self.state_before.is_file()

    def kept_state(self, epoch: int) -> Path:
        """The state after an epoch, counted from 1, that was kept to branch from."""
        return self.path / "kept" / f"epoch_{epoch:03d}.pt"

    def kept_model(self, epoch: int) -> Path:
        """The model of what was the best epoch then."""
        return self.kept_state(epoch).with_suffix(".safetensors")

    def kept_epochs(self) -> list[int]:
        """The epochs of which state and model are kept."""
        return [epoch for epoch in self._of_epochs("kept", ".pt") if self.kept_model(epoch).is_file()]

    def kept_files(self) -> list[Path]:
        """All states and models that are kept, one of a pair too, which a kill has left."""
        return [
            file for suffix in (".pt", ".safetensors") for file in self._of_epochs("kept", suffix).values()
        ]

    def preview(self, epoch: int) -> Path:
        """The picture of an epoch, counted from 1."""
        return self.path / "previews" / f"epoch_{epoch:03d}.png"

    def predictions(self, epoch: int) -> Path:
        """What was predicted of the images in the picture of an epoch, as class ids."""
        return self.preview(epoch).with_suffix(".npz")

    @property
    def preview_images(self) -> Path:
        """The images in the pictures, with their truth and names."""
        return self.path / "previews" / "images.npz"

    def previews(self) -> list[Path]:
        """All pictures so far, in the order of epochs."""
        return list(self._of_epochs("previews", ".png").values())

    def _of_epochs(self, place: str, suffix: str) -> dict[int, Path]:
        """The files of epochs by rising number; what a person has put beside them is no such file."""
        found = {}
        for path in (self.path / place).glob(f"epoch_*{suffix}"):
            number = path.stem.removeprefix("epoch_")
            if number.isdecimal() and path.name == f"epoch_{int(number):03d}{suffix}" and path.is_file():
                found[int(number)] = path
        return dict(sorted(found.items()))

    def write_config(self, settings: Mapping[str, Any]) -> None:
        """Write the resolved configuration, without ``out``: again, the run goes into a folder of its own."""
        import yaml

        values = dict(settings) | {"out": None}
        # names of files that are no text can be read back only where YAML escapes them
        is_text = "\\udc" not in ascii(values)
        write_text(self.config, yaml.safe_dump(values, sort_keys=False, allow_unicode=is_text))

    def write_json(self, path: Path, value: object) -> None:
        """Write one JSON file, whole or not at all."""
        write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")

    def write_manifest(self, manifest: Manifest) -> None:
        """Write data.json, a line for each image."""
        plain = manifest.to_plain()
        splits = ",\n".join(
            f"  {json.dumps(name)}: [\n" + ",\n".join(f"   {json.dumps(each)}" for each in entries) + "\n  ]"
            for name, entries in plain.pop("splits").items()
        )
        head = json.dumps(plain, indent=1).removesuffix("\n}")
        write_text(self.data, head + ',\n "splits": {\n' + splits + "\n }\n}\n")

    def read_manifest(self) -> Manifest | None:
        """Return what ``write_manifest`` wrote; None for a run of an older version, which has none.

        Raises:
            SegnetError: a damaged file.
        """
        try:
            return Manifest.from_plain(json.loads(self.data.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SegnetError(f"{self.data} is damaged ({error!r}); bring it back, or train anew") from None

    def write_epochs(self, epochs: Sequence[Mapping[str, Any]]) -> None:
        """Write metrics.jsonl and metrics.csv, the latter with one flat column for each score."""
        write_text(self.metrics, "".join(json.dumps(epoch) + "\n" for epoch in epochs))
        rows = [
            {
                name: "x".join(map(str, value)) if isinstance(value, list | tuple) else value
                for name, value in dotted(epoch)
                if name != "val.confusion"
            }
            for epoch in epochs
        ]
        columns = list(dict.fromkeys(name for row in rows for name in row))
        values = [[row.get(column) for column in columns] for row in rows]
        write_csv(self.path / "metrics.csv", [columns, *values])

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing, and clear away what a killed one left half-written.

        The lock file stays: one that is unlinked could be held by one process and made anew by another.

        Raises:
            SegnetError: another process is at work on it.
        """
        with locked(self.path / "last" / "lock", self.path):
            drop_temporaries(self.path)
            yield


@contextmanager
def locked(place: Path, what: Path) -> Iterator[None]:
    """Hold the lock file ``place`` of a folder, ``what``.

    Raises:
        SegnetError: another process holds it.
    """
    from filelock import FileLock, Timeout

    place.parent.mkdir(exist_ok=True)
    try:
        held = FileLock(place, timeout=0).acquire()
    except Timeout:
        raise SegnetError(f"another process is still at work on {what}; wait for it, or end it") from None
    with held:
        yield


def require_free(out: Path | None) -> None:
    """Check, before any work is done for it, that a run may have this folder.

    Raises:
        SegnetError: it holds something already, or can't be made.
    """
    try:
        if out is not None and out.exists() and any(out.iterdir()):
            raise SegnetError(f"{out} isn't empty; take another --out, or go on with: segnet resume {out}")
        if "\\udc" in ascii(str(out)):  # bytes that are no UTF-8
            raise OSError(errno.EILSEQ, "its name is no text, and safetensors can't open such files")
        place = (out or Path("runs")).absolute()
        while not place.exists():
            place = place.parent
        if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
            reason = errno.EACCES if place.is_dir() else errno.ENOTDIR
            raise OSError(reason, os.strerror(reason))
    except OSError as error:
        raise _no_folder(out, error) from error


def new_run_folder(out: Path | None, stem: str) -> RunFolder:
    """Create the folder of a new run: ``out``, or the next free number of ``stem`` below ``runs``.

    What separates the parts of a dataset's name, as in owner/name:config, becomes a hyphen.

    Raises:
        SegnetError: ``out`` holds something already, or can't be written to.
    """
    require_free(out)
    stem = re.sub(r"[/\\:]", "-", stem)
    try:
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            return RunFolder(out)
        parent = Path("runs")
        parent.mkdir(exist_ok=True)
        for number in count(1):
            with suppress(FileExistsError):
                folder = parent / f"{stem}-{number:03d}"
                folder.mkdir()
                return RunFolder(folder)
    except OSError as error:
        raise _no_folder(out, error) from error
    raise AssertionError("there is always a next number")


def _no_folder(out: Path | None, error: OSError) -> SegnetError:
    return SegnetError(
        f"can't make a run folder at {out or 'runs'}: {error.strerror}; choose another with --out"
    )
