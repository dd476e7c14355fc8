# SPDX-License-Identifier: Apache-2.0
"""The client for programs that run an event loop; over httpx."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, TypeVar

import httpx

from sixlane.client import calls
from sixlane.client.async_rows import AsyncRowReader
from sixlane.client.async_stream import AsyncStream, unreachable
from sixlane.client.calls import ANSWER_S, CONNECT_S, SOCKET, Answer, Call
from sixlane.client.errors import Conflict
from sixlane.client.retry import changed_in_place, pauses_s
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

_T = TypeVar("_T")


class AsyncClient:
    """As `Client`; each method is a coroutine function, but those that return an iterator.

    To be closed, or used as an asynchronous context.
    """

    def __init__(self, path: str = SOCKET) -> None:
        self._path = path
        # Connections are not kept: one that the agent closes meanwhile would fail a change of
        # which nobody could tell whether it was made.
        self._http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(
                uds=path, limits=httpx.Limits(max_connections=None, max_keepalive_connections=0)
            ),
            base_url="http://localhost",
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def resources(self, kind: str | None = None) -> Listing:
        """As `Client.resources`."""
        return await self._do(calls.resources(kind))

    async def get(self, kind: str, name: str) -> View:
        """As `Client.get`."""
        return await self._do(calls.get(kind, name))

    async def put(
        self, resource: Mapping[str, Any], *, if_match: str | None = None, dry_run: bool = False
    ) -> Applied:
        """As `Client.put`."""
        return await self._do(calls.put(resource, if_match, dry_run))

    async def patch(
        self,
        kind: str,
        name: str,
        patch: Mapping[str, Any],
        *,
        if_match: str | None = None,
        dry_run: bool = False,
    ) -> Applied:
        """As `Client.patch`."""
        return await self._do(calls.patch(kind, name, patch, if_match, dry_run))

    async def delete(
        self, kind: str, name: str, *, if_match: str | None = None, dry_run: bool = False
    ) -> Applied:
        """As `Client.delete`."""
        return await self._do(calls.delete(kind, name, if_match, dry_run))

    async def transaction(
        self,
        put: Iterable[Mapping[str, Any]] = (),
        delete: Iterable[Reference] = (),
        *,
        backends: Iterable[BackendChange] = (),
        prune: bool = False,
        dry_run: bool = False,
    ) -> Applied:
        """As `Client.transaction`."""
        return await self._do(calls.transaction(put, delete, backends, prune, dry_run))

    async def edit(self, kind: str, name: str, change: Callable[[View], None]) -> Applied:
        """As `Client.edit`."""
        return await _until_undisturbed(lambda: self._edit(kind, name, change))

    async def prefixes(self, gateway: str) -> PrefixListing:
        """As `Client.prefixes`."""
        return await self._do(calls.prefixes(gateway))

    async def prefix(self, gateway: str, name: str) -> Prefix:
        """As `Client.prefix`."""
        return await self._do(calls.prefix(gateway, name))

    async def put_prefix(
        self,
        gateway: str,
        prefix: Mapping[str, Any],
        *,
        if_match: str | None = None,
        dry_run: bool = False,
    ) -> Applied:
        """As `Client.put_prefix`."""
        return await self._do(calls.put_prefix(gateway, prefix, if_match, dry_run))

    async def patch_prefix(
        self,
        gateway: str,
        name: str,
        patch: Mapping[str, Any],
        *,
        if_match: str | None = None,
        dry_run: bool = False,
    ) -> Applied:
        """As `Client.patch_prefix`."""
        return await self._do(calls.patch_prefix(gateway, name, patch, if_match, dry_run))

    async def delete_prefix(
        self, gateway: str, name: str, *, if_match: str | None = None, dry_run: bool = False
    ) -> Applied:
        """As `Client.delete_prefix`."""
        return await self._do(calls.delete_prefix(gateway, name, if_match, dry_run))

    async def edit_prefix(
        self, gateway: str, name: str, change: Callable[[Prefix], None]
    ) -> Applied:
        """As `Client.edit_prefix`."""
        return await _until_undisturbed(lambda: self._edit_prefix(gateway, name, change))

    async def eams(self, gateway: str, prefix: str) -> EamListing:
        """As `Client.eams`."""
        return await self._do(calls.eams(gateway, prefix))

    async def eam(self, gateway: str, prefix: str, ipv4: str) -> Eam:
        """As `Client.eam`."""
        return await self._do(calls.eam(gateway, prefix, ipv4))

    async def put_eam(
        self,
        gateway: str,
        prefix: str,
        eam: Mapping[str, Any],
        *,
        if_match: str | None = None,
        dry_run: bool = False,
    ) -> Applied:
        """As `Client.put_eam`."""
        return await self._do(calls.put_eam(gateway, prefix, eam, if_match, dry_run))

    async def delete_eam(
        self,
        gateway: str,
        prefix: str,
        ipv4: str,
        *,
        if_match: str | None = None,
        dry_run: bool = False,
    ) -> Applied:
        """As `Client.delete_eam`."""
        return await self._do(calls.delete_eam(gateway, prefix, ipv4, if_match, dry_run))

    async def backends(self, service: str) -> BackendListing:
        """As `Client.backends`."""
        return await self._do(calls.backends(service))

    async def backend(self, service: str, address: str, port: int | None = None) -> BackendView:
        """As `Client.backend`."""
        return await self._do(calls.backend(service, address, port))

    async def put_backend(
        self,
        service: str,
        backend: Mapping[str, Any],
        *,
        if_match: str | None = None,
        dry_run: bool = False,
    ) -> Applied:
        """As `Client.put_backend`."""
        return await self._do(calls.put_backend(service, backend, if_match, dry_run))

    async def patch_backend(
        self,
        service: str,
        address: str,
        patch: Mapping[str, Any],
        port: int | None = None,
        *,
        if_match: str | None = None,
        dry_run: bool = False,
    ) -> Applied:
        """As `Client.patch_backend`."""
        return await self._do(calls.patch_backend(service, address, patch, port, if_match, dry_run))

    async def delete_backend(
        self,
        service: str,
        address: str,
        port: int | None = None,
        *,
        if_match: str | None = None,
        dry_run: bool = False,
    ) -> Applied:
        """As `Client.delete_backend`."""
        return await self._do(calls.delete_backend(service, address, port, if_match, dry_run))

    async def service_counts(self) -> list[ServiceCount]:
        """As `Client.service_counts`."""
        return await self._do(calls.service_counts())

    async def service_counters(self, service: str) -> ServiceCounters:
        """As `Client.service_counters`."""
        return await self._do(calls.service_counters(service))

    async def pods(self) -> list[Pod]:
        """As `Client.pods`."""
        return await self._do(calls.pods())

    async def big_tcp(self) -> list[BigTcpDevice]:
        """As `Client.big_tcp`."""
        return await self._do(calls.big_tcp())

    async def history(self) -> list[Revision]:
        """As `Client.history`."""
        return await self._do(calls.history())

    async def rollback(self, revision: int | None = None, *, dry_run: bool = False) -> Applied:
        """As `Client.rollback`."""
        return await self._do(calls.rollback(revision, dry_run))

    def watch(self, since: int | None = None) -> AsyncStream[Event]:
        """As `Client.watch`."""
        return AsyncStream(self._http, self._path, calls.watch(since))

    def drops(self, *, seconds: float | None = None, limit: int | None = None) -> AsyncStream[Drop]:
        """As `Client.drops`."""
        return AsyncStream(self._http, self._path, calls.drops(seconds, limit))

    def capture(
        self,
        *,
        filter: str = "",
        device: str | None = None,
        only: Iterable[str] = (),
        seconds: float = 60,
        packets: int = 10_000,
        size: int = 100 << 20,
        snap: int = 2048,
        rate: int = 10_000,
    ) -> AsyncStream[Packet]:
        """As `Client.capture`."""
        asked = calls.capture(filter, device, only, seconds, packets, size, snap, rate)
        return AsyncStream(self._http, self._path, asked)

    async def status(self) -> dict[str, Any]:
        """As `Client.status`."""
        return await self._do(calls.status())

    async def counters(self) -> Counters:
        """As `Client.counters`."""
        return await self._do(calls.counters())

    def sessions(
        self,
        *,
        protocol: str | None = None,
        inside: str | None = None,
        pool: str | None = None,
        remote: str | None = None,
        port: int | None = None,
        state: str | None = None,
        limit: int | None = None,
    ) -> AsyncRowReader[Session]:
        """As `Client.sessions`."""
        return AsyncRowReader(
            self._http,
            self._path,
            calls.sessions(protocol, inside, pool, remote, port, state, limit),
        )

    async def session_count(
        self,
        *,
        protocol: str | None = None,
        inside: str | None = None,
        pool: str | None = None,
        remote: str | None = None,
        port: int | None = None,
        state: str | None = None,
    ) -> SessionCount:
        """As `Client.session_count`."""
        return await self._do(calls.session_count(protocol, inside, pool, remote, port, state))

    def export_sessions(self) -> AsyncRowReader[dict[str, Any]]:
        """As `Client.export_sessions`."""
        return AsyncRowReader(self._http, self._path, calls.export_sessions())

    async def import_sessions(
        self, lines: bytes, *, first_line: int = 1, dry_run: bool = False
    ) -> Imported:
        """As `Client.import_sessions`."""
        return await self._do(calls.import_sessions(lines, first_line, dry_run))

    def bindings(
        self,
        *,
        protocol: str | None = None,
        inside: str | None = None,
        pool: str | None = None,
        port: int | None = None,
        limit: int | None = None,
    ) -> AsyncRowReader[Binding]:
        """As `Client.bindings`."""
        return AsyncRowReader(
            self._http, self._path, calls.bindings(protocol, inside, pool, port, limit)
        )

    def clients(
        self,
        *,
        inside: str | None = None,
        pool: str | None = None,
        limit: int | None = None,
        order: str | None = None,
    ) -> AsyncRowReader[PoolClient]:
        """As `Client.clients`."""
        return AsyncRowReader(self._http, self._path, calls.clients(inside, pool, limit, order))

    async def health_tasks(self, after: str = "", *, wait: float = 0) -> HealthTasks:
        """As `Client.health_tasks`."""
        return await self._do(calls.health_tasks(after, wait))

    async def health_results(self, version: str, results: Iterable[HealthResult]) -> HealthTaken:
        """As `Client.health_results`."""
        return await self._do(calls.health_results(version, results))

    async def trace(
        self, packets: Iterable[Mapping[str, str]], *, device: str | None = None
    ) -> list[Trace]:
        """As `Client.trace`."""
        return await self._do(calls.trace(packets, device))

    async def doctor(self) -> dict[str, Any]:
        """As `Client.doctor`."""
        return await self._do(calls.doctor())

    async def metrics(self) -> str:
        """As `Client.metrics`."""
        return await self._do(calls.metrics())

    async def teardown(self) -> list[str]:
        """As `Client.teardown`."""
        return await self._do(calls.teardown())

    async def _edit(self, kind: str, name: str, change: Callable[[View], None]) -> Applied:
        view = await self.get(kind, name)
        changed_in_place(change, view)
        return await self.put(view)

    async def _edit_prefix(
        self, gateway: str, name: str, change: Callable[[Prefix], None]
    ) -> Applied:
        prefix, version = await self._do(calls.prefix_and_version(gateway, name))
        changed_in_place(change, prefix)
        return await self.put_prefix(gateway, prefix, if_match=version)

    async def _do(self, call: Call[_T]) -> _T:
        try:
            response = await self._http.request(
                call.method, call.path, content=call.body, headers=dict(call.headers)
            )
        except httpx.TransportError as error:
            raise unreachable(self._path, error) from None
        etag = response.headers.get("ETag", "")
        return call.read(Answer(response.status_code, etag, response.content))


async def _until_undisturbed(attempt: Callable[[], Awaitable[Applied]]) -> Applied:
    for pause_s in pauses_s():
        try:
            return await attempt()
        except Conflict:
            await asyncio.sleep(pause_s)
    return await attempt()
