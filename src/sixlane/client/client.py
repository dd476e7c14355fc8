# SPDX-License-Identifier: Apache-2.0
"""The client for programs that wait.

Commands use it, so it starts quickly: standard library only, and its HTTP is imported when needed.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from sixlane.client import calls
from sixlane.client.calls import SOCKET, Call
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

if TYPE_CHECKING:
    from sixlane.client.rows import RowReader
    from sixlane.client.stream import Stream

_T = TypeVar("_T")


class Client:
    """Talks to the agent that listens on the unix socket `path`; for any number of threads.

    Every method raises `Unreachable`, and `Problem` as the agent tells it. `if_match` is the
    resourceVersion that must be the present one, or else `Conflict` is raised; "": the resource
    must not be there yet. `dry_run`: say what would be done, and do nothing.
    """

    def __init__(self, path: str = SOCKET) -> None:
        self._path = path

    def resources(self, kind: str | None = None) -> Listing:
        """What is desired and how it does; of one kind, or all."""
        return self._do(calls.resources(kind))

    def get(self, kind: str, name: str) -> View:
        """One resource. Raises `NotFound`."""
        return self._do(calls.get(kind, name))

    def put(
        self, resource: Mapping[str, Any], *, if_match: str | None = None, dry_run: bool = False
    ) -> Applied:
        """Make the resource what is given: created, or changed, or found to be so already.

        A `metadata.resourceVersion` in it must be the present one, or else `Conflict` is raised.
        """
        return self._do(calls.put(resource, if_match, dry_run))

    def patch(
        self,
        kind: str,
        name: str,
        patch: Mapping[str, Any],
        *,
        if_match: str | None = None,
        dry_run: bool = False,
    ) -> Applied:
        """Change what `patch` holds (RFC 7396: None takes a key away). Raises `NotFound`."""
        return self._do(calls.patch(kind, name, patch, if_match, dry_run))

    def delete(
        self, kind: str, name: str, *, if_match: str | None = None, dry_run: bool = False
    ) -> Applied:
        """Take the resource away. Raises `NotFound`."""
        return self._do(calls.delete(kind, name, if_match, dry_run))

    def transaction(
        self,
        put: Iterable[Mapping[str, Any]] = (),
        delete: Iterable[Reference] = (),
        *,
        backends: Iterable[BackendChange] = (),
        prune: bool = False,
        dry_run: bool = False,
    ) -> Applied:
        """Many changes: all of them, or none. `backends`: of single ones, behind the others.
        `prune`: delete what is not named."""
        return self._do(calls.transaction(put, delete, backends, prune, dry_run))

    def edit(self, kind: str, name: str, change: Callable[[View], None]) -> Applied:
        """Get the resource, have `change` change it in place, and put it.

        If somebody else changed it in between, the whole is done again: no change is lost, neither
        his nor ours. Raises `NotFound`, and `Conflict` if others were faster too many times.
        """
        return _until_undisturbed(lambda: self._edit(kind, name, change))

    def prefixes(self, gateway: str) -> PrefixListing:
        """All prefixes of a Gateway."""
        return self._do(calls.prefixes(gateway))

    def prefix(self, gateway: str, name: str) -> Prefix:
        """One prefix. Raises `NotFound`."""
        return self._do(calls.prefix(gateway, name))

    def put_prefix(
        self,
        gateway: str,
        prefix: Mapping[str, Any],
        *,
        if_match: str | None = None,
        dry_run: bool = False,
    ) -> Applied:
        """Make the prefix of that name what is given. `if_match`: of the Gateway; "": no such
        prefix is there yet.
        """
        return self._do(calls.put_prefix(gateway, prefix, if_match, dry_run))

    def patch_prefix(
        self,
        gateway: str,
        name: str,
        patch: Mapping[str, Any],
        *,
        if_match: str | None = None,
        dry_run: bool = False,
    ) -> Applied:
        """Change what `patch` holds (RFC 7396). Raises `NotFound`."""
        return self._do(calls.patch_prefix(gateway, name, patch, if_match, dry_run))

    def delete_prefix(
        self, gateway: str, name: str, *, if_match: str | None = None, dry_run: bool = False
    ) -> Applied:
        """Take the prefix away. Raises `NotFound`; the last one of a Gateway stays."""
        return self._do(calls.delete_prefix(gateway, name, if_match, dry_run))

    def edit_prefix(self, gateway: str, name: str, change: Callable[[Prefix], None]) -> Applied:
        """As `edit`, for one prefix."""
        return _until_undisturbed(lambda: self._edit_prefix(gateway, name, change))

    def eams(self, gateway: str, prefix: str) -> EamListing:
        """All explicit address mappings of a prefix."""
        return self._do(calls.eams(gateway, prefix))

    def eam(self, gateway: str, prefix: str, ipv4: str) -> Eam:
        """The mapping of an IPv4 prefix, as in 192.175.48.8/30. Raises `NotFound`."""
        return self._do(calls.eam(gateway, prefix, ipv4))

    def put_eam(
        self,
        gateway: str,
        prefix: str,
        eam: Mapping[str, Any],
        *,
        if_match: str | None = None,
        dry_run: bool = False,
    ) -> Applied:
        """Make the mapping of that IPv4 prefix what is given."""
        return self._do(calls.put_eam(gateway, prefix, eam, if_match, dry_run))

    def delete_eam(
        self,
        gateway: str,
        prefix: str,
        ipv4: str,
        *,
        if_match: str | None = None,
        dry_run: bool = False,
    ) -> Applied:
        """Take the mapping away. Raises `NotFound`."""
        return self._do(calls.delete_eam(gateway, prefix, ipv4, if_match, dry_run))

    def backends(self, service: str) -> BackendListing:
        """All backends of a Service, as desired, and how each does. Raises `NotFound`."""
        return self._do(calls.backends(service))

    def backend(self, service: str, address: str, port: int | None = None) -> BackendView:
        """One backend; `port`: its own, if it has one. Raises `NotFound`."""
        return self._do(calls.backend(service, address, port))

    def put_backend(
        self,
        service: str,
        backend: Mapping[str, Any],
        *,
        if_match: str | None = None,
        dry_run: bool = False,
    ) -> Applied:
        """Make the backend of that address (and port) what is given. `if_match`: of the Service;
        "": no such backend is there yet.
        """
        return self._do(calls.put_backend(service, backend, if_match, dry_run))

    def patch_backend(
        self,
        service: str,
        address: str,
        patch: Mapping[str, Any],
        port: int | None = None,
        *,
        if_match: str | None = None,
        dry_run: bool = False,
    ) -> Applied:
        """Change what `patch` holds (RFC 7396), such as {"weight": 3} or {"state": "terminating"}.
        Raises `NotFound`.
        """
        return self._do(calls.patch_backend(service, address, patch, port, if_match, dry_run))

    def delete_backend(
        self,
        service: str,
        address: str,
        port: int | None = None,
        *,
        if_match: str | None = None,
        dry_run: bool = False,
    ) -> Applied:
        """Take the backend away, and its flows with it. Raises `NotFound`."""
        return self._do(calls.delete_backend(service, address, port, if_match, dry_run))

    def service_counts(self) -> list[ServiceCount]:
        """What each Service in force carries, and how many of its backends are in which state."""
        return self._do(calls.service_counts())

    def service_counters(self, service: str) -> ServiceCounters:
        """What a Service carries, with each frontend and backend. Raises `NotFound`."""
        return self._do(calls.service_counters(service))

    def pods(self) -> list[Pod]:
        """What each pod of this node has."""
        return self._do(calls.pods())

    def big_tcp(self) -> list[BigTcpDevice]:
        """How large packets may be on uplinks and devices of pods, and why."""
        return self._do(calls.big_tcp())

    def history(self) -> list[Revision]:
        """The changes of the whole, newest first."""
        return self._do(calls.history())

    def rollback(self, revision: int | None = None, *, dry_run: bool = False) -> Applied:
        """Have everything as it was in that revision; None: in the one before the present one."""
        return self._do(calls.rollback(revision, dry_run))

    def watch(self, since: int | None = None) -> "Stream[Event]":
        """All resources, then "synced", and then each change. `since`: an event's `resume`."""
        from sixlane.client.stream import Stream

        return Stream(self._path, calls.watch(since))

    def drops(self, *, seconds: float | None = None, limit: int | None = None) -> "Stream[Drop]":
        """Packets as they are dropped; for so long, or so many, or until closed."""
        from sixlane.client.stream import Stream

        return Stream(self._path, calls.drops(seconds, limit))

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
    ) -> "Stream[Packet]":
        """Packets as they come and as they leave; `filter` as tcpdump takes it, `only`: of sent,
        dropped and passed. For so many seconds, packets, or bytes (`size`), or until closed."""
        from sixlane.client.stream import Stream

        return Stream(
            self._path, calls.capture(filter, device, only, seconds, packets, size, snap, rate)
        )

    def status(self) -> dict[str, Any]:
        """What is in force, and what is out of order."""
        return self._do(calls.status())

    def counters(self) -> Counters:
        """Packets and bytes since the data path was loaded."""
        return self._do(calls.counters())

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
    ) -> "RowReader[Session]":
        """Sessions that live and are all that is given: `inside` and `remote` are prefixes or
        addresses, `port` is that of any end, `state` is named as in RFC 6146.
        """
        from sixlane.client.rows import RowReader

        return RowReader(
            self._path, calls.sessions(protocol, inside, pool, remote, port, state, limit)
        )

    def session_count(
        self,
        *,
        protocol: str | None = None,
        inside: str | None = None,
        pool: str | None = None,
        remote: str | None = None,
        port: int | None = None,
        state: str | None = None,
    ) -> SessionCount:
        """How many sessions live, as for `sessions`; how full the tables and pool4 are."""
        return self._do(calls.session_count(protocol, inside, pool, remote, port, state))

    def export_sessions(self) -> "RowReader[dict[str, Any]]":
        """All sessions for another gateway, between an object with `kind` and `version` and one
        that counts them; `lines` has them as `import_sessions` takes them."""
        from sixlane.client.rows import RowReader

        return RowReader(self._path, calls.export_sessions())

    def import_sessions(
        self, lines: bytes, *, first_line: int = 1, dry_run: bool = False
    ) -> Imported:
        """Make sessions of another gateway here: lines of `export_sessions`, without the first and
        the last one, 50,000 at most. If one is malformed, nothing is made; errors count from
        `first_line`. `dry_run` looks at the lines alone."""
        return self._do(calls.import_sessions(lines, first_line, dry_run))

    def bindings(
        self,
        *,
        protocol: str | None = None,
        inside: str | None = None,
        pool: str | None = None,
        port: int | None = None,
        limit: int | None = None,
    ) -> "RowReader[Binding]":
        """Entries of the BIB, as `sessions`."""
        from sixlane.client.rows import RowReader

        return RowReader(self._path, calls.bindings(protocol, inside, pool, port, limit))

    def clients(
        self,
        *,
        inside: str | None = None,
        pool: str | None = None,
        limit: int | None = None,
        order: str | None = None,
    ) -> "RowReader[PoolClient]":
        """Clients of pool4; `order`: those with the most sessions or bindings first."""
        from sixlane.client.rows import RowReader

        return RowReader(self._path, calls.clients(inside, pool, limit, order))

    def health_tasks(self, after: str = "", *, wait: float = 0) -> HealthTasks:
        """What is to be checked, for `sixlane-health`. `after`: the version that is known; `wait`:
        for something behind it, in seconds."""
        return self._do(calls.health_tasks(after, wait))

    def health_results(self, version: str, results: Iterable[HealthResult]) -> HealthTaken:
        """What came of checks; also without any, so that the agent knows that there is somebody."""
        return self._do(calls.health_results(version, results))

    def trace(
        self, packets: Iterable[Mapping[str, str]], *, device: str | None = None
    ) -> list[Trace]:
        """What would become of packets, each given as `flow`, `packet` or `frame`."""
        return self._do(calls.trace(packets, device))

    def doctor(self) -> dict[str, Any]:
        """What the machine has and lacks, and what that costs."""
        return self._do(calls.doctor())

    def metrics(self) -> str:
        """The numbers as Prometheus reads them."""
        return self._do(calls.metrics())

    def teardown(self) -> list[str]:
        """Remove everything, restore what was changed; what could not be, one line each."""
        return self._do(calls.teardown())

    def _edit(self, kind: str, name: str, change: Callable[[View], None]) -> Applied:
        view = self.get(kind, name)
        changed_in_place(change, view)
        return self.put(view)

    def _edit_prefix(self, gateway: str, name: str, change: Callable[[Prefix], None]) -> Applied:
        prefix, version = self._do(calls.prefix_and_version(gateway, name))
        changed_in_place(change, prefix)
        return self.put_prefix(gateway, prefix, if_match=version)

    def _do(self, call: Call[_T]) -> _T:
        from sixlane.client.unix import exchange

        return call.read(exchange(self._path, call))


def _until_undisturbed(attempt: Callable[[], Applied]) -> Applied:
    for pause_s in pauses_s():
        try:
            return attempt()
        except Conflict:
            time.sleep(pause_s)
    return attempt()
