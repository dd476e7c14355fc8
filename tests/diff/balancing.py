# SPDX-License-Identifier: Apache-2.0
"""What is to become of packets to services, by docs/reference/service.md and decision 0022.

Two things are not written there: a new flow's backend is from `sixlane.rfc.maglev` and the hash of
RFC 4418; how long flows are remembered of which little was seen is from `LIFETIMES`.
"""

import itertools
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from ipaddress import ip_address
from typing import Any, Literal, NamedTuple

from sixlane.datapath.layout import FlowState
from sixlane.datapath.services import LIFETIMES, flow_words
from sixlane.model.packed import packed_address
from sixlane.rfc import maglev
from tests.diff.desired import Asked, Frontend, Services

State = Asked | Literal["quarantined"]
Verdict = Literal["unknown", "well", "quarantined"]
Sign = Literal["begins", "goes on", "ends"]
Place = tuple[str, str]
"""A backend: its service's name, and its address."""

_PROTOCOLS = {"TCP": 6, "UDP": 17}
_32, _64 = (1 << 32) - 1, (1 << 64) - 1


class Flow(NamedTuple):
    """As its client has it."""

    client: str
    port: int
    frontend: Frontend


@dataclass(frozen=True)
class Cell:
    """What is remembered of a flow, or of a client. `backend`: of `Model.born`; `at`: when the last
    packet came, in seconds."""

    backend: int
    state: FlowState
    at: float


@dataclass
class Model:
    """`today`: the time in seconds since 1970, which drains go by, and `clock` another one, which
    flows go by. `born`: backends that are there: one that goes and comes back is another one.
    `counts`: of frontends and backends, each by its service's name and what it is."""

    today: float
    clock: float = 0.0
    seed: str = ""
    services: Services = field(default_factory=dict)
    born: dict[Place, int] = field(default_factory=dict)
    verdicts: dict[Place, Verdict] = field(default_factory=dict)
    counts: dict[tuple[str, Any], Counter[str]] = field(default_factory=dict)
    _flows: dict[Any, Cell] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    # ---- what is in force ----

    def put_in_force(self, services: Services, seed: str) -> None:
        """All services that are there from now on."""
        states = {name: self.states(name) for name in self.services}
        self.services, self.seed = services, seed
        there = [(name, address) for name, one in services.items() for address in one.backends]
        ends = [(name, end) for name, one in services.items() for end in one.frontends]
        self.born = {
            place: self.born[place] if place in self.born else next(self._numbers)
            for place in there
        }
        self.counts = {one: self.counts.get(one, Counter()) for one in (*there, *ends)}
        self.verdicts = {
            (name, address): self.verdicts.get((name, address))
            or self._untold(name, address, states.get(name, {}).get(address))
            for name, address in there
            if services[name].is_checked
        }

    def restart(self) -> None:
        """Whoever checks has said nothing yet: all is as it is."""
        self.verdicts = {
            (name, address): self._untold(name, address, self.states(name)[address])
            for name, address in self.verdicts
        }

    def _untold(self, name: str, address: str, state: State | None) -> Verdict:
        """Of a backend that nobody has told of: it stays as it was, as far as that can be seen;
        `state`: None: it was not there."""
        asked = self.services[name].backend(address).state
        return "well" if state == "active" or state == asked == "terminating" else "unknown"

    def states(self, name: str) -> dict[str, State]:
        """Of the backends of a service, by address."""
        return self._judge(name)[0]

    def table(self, name: str) -> list[str]:
        """The backend of each entry, and so of new flows; empty: they are refused."""
        service, members = self.services[name], self._judge(name)[1]
        owners = _table(tuple(map(service.member, members)), service.entries)
        return [members[owner] for owner in owners]

    def _judge(self, name: str) -> tuple[dict[str, State], list[str]]:
        """States, and who gets new flows by their weights."""
        service = self.services[name]
        backends = {address: service.backend(address) for address in service.backends}
        states: dict[str, State] = {address: one.state for address, one in backends.items()}
        over = {
            a for a, one in backends.items() if one.until is not None and one.until <= self.today
        }
        failed = {a for a in backends if self.verdicts.get((name, a), "well") != "well"}
        for address in over | failed:
            if states[address] != "maintenance":
                states[address] = "quarantined"
        weighty = [address for address, one in backends.items() if one.weight]
        members = [address for address in weighty if states[address] == "active"]
        if service.makeshift and not members:
            members = [a for a in weighty if backends[a].state != "maintenance" and a not in over]
            states |= dict.fromkeys(members, "terminating")
        return states, members

    # ---- packets ----

    def send(self, flow: Flow, sign: Sign, size: int) -> str:
        """The address of the backend that it goes to, "refused", or "passed" if it is no service's.
        `size`: of layer 3."""
        sign = sign if flow.frontend.protocol == "TCP" else "goes on"
        name = self._called(flow.frontend)
        if name is None:
            ends = [end for service in self.services.values() for end in service.frontends]
            vips = {end.address for end in ends}
            return "refused" if flow.frontend.address in vips else "passed"
        affinity = self.services[name].affinity
        key = (self.seed, *((name, flow.client) if affinity else flow))
        address, is_new = self._kept(name, key, sign), False
        if address is None:
            table, is_new = self.table(name), True
            if not table:
                self.counts[name, flow.frontend].update(dropped=1)
                return "refused"
            words = _of_client(name, flow) if affinity else _of_flow(flow)
            address = table[_entry(self.seed, words, len(table))]
            state = FlowState.FLOW_CLIENT if affinity else FlowState.FLOW_NEW
        else:
            state = _next_state(self._flows[key].state, sign, flow.frontend.protocol)
        self._flows[key] = Cell(self.born[name, address], state, self.clock)
        for where in (flow.frontend, address):
            self.counts[name, where].update(packets=1, bytes=size, newFlows=int(is_new))
        return address

    def _called(self, frontend: Frontend) -> str | None:
        return next((n for n, one in self.services.items() if frontend in one.frontends), None)

    def _kept(self, name: str, key: Any, sign: Sign) -> str | None:
        """The backend that the flow has and keeps: an active one, whatever comes; one that takes no
        new flows, unless this begins one."""
        cell = self._flows.get(key)
        affinity = self.services[name].affinity
        if cell is None or self.clock - cell.at > (affinity or LIFETIMES[cell.state]):
            return None
        for address, state in self.states(name).items():
            if self.born[name, address] == cell.backend:
                keeps = state == "active" or (state != "quarantined" and sign != "begins")
                return address if keeps else None
        return None


def _next_state(state: FlowState, sign: Sign, protocol: str) -> FlowState:
    if state is FlowState.FLOW_CLIENT:
        return state
    if sign == "ends":
        return FlowState.FLOW_CLOSING
    if sign == "begins":
        return FlowState.FLOW_NEW if state is FlowState.FLOW_CLOSING else state
    going_on = FlowState.FLOW_TCP if protocol == "TCP" else FlowState.FLOW_UDP
    return going_on if state is FlowState.FLOW_NEW else state


@lru_cache(maxsize=256)
def _table(members: Sequence[maglev.Member], size: int) -> list[int]:
    return maglev.table(members, size)


_ENDS = struct.Struct("!16s16sHH")


def _of_flow(flow: Flow) -> bytes:
    """What is hashed: both ends and the protocol, the last as a word of the machine."""
    client, end = ip_address(flow.client), flow.frontend
    called = packed_address(ip_address(end.address))
    ends = _ENDS.pack(packed_address(client), called, flow.port, end.port)
    return ends + struct.pack("=I", _PROTOCOLS[end.protocol])


def _of_client(name: str, flow: Flow) -> bytes:
    """Of all flows of a client: that, and the service's name in 31 bits."""
    word = int.from_bytes(blake2b(name.encode(), digest_size=4).digest()) | 1 << 31
    client = packed_address(ip_address(flow.client))
    return _ENDS.pack(client, bytes(16), 0, 0) + struct.pack("=I", word)


def _entry(seed: str, hashed: bytes, size: int) -> int:
    """By NH of UMAC (RFC 4418 5.2.2) and the mixing of bpf/sixlane/flow.h: the high half says."""
    pairs = zip(struct.unpack("=10I", hashed), flow_words(seed), strict=True)
    words = [word + secret & _32 for word, secret in pairs]
    hash = sum(a * b for a, b in zip(words[::2], words[1::2], strict=True)) & _64
    hash = (hash ^ hash >> 32) * 0x9E3779B97F4A7C15 & _64
    hash = (hash ^ hash >> 29) * 0xBF58476D1CE4E5B9 & _64
    high = (hash ^ hash >> 32) >> 32
    return int(high * size >> 32)
