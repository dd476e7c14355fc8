# SPDX-License-Identifier: Apache-2.0
"""Errors as RFC 9457 tells them."""

import json
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from sixlane.agent.problems import Conflict, NotFound
from sixlane.errors import ConfigError, KernelError, NotSupported, SixlaneError
from sixlane.model import ResourceError

_log = logging.getLogger("sixlane.api")
MEDIA_TYPE = "application/problem+json"

REFUSED = 422


class ProblemError(Exception):
    """An error of the request itself: what HTTP asks for was not kept to."""

    def __init__(
        self,
        status: int,
        kind: str,
        title: str,
        detail: str,
        hint: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self._told = partial(problem, status, kind, title, detail, hint, headers=headers)
        self._more = more

    @property
    def response(self) -> Response:
        return self._told(**self._more)

    def with_members(self, **more: Any) -> "ProblemError":
        """The same, and what a route has to add."""
        self._more |= more
        return self


def bad_request(detail: str, hint: str = "") -> ProblemError:
    return ProblemError(400, "bad-request", "Bad request", detail, hint)


_KINDS: tuple[tuple[type[SixlaneError], int, str, str], ...] = (
    (NotFound, 404, "not-found", "Not found"),
    (Conflict, 409, "conflict", "Changed by somebody else, and nothing was changed now"),
    (ConfigError, REFUSED, "refused", "Refused, and nothing was changed"),
    (NotSupported, 501, "not-supported", "This machine lacks something"),
    (KernelError, 500, "kernel", "The kernel refused"),
    (SixlaneError, 500, "failed", "Failed"),
)


def install(app: FastAPI) -> None:
    """Have `app` tell all errors in this way."""
    app.add_exception_handler(ProblemError, _problem_error)
    app.add_exception_handler(SixlaneError, _sixlane_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _defect)


def problem(
    status: int,
    kind: str,
    title: str,
    detail: str,
    hint: str = "",
    *,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Response:
    """`type` is a name of ours; `detail` says what and where, `hint` how to mend it."""
    content = {
        "type": f"urn:sixlane:problem:{kind}",
        "title": title,
        "status": status,
        "detail": detail,
        "hint": hint,
        **more,
    }
    return Response(json.dumps(content), status, dict(headers or {}), MEDIA_TYPE)


def _problem_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return error.response


def _sixlane_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, SixlaneError)
    return problem_of(error)


def problem_of(error: SixlaneError, **more: Any) -> Response:
    """`more`: members beside those that the error has."""
    if isinstance(error, ResourceError):
        more |= {"what": error.what, "path": list(error.path)}
        if error.index is not None:
            more["resource"] = error.index
    if isinstance(error, Conflict):
        if error.resource_version is not None:
            more["resourceVersion"] = error.resource_version
        if error.index is not None:
            path = ["metadata", "resourceVersion"]
            more |= {"what": error.message, "path": path, "resource": error.index}
    for of, status, kind, title in _KINDS:
        if isinstance(error, of):
            return problem(status, kind, title, error.message, error.hint, **more)
    raise AssertionError(error)


def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(step) for step in first["loc"])
    return bad_request(f"{first['msg'].removeprefix('Value error, ')}: {where}").response


def _http_error(request: Request, error: Exception) -> Response:
    """What no route of ours said: no such path, no such method."""
    assert isinstance(error, HTTPException)
    kind, title, hint = {
        404: ("no-such-path", "No such path", "/openapi.json has them all"),
        405: ("no-such-method", "No such method here", "the Allow header has those that are"),
    }.get(error.status_code, ("http", "Bad request", ""))
    detail = f"{error.detail}: {request.method} {request.url.path}"
    return problem(error.status_code, kind, title, detail, hint, headers=error.headers)


def _defect(request: Request, error: Exception) -> Response:
    return problem(
        500,
        "defect",
        "A defect of sixlane",
        f"{type(error).__name__}: a defect of sixlane",
        "the agent's log has the details; please report it",
    )
