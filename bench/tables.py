# SPDX-License-Identifier: Apache-2.0
"""The tables under which packets are measured, each in a world of its own."""

import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from scapy.layers.inet import IP, UDP

from bench.frames import FLOWS, KINDS, Ends, frame6
from sixlane.datapath.layout import Lifetime, SessionProtocol
from sixlane.datapath.pools import PoolEntry, PoolRange, Room, Stateful
from sixlane.model import RangeList
from sixlane.nat64.known import ranges_table
from sixlane.rfc import rfc6052
from sixlane.rfc.rfc7915 import Eam, Prefix, Translator
from tests.world import World, raise_world, tables_for

WELL_KNOWN = IPv6Network("64:ff9b::/96")
CLIENTS = IPv4Network("192.31.192.0/20")
_NODES = IPv4Network("192.52.176.0/20")
_MAPPED = IPv4Network("193.0.64.0/18")
PODS = IPv6Network("2001:db8:100::/64")
_FORWARDED = ("forward_46", "forward_64")
_SEED = 1
POOL = IPv4Network("193.0.128.0/24")
LIFETIME_S = 7_440
_PORTS = dict.fromkeys(
    (SessionProtocol.SESSION_TCP, SessionProtocol.SESSION_UDP, SessionProtocol.SESSION_ICMP),
    (1024, 65535),
)
_ROOM = Room(sessions=1 << 20, bindings=1 << 20, clients=1 << 14, addresses=16)


@dataclass(frozen=True)
class Scene:
    """`ends`: of the flows, the first so many of which are measured at a time (`flows`). `name`: ""
    for the usual one; `reasons`: what its packets are counted under."""

    name: str
    world: World
    ends: Sequence[Ends]
    flows: tuple[int, ...]
    reasons: tuple[str, ...] = _FORWARDED
    all_kinds: bool = False
    stages: bool = False


def scenes(stack: ExitStack) -> list[Scene]:
    """All of them, with their tables in force."""
    usual = _world(stack, _ten_prefixes())
    ends = [_by_pool6(*pair) for pair in zip(CLIENTS, _NODES, strict=True)]
    found = [
        Scene("", usual, ends, (1, FLOWS), all_kinds=True, stages=True),
        Scene("not for us, UDP", usual, list(_of_others()), (1, FLOWS), ("pass_not_ours",)),
    ]
    found.append(_sessions(stack))
    for count in (1, 10_000):
        mappings = list(_mappings(count))
        name = f"{count:,} EAM entr{'ies' if count > 1 else 'y'}, random"
        world = _world(stack, [_prefix("pods", (_MAPPED,), eam=tuple(mappings))])
        found.append(Scene(name, world, list(_to_mapped(mappings)), (FLOWS,)))
    for count in (1, 100_000):
        ranges = list(_ranges(count))
        name = f"{count:,} source range{'s' if count > 1 else ''}, random"
        world = _world(stack, [_prefix("nodes", (_NODES,), sources=tuple(ranges))])
        found.append(Scene(name, world, list(_from_ranges(ranges)), (FLOWS,)))
    return found


def _sessions(stack: ExitStack) -> Scene:
    """Flows of pods through pool4: each has a session by the time that it is measured."""
    world = stateful_world(stack, _ROOM, block_ports=256, blocks=8)
    ends = [_opened(world, number) for number in range(FLOWS)]
    return Scene("session, UDP, 64 bytes", world, ends, (1, FLOWS))


def stateful_world(stack: ExitStack, room: Room, *, block_ports: int, blocks: int) -> World:
    """Ten prefixes, and pods of a pool4 of as many addresses as there is room for."""
    world = stack.enter_context(raise_world(room))
    own4, own6 = IPv4Address("193.0.14.1"), IPv6Address("2001:db8::1")
    usual = tables_for(Translator(tuple(_ten_prefixes()), own4, own6), world.wan, world.lan)
    addresses = [PoolRange(POOL[0], room.addresses, 0)]
    pool = PoolEntry(
        "pods", 0, PODS.supernet(new_prefix=32), addresses, _PORTS, block_ports, blocks
    )
    lifetimes: dict[Lifetime, int] = {
        which: LIFETIME_S for which in Lifetime if which != Lifetime.LIFETIME_COUNT
    }
    ranges = ranges_table([], RangeList(), [], RangeList.of([POOL]))
    world.commit(replace(usual, stateful=Stateful([pool], lifetimes), ranges=ranges))
    return world


def _opened(world: World, number: int) -> Ends:
    """What a pod's flow looks like from outside: 64 pods on each of 64 nodes."""
    client = CLIENTS[number]
    pod = IPv6Address(int(PODS[0]) + (number // 64 << 64) + number % 64 + 1)
    inside = Ends(client, POOL[0], rfc6052.embed(WELL_KNOWN, client), pod)
    seen = world.send(frame6(KINDS[0], inside, world)[14:], "tc")
    sent = IP(seen.packet)
    return replace(inside, node4=IPv4Address(sent.src), node_port=sent[UDP].sport)


def _world(stack: ExitStack, prefixes: Sequence[Prefix]) -> World:
    world = stack.enter_context(raise_world())
    own4, own6 = IPv4Address("193.0.14.1"), IPv6Address("2001:db8::1")
    world.configure(Translator(tuple(prefixes), own4, own6))
    return world


def _prefix(
    name: str,
    ipv4: tuple[IPv4Network, ...],
    sources: tuple[IPv4Network, ...] | None = None,
    eam: tuple[Eam, ...] = (),
) -> Prefix:
    return Prefix(name, WELL_KNOWN, ipv4, sources, eam)


def _ten_prefixes() -> list[Prefix]:
    """The nodes in as many ranges of ten prefixes."""
    ranges = list(_NODES.subnets(new_prefix=28))
    share = -(-len(ranges) // 10)
    return [
        _prefix(f"p{number}", tuple(ranges[start : start + share]))
        for number, start in enumerate(range(0, len(ranges), share))
    ]


def _by_pool6(client: IPv4Address, node: IPv4Address) -> Ends:
    client6, node6 = (rfc6052.embed(WELL_KNOWN, one) for one in (client, node))
    return Ends(client, node, client6, node6)


def _of_others() -> Iterator[Ends]:
    """Nobody serves the destinations, and no prefix has them."""
    for number in range(FLOWS):
        yield Ends(
            CLIENTS[number],
            IPv4Address("193.1.0.0") + number,
            IPv6Address("2001:db8:1::") + number,
            IPv6Address("2001:db8:2::") + number,
        )


def _mappings(count: int) -> Iterator[Eam]:
    for number in range(count):
        ipv4 = IPv4Network((int(_MAPPED[0]) + number, 32))
        yield Eam(ipv4, IPv6Network((int(PODS[0]) + number, 128)), False)


def _to_mapped(mappings: Sequence[Eam]) -> Iterator[Ends]:
    """From clients anywhere to nodes that have a mapping."""
    chance = random.Random(_SEED)
    for client in _global(chance):
        eam = chance.choice(mappings)
        client6 = rfc6052.embed(WELL_KNOWN, client)
        yield Ends(client, eam.ipv4[0], client6, eam.ipv6[0])


def _ranges(count: int) -> Iterator[IPv4Network]:
    """Of random lengths and places; one is all of what the random clients are from."""
    if count == 1:
        yield IPv4Network("0.0.0.0/0")
        return
    chance, seen = random.Random(_SEED), set[IPv4Network]()
    while len(seen) < count:
        length = chance.randint(16, 32)
        address = int(_random_global(chance)) >> 32 - length << 32 - length
        one = IPv4Network((address, length))
        if one not in seen:
            seen.add(one)
            yield one


def _from_ranges(ranges: Sequence[IPv4Network]) -> Iterator[Ends]:
    chance = random.Random(_SEED + 1)
    for number in range(FLOWS):
        if len(ranges) == 1:
            client = _random_global(chance)
        else:
            one = chance.choice(ranges)
            client = one[chance.randrange(one.num_addresses)]
        yield _by_pool6(client, _NODES[number])


def _global(chance: random.Random) -> Iterator[IPv4Address]:
    for _ in range(FLOWS):
        yield _random_global(chance)


def _random_global(chance: random.Random) -> IPv4Address:
    """Of first octets all of whose addresses are global."""
    return IPv4Address(chance.choice((5, 23, 45, 62, 77, 80, 91, 104, 151)) << 24) + (
        chance.getrandbits(24)
    )
