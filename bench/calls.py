# SPDX-License-Identifier: Apache-2.0
"""Frames of flows to services, and of what is answered."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Self

import numpy as np

from bench.called import BACKENDS, CALLED, POOLS, PORT, TCP, Address, Called, Family, array
from bench.columns import (
    DESTINATION4,
    DESTINATION6,
    SOURCE4,
    SOURCE6,
    TCP_FLAGS,
    TCP_SUM,
    UDP_SUM,
    UPPER4,
    UPPER6,
    copies,
    frames_of,
    put,
    put_sums4,
    put_sums6,
    shuffled,
)
from bench.frames import FLOWS, Ends, frame4, frame6
from tests.world import World

ACK, SYN, SYN_ACK = 0x10, 0x02, 0x12
"""Flags of TCP."""

_CLIENTS: dict[int, Address] = {4: IPv4Address("192.31.192.0"), 6: IPv6Address("2001:db8:100::1")}
_NOBODY: dict[int, Address] = {4: IPv4Address("195.1.0.0"), 6: IPv6Address("2001:db8:500::1")}
_FIRST_PORT = 1024
_LOW = 0xFFFFFFFF
_SPREAD = 40_503  # flows that follow each other are of services far apart
_ANY = Ends(IPv4Address(0), IPv4Address(0), IPv6Address(0), IPv6Address(0))


@dataclass(frozen=True)
class _End:
    """One end of each flow: addresses that differ from the first one in the last 32 bits."""

    first: Address
    low: Any
    port: Any

    @classmethod
    def of(cls, first: Address, more: Any, port: Any) -> Self:
        """`more`: so many addresses behind the first one."""
        return cls(first, (int(first) & _LOW) + more, port)


def frames_to(called: Called, world: World, count: int, flags: int = ACK) -> list[bytes]:
    """So many flows, in any order, of all services."""
    number = np.arange(count)
    service = number * _SPREAD % called.services
    to = _End.of(CALLED[called.client], service, PORT)
    return _frames(called, world, called.client, _client(called, number), to, flags)


def frames_by(called: Called, world: World, count: int, flags: int = ACK) -> list[bytes]:
    """To addresses that nobody serves."""
    number = np.arange(count)
    to = _End.of(_NOBODY[called.client], number % FLOWS, PORT)
    return _frames(called, world, called.client, _client(called, number), to, flags)


def frames_back(called: Called, world: World, flags: int = ACK) -> list[bytes]:
    """What backends answer, of all flows that are translated."""
    records = array(world, "nat_flows")
    records = records[records["word"] != 0]
    backend, source = (
        _End(first[called.backend], records[name]["lo"] & _LOW, records[f"{name}_port"])
        for name, first in (("backend", BACKENDS), ("source", POOLS))
    )
    return _frames(called, world, called.backend, backend, source, flags)


def _client(called: Called, number: Any) -> _End:
    return _End.of(_CLIENTS[called.client], number % FLOWS, _FIRST_PORT + number // FLOWS)


def _frames(
    called: Called, world: World, family: Family, source: _End, destination: _End, flags: int
) -> list[bytes]:
    four, tcp = family == 4, called.protocol == TCP
    frames = copies((frame4 if four else frame6)(called.kind, _ANY, world), len(source.low))
    upper = UPPER4 if four else UPPER6
    at_source, at_destination = (SOURCE4, DESTINATION4) if four else (SOURCE6, DESTINATION6)
    for at, at_port, end in ((at_source, upper, source), (at_destination, upper + 2, destination)):
        address = np.frombuffer(end.first.packed, np.uint8)
        frames[:, at : at + len(address)] = address
        put(frames, at + len(address) - 4, end.low, 4)
        put(frames, at_port, end.port, 2)
    if tcp:
        put(frames, upper + TCP_FLAGS, flags, 1)
    sums = put_sums4 if four else put_sums6
    sums(frames, called.protocol, TCP_SUM if tcp else UDP_SUM)
    return shuffled(frames_of(frames))
