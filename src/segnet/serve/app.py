"""The HTTP API around models: ``create_app`` gives an ASGI app for any server."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from segnet import __version__
from segnet.base.colours import hex_code
from segnet.base.errors import SegnetError, did_you_mean
from segnet.base.threads import count_cores
from segnet.inference.segmenter import Segmenter
from segnet.serve.answers import ANSWERS, FormatName, Wanted, accepted_format, answer
from segnet.serve.limits import Limits
from segnet.serve.pages import docs_page, start_page
from segnet.serve.refusals import RefusedError, answer_errors, documented
from segnet.serve.request_body import Bodies
from segnet.serve.request_log import Metrics, RequestLog
from segnet.serve.work_queue import WorkQueue

_PARAMETERS = {"model", "format", "page", "least_region", "tolerance"}
_IMAGE = {"type": "string", "format": "binary"}
_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {"type": "object", "required": ["file"], "properties": {"file": _IMAGE}}
        },
        "image/*": {"schema": _IMAGE},
    },
}
_ANSWERS = {"content": {each.media_type: {} for each in ANSWERS.values()}, "description": "The answer"}

_bearer = HTTPBearer(auto_error=False, description="The token of --token or SEGNET_TOKEN")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def create_app(models: Mapping[str, Segmenter], limits: Limits | None = None) -> FastAPI:
    """Return an app that segments images with these models; the first answers where none is named.

    Args:
        models: open models by the names that clients use.
        limits: what is allowed; by default as ``segnet serve`` has it.

    Raises:
        SegnetError: no model.
    """
    if not models:
        raise SegnetError("a server needs a model; name one, such as pets-lite")
    limits = limits or Limits()
    work = WorkQueue(limits.workers or count_cores(), limits.queue)
    metrics = Metrics(work)

    @asynccontextmanager
    async def closing(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(work.close)

    app = FastAPI(
        title="segnet", version=__version__, docs_url=None, redoc_url=None, lifespan=closing,
        description="Segment images: what is where in them, as masks, outlines, shares and pictures.",
    )  # fmt: skip
    answer_errors(app)
    app.include_router(_pages(app, limits))
    app.include_router(_health())
    needs_token = [] if limits.token is None else [Depends(partial(_require_token, limits.token))]
    refusals = documented(*([] if limits.token is None else [401]))
    for router in (_segment(models, limits, work), _models(models), _metrics(metrics)):
        app.include_router(router, dependencies=needs_token, responses=refusals)
    if limits.cors:
        headers = ["Authorization", "Content-Type"]
        app.add_middleware(CORSMiddleware, allow_origins=[*limits.cors], allow_headers=headers)
    app.add_middleware(RequestLog, metrics=metrics)
    return app


def _require_token(token: str, sent: Credentials) -> None:
    if sent is None or not hmac.compare_digest(sent.credentials.encode(), token.encode()):
        raise RefusedError(401, "this server needs its token; send the header Authorization: Bearer TOKEN")


def _segment(models: Mapping[str, Segmenter], limits: Limits, work: WorkQueue) -> APIRouter:
    router, bodies = APIRouter(), Bodies(limits.max_bytes)

    @router.post(
        "/v1/segment",
        summary="Segment one image",
        response_class=Response,
        responses=documented(400, 404, 406, 408, 413, 415, 422, 429, 503) | {200: _ANSWERS},
        openapi_extra={"requestBody": _BODY},
    )
    async def segment(
        request: Request,
        model: Annotated[str | None, Query(description="A name of /v1/models; else the first one")] = None,
        format_: Annotated[
            FormatName | None, Query(alias="format", description="The answer; else by the header Accept")
        ] = None,
        page: Annotated[int | None, Query(ge=1, description="Which page or frame of the file")] = None,
        least_region: Annotated[int, Query(ge=1, description="Leave out regions of fewer pixels")] = 1,
        tolerance: Annotated[
            float, Query(ge=0, lt=1000, description="Pixels that an outline may be from the exact one")
        ] = 1.0,
    ) -> Response:
        _require_known(request)
        name = next(iter(models)) if model is None else model
        segmenter = _named(models, name)
        request.state.model = name
        wanted = Wanted(
            format_ or accepted_format(request.headers.get("accept", "")), page, least_region, tolerance
        )
        has_body = False
        try:
            async with asyncio.timeout(limits.timeout_s):
                work.require_room()
                async with bodies.read(request) as body:
                    has_body = True
                    kind = request.headers.get("content-type", "")
                    content = await work.run(
                        partial(answer, segmenter, body, kind, wanted, limits.max_megapixels)
                    )
        except TimeoutError:
            raise _too_late(limits.timeout_s, has_body=has_body) from None
        return Response(content, media_type=ANSWERS[wanted.format].media_type)

    return router


def _too_late(timeout_s: float, *, has_body: bool) -> RefusedError:
    if has_body:
        return RefusedError(
            503, f"the image wasn't done within {timeout_s:g} s (--timeout); send it again later", 10
        )
    return RefusedError(408, f"the body didn't arrive within {timeout_s:g} s (--timeout); send it faster")


def _require_known(request: Request) -> None:
    for name in request.query_params:
        if name not in _PARAMETERS:
            raise RefusedError(422, f"there is no parameter {name!r}{did_you_mean(name, _PARAMETERS)}")


def _named(models: Mapping[str, Segmenter], name: str) -> Segmenter:
    if name not in models:
        raise RefusedError(404, f"there is no model {name!r}{did_you_mean(name, models)}")
    return models[name]


def _models(models: Mapping[str, Segmenter]) -> APIRouter:
    router = APIRouter()

    @router.get("/v1/models", summary="List the models")
    async def list_models() -> dict[str, Any]:
        return {"models": [_brief(name, each) for name, each in models.items()]}

    @router.get("/v1/models/{name}", summary="Describe a model", responses=documented(404, 422))
    async def describe_model(name: str, request: Request) -> dict[str, Any]:
        segmenter = _named(models, name)
        request.state.model = name
        about = segmenter.description
        return _brief(name, segmenter) | {
            "size": [*about.size],
            "channels": about.intensity.channels,
            "patches": about.patch_scale is not None,
            "threshold": segmenter.threshold,
            "runtime": segmenter.runtime.name,
            "device": segmenter.device,
            "scores": dict(about.scores),
            "notice": about.notice,
        }

    return router


def _brief(name: str, segmenter: Segmenter) -> dict[str, Any]:
    table = segmenter.classes
    classes = [
        {"id": number, "name": each, "colour": hex_code(colour)}
        for number, (each, colour) in enumerate(zip(table.names, table.colours, strict=True))
    ]
    return {"name": name, "model": segmenter.description.model, "classes": classes}


def _metrics(metrics: Metrics) -> APIRouter:
    router = APIRouter()

    @router.get("/metrics", summary="Numbers for Prometheus", response_class=Response)
    async def numbers() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router


def _health() -> APIRouter:
    router = APIRouter()

    @router.get("/healthz", summary="Say that the server runs")
    async def healthy() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz", summary="Say that the server takes images")
    async def ready() -> dict[str, str]:
        return {"status": "ready"}

    return router


def _pages(app: FastAPI, limits: Limits) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    shown = start_page(limits.page)

    @router.get("/", response_class=HTMLResponse)
    async def start() -> Response:
        return shown

    @router.get("/docs", response_class=HTMLResponse)
    async def docs() -> Response:
        return docs_page(app.openapi())

    return router
