# SPDX-License-Identifier: Apache-2.0
"""What a request brings along, read with suspicion."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request

from sixlane.api.problem import ProblemError, bad_request

MAX_BODY_BYTES = 64 * 1024 * 1024
BODY_S = 60.0
"""How long a body may take to come."""
_MAX_DEPTH = 32  # lists and objects in one another; resources need 8

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
JSON_LINES = "application/x-ndjson"

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def body_of(media_type: str) -> Callable[[Request], Awaitable[bytes]]:
    """A dependency: the whole body, if it says that it is of this type, and is not too large."""

    async def read(request: Request) -> bytes:
        _check_type(request, media_type)
        body = bytearray()
        if _announced_bytes(request) > MAX_BODY_BYTES:
            raise _too_large()
        try:
            async with asyncio.timeout(BODY_S):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > MAX_BODY_BYTES:
                        raise _too_large()
        except TimeoutError:
            raise _too_slow() from None
        return bytes(body)

    return read


def parse_json(body: bytes) -> Any:
    """The JSON value (RFC 8259; names must not repeat). Takes a while for a large one."""
    try:
        text = body.decode()
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise bad_request("the body is not JSON" + _reason(error)) from None
    _check_depth(value, _MAX_DEPTH)
    if _SURROGATE.search(text):
        _check_text(value)
    return value


def parse_json_object(body: bytes) -> dict[str, Any]:
    value = parse_json(body)
    if not isinstance(value, dict):
        raise bad_request("the body is not a JSON object")
    return value


def _check_type(request: Request, media_type: str) -> None:
    given = request.headers.get("Content-Type", "")
    kind, _, parameters = given.partition(";")
    charset = re.search(r'charset\s*=\s*"?([^";\s]*)', parameters, re.IGNORECASE)
    if kind.strip().lower() == media_type and (
        charset is None or charset[1].lower() in ("utf-8", "utf8", "us-ascii")
    ):
        return
    headers = {"Accept-Patch": MERGE_PATCH} if media_type == MERGE_PATCH else {}
    raise ProblemError(
        415,
        "media-type",
        "Another media type is wanted",
        f"the body is {given!a}" if given else "the body has no Content-Type",
        f"send {media_type}",
        headers=headers,
    )


def _announced_bytes(request: Request) -> int:
    """What Content-Length says; the server has checked that it is a number."""
    return int(request.headers.get("Content-Length", "0"))


def _too_large() -> ProblemError:
    return ProblemError(
        413,
        "too-large",
        "Too large",
        f"the body is larger than {MAX_BODY_BYTES >> 20} MiB",
        "send resources one by one",
        headers={"Connection": "close"},
    )


def _too_slow() -> ProblemError:
    return ProblemError(
        408,
        "too-slow",
        "Too slow",
        f"the body did not come within {BODY_S:g} s",
        headers={"Connection": "close"},
    )


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the name {key[:60]!a} stands twice in one object")
            seen.add(key)
    return value


def _reason(error: ValueError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return ": it is nested too deep"
    if isinstance(error, UnicodeDecodeError):
        return f": byte {error.start} is no UTF-8"
    return f": {error}"


def _check_depth(value: Any, left: int) -> None:
    if not isinstance(value, dict | list):
        return
    if not left:
        raise bad_request(f"the body is nested more than {_MAX_DEPTH} deep")
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, dict | list):
            _check_depth(item, left - 1)


def _check_text(value: Any) -> None:
    """Half a surrogate pair is no character: nothing could ever print or store it."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise bad_request("the body has half a surrogate pair", "write whole characters") from None
