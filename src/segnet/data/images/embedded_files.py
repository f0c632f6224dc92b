"""Files that don't lie on the disk by themselves, such as an image in a row of a table.

What reads a picture takes them as it takes a path, so every check and every message is the same for both.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path


class Blob(ABC):
    """A file inside something else; as text it is what messages call it. Nothing holds its bytes."""

    suffix = ""
    """It has no name of its own that could say something else than its content."""

    @abstractmethod
    def read(self) -> bytes:
        """Return the file's bytes.

        Raises:
            Fault: it has none, or they can't be read.
        """

    @abstractmethod
    def __str__(self) -> str: ...

    def digest(self) -> bytes:
        """Return the sha256 of its bytes, as ``file_digest`` does of a file's."""
        return hashlib.sha256(self.read()).digest()


File = Path | Blob
