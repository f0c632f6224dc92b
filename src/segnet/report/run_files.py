"""What a run left in its folder, read with care: a killed run leaves half a line, a person edits a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from segnet.core.errors import SegnetError


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML or JSON file that holds a mapping; a missing one is empty.

    Raises:
        SegnetError: a file that is damaged or holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    try:
        content = yaml.safe_load(text) if path.suffix == ".yaml" else json.loads(text)
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise SegnetError(f"can't read {path}: {reason}; correct the file or delete it") from error
    if not isinstance(content, dict):
        raise SegnetError(f"{path} should hold names and values, not {type(content).__name__}")
    return content


def read_metrics(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the epochs in order and the number of lines that could not be read.

    A run that was killed may leave half a line, and one that was resumed repeats the epoch it was in: the
    later line counts.
    """
    if not path.is_file():
        return [], 0
    rows: dict[int, dict[str, Any]] = {}
    unreadable = 0
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            rows[int(row["epoch"])] = row
        except (ValueError, TypeError, KeyError):
            unreadable += 1
    return [rows[epoch] for epoch in sorted(rows)], unreadable
