# SPDX-License-Identifier: Apache-2.0
"""Where the check of a backend is sent: the way that flows go, as far as that can be."""

from collections.abc import Set
from dataclasses import dataclass
from typing import Any, Literal

from sixlane.lb.way import mark_of
from sixlane.model import BackendList, HealthCheck, Service
from sixlane.model.addresses import AnyAddress
from sixlane.model.frontends import PROTOCOLS, FrontendList
from sixlane.model.packed import unpacked_address

_TCP = PROTOCOLS["TCP"]


@dataclass(frozen=True)
class Target:
    """`id`: the backend's in the tables. `mark`: of packets that its tunnel takes; None: they go to
    `address` by the kernel's routes."""

    id: int
    check: HealthCheck
    backend: AnyAddress
    address: AnyAddress
    port: int
    mark: int | None
    host: str

    @property
    def way(self) -> Literal["tunnel", "direct"]:
        return "direct" if self.mark is None else "tunnel"

    def data(self, id: str) -> dict[str, Any]:
        """As the API has it."""
        check = self.check
        return {
            "id": id,
            "type": check.type,
            "backend": str(self.backend),
            "address": str(self.address),
            "port": self.port,
            "mark": self.mark,
            "path": check.path,
            "host": self.host,
            "statuses": list(check.expected_status),
            "intervalSeconds": check.interval_seconds,
            "timeoutSeconds": check.timeout_seconds,
            "rise": check.rise,
            "fall": check.fall,
        }


def target_of(service: Service, row: bytes, id: int, local: Set[AnyAddress]) -> Target:
    """`row`: the backend, of `BackendList`; `id`: in the tables; `local`: the host's addresses.

    By a tunnel: to the first frontend of TCP, or the first at all. Where this host has the address
    of each frontend itself, nothing can be sent there but to itself, nor come from there: then, and
    with `mode: nat`, it is the backend's own address.
    """
    spec = service.spec
    check = spec.health_check
    if check is None:
        raise ValueError(f"{service.name} has no checks")
    packed, own_port, *_ = BackendList.ROW.unpack(row)
    backend = unpacked_address(packed)
    frontends = sorted(
        (FrontendList.ROW.unpack(one) for one in spec.frontends.rows),
        key=lambda one: one[2] != _TCP,  # the order stays otherwise
    )
    first, first_port, _ = frontends[0]
    called = unpacked_address(first)
    host = check.host or (f"[{called}]" if called.version == 6 else str(called))
    if spec.mode == "dsr":
        for packed, port, _ in frontends:
            address = unpacked_address(packed)
            if address not in local:
                return Target(id, check, backend, address, check.port or port, mark_of(id), host)
    return Target(id, check, backend, backend, check.port or own_port or first_port, None, host)
