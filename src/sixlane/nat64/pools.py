# SPDX-License-Identifier: Apache-2.0
"""From pool4 of a Gateway to that of the data path, beside what is in force. Pure.

Bindings and blocks of ports are kept by the index of their IPv4 address, and clients know theirs by
it, so an address keeps its index for as long as it is in pool4. Where that cannot be, or where what
is kept would be misread, the session tables are made anew.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv4Address

from sixlane.datapath import NO_ROOM, Placed, PoolEntry, PoolRange, Room, Stateful
from sixlane.datapath.layout import Lifetime, Limit, SessionProtocol
from sixlane.model import Gateway, Pool4, RangeList, ResourceError
from sixlane.model.gateway import GatewaySpec
from sixlane.nat64.observe import Observed

_LEAST_ADDRESSES = 16

Index = Mapping[int, int]
"""Of IPv4 addresses, as numbers."""


@dataclass(frozen=True)
class Sharing:
    """`stateful`: None without pool4. `room`: to make session tables of that size; None: those that
    are there do. `why` they do not, where sessions are lost by it."""

    stateful: Stateful | None
    room: Room | None = None
    why: str = ""


def plan_sharing(gateway: Gateway, observed: Observed) -> Sharing:
    """ResourceError: an address of pool4 is this machine's; its ranges are in too many pieces."""
    spec = gateway.spec
    _refuse_own(gateway, observed)
    wanted, there = room_for(spec), observed.room
    lost = bool(observed.placed or observed.taken)
    if not spec.pool4:
        return Sharing(None, None if there == NO_ROOM else wanted, "pool4 is gone" if lost else "")
    addresses = [address for pool in spec.pool4 for address in addresses_of(pool)]
    why = _why_anew(spec, wanted, observed)
    index = None
    if not why:
        index = place(addresses, indices(observed.placed), observed.taken, there.addresses)
        if index is not None:
            return Sharing(_stateful(gateway, index))
        why = "sessions of addresses that have left pool4 are in the way"
    index = place(addresses, {}, (), wanted.addresses)
    assert index is not None  # the room is for all of them
    return Sharing(_stateful(gateway, index), wanted, why if lost else "")


def room_for(spec: GatewaySpec) -> Room:
    """Addresses are rounded up, so that a few more or less are no reason to lose all sessions."""
    if not spec.pool4:
        return NO_ROOM
    most = spec.sessions.max
    addresses = sum(count for pool in spec.pool4 for _, count in pool.ranges)
    return Room(
        most.sessions,
        most.bindings,
        most.clients,
        max(_LEAST_ADDRESSES, 1 << (addresses - 1).bit_length()),
        most.sessions if spec.sessions.filtering == "address-dependent" else 1,
    )


def place(
    addresses: Iterable[int], present: Index, taken: Collection[int], room: int
) -> dict[int, int] | None:
    """For each address an index below `room`: that of `present`, or one that is free and not
    `taken`, as somebody may still use what is kept there. Neighbours get neighbouring ones where
    there is a gap that is large enough. None: there are not enough.
    """
    wanted = sorted(addresses)
    placed = {address: present[address] for address in wanted if address in present}
    busy = {*placed.values(), *taken}
    free = [index for index in range(room) if index not in busy]
    fresh = [address for address in wanted if address not in placed]
    if len(fresh) > len(free):
        return None
    gaps = list(_runs(free))
    for run in sorted(_runs(fresh), key=len, reverse=True):
        while run:
            gap = min((gap for gap in gaps if len(gap) >= len(run)), key=len, default=None) or max(
                gaps, key=len
            )
            gaps.remove(gap)
            count = min(len(gap), len(run))
            placed |= zip(run[:count], gap, strict=False)
            run = run[count:]
            if gap[count:]:
                gaps.append(gap[count:])
    return placed


def pool_id(name: str) -> int:
    """Clients are marked with it: it has to be the same for a name at any time, and the data path
    does not know names. 32 bits for 16 names: a collision mixes up two lines of a table."""
    return int.from_bytes(sha256(name.encode()).digest()[:4])


def pool_ranges(spec: GatewaySpec) -> RangeList:
    """All addresses of pool4."""
    return RangeList.of(network for pool in spec.pool4 for network in pool.ipv4)


def addresses_of(pool: Pool4) -> Iterator[int]:
    """As numbers, rising."""
    for first, count in pool.ranges:
        yield from range(int(first), int(first) + count)


def indices(placed: Placed | None) -> dict[int, int]:
    """Of each address, as a number, its index."""
    return {
        int(one.first) + n: one.index + n
        for one, _ in (placed.ranges if placed else ())
        for n in range(one.count)
    }


def _why_anew(spec: GatewaySpec, wanted: Room, observed: Observed) -> str:
    placed = observed.placed
    if not observed.room.holds(wanted):
        return "they get another size"
    if placed is None:
        return "nobody knows what is in them" if observed.taken else ""
    if placed.client_bits != spec.sessions.client_prefix_length:
        return "sessions.clientPrefixLength changes"  # clients are found by these bits
    if _resized_blocks(spec, placed):
        return "portBlocks.size changes"  # a block is known by its first port alone
    return ""


def _resized_blocks(spec: GatewaySpec, placed: Placed) -> bool:
    """Whether an address that stays has other blocks."""
    before = {
        int(one.first) + n: block_ports
        for one, block_ports in placed.ranges
        for n in range(one.count)
    }
    return any(
        before.get(address, pool.port_blocks.size) != pool.port_blocks.size
        for pool in spec.pool4
        for address in addresses_of(pool)
    )


def _runs(numbers: Sequence[int]) -> Iterator[list[int]]:
    """Rising numbers, cut where one is missing."""
    run: list[int] = []
    for number in numbers:
        if run and number != run[-1] + 1:
            yield run
            run = []
        run.append(number)
    if run:
        yield run


def _stateful(gateway: Gateway, index: Index) -> Stateful:
    spec = gateway.spec
    sessions, lasting = spec.sessions, spec.sessions.lifetimes
    ranges = {pool.name: list(_ranges(pool, index)) for pool in spec.pool4}
    pieces = sum(map(len, ranges.values()))
    if pieces > Limit.MAX_POOL_RANGES:
        raise ResourceError(
            f"pool4 is in {pieces} pieces, as addresses keep their sessions",
            ("spec", "pool4"),
            f"{Limit.MAX_POOL_RANGES} at most: apply once without pool4, which ends all sessions",
            where=str(gateway.key),
        )
    entries = [
        PoolEntry(
            pool.name,
            pool_id(pool.name),
            network,
            ranges[pool.name],
            {
                SessionProtocol.SESSION_TCP: pool.ports.tcp,
                SessionProtocol.SESSION_UDP: pool.ports.udp,
                SessionProtocol.SESSION_ICMP: pool.ports.icmp,
            },
            pool.port_blocks.size,
            pool.port_blocks.per_client,
            pool.sessions_per_client,
        )
        for pool in spec.pool4
        for network in pool.clients
    ]
    return Stateful(
        sorted(entries, key=lambda entry: -entry.clients.prefixlen),
        {
            Lifetime.LIFETIME_UDP: lasting.udp,
            Lifetime.LIFETIME_ICMP: lasting.icmp,
            Lifetime.LIFETIME_TCP_ESTABLISHED: lasting.tcp_established,
            Lifetime.LIFETIME_TCP_TRANSITORY: lasting.tcp_transitory,
            Lifetime.LIFETIME_TCP_INCOMING_SYN: lasting.tcp_incoming_syn,
        },
        sessions.client_prefix_length,
        filter_address=sessions.filtering == "address-dependent",
        no_syn_46=sessions.tcp_from_outside == "drop",
        log_blocks=sessions.log.blocks,
        log_sessions=sessions.log.sessions,
    )


def _ranges(pool: Pool4, index: Index) -> Iterator[PoolRange]:
    """Addresses whose indices follow each other as they do."""
    first: int | None = None
    count = 0
    for address in addresses_of(pool):
        if first is not None and (address, index[address]) == (first + count, index[first] + count):
            count += 1
            continue
        if first is not None:
            yield PoolRange(IPv4Address(first), count, index[first])
        first, count = address, 1
    if first is not None:
        yield PoolRange(IPv4Address(first), count, index[first])


def _refuse_own(gateway: Gateway, observed: Observed) -> None:
    """The kernel would get no packet for such an address any more."""
    for device in observed.devices.values():
        for held in device.addresses:
            for at, pool in enumerate(gateway.spec.pool4):
                for index, network in enumerate(pool.ipv4):
                    if isinstance(held, IPv4Address) and held in network:
                        raise ResourceError(
                            f"{held} is an address of {device.name}",
                            ("spec", "pool4", at, "ipv4", index),
                            "its own traffic would be taken for that of clients: leave it out",
                            where=str(gateway.key),
                        )
