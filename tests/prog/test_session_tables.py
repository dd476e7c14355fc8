# SPDX-License-Identifier: Apache-2.0
"""The session tables made anew, of another size, under programs that are attached."""

import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP

from sixlane.bpf import Map, Program
from sixlane.bpf.handle import Handle
from sixlane.datapath import Datapath, Taken, attach, layout
from sixlane.datapath.pools import NO_ROOM, SESSION_TABLES, Room, Stateful
from sixlane.errors import KernelError
from sixlane.model import RangeList
from sixlane.nat64.known import ranges_table
from tests import needs
from tests.packets import ip6, udp
from tests.prog.test_sessions import EVERY, LIFETIMES, POD, POOL
from tests.unit.rfc.vectors import OUTSIDE6, TRANSLATOR
from tests.world import World, raise_world, tables_for

pytestmark = [pytest.mark.prog, needs.root]

FEW = Room(sessions=64, bindings=64, clients=64, addresses=4)
OF_NO_PACKET = ("sweepings", "static_works", "imports")  # words with programs that are called
MORE = Room(sessions=128, bindings=256, clients=512, addresses=8, filters=128)


@pytest.fixture
def world() -> Iterator[World]:
    with raise_world(FEW) as raised:
        raised.commit(tables(raised))
        raised.datapath.attach(raised.wan.ifindex, "tc")
        raised.datapath.attach(raised.lan.ifindex, "xdp")
        yield raised


def tables(world: World) -> Any:
    return replace(
        tables_for(TRANSLATOR, world.wan, world.lan),
        stateful=Stateful([EVERY], LIFETIMES),
        ranges=ranges_table([], RangeList(), [], RangeList.of([POOL])),
    )


def translate(world: World) -> None:
    """A packet gets a session. The kernel may send some of its own meanwhile."""
    seen = world.run(bytes(ip6(src=POD, dst=OUTSIDE6) / udp(sport=5001, dport=53)), "xdp")
    assert (seen.verdict, seen.reasons["forward_64"]) == ("redirect", 1)
    assert IPv4Address(IP(seen.packet).src) in POOL
    assert UDP in IP(seen.packet)


def check(world: World, datapath: Datapath) -> None:
    """What is attached works with what is pinned and open."""
    attached = {one.program for one in datapath.attachments()}
    assert attached == {datapath.program(name).info.id for name in ("uplink_tc", "uplink_xdp")}
    in_use = frozenset().union(*attach.maps_in_use(datapath.root / "links", "none").values())
    for name in SESSION_TABLES:
        with Map.from_pin(datapath._pins.map(name)) as pinned:
            assert pinned.info.id == datapath.maps()[name].info.id
            assert pinned.info.id in in_use or name in OF_NO_PACKET, name
    for name in ("uplink_tc", "uplink_xdp", "sweep_sessions"):
        with Program.from_pin(datapath._pins.programs / name) as program:
            assert program.info.id == datapath.program(name).info.id


def ids(datapath: Datapath) -> set[int]:
    return {datapath.maps()[name].info.id for name in SESSION_TABLES}


def is_there(map_id: int) -> bool:
    """The kernel gives them back some time after the last program that uses them."""
    try:
        Map.from_id(map_id).close()
    except KernelError:
        return False
    return True


def test_another_size(world: World) -> None:
    datapath = world.datapath
    translate(world)
    assert datapath.taken()
    before, kept = ids(datapath), datapath.maps()["counters"].info.id
    world.datapath.commit(tables(world), MORE)
    world.counted()
    assert datapath.room() == MORE
    assert ids(datapath).isdisjoint(before)
    assert datapath.maps()["counters"].info.id == kept
    assert not datapath.taken()
    check(world, datapath)
    translate(world)
    deadline = time.monotonic() + 30
    while left := {id for id in before if is_there(id)}:
        assert time.monotonic() < deadline, f"maps {left} are still there"
        time.sleep(0.05)
    with Datapath.open(datapath.root) as again:
        assert ids(again) == ids(datapath)
        check(world, again)


def test_blocks_and_ports_that_are_taken(world: World) -> None:
    for port in range(5001, 5031):
        packet = ip6(src=POD, dst=OUTSIDE6) / udp(sport=port, dport=53)
        assert world.run(bytes(packet), "xdp").verdict == "redirect"
    found = world.datapath.taken()
    assert list(found.values()) == [Taken(blocks=1, ports=30)]
    (index,) = found
    (placed, block_ports) = (world.datapath.placed() or pytest.fail("none")).ranges[0]
    assert (placed.index, placed.count, block_ports) == (0, 4, 64)
    assert index < 4


def test_what_is_pinned_keeps_its_size(world: World) -> None:
    """Also for programs of another build."""
    for name in ("uplink_tc", "uplink_xdp"):
        Program.unpin(world.datapath._pins.programs / name)
    with Datapath.open(world.datapath.root, MORE) as again:
        assert again.room() == FEW
        assert ids(again) == ids(world.datapath)
        check(world, again)


def test_another_layout_gets_the_size_of_before(world: World) -> None:
    for name in SESSION_TABLES:
        pin = world.datapath._pins.map(name)
        pin.rename(pin.with_name(f"{name}-01d1a707"))
    with Datapath.open(world.datapath.root) as again:
        assert again.room() == FEW
        assert ids(again).isdisjoint(ids(world.datapath))


def test_tables_of_another_layout_tell_where_addresses_are(world: World) -> None:
    """Sessions outlive an upgrade of all else."""
    translate(world)
    before, taken = world.datapath.placed(), world.datapath.taken()
    assert before is not None
    for name, one in layout.MAPS.items():
        if one.inner or name == "generation":
            pin = world.datapath._pins.map(name)
            pin.rename(pin.with_name(f"{name}-01d1a707"))
    world.datapath._pins.programs.rename(world.datapath.root / "programs-01d")
    with Datapath.open(world.datapath.root) as again:
        assert again.digest() is None
        assert (again.placed(), again.taken()) == (before, taken)
        assert ids(again) == ids(world.datapath)
        again.commit(tables(world))
        check(world, again)
        assert (again.placed(), again.taken()) == (before, taken)


def test_what_cannot_be_made_changes_nothing(world: World) -> None:
    datapath = world.datapath
    translate(world)
    before, generation = ids(datapath), datapath.generation()
    with pytest.raises(KernelError):
        datapath.commit(tables(world), replace(MORE, sessions=(1 << 32) - 1))
    assert (ids(datapath), datapath.generation()) == (before, generation)
    assert datapath.taken()
    check(world, datapath)


class KilledError(Exception):
    pass


# Before the first pin goes and behind the last; between programs, tables, and what is put back.
KILLED = [
    0,
    8,
    27,
    46,
    55,
    *(pytest.param(steps, marks=pytest.mark.sweep) for steps in (1, 7, 9, 26, 28, 39, 47, 54)),
]


@pytest.mark.parametrize("steps", KILLED)
def test_killed_on_the_way(world: World, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """8 programs and 19 maps are pinned anew, then 2 devices get their programs. Whatever is there,
    the next start makes sense of it."""
    left = steps

    def counted(work: Any) -> Any:
        def step(*arguments: Any) -> None:
            nonlocal left
            if left == 0:
                raise KilledError
            left -= 1
            work(*arguments)

        return step

    with monkeypatch.context() as patch:
        patch.setattr(Handle, "unpin", staticmethod(counted(Handle.unpin)))
        patch.setattr(Handle, "pin", counted(Handle.pin))
        patch.setattr(attach, "replace", counted(attach.replace))
        with pytest.raises(KilledError):
            world.datapath.commit(tables(world), MORE)
    root = world.datapath.root
    world.datapath.close()
    with Datapath.open(root) as again:
        check(world, again)
        assert again.room() in (NO_ROOM, FEW, MORE)
        again.commit(tables(world), MORE)
        check(world, again)
        assert again.room() == MORE
        world.datapath = again
        world.counted()
        translate(world)
