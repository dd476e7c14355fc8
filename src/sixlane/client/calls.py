# SPDX-License-Identifier: Apache-2.0
"""Each call as a request and a way to read its answer: the part that both clients share."""

import json
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import quote, urlencode

from sixlane.client.errors import Problem, problem_of
from sixlane.client.sse import Message
from sixlane.client.types import (
    Applied,
    BackendChange,
    BackendListing,
    BackendView,
    BigTcpDevice,
    Binding,
    Counters,
    Drop,
    Eam,
    EamListing,
    Event,
    HealthResult,
    HealthTaken,
    HealthTasks,
    Imported,
    Listing,
    Packet,
    Pod,
    PoolClient,
    Prefix,
    PrefixListing,
    Reference,
    Revision,
    ServiceCount,
    ServiceCounters,
    Session,
    SessionCount,
    Trace,
    View,
)

SOCKET = "/run/sixlane/api.sock"
ABSENT = ""  # for if_match: the resource must not be there yet

CONNECT_S = 5.0
ANSWER_S = 180.0  # an apply may wait for a resolver to start
SILENCE_S = 60.0  # of a stream, which says something every 15 s


_T = TypeVar("_T")
_JSON = "application/json"
_MERGE_PATCH = "application/merge-patch+json"
_JSON_LINES = "application/x-ndjson"


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


class Listen(NamedTuple, Generic[_T]):
    """A stream. `endless`: if it ends, the agent has ended."""

    path: str
    read: Callable[[Message], _T]
    endless: bool
    headers: Mapping[str, str] = MappingProxyType({})


class Rows(NamedTuple, Generic[_T]):
    """A long list: JSON objects of one shape, one a line."""

    path: str


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
    put: Iterable[Mapping[str, Any]],
    delete: Iterable[Reference],
    backends: Iterable[BackendChange],
    prune: bool,
    dry_run: bool,
) -> Call[Applied]:
    body = {"put": list(put), "delete": list(delete), "backends": list(backends), "prune": prune}
    return _change("POST", "/v1/transactions", body, dry_run=dry_run)


def status() -> Call[dict[str, Any]]:
    return Call("GET", "/v1/status", _data)


def counters() -> Call[Counters]:
    return Call("GET", "/v1/counters", _data)


def teardown() -> Call[list[str]]:
    return Call("POST", "/v1/teardown", lambda answer: _data(answer)["lost"])


def history() -> Call[list[Revision]]:
    return Call("GET", "/v1/history", lambda answer: _data(answer)["items"])


def rollback(revision: int | None, dry_run: bool) -> Call[Applied]:
    return _change("POST", "/v1/rollback", {"revision": revision}, dry_run=dry_run)


def trace(packets: Iterable[Mapping[str, str]], device: str | None) -> Call[list[Trace]]:
    body = json.dumps({"packets": list(packets), "device": device}).encode()
    headers = {"Content-Type": _JSON}
    return Call("POST", "/v1/trace", lambda answer: _data(answer)["items"], body, headers)


def doctor() -> Call[dict[str, Any]]:
    return Call("GET", "/v1/doctor", _data)


def metrics() -> Call[str]:
    return Call("GET", "/v1/metrics", _text)


def prefixes(gateway: str) -> Call[PrefixListing]:
    return Call("GET", _prefixes(gateway), _data)


def prefix(gateway: str, name: str) -> Call[Prefix]:
    return Call("GET", _prefix(gateway, name), _data)


def prefix_and_version(gateway: str, name: str) -> Call[tuple[Prefix, str]]:
    return Call("GET", _prefix(gateway, name), lambda answer: (_data(answer), _version(answer)))


def put_prefix(
    gateway: str, prefix: Mapping[str, Any], if_match: str | None, dry_run: bool
) -> Call[Applied]:
    path = _prefix(gateway, str(prefix.get("name", "")))
    return _change("PUT", path, prefix, if_match=if_match, dry_run=dry_run)


def patch_prefix(
    gateway: str, name: str, patch: Mapping[str, Any], if_match: str | None, dry_run: bool
) -> Call[Applied]:
    return _change("PATCH", _prefix(gateway, name), patch, if_match=if_match, dry_run=dry_run)


def delete_prefix(gateway: str, name: str, if_match: str | None, dry_run: bool) -> Call[Applied]:
    return _change("DELETE", _prefix(gateway, name), if_match=if_match, dry_run=dry_run)


def eams(gateway: str, prefix: str) -> Call[EamListing]:
    return Call("GET", _eams(gateway, prefix), _data)


def eam(gateway: str, prefix: str, ipv4: str) -> Call[Eam]:
    return Call("GET", _eam(gateway, prefix, ipv4), _data)


def put_eam(
    gateway: str, prefix: str, eam: Mapping[str, Any], if_match: str | None, dry_run: bool
) -> Call[Applied]:
    path = _eam(gateway, prefix, str(eam.get("ipv4", "")))
    return _change("PUT", path, eam, if_match=if_match, dry_run=dry_run)


def delete_eam(
    gateway: str, prefix: str, ipv4: str, if_match: str | None, dry_run: bool
) -> Call[Applied]:
    path = _eam(gateway, prefix, ipv4)
    return _change("DELETE", path, if_match=if_match, dry_run=dry_run)


def backends(service: str) -> Call[BackendListing]:
    return Call("GET", _backends(service), _data)


def backend(service: str, address: str, port: int | None) -> Call[BackendView]:
    return Call("GET", _backend(service, address, port), _data)


def put_backend(
    service: str, backend: Mapping[str, Any], if_match: str | None, dry_run: bool
) -> Call[Applied]:
    path = _backend(service, str(backend.get("address", "")), backend.get("port"))
    return _change("PUT", path, backend, if_match=if_match, dry_run=dry_run)


def patch_backend(
    service: str,
    address: str,
    patch: Mapping[str, Any],
    port: int | None,
    if_match: str | None,
    dry_run: bool,
) -> Call[Applied]:
    path = _backend(service, address, port)
    return _change("PATCH", path, patch, if_match=if_match, dry_run=dry_run)


def delete_backend(
    service: str, address: str, port: int | None, if_match: str | None, dry_run: bool
) -> Call[Applied]:
    path = _backend(service, address, port)
    return _change("DELETE", path, if_match=if_match, dry_run=dry_run)


def service_counts() -> Call[list[ServiceCount]]:
    return Call("GET", "/v1/counters/services", lambda answer: _data(answer)["items"])


def pods() -> Call[list[Pod]]:
    return Call("GET", "/v1/pods", lambda answer: _data(answer)["items"])


def big_tcp() -> Call[list[BigTcpDevice]]:
    return Call("GET", "/v1/bigtcp", lambda answer: _data(answer)["items"])


def service_counters(service: str) -> Call[ServiceCounters]:
    return Call("GET", f"{_resource('Service', service)}/counters", _data)


def watch(since: int | None) -> "Listen[Event]":
    headers = {} if since is None else {"Last-Event-ID": str(since)}
    return Listen("/v1/watch", _event, endless=True, headers=headers)


def drops(seconds: float | None, limit: int | None) -> "Listen[Drop]":
    path = _asking("/v1/drops", {"seconds": seconds, "limit": limit})
    return Listen(path, lambda message: message.data, endless="?" not in path)


def capture(
    filter: str,
    device: str | None,
    only: Iterable[str],
    seconds: float,
    packets: int,
    size: int,
    snap: int,
    rate: int,
) -> "Listen[Packet]":
    asked = [
        ("filter", filter),
        *([("device", device)] if device is not None else []),
        *(("only", one) for one in only),
        ("seconds", seconds),
        ("packets", packets),
        ("bytes", size),
        ("snap", snap),
        ("rate", rate),
    ]
    path = f"/v1/capture?{urlencode(asked)}"
    return Listen(path, lambda message: message.data, endless=False)


def sessions(
    protocol: str | None,
    inside: str | None,
    pool: str | None,
    remote: str | None,
    port: int | None,
    state: str | None,
    limit: int | None,
) -> "Rows[Session]":
    return Rows(
        _asking(
            "/v1/sessions",
            {
                "protocol": protocol,
                "inside": inside,
                "pool": pool,
                "remote": remote,
                "port": port,
                "state": state,
                "limit": limit,
            },
        )
    )


def session_count(
    protocol: str | None,
    inside: str | None,
    pool: str | None,
    remote: str | None,
    port: int | None,
    state: str | None,
) -> Call[SessionCount]:
    return Call(
        "GET",
        _asking(
            "/v1/sessions/count",
            {
                "protocol": protocol,
                "inside": inside,
                "pool": pool,
                "remote": remote,
                "port": port,
                "state": state,
            },
        ),
        _data,
    )


def export_sessions() -> "Rows[dict[str, Any]]":
    return Rows("/v1/sessions/export")


def import_sessions(lines: bytes, first_line: int, dry_run: bool) -> Call[Imported]:
    wanted = {"firstLine": first_line, "dryRun": "true" if dry_run else None}
    path = _asking("/v1/sessions/import", wanted)
    return Call("POST", path, _data, lines, {"Content-Type": _JSON_LINES})


def bindings(
    protocol: str | None,
    inside: str | None,
    pool: str | None,
    port: int | None,
    limit: int | None,
) -> "Rows[Binding]":
    return Rows(
        _asking(
            "/v1/bindings",
            {"protocol": protocol, "inside": inside, "pool": pool, "port": port, "limit": limit},
        )
    )


def clients(
    inside: str | None,
    pool: str | None,
    limit: int | None,
    order: str | None,
) -> "Rows[PoolClient]":
    return Rows(
        _asking("/v1/clients", {"inside": inside, "pool": pool, "limit": limit, "order": order})
    )


def health_tasks(after: str, wait: float) -> Call[HealthTasks]:
    path = _asking("/v1/health/tasks", {"after": after or None, "wait": wait or None})
    return Call("GET", path, _data)


def health_results(version: str, results: Iterable[HealthResult]) -> Call[HealthTaken]:
    content = json.dumps({"version": version, "results": list(results)}, separators=(",", ":"))
    headers = {"Content-Type": _JSON}
    return Call("POST", "/v1/health/results", _data, content.encode(), headers)


def parse_lines(lines: bytes) -> list[Any]:
    """The object of each line; at once is quicker than one by one."""
    try:
        found: list[Any] = json.loads(b"[" + lines.rstrip().replace(b"\n", b",") + b"]")
    except ValueError:
        raise Problem(500, "the agent sent a line that is not JSON") from None
    return found


def _asking(path: str, wanted: Mapping[str, Any]) -> str:
    """None: it is not asked for."""
    query = urlencode({name: value for name, value in wanted.items() if value is not None})
    return f"{path}?{query}" if query else path


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


def _prefixes(gateway: str) -> str:
    return f"{_resource('Gateway', gateway)}/prefixes"


def _prefix(gateway: str, name: str) -> str:
    return f"{_prefixes(gateway)}/{_quoted(name)}"


def _eams(gateway: str, prefix: str) -> str:
    return f"{_prefix(gateway, prefix)}/eam"


def _eam(gateway: str, prefix: str, ipv4: str) -> str:
    """A bare address is a range of one, as in resources."""
    address, _, length = ipv4.partition("/")
    return f"{_eams(gateway, prefix)}/{_quoted(address)}/{_quoted(length or '32')}"


def _backends(service: str) -> str:
    return f"{_resource('Service', service)}/backends"


def _backend(service: str, address: str, port: object) -> str:
    """`port`: None: it has none of its own."""
    path = f"{_backends(service)}/{_quoted(address)}"
    return path if port is None else f"{path}/{_quoted(str(port))}"


def _key(resource: Mapping[str, Any]) -> tuple[str, str]:
    """Its kind and name, as far as it has them: the agent says what is wrong with the rest."""
    metadata = resource.get("metadata")
    name = metadata.get("name", "") if isinstance(metadata, Mapping) else ""
    return str(resource.get("kind", "")), str(name)


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _version(answer: Answer) -> str:
    return answer.etag.strip('"')


def _text(answer: Answer) -> str:
    refuse(answer)
    return answer.body.decode()


def _event(message: Message) -> Event:
    event: Event = message.data
    event["resume"] = int(message.last_id) if message.last_id else None
    return event


def _data(answer: Answer) -> Any:
    refuse(answer)
    return _json(answer)


def refuse(answer: Answer) -> None:
    """Raises `Problem` if the answer is one."""
    if answer.status >= 400:
        raise problem_of(answer.status, _json(answer))


def _json(answer: Answer) -> Any:
    try:
        return json.loads(answer.body)
    except ValueError:
        raise Problem(500, f"the agent's answer is not JSON (HTTP {answer.status})") from None
