"""Digests of files, each computed once as long as the file stays as it is (`file_records.py`)."""

from __future__ import annotations

import hashlib

from segnet.base.errors import SegnetError
from segnet.data.images.embedded_files import Blob, File
from segnet.data.images.file_records import recall


def file_digest(file: File) -> bytes:
    """Return the sha256 of a file's bytes.

    Raises:
        SegnetError: a file that can't be read.
    """
    if isinstance(file, Blob):
        return file.digest()
    try:
        return recall(file, "digest", lambda: hashlib.sha256(file.read_bytes()).digest())
    except OSError as error:
        raise SegnetError(f"{file} can't be read: {error.strerror}") from error
