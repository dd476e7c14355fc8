# SPDX-License-Identifier: Apache-2.0
"""A commit writes what changed, and carries the rest over by its map."""

import random
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from sixlane.datapath import Datapath, layout
from sixlane.datapath.commit import SLOTS
from sixlane.datapath.layout import Limit
from sixlane.rfc.rfc7915 import Eam, Prefix, Translator
from tests import needs
from tests.packets import CLIENT, STRANGER, ip4, udp
from tests.world import Entry, World, tables_for

pytestmark = [pytest.mark.prog, needs.root]

ENTRIES = pytest.mark.parametrize("entry", ["xdp", "tc"])
POOL6 = IPv6Network("64:ff9b::/96")


def prefix(name: str, ipv4: str, sources: list[str] | None, *eam: Eam) -> Prefix:
    given = None if sources is None else tuple(map(IPv4Network, sources))
    return Prefix(name, POOL6, (IPv4Network(ipv4),), given, eam)


def edge(*prefixes: Prefix) -> Translator:
    return Translator(prefixes, IPv4Address("192.31.196.1"), IPv6Address("2001:db8::1"))


EAM = Eam(IPv4Network("192.175.50.9/32"), IPv6Network("2001:db8:5::9/128"), False)
REMOTE = Eam(IPv4Network("192.175.51.9/32"), IPv6Network("2001:db8:5::a/128"), True)
SERVICES = prefix("services", "192.175.48.0/25", [f"{CLIENT}/32"])
OTHERS = prefix("others", "192.175.48.128/25", ["8.0.0.0/8", "9.9.9.0/24"])
PODS = prefix("pods", "192.175.49.0/24", None)


def commit(world: World, *prefixes: Prefix, **more: int) -> dict[str, int]:
    tables = tables_for(edge(*prefixes), world.wan, world.lan)
    return world.commit(replace(tables, **more)).elements  # type: ignore[arg-type]


def inner_ids(datapath: Datapath, name: str) -> tuple[list[int], list[int]]:
    """The inner maps of the slot in force, and of the other."""
    outer = datapath._maps[name]
    ids = [int.from_bytes(id, "little") for _, id in sorted(outer.items())]
    slots = [ids[at : at + len(ids) // SLOTS] for at in (0, len(ids) // SLOTS)]
    slot = datapath.generation() % SLOTS
    return slots[slot], slots[1 - slot]


def test_the_first_commit_writes_all(world: World) -> None:
    world.datapath.clear()
    assert commit(world, SERVICES, OTHERS, PODS) == {
        "gateways": 1,
        "ranges": 264,  # 256 of the root, one of sets, five /16 and two /24 with an edge inside
        "eam4": 0,
        "eam6": 0,
        "sources/services": 4,
        "sources/others": 3,
        "frontends": 1,  # a set, and nobody in it
        "service_bits": 1,
        "services": 1,  # number 0, which none has
        "service_sources": 0,
    }


def test_what_is_the_same_is_carried_over(world: World) -> None:
    commit(world, SERVICES, OTHERS, PODS)
    before = {name: inner_ids(world.datapath, name)[0] for name in ("ranges", "eam4", "sources")}
    assert commit(world, SERVICES, OTHERS, PODS, icmp_errors_per_second=7) == {"gateways": 1}
    for name, ids in before.items():
        assert inner_ids(world.datapath, name)[0] == ids, name


def test_one_list_of_sources_changes(world: World) -> None:
    commit(world, SERVICES, OTHERS, PODS)
    (services, others, *_), _ = inner_ids(world.datapath, "sources")
    changed = prefix("others", "192.175.48.128/25", ["10.0.0.0/8"])
    assert commit(world, SERVICES, changed, PODS) == {"gateways": 1, "sources/others": 1}
    assert inner_ids(world.datapath, "sources")[0][0] == services
    assert inner_ids(world.datapath, "sources")[0][1] != others


def test_a_list_is_carried_to_where_its_prefix_goes(world: World) -> None:
    commit(world, SERVICES, OTHERS)
    (services, others, *_), _ = inner_ids(world.datapath, "sources")
    first = prefix("first", "192.175.60.0/24", ["1.1.1.1/32"])
    assert commit(world, first, OTHERS, SERVICES).keys() == {"gateways", "ranges", "sources/first"}
    assert inner_ids(world.datapath, "sources")[0][1:3] == [others, services]


def test_equal_lists_share_a_map(world: World) -> None:
    commit(world, PODS)
    same = prefix("same", "192.175.60.0/24", ["8.0.0.0/8", "9.9.9.0/24"])
    assert commit(world, OTHERS, same).keys() >= {"sources/others"}
    (one, two, *_), _ = inner_ids(world.datapath, "sources")
    assert one == two


def test_mappings(world: World) -> None:
    commit(world, SERVICES, PODS)
    mapped = replace(PODS, eam=(EAM,))
    assert commit(world, SERVICES, mapped) == {
        "gateways": 1,
        "ranges": 265,  # and 192.175.50.0/24
        "eam4": 1,
        "eam6": 1,
    }
    assert commit(world, SERVICES, mapped) == {"gateways": 1}


def test_both_slots_hold_the_same_afterwards(world: World) -> None:
    """What was in force before is freed, and the next commit has nothing to copy."""
    for prefixes in ((SERVICES, OTHERS), (OTHERS,), (replace(PODS, eam=(EAM,)),)):
        commit(world, *prefixes)
        for name in layout.MAPS:
            if layout.MAPS[name].inner is None:
                continue
            now, other = inner_ids(world.datapath, name)
            assert now == other, name
        now, _ = inner_ids(world.datapath, "sources")
        assert len(now) == Limit.MAX_PREFIXES
        assert len(set(now)) <= 1 + len(prefixes), "one map for all places without a list"


@ENTRIES
def test_a_table_that_is_gone_is_built_again(world: World, entry: Entry) -> None:
    """The digest says what it is made of; whether it is there, the kernel says."""
    commit(world, SERVICES, OTHERS)
    slot = world.datapath.generation() % SLOTS
    world.datapath._maps["ranges"].delete(slot.to_bytes(4, "little"))
    world.datapath._maps["sources"].delete((slot * Limit.MAX_PREFIXES).to_bytes(4, "little"))
    written = commit(world, SERVICES, OTHERS)
    assert written.keys() == {"gateways", "ranges", "sources/services"}
    assert world.run(bytes(ip4() / udp()), entry).reasons == {"forward_46": 1}


@ENTRIES
def test_who_is_let_in_follows_the_prefix(world: World, entry: Entry) -> None:
    """Its place among the prefixes changes, and so do others' lists; nobody gets another's."""

    def let_in(source: str) -> bool:
        reasons = world.run(bytes(ip4(src=source) / udp()), entry).reasons
        assert reasons.keys() & {"forward_46", "drop_source_not_allowed"}
        return "forward_46" in reasons

    for prefixes, stranger_too in (
        ((SERVICES, OTHERS), False),
        ((OTHERS, SERVICES), False),
        ((prefix("services", "192.175.48.0/25", None), OTHERS), True),
        ((prefix("services", "192.175.48.0/25", [f"{CLIENT}/31", f"{STRANGER}/32"]),), True),
        ((OTHERS, SERVICES, PODS), False),
    ):
        commit(world, *prefixes)
        assert let_in(CLIENT)
        assert let_in(STRANGER) is stranger_too
    commit(world, prefix("services", "192.175.48.0/25", []))
    assert not let_in(CLIENT)


@ENTRIES
def test_a_long_list(world: World, entry: Entry) -> None:
    """2,000 ranges of all lengths; asked are their edges and random addresses."""
    rng = random.Random(3)
    networks = [
        IPv4Network((rng.randrange(1 << 24, 223 << 24) >> bits << bits, 32 - bits))
        for bits in (rng.randrange(0, 17) for _ in range(2000))
    ]
    commit(world, prefix("services", "192.175.48.0/25", [str(one) for one in networks]))
    asked = [rng.randrange(1 << 24, 223 << 24) for _ in range(100)]
    for network in rng.sample(networks, 100):
        asked += [int(network[0]) - 1, int(network[0]), int(network[-1]), int(network[-1]) + 1]
    outcomes = set()
    for number in asked:
        address = IPv4Address(number)
        if not address.is_global or address in IPv4Network("192.175.48.0/24"):
            continue
        reasons = world.run(bytes(ip4(src=str(address)) / udp()), entry).reasons
        expected = any(address in network for network in networks)
        assert ("drop_source_not_allowed" not in reasons) is expected, (address, reasons)
        outcomes.add(expected)
    assert outcomes == {True, False}


def test_how_full_it_is(world: World) -> None:
    commit(world, SERVICES, replace(PODS, eam=(EAM, REMOTE)))
    assert world.datapath.fill() == {
        "prefixes": (2, 64),
        "eam4_lens": (1, 32),
        "eam6_lens": (1, 32),
    }
