"""The checksum at the end of a saved state.

A state is a zip archive, as ``torch.save`` writes it, whose comment is the SHA-256 of all before it: a
truncated or damaged one is noticed, where torch alone reads damaged numbers without a word.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_SEAL = b"sha256 "
_SEALED = len(_SEAL) + hashlib.sha256().digest_size


def seal(path: Path) -> None:
    """Make the checksum of a zip archive its comment, and see that all of it is on the disk."""
    with path.open("r+b") as file:
        file.seek(-2, os.SEEK_END)  # the archive ends with the length of its comment
        file.write(_SEALED.to_bytes(2, "little"))
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").digest()
        file.seek(0, os.SEEK_END)
        file.write(_SEAL + digest)
        file.flush()
        os.fsync(file.fileno())  # a name that outlives a power cut must not outlive its content


def is_sealed(path: Path) -> bool:
    """Say whether a file ends with the checksum of the rest; False where it has none.

    Raises:
        ValueError: its checksum is another.
    """
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        left = max(0, path.stat().st_size - _SEALED)
        while left and (part := file.read(min(left, 1 << 20))):
            hashed.update(part)
            left -= len(part)
        seal = file.read()
    if not seal.startswith(_SEAL):
        return False
    if seal != _SEAL + hashed.digest():
        raise ValueError("its checksum is wrong, so it is damaged")
    return True
