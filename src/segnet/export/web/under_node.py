"""The engine for browsers under Node, so that the very code that a page runs is compared with the model."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from segnet.base.errors import SegnetError
from segnet.data.images.pixel_values import Pixels

ENGINE = Path(__file__).with_name("engine.mjs")
"""The engine, built from web/engine; a broken installation has none."""
_SCRIPT = Path(__file__).with_name("run_engine.mjs")
_OLDEST_NODE = 18


@dataclass(frozen=True)
class Node:
    """A Node that can run the engine."""

    command: str
    version: str


def find_node() -> Node | str:
    """Return the Node on the path, or in words why the engine can't be run."""
    if not ENGINE.is_file():
        return "this installation lacks the engine"
    command = shutil.which("node")
    if command is None:
        return "there is no Node on the PATH"
    said = subprocess.run([command, "--version"], capture_output=True, text=True, check=False).stdout
    version = said.strip().removeprefix("v")
    major = version.partition(".")[0]
    if not major.isdecimal() or int(major) < _OLDEST_NODE:
        return f"Node {version or 'without a version'} is too old, {_OLDEST_NODE} or newer runs it"
    return Node(command, version)


class EngineUnderNode:
    """The engine in a process of Node's; ``running`` starts one."""

    def __init__(self, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        self._process, self._errors = process, errors
        assert process.stdin is not None
        assert process.stdout is not None
        self._to, self._from = process.stdin, process.stdout
        self.backend: str = json.loads(self._from.readline() or self._failed())["backend"]

    def logits(self, images: Pixels) -> npt.NDArray[np.float32]:
        """Return logits ``(N, classes, h, w)`` of images ``(N, h, w, C)``.

        Raises:
            SegnetError: the engine fails.
        """
        return np.stack([self._logits_of(image) for image in images])

    def _logits_of(self, image: Pixels) -> npt.NDArray[np.float32]:
        height, width = image.shape[:2]
        try:
            self._to.write(np.array([height, width], "<u4").tobytes() + image.tobytes())
            self._to.flush()
        except OSError:
            self._failed()
        count = int.from_bytes(self._read(4), "little")
        logits = np.frombuffer(self._read(4 * count), "<f4").reshape(height, width, -1)
        return logits.transpose(2, 0, 1)

    def _read(self, size: int) -> bytes:
        found = self._from.read(size)
        return found if len(found) == size else self._failed()

    def _failed(self) -> bytes:
        self._process.wait()
        self._errors.seek(0)
        found = re.search(r"^\w*Error\b.*", self._errors.read().decode(errors="replace"), re.MULTILINE)
        says = found[0] if found else f"exit code {self._process.returncode}"
        raise SegnetError(f"the engine for browsers fails under Node; it says: {says}")


@contextmanager
def running(node: Node, model: Path) -> Iterator[EngineUnderNode]:
    """Start the engine with a model file, and end it.

    Raises:
        SegnetError: the engine doesn't start.
    """
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            [node.command, str(_SCRIPT), str(ENGINE), str(model)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        ) as process,
    ):
        try:
            yield EngineUnderNode(process, errors)
        finally:
            process.kill()
