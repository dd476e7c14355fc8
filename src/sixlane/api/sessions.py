# SPDX-License-Identifier: Apache-2.0
"""Sessions, bindings and clients of stateful NAT64: one JSON object a line, as they are read.

There may be millions: lines are put together here, block by block, and nobody holds all of them.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from itertools import islice
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from sixlane.agent import Agent
from sixlane.api.answers import answer
from sixlane.api.body import JSON_LINES, body_of
from sixlane.api.describe import found, json_lines, text_body
from sixlane.api.imports import parse_sessions
from sixlane.api.parameters import DryRun
from sixlane.api.problem import bad_request
from sixlane.api.session_file import KIND, VERSION
from sixlane.api.streams import Streams
from sixlane.datapath.imports import CARRIED, IMPORT_NAMES, ImportName
from sixlane.datapath.sessions import (
    Binding,
    Client,
    ClientOrder,
    ProtocolName,
    Session,
    StateName,
    Wanted,
)

_T = TypeVar("_T")

_MOST_TOLD = 10

Protocol = Annotated[ProtocolName | None, Query(description="Left out: any.")]
Inside = Annotated[
    str | None,
    Query(
        max_length=64,
        description="An IPv6 prefix that inside addresses are in, or an address.",
        examples=["2001:db8:64::/48"],
    ),
]
Pool = Annotated[
    str | None,
    Query(max_length=64, description="An address of pool4.", examples=["192.31.197.8"]),
]
Remote = Annotated[
    str | None,
    Query(
        max_length=64,
        description="An IPv4 prefix that remote addresses are in, or an address.",
        examples=["192.31.196.0/24"],
    ),
]
Port = Annotated[
    int | None, Query(ge=0, le=65535, description="Of any end; of ICMP queries, the identifier.")
]
State = Annotated[StateName | None, Query(description="As RFC 6146 3.5.2.2 names it.")]
Limit = Annotated[
    int | None, Query(ge=1, le=1 << 32, description="At most so many; left out: all.")
]

Lines = Annotated[bytes, Depends(body_of(JSON_LINES))]
FirstLine = Annotated[
    int,
    Query(
        alias="firstLine",
        ge=1,
        le=1 << 32,
        description="What the first line is called where the answer names one.",
    ),
]


def _of_sessions(
    protocol: Protocol = None,
    inside: Inside = None,
    pool: Pool = None,
    remote: Remote = None,
    port: Port = None,
    state: State = None,
) -> Wanted:
    return Wanted(
        protocol,
        _read("inside", inside, IPv6Network),
        _read("pool", pool, IPv4Address),
        _read("remote", remote, IPv4Network),
        port,
        state,
    )


def _of_bindings(
    protocol: Protocol = None, inside: Inside = None, pool: Pool = None, port: Port = None
) -> Wanted:
    return _of_sessions(protocol, inside, pool, port=port)


def _of_clients(inside: Inside = None, pool: Pool = None) -> Wanted:
    return _of_sessions(inside=inside, pool=pool)


class _Lines(StreamingResponse):
    """Has one of the places that there are for streams, until it ends."""

    media_type = JSON_LINES

    def __init__(self, streams: Streams, texts: Iterator[str]) -> None:
        with ExitStack() as stack:
            stack.enter_context(streams.place())
            super().__init__(texts, headers={"Cache-Control": "no-store"})
            self._held = stack.pop_all()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held:
            await super().__call__(scope, receive, send)


def routes(agent: Agent, streams: Streams) -> APIRouter:
    router = APIRouter(tags=["sessions"])

    @router.get("/v1/sessions", operation_id="getSessions", responses=json_lines("Session"))
    def sessions(wanted: Annotated[Wanted, Depends(_of_sessions)], limit: Limit = None) -> Response:
        """Sessions that live, one a line.

        Packets go on meanwhile: what begins or ends while the list is read may be in it or not.
        """
        return _Lines(streams, map(sessions_text, agent.sessions(wanted, limit)))

    @router.get("/v1/sessions/count", operation_id="countSessions", responses=found("SessionCount"))
    def count(wanted: Annotated[Wanted, Depends(_of_sessions)]) -> Response:
        """How many sessions live, by protocol and state; how full the tables and pool4 are."""
        return answer(agent.session_count(wanted))

    @router.get(
        "/v1/sessions/export",
        operation_id="exportSessions",
        responses=json_lines("ExportedSession"),
    )
    def export() -> Response:
        """All sessions that live, one a line, for another gateway: see importSessions.

        The first line is an object with kind and version, the last one counts the sessions: without
        it the answer is not whole.
        """
        return _Lines(streams, export_texts(agent.exported_sessions()))

    @router.post(
        "/v1/sessions/import",
        operation_id="importSessions",
        responses=found("Imported", 413, 415, 422),
        openapi_extra=text_body(JSON_LINES),
    )
    def import_(content: Lines, first_line: FirstLine = 1, dry_run: DryRun = False) -> Response:
        """Make sessions of another gateway here, with the same ports of pool4.

        The body is lines of exportSessions, without the first and the last one, 50,000 at most:
        many sessions are sent in several pieces. If a line is not as it should be, nothing is made.
        dryRun looks at the lines alone.
        """
        sessions = parse_sessions(content, first_line)
        results = [] if dry_run else agent.import_sessions(sessions)
        return answer(import_data(results, first_line))

    @router.get("/v1/bindings", operation_id="getBindings", responses=json_lines("Binding"))
    def bindings(wanted: Annotated[Wanted, Depends(_of_bindings)], limit: Limit = None) -> Response:
        """Bindings (the BIB of RFC 6146), one a line."""
        return _Lines(streams, map(bindings_text, agent.bindings(wanted, limit)))

    @router.get("/v1/clients", operation_id="getClients", responses=json_lines("PoolClient"))
    def clients(
        wanted: Annotated[Wanted, Depends(_of_clients)],
        limit: Limit = None,
        order: Annotated[
            ClientOrder | None, Query(description="Those with the most first; left out: any.")
        ] = None,
    ) -> Response:
        """Clients, with their address and port blocks in pool4, one a line."""
        return _Lines(streams, map(clients_text, agent.clients(wanted, limit, order)))

    return router


def sessions_text(block: Iterable[Session]) -> str:
    """Lines of JSON; to format them takes a fourth of the time that the json module takes."""
    return "".join(
        f'{{"protocol":"{protocol}","inside":"{inside}","insidePort":{inside_port},'
        f'"pool":"{pool}","poolPort":{pool_port},"remote":"{remote}","remotePort":{remote_port},'
        f'"prefix":{_quoted(prefix)},"state":"{state}","remainingSeconds":{remaining_s}}}\n'
        for (
            protocol,
            inside,
            inside_port,
            pool,
            pool_port,
            remote,
            remote_port,
            prefix,
            state,
            remaining_s,
        ) in block
    )


def export_texts(blocks: Iterable[list[Session]]) -> Iterator[str]:
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    yield f'{{"kind":"{KIND}","version":{VERSION},"exportedAt":"{now}"}}\n'
    count = 0
    for block in blocks:
        count += len(block)
        yield sessions_text(block)
    yield f'{{"sessions":{count}}}\n'


def import_data(results: Sequence[ImportName], first_line: int) -> dict[str, Any]:
    """How many of each result, and the first ones that were not carried."""
    counts = Counter(results)
    refused = (
        {"line": line, "result": result}
        for line, result in enumerate(results, first_line)
        if result not in CARRIED
    )
    return {
        **{name: counts[name] for name in IMPORT_NAMES},
        "refused": list(islice(refused, _MOST_TOLD)),
    }


def bindings_text(block: Iterable[Binding]) -> str:
    return "".join(
        f'{{"protocol":"{protocol}","inside":"{inside}","insidePort":{inside_port},'
        f'"pool":"{pool}","poolPort":{pool_port},"sessions":{sessions},'
        f'"static":{"true" if static else "false"}}}\n'
        for protocol, inside, inside_port, pool, pool_port, sessions, static in block
    )


def clients_text(block: Iterable[Client]) -> str:
    data = (
        one._asdict() | {"blocks": [f"{first}-{last}" for first, last in one.blocks]}
        for one in block
    )
    return "".join(
        json.dumps(one, ensure_ascii=False, separators=(",", ":")) + "\n" for one in data
    )


@lru_cache(maxsize=256)
def _quoted(name: str | None) -> str:
    return json.dumps(name, ensure_ascii=False)


def _read(name: str, text: str | None, read: Callable[[str], _T]) -> _T | None:
    if text is None:
        return None
    try:
        return read(text)
    except ValueError as error:
        raise bad_request(f"parameter {name}: {error}") from None
