"""One JSON line and one count for each request: no file names, no pixels, no addresses of clients."""

from __future__ import annotations

import json
import logging
import time
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from segnet import __version__
from segnet.serve.work_queue import WorkQueue

REQUESTS = logging.getLogger("segnet.serve.requests")

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_UNMATCHED = "unmatched"  # a label for every path would be a way to fill the memory


class Metrics:
    """What Prometheus reads."""

    def __init__(self, work: WorkQueue) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "segnet_requests", "Requests answered", ("route", "status", "model"), registry=self.registry
        )
        self.seconds = Histogram(
            "segnet_request_seconds", "From the headers to the answer", ("route",), "", "", "", self.registry,
            buckets=_SECONDS,
        )  # fmt: skip
        held = Gauge("segnet_images_held", "Images that are computed or wait", registry=self.registry)
        held.set_function(lambda: work.held)
        Info("segnet", "The version", registry=self.registry).info({"version": __version__})
        ProcessCollector(registry=self.registry)


class RequestLog:
    """Wraps an app: logs, counts, and adds the header that keeps browsers from guessing media types."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin = time.perf_counter()
        seen: dict[str, Any] = {"status": 500, "bytes": 0}

        async def counted_receive() -> Message:
            message = await receive()
            seen["bytes"] += len(message.get("body", b""))
            return message

        async def noted_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
                message["headers"] = [*message["headers"], (b"x-content-type-options", b"nosniff")]
            await send(message)

        try:
            await self._app(scope, counted_receive, noted_send)
        finally:
            self._note(scope, seen, time.perf_counter() - begin)

    def _note(self, scope: Scope, seen: dict[str, Any], seconds: float) -> None:
        route = getattr(scope.get("route"), "path", _UNMATCHED)
        model = scope.get("state", {}).get("model", "")
        self._metrics.requests.labels(route, seen["status"], model).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "method": scope["method"],
            "route": route,
            "status": seen["status"],
            "ms": round(1000 * seconds, 1),
            "model": model,
            "bytes": seen["bytes"],
        }
        REQUESTS.info(json.dumps(line))
