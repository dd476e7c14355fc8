# SPDX-License-Identifier: Apache-2.0
"""The data path's own programs on one packet, over the tables in force, with `dry_run`: nothing is
counted, remembered, told or sent."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Literal

from sixlane.bpf import Map, Object, SkBuff, XdpMd
from sixlane.datapath import layout
from sixlane.datapath.layout import FlowKind, Reason
from sixlane.datapath.sessions import STATE_NAMES, StateName, port_ranges

Entry = Literal["xdp", "tc"]
Verdict = Literal["pass", "drop", "redirect"]
Address = IPv4Address | IPv6Address

_V4_MAPPED = 0xFFFF << 32
_ROOM_BYTES = 256  # that a packet may grow by
_VERDICTS: dict[Entry, dict[int, Verdict]] = {
    "xdp": {1: "drop", 2: "pass", 4: "redirect"},
    "tc": {0xFFFFFFFF: "pass", 2: "drop", 7: "redirect"},
}


@dataclass(frozen=True)
class Mapping4to6:
    """An explicit address mapping that was used (RFC 7757). `remote`: its IPv4 side is outside."""

    ipv4: IPv4Network
    ipv6: IPv6Network
    remote: bool


@dataclass(frozen=True)
class Hop:
    """What the kernel said of the way to `destination`. `mtu` in bytes of layer 3.

    `resolved`: the neighbour is known; without it, the MACs (6 bytes) are not.
    """

    destination: Address
    ifindex: int
    mtu: int
    dst_mac: bytes
    src_mac: bytes
    resolved: bool


@dataclass(frozen=True)
class Tracked:
    """What keeps track of the packet's flow, or would from it on: a session that is there, a new
    one for a binding that is there, a new binding, or nothing, which a reason explains.

    `pool`: address of pool4 and port, None where they did not come to be known; a new binding's
    port is drawn anew each time. `state` (RFC 6146 3.5.2.2) and `left_s`: of a session that is
    there. `client`: whoever shares the binding's address and ports. The rest are None unless there
    is such a client, or would be: `blocks` (first and last port of each) of at most `most_blocks`,
    and what it has of bindings and sessions by now.
    """

    kind: FlowKind
    inside: IPv6Address
    inside_port: int
    pool: tuple[IPv4Address, int] | None
    state: StateName | None
    left_s: int
    client: IPv6Network
    blocks: tuple[tuple[int, int], ...] | None
    most_blocks: int | None
    bindings: int | None
    sessions: int | None


@dataclass(frozen=True)
class Balanced:
    """What a packet to a frontend has met. `service`: its id; `backend`: the id of whom it goes to,
    None: nobody. `is_new`: nothing was remembered of the flow."""

    service: int
    backend: int | None
    is_new: bool


@dataclass(frozen=True)
class Simulated:
    """What would become of a frame. `frame`: as it would leave, or as it came in.

    `reasons`: as they would be counted, why the packet left first. `tracked`: of stateful NAT64; of
    a hairpin, the source's side and then the destination's. `served_by`: index of the prefix
    in the tables, None where it did not come to be known; `source` and `destination`: the new
    addresses, None where they were not made.
    """

    verdict: Verdict
    frame: bytes
    reasons: tuple[Reason, ...]
    served_by: int | None
    source: Address | None
    destination: Address | None
    mappings: tuple[Mapping4to6, ...]
    tracked: tuple[Tracked, ...]
    hop: Hop | None
    balanced: Balanced | None


class Simulator:
    """One entry's program, loaded over the tables of a data path, for one thread."""

    def __init__(
        self, path: Path, maps: Mapping[str, Map], entry: Entry, constants: Mapping[str, int]
    ) -> None:
        """The object at `path` over `maps`, all but those for notes. Loading takes seconds."""
        with ExitStack() as resources:
            opened = resources.enter_context(Object.open(path))
            opened.choose({f"uplink_{entry}"})
            for name, map in maps.items():
                opened.maps[name].reuse(map)
            set_constants(opened, {**constants, "dry_run": 1})
            opened.load()
            self._resources = resources.pop_all()
        self._program = opened.programs[f"uplink_{entry}"]
        self._visits = opened.maps["visits"]
        self._entry = entry

    def close(self) -> None:
        self._resources.close()

    def run(self, frame: bytes, ifindex: int) -> Simulated:
        """What would become of a frame that comes in by a device of this network namespace.

        KernelError: the kernel takes no such frame, as it is too short.
        """
        blank = [bytes(layout.Visit())] * len(self._visits.lookup_per_cpu(bytes(4)) or [])
        self._visits.update_per_cpu(bytes(4), blank)
        context: XdpMd | SkBuff = (
            XdpMd.of(frame, ingress_ifindex=ifindex)
            if self._entry == "xdp"
            else SkBuff(ifindex=ifindex)
        )
        size = len(frame) + _ROOM_BYTES
        ran = self._program.run(frame, ctx=bytes(context), data_out_size=size)
        visits = [
            layout.Visit.from_buffer_copy(value)
            for value in self._visits.lookup_per_cpu(bytes(4)) or []
        ]
        noted = next((one for one in visits if one.reason_count), layout.Visit())
        return _simulated(_VERDICTS[self._entry][ran.retval], bytes(ran.data), noted)


def set_constants(
    opened: Object,
    constants: Mapping[str, int],
    places: Mapping[str, layout.Variable] = layout.CONFIG,
) -> None:
    """Before the load. `places`: of that object's constants."""
    rodata = opened.maps[".rodata"].initial_value
    for name, value in constants.items():
        place = places[name]
        rodata[place.offset : place.offset + place.bytes] = value.to_bytes(place.bytes, "little")


def _simulated(verdict: Verdict, frame: bytes, noted: layout.Visit) -> Simulated:
    hop = noted.hop
    return Simulated(
        verdict,
        frame,
        tuple(Reason(noted.reasons[number]) for number in range(noted.reason_count)),
        noted.served - 1 if noted.served else None,
        _address(noted.new_src),
        _address(noted.new_dst),
        tuple(_mapping(noted.eams[number]) for number in range(noted.eam_count)),
        tuple(_tracked(noted.flows[number]) for number in range(noted.flow_count)),
        Hop(
            _address(noted.hop_dst) or IPv6Address(0),
            hop.ifindex,
            hop.mtu_bytes,
            bytes(hop.dst_mac),
            bytes(hop.src_mac),
            bool(hop.resolved),
        )
        if noted.has_hop
        else None,
        Balanced(noted.service, noted.backend or None, bool(noted.is_new))
        if noted.service
        else None,
    )


def _mapping(eam: layout.Eam) -> Mapping4to6:
    return Mapping4to6(
        IPv4Network((eam.addr4, eam.len4)),
        IPv6Network((eam.addr6.hi << 64 | eam.addr6.lo, eam.len6)),
        bool(eam.flags & layout.EamFlag.EAM_REMOTE),
    )


def _tracked(flow: layout.VisitFlow) -> Tracked:
    inside = IPv6Address(flow.inside.hi << 64 | flow.inside.lo)
    client = flow.client if flow.has_client else None
    return Tracked(
        FlowKind(flow.kind),
        inside,
        flow.inside_port,
        (IPv4Address(flow.pool), flow.pool_port) if flow.pool else None,
        STATE_NAMES.get(flow.state),
        flow.left_seconds,
        IPv6Network((inside, flow.client_bits), strict=False),
        port_ranges(list(client.blocks), client.block_words) if client else None,
        flow.blocks if client else None,
        client.bindings if client else None,
        client.sessions if client else None,
    )


def _address(canonical: layout.Addr) -> Address | None:
    if canonical.hi == 0 and canonical.lo >> 32 << 32 == _V4_MAPPED:
        return IPv4Address(canonical.lo & 0xFFFFFFFF)
    number = canonical.hi << 64 | canonical.lo
    return IPv6Address(number) if number else None
