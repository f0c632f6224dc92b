"""Bodies of requests, bounded while they arrive, and the image in them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, FormParser, parse_options_header
from starlette.requests import ClientDisconnect

from segnet.serve.refusals import RefusedError

_TOGETHER = 8  # bodies of the largest size that are held at a time
_FORM, _PART = b"multipart/form-data", "file"
_MOST_PARTS = 8


class Upload(NamedTuple):
    """An image as it was sent."""

    content: bytes
    name: str
    """What the client calls it, without folders; "image" where it doesn't say."""


class Bodies:
    """Reads bodies of at most ``most`` bytes, and holds no more than eight times as much at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._budget = _TOGETHER * most
        self._held = 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """Give a request's body, which counts as held inside the block.

        Raises:
            RefusedError: too many bytes, by the header or as they arrive (413), none (400), a compressed body
                (415), a client that has gone (400), or too many bytes held for others (503).
        """
        self._require_length(request)
        pieces, mine = [], 0
        try:
            async for piece in request.stream():
                mine += len(piece)
                self._held += len(piece)
                if mine > self._most:
                    raise self._too_large()
                if self._held > self._budget:
                    raise RefusedError(
                        503, "the server holds as many bytes as it may; send the image again", 1
                    )
                pieces.append(piece)
            if not mine:
                raise RefusedError(
                    400, "the body is empty; send an image, as the body or as the form's part file"
                )
            body = b"".join(pieces)
            pieces.clear()
            yield body
        except ClientDisconnect:
            raise RefusedError(400, "the connection was closed before the body was complete") from None
        finally:
            self._held -= mine

    def _require_length(self, request: Request) -> None:
        encoding = request.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise RefusedError(415, "a compressed body isn't read; send the image as it is")
        length = request.headers.get("content-length", "0")
        if length.isdigit() and int(length) > self._most:
            raise self._too_large()

    def _too_large(self) -> RefusedError:
        return RefusedError(
            413, f"the body has more than {self._most:,} bytes (--max-bytes); send a smaller image"
        )


def image_in(body: bytes, content_type: str) -> Upload:
    """Return the image in a body: the part ``file`` of a form, or the body itself.

    Raises:
        RefusedError: a form that can't be read (400), has no part ``file`` (400), or has others (422).
    """
    kind, options = parse_options_header(content_type)
    if kind != _FORM:
        return Upload(body, "image")
    parts = _parts(body, options.get(b"boundary"))
    others = sorted({name for name, _, _ in parts if name != _PART})
    if others:
        raise RefusedError(
            422,
            f"the form's part {others[0]!r} isn't read: the image is the part file, and parameters stand in "
            "the address, as in ?format=png",
        )
    if len(parts) != 1:
        raise RefusedError(
            400, f"the form has {len(parts)} parts called file where one image is taken; send one"
        )
    _, content, name = parts[0]
    if not content:
        raise RefusedError(400, "the form's part file is empty; send an image")
    return Upload(content, name.replace("\\", "/").rpartition("/")[2] or "image")


def _parts(body: bytes, boundary: bytes | None) -> list[tuple[str, bytes, str]]:
    """Return name, content and file name of each part of a form.

    Raises:
        RefusedError: a form that can't be read.
    """
    found: list[Field | File] = []
    # in memory, which the body fits into: nothing that is sent gets on the disk
    config = {"MAX_MEMORY_FILE_SIZE": len(body) + 1, "MAX_FIELDS": _MOST_PARTS}
    try:
        parser = FormParser(_FORM.decode(), found.append, found.append, boundary=boundary, config=config)
        parser.write(body)
        parser.finalize()
    except FormParserError:
        raise RefusedError(
            400, "the form can't be read; send multipart/form-data with its boundary"
        ) from None
    return [
        (_text(each.field_name), _content(each), _text(getattr(each, "file_name", b""))) for each in found
    ]


def _content(part: Field | File) -> bytes:
    if isinstance(part, Field):  # a part without a file name
        return part.value or b""
    part.file_object.seek(0)
    return part.file_object.read()


def _text(sent: bytes | None) -> str:
    return (sent or b"").decode("utf-8", "replace")
