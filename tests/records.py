# SPDX-License-Identifier: Apache-2.0
"""Sessions, bindings and clients that no packet made, in the layout of the data path's maps."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from sixlane.datapath import layout
from sixlane.datapath.layout import CountMark, GatewayFlag, SessionProtocol, SessionState
from sixlane.datapath.records import Memory
from sixlane.datapath.sessions import PROTOCOLS, STATES, SessionRecords, StateName

NOW = 1 << 32  # jiffies
HZ = 250
NETWORK = "64:ff9b::/96"
"""That of the prefix, as it is in the tables."""
FIRST = IPv4Address("192.31.197.8")
ADDRESSES = 4
_CLIENT_MASK = (1 << 128) - (1 << 64)


@dataclass
class Flow:
    """A session, and by it the binding and the client."""

    inside: str
    inside_port: int
    pool_port: int
    remote: str = "192.31.196.53"
    remote_port: int = 53
    protocol: Any = "udp"
    state: StateName = "OPEN"
    remaining_s: float = 300.0
    address: int = 0


@dataclass
class Made:
    """What was made of flows; the arrays may be changed afterwards, as packets do."""

    sessions: Any
    bindings: Any
    ports4: Any
    memory: Memory
    gateway: layout.Gateway = field(default_factory=layout.Gateway)

    def records(self) -> SessionRecords:
        return SessionRecords(self.memory, self.gateway, {7: "pods"}, NOW, HZ, {3: "default"})


def make(flows: Sequence[Flow], room: int = 64) -> Made:
    """Slots are in the order of flows."""
    sessions, bindings = (layout.Session * room)(), (layout.Binding * room)()
    ports4 = (ctypes.c_uint64 * (ADDRESSES * SessionProtocol.SESSION_PROTOCOLS << 16))()
    clients: dict[bytes, layout.Client] = {}
    used4 = bytearray(len(ports4) // 8)
    blocks4 = (ctypes.c_uint32 * (ADDRESSES * 1024))()
    taken = 0
    for slot, flow in enumerate(flows):
        cell = ((flow.address * 3 + PROTOCOLS[flow.protocol]) << 16) + flow.pool_port
        word = flow.pool_port // 64
        owner = clients.setdefault(_key(flow.inside), layout.Client(flow.address, 1, 3))
        if not ports4[cell]:
            taken += 1
            ports4[cell] = taken
            used4[cell // 8] |= 1 << cell % 8
            blocks4[flow.address * 1024 + word] |= CountMark.BLOCK_GIVEN
            blocks4[flow.address * 1024 + word] += 1
            owner.bindings += 1
            owner.blocks[0] = owner.blocks[0] or word + 1
        bound, one = bindings[ports4[cell] - 1], sessions[slot]
        for record in (bound, one):
            record.inside = _addr(flow.inside)
            record.inside_port, record.pool_port = flow.inside_port, flow.pool_port
            record.pool = int(FIRST) + flow.address
            record.protocol, record.prefix = PROTOCOLS[flow.protocol], 7
        bound.address = flow.address
        bound.sessions += 1
        owner.sessions += 1
        one.remote, one.remote_port = int(IPv4Address(flow.remote)), flow.remote_port
        one.binding = ports4[cell] - 1
        until = NOW + round(flow.remaining_s * HZ)
        one.word = until << SessionState.SESSION_STATE_BITS | STATES[flow.state]
    memory = Memory(
        memoryview(sessions).cast("B"),
        memoryview(bindings).cast("B"),
        memoryview(ports4).cast("B"),
        memoryview(bytes(layout.StoredSyn())),
        len(flows),
        taken,
        (b"".join(clients), b"".join(map(bytes, clients.values()))),
        16,
        bytes(used4),
        bytes(blocks4),
    )
    return Made(sessions, bindings, ports4, memory, _gateway())


def _gateway() -> layout.Gateway:
    gateway = layout.Gateway(
        flags=GatewayFlag.GATEWAY_STATEFUL, pool_count=1, pool_range_count=1, client_bits=64
    )
    gateway.prefix_count = 1
    gateway.prefixes[0] = layout.Prefix(addr=_addr("64:ff9b::"), id=7, len=96)
    gateway.pool_ranges[0] = layout.PoolRange(int(FIRST), ADDRESSES, 0)
    gateway.pools[0] = layout.Pool(range_count=1, addresses=ADDRESSES, block_words=1, id=3)
    for number in PROTOCOLS.values():
        gateway.pools[0].ports[number] = layout.PortRange(1024, 65535)
    return gateway


def _key(inside: str) -> bytes:
    return bytes(_number(int(IPv6Address(inside)) & _CLIENT_MASK))


def _addr(text: str) -> layout.Addr:
    return _number(int(IPv6Address(text)))


def _number(number: int) -> layout.Addr:
    return layout.Addr(number >> 64, number & (1 << 64) - 1)
