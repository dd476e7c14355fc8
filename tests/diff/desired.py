# SPDX-License-Identifier: Apache-2.0
"""What services are asked to be, by docs/reference/service.md: transactions, and what of them is
refused."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from ipaddress import ip_address
from typing import Any, Literal, NamedTuple

from sixlane.rfc.maglev import ENTRIES_A_MEMBER, Member, member_of, smallest_size

Asked = Literal["active", "terminating", "maintenance"]


class Refused(Exception):
    """A transaction of which nothing may come."""


class Frontend(NamedTuple):
    address: str
    port: int
    protocol: str


class Backend(NamedTuple):
    """`until`: when the flows that are left end, in seconds since 1970."""

    weight: int
    state: Asked
    until: float | None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "Backend":
        """As the API has it."""
        weight, state, until = data.get("weight", 1), data.get("state", "active"), None
        if data.get("drainUntil") is not None:
            until = datetime.fromisoformat(data["drainUntil"]).timestamp()
        if not 0 <= weight <= 1000:
            raise Refused("a weight is 0 to 1,000")
        if until is not None and state != "terminating":
            raise Refused("drainUntil is with terminating only")
        if "port" in data:
            raise Refused("with mode dsr a backend has no port of its own")
        return cls(weight, state, until)


@dataclass(frozen=True)
class Service:
    """`backends`: by address, as the API has them; `affinity`: how long a client keeps its backend,
    in seconds, 0: each flow has its own; `makeshift`: whenAllDown is terminating; `size`: of its
    table, as asked for."""

    frontends: tuple[Frontend, ...]
    backends: Mapping[str, Mapping[str, Any]]
    affinity: int
    is_checked: bool
    makeshift: bool
    size: int | None

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> "Service":
        return cls(
            tuple(Frontend(**one) for one in spec["frontends"]),
            {one["address"]: one for one in spec["backends"]},
            spec.get("sessionAffinityTimeoutSeconds", 10800) if "sessionAffinity" in spec else 0,
            "healthCheck" in spec,
            spec.get("whenAllDown") == "terminating",
            spec.get("tableSize"),
        )

    @property
    def entries(self) -> int:
        """Of its table."""
        return self.size or smallest_size(len(self.backends))

    def backend(self, address: str) -> Backend:
        return Backend.of(self.backends[address])

    def member(self, address: str) -> Member:
        return member_of(ip_address(address), 0, self.backend(address).weight)


Services = dict[str, Service]


def merged(services: Services, asked: Mapping[str, Any]) -> Services:
    """All services after a transaction, which is as `POST /v1/transactions` takes it; resources
    that are no services are left out of sight. Raises `Refused`."""
    after = dict(services)
    named = [(one["kind"], one["metadata"]["name"]) for one in asked.get("put", ())]
    named += [(one["kind"], one["name"]) for one in asked.get("delete", ())]
    if len(set(named)) < len(named):
        raise Refused("a resource is named twice")
    for one in asked.get("delete", ()):
        if after.pop(one["name"], None) is None:
            raise Refused("what is to go is not there")
    for one in asked.get("put", ()):
        if one["kind"] == "Service":
            put = Service.of(one["spec"])
            _check_alone(put)  # whatever edits make of it
            after[one["metadata"]["name"]] = put
    for one in asked.get("backends", ()):
        if one["service"] not in after:
            raise Refused("there is no such service")
        after[one["service"]] = _edited(after[one["service"]], one["op"], one["backend"])
    _check(after)
    return after


def _edited(service: Service, op: str, given: Mapping[str, Any]) -> Service:
    address, backends = given["address"], dict(service.backends)
    if op != "put" and address not in backends:
        raise Refused("there is no such backend")
    if op == "delete":
        del backends[address]
    else:
        data = {**backends[address], **given} if op == "patch" else dict(given)
        backends[address] = {key: value for key, value in data.items() if value is not None}
        Backend.of(backends[address])
    return replace(service, backends=backends)


def _check(services: Services) -> None:
    ends = [end for service in services.values() for end in service.frontends]
    if len(set(ends)) < len(ends):
        raise Refused("a frontend belongs to one service")
    for service in services.values():
        _check_alone(service)


def _check_alone(service: Service) -> None:
    if service.size is not None and service.size < ENTRIES_A_MEMBER * len(service.backends):
        raise Refused("a table has 100 entries a backend at least")
    for address in service.backends:
        service.backend(address)
        if any(end.address == address for end in service.frontends):
            raise Refused("a backend is no frontend")
