"""What a run leaves in its folder, and how it goes on from there.

``last/state.pt`` holds the whole state after an epoch. Order, augmentation and dropout are functions of
(seed, epoch, step), so no random-number state has to be saved for a resumed run to give the same bits.
"""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml
from filelock import FileLock, Timeout
from torch import nn

from segnet.core.errors import SegnetError
from segnet.core.files import drop_temporaries, replacing, write_text
from segnet.core.own_model import short_name
from segnet.inference.bundle import require_fit
from segnet.training.config import TrainConfig, read_config


@dataclass
class State:
    """Everything that the next epoch depends on."""

    epoch: int = 0
    """Epochs done."""

    best_epoch: int = 0
    best_mean_iou: float = -1.0
    records: list[dict[str, Any]] = field(default_factory=list)
    """One record for each epoch; what metrics.jsonl holds."""


@dataclass(frozen=True)
class RunFolder:
    """The places in a run folder."""

    path: Path

    @property
    def model(self) -> Path:
        """The best epoch's model file."""
        return self.path / "model.safetensors"

    @property
    def state(self) -> Path:
        """Where ``segnet resume`` goes on."""
        return self.path / "last" / "state.pt"

    def preview(self, epoch: int) -> Path:
        """The picture of an epoch, counted from 1."""
        return self.path / "previews" / f"epoch_{epoch:03d}.png"

    def previews(self) -> list[Path]:
        """All pictures so far, in the order of epochs."""
        return sorted((self.path / "previews").glob("epoch_*.png"), key=lambda path: int(path.stem[6:]))

    def write_config(self, config: TrainConfig) -> None:
        """Write the resolved configuration; ``segnet train --config`` takes it.

        Without ``out``: the same run again goes into a folder of its own.
        """
        values = config.with_absolute_paths().to_dict() | {"out": None}
        text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
        write_text(self.path / "config.yaml", text)

    def write_json(self, name: str, value: object) -> None:
        """Write one JSON file, whole or not at all."""
        write_text(self.path / name, json.dumps(value, indent=2, allow_nan=False) + "\n")

    def write_records(self, records: list[dict[str, Any]]) -> None:
        """Write metrics.jsonl and metrics.csv, the latter with one flat column for each score."""
        write_text(self.path / "metrics.jsonl", "".join(json.dumps(record) + "\n" for record in records))
        rows = [_flat(record) for record in records]
        columns = list(dict.fromkeys(name for row in rows for name in row))
        table = io.StringIO()
        writer = csv.DictWriter(table, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path / "metrics.csv", table.getvalue())


def require_free(out: Path | None) -> None:
    """Check, before any work is done for it, that a run may have this folder.

    Raises:
        SegnetError: it holds something already, or can't be made.
    """
    try:
        if out is not None and out.exists() and any(out.iterdir()):
            raise SegnetError(f"{out} isn't empty; take another --out, or go on with: segnet resume {out}")
    except OSError as error:
        raise _no_folder(out, error) from error


def new_run_folder(config: TrainConfig) -> RunFolder:
    """Create the folder of a new run: ``config.out``, or the next free number below ``runs``.

    Raises:
        SegnetError: ``config.out`` holds something already, or can't be written to.
    """
    require_free(config.out)
    try:
        if config.out is not None:
            config.out.mkdir(parents=True, exist_ok=True)
            return RunFolder(config.out)
        stem = f"{Path(config.data).resolve().name}-{short_name(config.model)}-{config.recipe}"
        parent = Path("runs")
        parent.mkdir(exist_ok=True)
        number = 1
        while True:
            folder = parent / f"{stem}-{number:03d}"
            try:
                folder.mkdir()
            except FileExistsError:
                number += 1
            else:
                return RunFolder(folder)
    except OSError as error:
        raise _no_folder(config.out, error) from error


def _no_folder(out: Path | None, error: OSError) -> SegnetError:
    return SegnetError(
        f"can't make a run folder at {out or 'runs'}: {error.strerror}; choose another with --out"
    )


def open_run_folder(path: Path) -> tuple[RunFolder, TrainConfig]:
    """Open the folder of a run that is to go on.

    Raises:
        SegnetError: no folder, or one without a configuration and a state.
    """
    folder = RunFolder(path)
    config_file = path / "config.yaml"
    if not folder.state.is_file() or not config_file.is_file():
        raise SegnetError(f"{path} is no run that can go on: it needs config.yaml and last/state.pt")
    return folder, read_config(config_file)


@contextmanager
def held(folder: RunFolder) -> Iterator[None]:
    """Keep other processes from writing to a run, and clear away what a killed one left half-written.

    Raises:
        SegnetError: another process is at work on it.
    """
    lock = FileLock(folder.path / "last" / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise SegnetError(
            f"another process is still at work on {folder.path}; wait for it, or end it"
        ) from error
    try:
        drop_temporaries(folder.path)
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


def save_state(path: Path, state: State, parts: dict[str, Any]) -> None:
    """Write the state with the ``state_dict`` of each part, whole or not at all."""
    content = {"state": vars(state), "parts": {name: part.state_dict() for name, part in parts.items()}}
    with replacing(path) as temporary:
        torch.save(content, temporary)


def load_state(path: Path, parts: dict[str, Any]) -> State:
    """Read the state back and fill every part; unpickles nothing but tensors and plain values.

    Raises:
        SegnetError: a damaged file, or one of another model.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        for name, part in parts.items():
            if isinstance(part, nn.Module):  # torch would say it in many lines
                require_fit(part.state_dict(), content["parts"][name], "it is another model's state")
            part.load_state_dict(content["parts"][name])
        return State(**content["state"])
    except Exception as error:  # torch raises about anything for a damaged file
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise SegnetError(f"{path} can't be read as the state of this run: {reason[0]}") from error


def describe_environment(device: torch.device) -> dict[str, Any]:
    """Return what a number can depend on besides the configuration."""
    names = ("torch", "numpy", "pillow", "kornia", "torchmetrics", "safetensors")
    return {
        "command": shlex.join(["segnet", *sys.argv[1:]]) if Path(sys.argv[0]).stem == "segnet" else None,
        "segnet": version("segnet"),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in names},
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _flat(record: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        elif name != "confusion":
            flat[prefix + name] = "x".join(map(str, value)) if isinstance(value, list) else value
    return flat
