"""Errors as a client gets them: a status and one sentence, ``{"error": "..."}``, never a traceback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from segnet.base.errors import SegnetError
from segnet.base.extras import MissingPackageError
from segnet.data.faults import Fault

# By the kind of a fault: the status, and what a client can do.
_OF_FAULTS = {
    "too-large": (413, "send a smaller one"),
    "not-an-image": (415, "send a JPEG or PNG"),
}
_MEANINGS = {
    400: "The body is empty, or is no form that can be read",
    401: "The bearer token is missing or wrong",
    404: "There is no such path or model",
    405: "The path doesn't take this method",
    406: "No answer has a media type that Accept names",
    408: "The body didn't arrive in time",
    413: "Too many bytes or pixels",
    415: "The body is no image that can be read",
    422: "A parameter or the image is wrong",
    429: "The queue is full; Retry-After says when to come back",
    503: "The server can't answer in time, or holds as many bytes as it may",
}


class RefusedError(SegnetError):
    """A request that is answered by an error.

    Args:
        status: the HTTP status.
        sentence: what is wrong, and what to do.
        retry_after_s: when the client may come back.
    """

    def __init__(self, status: int, sentence: str, retry_after_s: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
        if status == 401:
            self.headers["WWW-Authenticate"] = "Bearer"


class ErrorBody(BaseModel):
    """What every error says."""

    error: str


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the errors of a route as OpenAPI has them."""
    return {status: {"model": ErrorBody, "description": _MEANINGS[status]} for status in statuses}


def answer_errors(app: FastAPI) -> None:
    """Let an app answer every exception by a status and one sentence."""
    app.add_exception_handler(SegnetError, _say_segnet_error)
    app.add_exception_handler(HTTPException, _say_http_error)
    app.add_exception_handler(RequestValidationError, _say_parameters)
    app.add_exception_handler(MemoryError, _say_memory)
    app.add_exception_handler(Exception, _say_fault)


def _said(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": " ".join(sentence.split())}, status, headers)


async def _say_segnet_error(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, RefusedError):
        return _said(error.status, str(error), error.headers)
    if isinstance(error, Fault):
        status, remedy = _OF_FAULTS.get(error.kind, (422, "send it as another program writes it"))
        return _said(status, f"{error.file} {error.detail}; {remedy}")
    return _said(415 if isinstance(error, MissingPackageError) else 422, str(error))


async def _say_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    sentence = {
        404: "there is no such path; /docs lists those that there are",
        405: "this path doesn't take this method; /docs lists the methods of each path",
    }.get(error.status_code, str(error.detail))
    return _said(error.status_code, sentence, error.headers)


async def _say_parameters(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    wrong = [f"{each['loc'][-1]}: {each['msg'][:1].lower()}{each['msg'][1:]}" for each in error.errors()]
    return _said(422, f"wrong parameters: {'; '.join(wrong)}")


async def _say_memory(request: Request, error: Exception) -> JSONResponse:
    sentence = "the server has too little memory for this image; send a smaller one"
    return _said(503, sentence, {"Retry-After": "10"})


async def _say_fault(request: Request, error: Exception) -> JSONResponse:
    return _said(500, "the server failed; its log says where")
