# SPDX-License-Identifier: Apache-2.0
"""What of pool4 is planned: where its addresses are in the session tables, and when those are made
anew."""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixlane.datapath import NO_ROOM, Placed, PoolRange, Room, Taken, layout, ranges
from sixlane.datapath.layout import Lifetime, RangeWord, SessionProtocol
from sixlane.datapath.pools import put_stateful
from sixlane.errors import ConfigError
from sixlane.nat64 import Observed, Plan, gateway_status, plan_gateway
from sixlane.nat64.pools import indices, place, room_for
from tests.unit.nat64.test_plan import SLOW, device, gateway, observed

PODS = {"name": "pods", "ipv4": ["192.31.197.8/30"]}
PODS_ROOM = Room(262144, 131072, 16384, 16)
A = int(IPv4Address("192.31.197.8"))


def shared(*pools: dict[str, Any], **spec: Any) -> Any:
    return gateway(pool4=list(pools), **spec)


def in_force(plan: Plan, taken: Mapping[int, Taken] | None = None) -> Observed:
    """What is observed once a plan is in force."""
    assert plan.tables is not None
    made = layout.Gateway()
    if plan.tables.stateful:
        put_stateful(made, plan.tables.stateful)
    return observed(
        placed=Placed.in_force(made),
        room=plan.room or PODS_ROOM,
        taken=taken or {},
        digest=replace(plan.tables, slow=SLOW).digest,
    )


def index_of(plan: Plan) -> dict[str, int]:
    assert plan.tables is not None and plan.tables.stateful is not None
    made = layout.Gateway()
    put_stateful(made, plan.tables.stateful)
    placed = Placed.in_force(made)
    return {str(IPv4Address(address)): index for address, index in indices(placed).items()}


def refused(pools: list[dict[str, Any]], seen: Observed) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        plan_gateway(shared(*pools), seen)
    return caught.value


def notes(plan: Plan) -> list[str]:
    return [line for line in plan.summary() if not line.startswith("attach ")]


def test_all_that_is_asked_for() -> None:
    pods = {
        "name": "pods",
        "ipv4": ["192.31.197.8/30", "192.31.197.32"],
        "clients": ["2001:db8::/32", "2001:db9::/48"],
        "ports": {"tcp": "2048-4095", "udp": "5000-6000", "icmp": "1-2"},
        "portBlocks": {"size": 64, "perClient": 3},
        "sessionsPerClient": 77,
    }
    every = {"name": "rest", "ipv4": ["192.31.197.64"]}
    sessions = {
        "filtering": "address-dependent",
        "tcpFromOutside": "drop",
        "clientPrefixLength": 56,
        "lifetimes": {"udp": 121, "icmp": 61, "tcpEstablished": 7201, "tcpTransitory": 241}
        | {"tcpIncomingSyn": 7},
        "max": {"sessions": 5000, "bindings": 4000, "clients": 300},
        "log": {"sessions": True},
    }
    plan = plan_gateway(shared(every, pods, sessions=sessions), observed())
    assert plan.tables is not None
    stateful = plan.tables.stateful
    assert stateful is not None
    longer, shorter, rest = stateful.pools
    assert (longer.name, shorter.name, rest.name) == ("pods", "pods", "rest")
    assert longer.clients == IPv6Network("2001:db9::/48")
    assert shorter.clients == IPv6Network("2001:db8::/32")
    assert rest.clients == IPv6Network("::/0")
    assert longer.id == shorter.id != rest.id
    assert longer.ports == {
        SessionProtocol.SESSION_TCP: (2048, 4095),
        SessionProtocol.SESSION_UDP: (5000, 6000),
        SessionProtocol.SESSION_ICMP: (1, 2),
    }
    assert (longer.block_ports, longer.blocks, longer.max_sessions) == (64, 3, 77)
    assert stateful.lifetimes == {
        Lifetime.LIFETIME_UDP: 121,
        Lifetime.LIFETIME_ICMP: 61,
        Lifetime.LIFETIME_TCP_ESTABLISHED: 7201,
        Lifetime.LIFETIME_TCP_TRANSITORY: 241,
        Lifetime.LIFETIME_TCP_INCOMING_SYN: 7,
    }
    assert (stateful.client_bits, stateful.filter_address, stateful.no_syn_46) == (56, True, True)
    assert (stateful.log_blocks, stateful.log_sessions) == (False, True)
    assert plan.room == Room(5000, 4000, 300, 16, filters=5000)


def test_clients_of_one_entry_share_its_ranges() -> None:
    pods = PODS | {"clients": [f"2001:db8:{n}::/48" for n in range(16)]}
    plan = plan_gateway(shared(pods), observed())
    assert plan.tables is not None and plan.tables.stateful is not None
    made = layout.Gateway()
    put_stateful(made, plan.tables.stateful)
    assert (made.pool_count, made.pool_range_count) == (16, 1)
    assert {pool.first_range for pool in made.pools} == {0}


def test_pool4_is_known_to_the_range_trie_and_is_served_by_no_prefix() -> None:
    plan = plan_gateway(shared(PODS), observed())
    assert plan.tables is not None
    trie = plan.tables.ranges.build()
    for address, is_in_it in (("7", False), ("8", True), ("11", True), ("12", False)):
        word = ranges.look_up(trie, int(IPv4Address(f"192.31.197.{address}")))
        assert bool(word & RangeWord.RANGE_POOL4) is is_in_it
        assert not word & RangeWord.RANGE_SERVED_MASK


def test_without_pool4_nothing_is_shared() -> None:
    plan = plan_gateway(gateway(), observed())
    assert plan.tables is not None
    assert (plan.tables.stateful, plan.room) == (None, None)


def test_an_entry_keeps_its_id_with_its_name() -> None:
    other = {"name": "more", "ipv4": ["192.31.197.64"], "clients": "2001:db8::/32"}
    first = plan_gateway(shared(PODS), observed())
    then = plan_gateway(shared(other, PODS), in_force(first))
    assert first.tables and first.tables.stateful and then.tables and then.tables.stateful
    ids = {pool.name: pool.id for pool in then.tables.stateful.pools}
    assert ids["pods"] == first.tables.stateful.pools[0].id
    assert ids["pods"] != ids["more"]


# ---- indices ----


def test_an_address_keeps_its_index() -> None:
    """While others come, go, and move between entries."""
    first = plan_gateway(shared(PODS), observed())
    assert index_of(first) == {f"192.31.197.{8 + n}": n for n in range(4)}
    before = {"name": "before", "ipv4": ["192.31.197.4/30"], "clients": "2001:db8::/32"}
    then = plan_gateway(shared(before, PODS), in_force(first))
    assert then.room is None
    assert index_of(then) == index_of(first) | {f"192.31.197.{4 + n}": 4 + n for n in range(4)}
    moved = [before | {"ipv4": ["192.31.197.10/31"]}, PODS | {"ipv4": ["192.31.197.8/31"]}]
    last = plan_gateway(shared(*moved), in_force(then))
    assert last.room is None
    assert index_of(last) == index_of(first)


def test_ranges_are_as_few_as_the_indices_allow() -> None:
    first = plan_gateway(shared(PODS), observed())
    grown = PODS | {"ipv4": ["192.31.197.0/28"]}
    then = plan_gateway(shared(grown), in_force(first))
    assert then.tables is not None and then.tables.stateful is not None
    (pool,) = then.tables.stateful.pools
    assert pool.ranges == [
        PoolRange(IPv4Address("192.31.197.0"), 8, 4),
        PoolRange(IPv4Address("192.31.197.8"), 4, 0),
        PoolRange(IPv4Address("192.31.197.12"), 4, 12),
    ]


def test_what_is_taken_is_not_given_to_another_address() -> None:
    """Sessions of an address that has left go on until they end."""
    first = plan_gateway(shared(PODS), observed())
    others = PODS | {"ipv4": ["192.31.197.16/30"]}
    taken = {1: Taken(2, 17)}
    then = plan_gateway(shared(others), in_force(first, taken))
    assert then.room is None
    assert 1 not in index_of(then).values()
    free = plan_gateway(shared(others), in_force(first))
    assert set(index_of(free).values()) == {0, 1, 2, 3}


def test_a_gap_that_is_large_enough_is_taken_whole() -> None:
    assert place(range(3), {}, {1, 4, 5, 9}, 16) == {0: 6, 1: 7, 2: 8}
    assert place(range(10, 12), {}, {1, 4, 5, 9}, 16) == {10: 2, 11: 3}


def test_a_range_is_split_where_no_gap_is_large_enough() -> None:
    placed = place(range(7), {}, {3, 8, 13}, 16)
    assert placed == {0: 4, 1: 5, 2: 6, 3: 7, 4: 0, 5: 1, 6: 2}
    assert place(range(14), {}, {3, 8, 13}, 16) is None


@given(
    st.lists(st.integers(0, 40), unique=True),
    st.dictionaries(st.integers(0, 40), st.integers(0, 31)),
    st.sets(st.integers(0, 31)),
)
def test_places_are_kept_free_and_below_the_room(
    wanted: list[int], was: dict[int, int], taken: set[int]
) -> None:
    present = {address: index for index, address in {i: a for a, i in was.items()}.items()}
    placed = place(wanted, present, taken, 32)
    kept = present.keys() & set(wanted)
    left = 32 - len({present[address] for address in kept} | taken)
    if placed is None:
        assert len(wanted) - len(kept) > left
        return
    assert placed.keys() == set(wanted)
    assert len(set(placed.values())) == len(placed)
    for address, index in placed.items():
        assert index == present[address] if address in kept else 0 <= index < 32
        assert address in kept or index not in taken


def test_too_many_pieces() -> None:
    """32 ranges is all that the tables hold."""
    odd = [f"192.31.197.{2 * n + 1}" for n in range(17)]
    first = plan_gateway(shared(PODS | {"ipv4": odd}), observed())
    seen = replace(in_force(first), room=replace(PODS_ROOM, addresses=64))
    whole = [PODS | {"ipv4": ["192.31.197.0/26"]}]
    error = refused(whole, seen)
    assert error.message.startswith("pool4 is in 34 pieces")
    assert "32 at most" in error.hint
    assert plan_gateway(shared(*whole), observed()).room is not None


# ---- room ----


@pytest.mark.parametrize(
    ("ipv4", "addresses"),
    [("8/32", 16), ("0/28", 16), ("0/27", 32), ("0/24", 256)],
)
def test_addresses_are_rounded_up(ipv4: str, addresses: int) -> None:
    spec = shared(PODS | {"ipv4": [f"192.31.197.{ipv4}"]}).spec
    assert room_for(spec) == replace(PODS_ROOM, addresses=addresses)


def test_seventeen_addresses_need_more() -> None:
    spec = shared(PODS | {"ipv4": ["192.31.197.0/28", "192.31.197.16"]}).spec
    assert room_for(spec).addresses == 32


def test_the_first_tables_are_made_and_nothing_is_said_to_be_lost() -> None:
    plan = plan_gateway(shared(PODS), observed())
    assert plan.room == PODS_ROOM
    assert plan.flip
    assert notes(plan) == [
        "add prefix services: 64:ff9b::/96",
        "add prefix own: 2001:db8:1::/48",
        "add pool4 pods: 192.31.197.8/30",
        "make session tables: room for 262,144 sessions",
    ]


def test_nothing_is_made_anew_without_need() -> None:
    first = plan_gateway(shared(PODS), observed())
    again = plan_gateway(shared(PODS), in_force(first))
    assert (again.room, again.flip) == (None, False)
    larger = replace(in_force(first), room=replace(PODS_ROOM, addresses=64, filters=99))
    assert plan_gateway(shared(PODS), larger).room is None
    lasting = {"lifetimes": {"udp": 120}, "filtering": "endpoint-independent"}
    assert plan_gateway(shared(PODS, sessions=lasting), in_force(first)).room is None


@pytest.mark.parametrize(
    ("pods", "sessions", "why"),
    [
        ({}, {"max": {"sessions": 2048}}, "they get another size"),
        ({}, {"max": {"bindings": 2048}}, "they get another size"),
        ({}, {"max": {"clients": 2048}}, "they get another size"),
        ({}, {"filtering": "address-dependent"}, "they get another size"),
        ({"ipv4": ["192.31.197.0/27"]}, {}, "they get another size"),
        ({}, {"clientPrefixLength": 65}, "sessions.clientPrefixLength changes"),
        ({"portBlocks": {"size": 64}}, {}, "portBlocks.size changes"),
    ],
)
def test_made_anew(pods: dict[str, Any], sessions: dict[str, Any], why: str) -> None:
    before = shared(PODS)
    first = plan_gateway(before, observed())
    wanted = shared(PODS | pods, sessions=sessions)
    plan = plan_gateway(wanted, in_force(first), before)
    assert plan.flip
    assert plan.room == room_for(wanted.spec)
    assert plan.summary()[-1] == f"make the session tables anew, so all sessions end: {why}"
    assert plan.warnings() == [f"all sessions end: {why}"]


def test_blocks_of_another_size_are_for_addresses_that_come() -> None:
    first = plan_gateway(shared(PODS), observed())
    small = {"name": "more", "ipv4": ["192.31.197.64"], "clients": "2001:db8::/32"}
    plan = plan_gateway(shared(PODS, small | {"portBlocks": {"size": 64}}), in_force(first))
    assert plan.room is None


def test_made_anew_where_what_has_left_takes_all_there_is() -> None:
    old = {"name": "pods", "ipv4": ["192.31.197.0/28"]}
    first = plan_gateway(shared(old), observed())
    taken = {index: Taken(1, 1) for index in range(16)}
    plan = plan_gateway(shared(old | {"ipv4": ["192.31.197.16/28"]}), in_force(first, taken))
    assert plan.room == PODS_ROOM
    assert sorted(index_of(plan).values()) == list(range(16))
    assert "sessions of addresses that have left pool4 are in the way" in plan.summary()[-1]


def test_sessions_of_tables_that_are_gone() -> None:
    """Nobody can tell whose they were."""
    seen = observed(room=PODS_ROOM, taken={3: Taken(1, 1)})
    plan = plan_gateway(shared(PODS), seen)
    assert plan.room == PODS_ROOM
    assert "nobody knows what is in them" in plan.summary()[-1]
    assert plan_gateway(shared(PODS), observed(room=PODS_ROOM)).room is None


def test_without_pool4_the_tables_are_given_back() -> None:
    before = shared(PODS)
    plan = plan_gateway(gateway(), in_force(plan_gateway(before, observed())), before)
    assert plan.room == NO_ROOM
    assert notes(plan) == [
        "add prefix services: 64:ff9b::/96",
        "add prefix own: 2001:db8:1::/48",
        "remove pool4 pods",
        "make the session tables anew, so all sessions end: pool4 is gone",
    ]


def test_notes_of_what_changes() -> None:
    same = {"name": "same", "ipv4": ["192.31.197.64"], "clients": "2001:db8::/32"}
    before = shared(PODS, same)
    first = plan_gateway(before, observed())
    seen = replace(in_force(first), prefix_ids={"services": 0, "own": 1})
    wanted = shared(PODS | {"sessionsPerClient": 5}, same, sessions={"lifetimes": {"udp": 120}})
    assert notes(plan_gateway(wanted, seen, before)) == [
        "change pool4 pods: 192.31.197.8/30",
        "change what holds for all sessions",
    ]


def test_an_address_of_this_machine_is_refused() -> None:
    wan = device("wan0", 2, "192.31.197.9")
    error = refused([PODS], observed(wan, device("lan0", 3, "2001:db8::1")))
    assert error.message == "192.31.197.9 is an address of wan0: Gateway edge:spec.pool4[0].ipv4[0]"
    assert "leave it out" in error.hint


# ---- status ----


def test_how_much_of_an_entry_is_used() -> None:
    """TCP and UDP have 64,512 ports an address here, ICMP 100; blocks of 512 are 126 of those and
    one for ICMP. What another entry's addresses have does not count."""
    pods = PODS | {"ports": {"icmp": "100-199"}, "portBlocks": {"size": 512}}
    more = {"name": "more", "ipv4": ["192.31.197.64"], "clients": "2001:db8::/32"}
    wanted = shared(pods, more)
    plan = plan_gateway(wanted, observed())
    index = index_of(plan)
    taken = {
        index["192.31.197.8"]: Taken(2, 100),
        index["192.31.197.11"]: Taken(1, 7),
        index["192.31.197.64"]: Taken(5, 50),
        15: Taken(1, 1),
    }
    status: Any = gateway_status(in_force(plan, taken), wanted, {}, ())
    assert status["pool4"][0] == {
        "name": "pods",
        "ipv4": ["192.31.197.8/30"],
        "clients": ["::/0"],
        "announce": "none",
        "addresses": 4,
        "ports": {"used": 107, "total": 4 * (2 * 64512 + 100)},
        "blocks": {"used": 3, "total": 4 * 127},
    }
    assert status["pool4"][1]["blocks"] == {"used": 5, "total": 256}
    before: Any = gateway_status(observed(), wanted, {}, ())
    assert before["pool4"][0]["blocks"]["used"] == 0
