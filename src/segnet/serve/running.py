"""``segnet serve``: open the models, listen, and end as cleanly as the last request allows."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
from collections.abc import Sequence
from typing import Any

import h11
import numpy as np
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from segnet.base.errors import SegnetError
from segnet.base.files import expand_home
from segnet.inference.opening import load
from segnet.inference.segmenter import Segmenter
from segnet.serve.app import create_app
from segnet.serve.limits import Limits, require_token_beyond_here
from segnet.serve.request_log import REQUESTS

_NAME = re.compile(r"[\w.-]+")
_BLANK_PX = 64


def open_models(
    wanted: Sequence[str], *, device: str = "auto", runtime: str = "auto", threads: int = 1
) -> dict[str, Segmenter]:
    """Open models by the names that clients use, and let each segment a blank image.

    Args:
        wanted: ``MODEL`` as ``segnet.load`` takes it, or ``NAME=MODEL``. A model without a name is called
            after its run folder or file.
        device: as ``load`` takes it.
        runtime: as ``load`` takes it.
        threads: how many compute one image of an exported model.

    Raises:
        SegnetError: as ``load``; two models of one name, or a name that an address can't hold.
    """
    models: dict[str, Segmenter] = {}
    for each in wanted:
        name, source = _name_of(each)
        if not _NAME.fullmatch(name):
            raise SegnetError(f"a model can't be called {name!r}; name it in letters, as in NAME={source}")
        if name in models:
            raise SegnetError(f"two models are called {name}; name one of them, as in other={source}")
        models[name] = load(source, device=device, runtime=runtime, threads=threads)
    for model in models.values():
        channels = model.description.intensity.channels
        model.predict(np.zeros((_BLANK_PX, _BLANK_PX, channels), np.uint8))
    return models


def _name_of(wanted: str) -> tuple[str, str]:
    """Return name and source of a model."""
    name, found, source = wanted.partition("=")
    path = expand_home(wanted)
    if found and not path.exists():
        return name, source
    if path.is_dir() or not path.exists():  # a run folder, or a bundled name
        return path.resolve().name if path.is_dir() else wanted, wanted
    return (path.resolve().parent.name if path.stem == "model" else path.stem), wanted


def serve(models: dict[str, Segmenter], limits: Limits, *, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Answer requests until SIGTERM or Ctrl-C, then answer what has begun, and return.

    Args:
        models: open models by name.
        limits: what is allowed.
        host: the address to listen on.
        port: of it; 0 takes a free one.

    Raises:
        SegnetError: an address that others can reach without a token, or one that can't be listened on.
    """
    server = server_of(models, limits, host=host, port=port)
    _log_to(sys.stdout)
    try:
        server.run()
    except KeyboardInterrupt:  # uvicorn repeats the signal once everything is answered
        pass
    except SystemExit as error:  # uvicorn has logged why it can't listen
        raise SegnetError(f"can't listen on {host} port {port}; take another --port or --host") from error


def server_of(models: dict[str, Segmenter], limits: Limits, *, host: str, port: int) -> uvicorn.Server:
    """Return the server that ``serve`` runs.

    Raises:
        SegnetError: as ``serve``, before anything listens.
    """
    require_token_beyond_here(host, limits.token)
    if not 0 <= port < 65536:
        raise SegnetError(f"--port must be from 0 to 65535, got {port}")
    patient = type("Patient", (PatientProtocol,), {"patience_s": limits.timeout_s})
    config = uvicorn.Config(
        create_app(models, limits), host, port, http=patient, ws="none", log_config=None, access_log=False,
        server_header=False, lifespan="on",
    )  # fmt: skip
    return _Server(config, ", ".join(models))


def _log_to(stream: Any) -> None:
    """Let requests go to a stream, a line each, and warnings to standard error."""
    lines = logging.StreamHandler(stream)
    lines.setFormatter(logging.Formatter("%(message)s"))
    REQUESTS.handlers, REQUESTS.propagate = [lines], False
    REQUESTS.setLevel(logging.INFO)
    logging.basicConfig(format="segnet: %(message)s", level=logging.WARNING)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, names: str) -> None:
        super().__init__(config)
        self._names = names

    def _log_started_message(self, listeners: Any) -> None:
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        print(f"segnet: serving {self._names} on http://{address} (Ctrl-C ends)", file=sys.stderr, flush=True)


class PatientProtocol(H11Protocol):
    """A connection that is cut where a client neither asks nor takes its answer in time.

    uvicorn itself would wait for ever for headers that come a byte at a time, and for a client that doesn't
    read.
    """

    patience_s = 60.0
    _ticks = 0
    _seen: Any = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch."""
        super().connection_made(transport)
        self._tick = self.loop.call_later(self.patience_s, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """End to watch."""
        self._tick.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        self._ticks = self._ticks + 1 if self._seen is self.cycle else 0
        self._seen = self.cycle
        is_busy = self.cycle is not None and not self.cycle.response_complete
        if self._ticks > (2 if is_busy else 0):  # a request itself ends after ``patience_s``
            self.transport.abort()
        else:
            self._tick = self.loop.call_later(self.patience_s, self._look)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, as every other error."""
        body = json.dumps({"error": "this is no valid HTTP request"}).encode()
        headers = [("content-type", "application/json"), ("connection", "close")]
        for event in (h11.Response(status_code=400, headers=headers), h11.Data(body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
