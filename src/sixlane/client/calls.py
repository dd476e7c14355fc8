# SPDX-License-Identifier: Apache-2.0
"""Each call as a request and a way to read its answer: the part that both clients share."""

import json
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import quote, urlencode

from sixlane.client.errors import Problem, problem_of
from sixlane.client.types import Applied, Counters, Listing, Reference, Revision, View

SOCKET = "/run/sixlane/api.sock"
ABSENT = ""  # for if_match: the resource must not be there yet

CONNECT_S = 5.0
ANSWER_S = 180.0  # an apply may wait for a resolver to start

_T = TypeVar("_T")
_JSON = "application/json"
_MERGE_PATCH = "application/merge-patch+json"


class Answer(NamedTuple):
    """A whole response."""

    status: int
    etag: str
    body: bytes


class Call(NamedTuple, Generic[_T]):
    """`read` makes the result, or raises `Problem`."""

    method: str
    path: str
    read: Callable[[Answer], _T]
    body: bytes | None = None
    headers: Mapping[str, str] = MappingProxyType({})


def resources(kind: str | None) -> Call[Listing]:
    return Call("GET", "/v1/resources" if kind is None else _collection(kind), _data)


def get(kind: str, name: str) -> Call[View]:
    return Call("GET", _resource(kind, name), _data)


def put(resource: Mapping[str, Any], if_match: str | None, dry_run: bool) -> Call[Applied]:
    path = _resource(*_key(resource))
    return _change("PUT", path, resource, if_match=if_match, dry_run=dry_run)


def patch(
    kind: str, name: str, patch: Mapping[str, Any], if_match: str | None, dry_run: bool
) -> Call[Applied]:
    path = _resource(kind, name)
    return _change("PATCH", path, patch, if_match=if_match, dry_run=dry_run)


def delete(kind: str, name: str, if_match: str | None, dry_run: bool) -> Call[Applied]:
    return _change("DELETE", _resource(kind, name), if_match=if_match, dry_run=dry_run)


def transaction(
    put: Iterable[Mapping[str, Any]], delete: Iterable[Reference], prune: bool, dry_run: bool
) -> Call[Applied]:
    body = {"put": list(put), "delete": list(delete), "prune": prune}
    return _change("POST", "/v1/transactions", body, dry_run=dry_run)


def status() -> Call[dict[str, Any]]:
    return Call("GET", "/v1/status", _data)


def counters() -> Call[Counters]:
    return Call("GET", "/v1/counters", _data)


def teardown() -> Call[list[str]]:
    return Call("POST", "/v1/teardown", lambda answer: _data(answer)["lost"])


def history() -> Call[list[Revision]]:
    return Call("GET", "/v1/history", lambda answer: _data(answer)["items"])


def _change(
    method: str,
    path: str,
    body: object = None,
    *,
    if_match: str | None = None,
    dry_run: bool = False,
) -> Call[Applied]:
    headers = {}
    if body is not None:
        headers["Content-Type"] = _MERGE_PATCH if method == "PATCH" else _JSON
    if if_match == ABSENT:
        headers["If-None-Match"] = "*"
    elif if_match is not None:
        headers["If-Match"] = f'"{if_match}"'
    if dry_run:
        path += "?" + urlencode({"dryRun": "true"})
    content = None if body is None else json.dumps(body, separators=(",", ":")).encode()
    return Call(method, path, _data, content, headers)


def _collection(kind: str) -> str:
    """/v1/gateways for Gateway."""
    return f"/v1/{_quoted(kind.lower())}s"


def _resource(kind: str, name: str) -> str:
    return f"{_collection(kind)}/{_quoted(name)}"


def _key(resource: Mapping[str, Any]) -> tuple[str, str]:
    """Its kind and name, as far as it has them: the agent says what is wrong with the rest."""
    metadata = resource.get("metadata")
    name = metadata.get("name", "") if isinstance(metadata, Mapping) else ""
    return str(resource.get("kind", "")), str(name)


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _data(answer: Answer) -> Any:
    try:
        data = json.loads(answer.body)
    except ValueError:
        raise Problem(500, f"the agent's answer is not JSON (HTTP {answer.status})") from None
    if answer.status >= 400:
        raise problem_of(answer.status, data)
    return data
