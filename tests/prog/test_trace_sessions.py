# SPDX-License-Identifier: Apache-2.0
"""`trace` of packets that need pool4: which session or binding there is or would be."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from sixlane.datapath import Datapath, layout
from sixlane.datapath.layout import SessionProtocol
from tests import needs, stock
from tests.index import slots_of
from tests.packets import tcp, udp
from tests.prog.test_sessions import (
    EVERY,
    OTHER_NODE,
    OTHER_POD,
    POD,
    PORTS,
    ROOM,
    configure,
    out,
    pool6,
    sent4,
)
from tests.prog.test_trace import ENTRIES, Tracer, begin
from tests.unit.rfc.vectors import OUTSIDE4, OUTSIDE6
from tests.world import Entry, World, raise_world

pytestmark = [pytest.mark.prog, needs.root]

MAPPED = ("sessions", "bindings", "ports4")
TABLES = (
    "sessions4",
    "sessions6",
    "bindings6",
    "clients",
    "used4",
    "blocks4",
    "free_slots",
    "sweepings",
    "filters4",
    "fragments",
)
PER_CPU = ("counters", "prefix_counters")


@pytest.fixture(scope="module")
def raised() -> Iterator[World]:
    with raise_world(ROOM) as world:
        begin(world.datapath)
        yield world


@pytest.fixture
def world(raised: World) -> World:
    stock.empty(raised.datapath.root)
    configure(raised, EVERY)
    return raised


@pytest.fixture
def ask(world: World, entry: Entry) -> Tracer:
    """That the dry run has changed nothing is seen of each packet that is asked about."""
    return _Unchanging(world, entry)


class _Unchanging(Tracer):
    def __init__(self, world: World, entry: Entry) -> None:
        super().__init__(world, entry)

    def __call__(self, flow: str = "", **given: str) -> dict[str, Any]:
        before = _content(self._datapath)
        told = super().__call__(flow, **given)
        assert _content(self._datapath) == before
        return told


def _content(datapath: Datapath) -> dict[str, list[Any]]:
    maps = datapath.maps()
    return {
        **{name: [hash(bytes(maps[name].mmap(writable=False)))] for name in MAPPED},
        **{name: list(maps[name].rows()) for name in TABLES},
        **{name: list(maps[name].items_per_cpu()) for name in PER_CPU},
    }


def from_pod(upper: str = "udp/53", *, port: int = 5000, source: str = POD) -> str:
    return f"[{source}]:{port} -> {OUTSIDE6} {upper}"


def tracked(told: dict[str, Any]) -> list[str]:
    return [step for step in told["steps"] if "session" in step or "binding" in step]


def seconds_left(said: str) -> int:
    return int(said.rpartition(", ")[2].removesuffix(" s left"))


@ENTRIES
def test_a_session_that_is_there(world: World, ask: Tracer, entry: Entry) -> None:
    sent = sent4(out(world, entry, udp(sport=5000, dport=53)))
    end = f"{sent.src}:{sent.sport}"
    [said] = tracked(ask(from_pod()))
    assert said.startswith(f"has a session: [{POD}]:5000 is {end}, OPEN, ")
    assert 200 < seconds_left(said) <= 302
    told = ask(f"{OUTSIDE4}:53 -> {end} udp")
    assert tracked(told)[0].startswith(said.partition(" is ")[0])
    assert told["after"]["fields"]["destination port"] == "5000"
    sent4(out(world, entry, tcp(sport=5000, dport=80, flags="S")))
    [said] = tracked(ask(from_pod("tcp/80")))
    assert ", V6 INIT, " in said
    assert 140 < seconds_left(said) <= 242


@ENTRIES
def test_a_session_that_would_be_made(world: World, ask: Tracer, entry: Entry) -> None:
    sent = sent4(out(world, entry, udp(sport=5000, dport=53)))
    end = f"{sent.src}:{sent.sport}"
    said = [f"belongs to a binding: [{POD}]:5000 is {end}"]
    told = ask(from_pod("udp/54"))
    assert tracked(told) == said
    assert told["after"]["fields"]["source port"] == str(sent.sport)
    assert tracked(ask(f"{OUTSIDE4}:54 -> {end} udp")) == said
    world.datapath.forget_next_hops()
    assert len(slots_of(world.datapath.maps()["sessions4"])) == 1


@ENTRIES
def test_a_binding_that_would_be_made(world: World, ask: Tracer, entry: Entry) -> None:
    """On a client's address, in its blocks; by the rules by which a port is drawn in earnest."""
    told = ask(from_pod())
    assert told["verdict"] == "sent"
    [said] = tracked(told)
    assert said.startswith(f"needs a new binding: [{POD}]:5000 would be 192.31.197.")
    assert said.endswith("; client 2001:db8:64:1::/64 is new")

    sent = sent4(out(world, entry, udp(sport=5000, dport=53)))
    first = sent.sport // 64 * 64
    told = ask(from_pod(port=5002))
    [said] = tracked(told)
    assert told["after"]["fields"]["source"] == sent.src
    port = int(told["after"]["fields"]["source port"])
    assert port // 64 * 64 == first and port % 2 == 0 and port != sent.sport
    assert said == (
        f"needs a new binding: [{POD}]:5002 would be {sent.src}:{port} or another port of "
        f"{first}-{first + 63}; "
        "client 2001:db8:64:1::/64 has 1 of 2 blocks, 1 bindings, 1 sessions"
    )


@ENTRIES
def test_no_port(world: World, ask: Tracer, entry: Entry) -> None:
    two = {**PORTS, SessionProtocol.SESSION_UDP: (5000, 5001)}
    configure(world, replace(EVERY, ports=two, blocks=1))
    for port in (5000, 5001):
        sent4(out(world, entry, udp(sport=port, dport=53)))
    told = ask(from_pod(port=5002))
    assert (told["verdict"], told["reasons"][0]) == ("answered", "drop_no_port")
    assert tracked(told)[0] == (
        f"needs a binding, and there would be none for [{POD}]:5002; "
        "client 2001:db8:64:1::/64 has 1 of 1 blocks, 2 bindings, 2 sessions"
    )
    assert out(world, entry, udp(sport=5002, dport=53)).reasons["drop_no_port"] == 1
    assert ask(from_pod(port=5002, source=OTHER_NODE))["verdict"] == "sent"


@ENTRIES
def test_a_new_block_would_be_needed(world: World, ask: Tracer, entry: Entry) -> None:
    one = {**PORTS, SessionProtocol.SESSION_UDP: (5056, 5183)}
    configure(world, replace(EVERY, ports=one, blocks=3))
    for port in range(64):
        sent4(out(world, entry, udp(sport=5000 + port, dport=53)))
    assert "by a new block of ports; client" in tracked(ask(from_pod(port=6000)))[0]


@ENTRIES
def test_too_many_sessions(world: World, ask: Tracer, entry: Entry) -> None:
    configure(world, replace(EVERY, max_sessions=1))
    sent = sent4(out(world, entry, udp(sport=5000, dport=53)))
    for flow in (
        from_pod("udp/54"),
        from_pod(port=5002),
        from_pod(source=OTHER_POD),
        f"{OUTSIDE4}:54 -> {sent.src}:{sent.sport} udp",
    ):
        told = ask(flow)
        assert told["reasons"][0] == "drop_too_many_sessions"
        assert tracked(told)
    assert tracked(ask(from_pod()))[0].startswith("has a session")


@ENTRIES
def test_what_is_not_let_in(world: World, ask: Tracer, entry: Entry) -> None:
    configure(world, EVERY, filter_address=True)
    sent = sent4(out(world, entry, udp(sport=5000, dport=53)))
    assert tracked(ask(f"{OUTSIDE4}:54 -> {sent.src}:{sent.sport} udp"))[0].startswith("belongs")
    told = ask(f"8.8.8.8:53 -> {sent.src}:{sent.sport} udp")
    assert told["reasons"][0] == "drop_filtered"
    assert tracked(told)[0] == f"belongs to a binding: [{POD}]:5000 is {sent.src}:{sent.sport}"
    told = ask(f"{OUTSIDE4}:53 -> {sent.src}:{sent.sport ^ 1} udp")
    assert told["reasons"][0] == "drop_no_binding"
    told = ask(f"{OUTSIDE4}:53 -> {sent.src}:1 udp")
    assert told["reasons"][0] == "pass_not_ours"
    assert ask(from_pod("tcp/80 flags=A"))["reasons"][0] == "drop_no_session"


@ENTRIES
def test_a_hairpin_has_two(world: World, ask: Tracer, entry: Entry) -> None:
    sent = sent4(out(world, entry, udp(sport=5000, dport=53)))
    told = ask(f"[{OTHER_NODE}]:6000 -> [{pool6(sent.src)}]:{sent.sport} udp")
    assert told["reasons"] == ["forward_hairpin"]
    there, here = tracked(told)
    assert there.startswith(f"needs a new binding: [{OTHER_NODE}]:6000 would be ")
    assert here == f"belongs to a binding: [{POD}]:5000 is {sent.src}:{sent.sport}"


@ENTRIES
def test_a_full_table(world: World, ask: Tracer, entry: Entry) -> None:
    slots = world.datapath.maps()["free_slots"]
    before = slots.lookup(bytes(4))
    assert before is not None
    try:
        slots.update(bytes(4), bytes(layout.Slots(fresh=ROOM.sessions)))
        assert ask(from_pod())["reasons"][0] == "drop_table_full"
    finally:
        slots.update(bytes(4), before)
    assert ask(from_pod())["verdict"] == "sent"
