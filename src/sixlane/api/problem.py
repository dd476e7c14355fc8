# SPDX-License-Identifier: Apache-2.0
"""Errors as RFC 9457 tells them."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from sixlane.errors import ConfigError, KernelError, NotSupported, SixlaneError
from sixlane.model import ResourceError

_log = logging.getLogger("sixlane.api")
_MEDIA_TYPE = "application/problem+json"

REFUSED = 422
_KINDS: tuple[tuple[type[SixlaneError], int, str, str], ...] = (
    (ConfigError, REFUSED, "refused", "Refused, and nothing was changed"),
    (NotSupported, 501, "not-supported", "This machine lacks something"),
    (KernelError, 500, "kernel", "The kernel refused"),
    (SixlaneError, 500, "failed", "Failed"),
)


def install(app: FastAPI) -> None:
    """Have `app` tell all errors in this way."""
    app.add_exception_handler(SixlaneError, _sixlane_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _defect)


def problem(
    status: int, kind: str, title: str, detail: str, hint: str = "", **more: Any
) -> JSONResponse:
    """`type` is a name of ours; `detail` says what and where, `hint` how to mend it."""
    content = {
        "type": f"urn:sixlane:problem:{kind}",
        "title": title,
        "status": status,
        "detail": detail,
        "hint": hint,
        **more,
    }
    return JSONResponse(content, status, media_type=_MEDIA_TYPE)


def _sixlane_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SixlaneError)
    more: dict[str, Any] = {}
    if isinstance(error, ResourceError) and error.index is not None:
        more = {"what": error.what, "resource": error.index, "path": list(error.path)}
    for of, status, kind, title in _KINDS:
        if isinstance(error, of):
            return problem(status, kind, title, error.message, error.hint, **more)
    raise AssertionError(error)


def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(step) for step in first["loc"])
    return problem(400, "bad-request", "Bad request", f"{first['msg']}: {where}")


def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    detail = f"{error.detail}: {request.method} {request.url.path}"
    return problem(error.status_code, "http", "Bad request", detail)


def _defect(request: Request, error: Exception) -> JSONResponse:
    return problem(
        500,
        "defect",
        "A defect of sixlane",
        f"{type(error).__name__}: a defect of sixlane",
        "the agent's log has the details; please report it",
    )
