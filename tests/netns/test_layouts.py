# SPDX-License-Identifier: Apache-2.0
"""Maps of another layout: left to the programs that use them, then emptied into ours.

Another layout is made by giving the pins other names: the digest in them is all that tells.
"""

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sixlane.bpf import Program, probe
from sixlane.datapath import Attachment, Counter, Datapath, Kind, attach, layout
from sixlane.datapath.counters import keep_past
from sixlane.datapath.layout import Direction, Protocol, Reason
from sixlane.errors import KernelError
from sixlane.net import link, netns
from tests import needs
from tests.diff.configurations import WELL_KNOWN
from tests.world import tables_for

pytestmark = [pytest.mark.netns, needs.root]

NAMESPACE = "sl-layouts"
PINS = Path("/sys/fs/bpf/sl-layouts")
Devices = tuple[link.Link, link.Link]


@pytest.fixture(params=["tcx", "clsact"])
def devices(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Devices]:
    """Inside a namespace with wan0 and lan0, on a kernel with TCX and as on one without."""
    if request.param == "clsact":
        monkeypatch.setattr(probe, "has_tcx", lambda: False)
    names = (NAMESPACE, f"{PINS.name}-slow")
    for name in names:
        netns.create(name)
    try:
        with netns.inside(NAMESPACE):
            wan, _ = link.create_veth("wan0", "wan1", up=True)
            lan, _ = link.create_veth("lan0", "lan1", up=True)
            link.create_veth("near0", "far0", netns_b=names[1], up=True)
            yield wan, lan
            Datapath.remove(PINS)
    finally:
        for name in names:
            netns.remove(name)
        shutil.rmtree(PINS, ignore_errors=True)


def in_force(devices: Devices) -> Datapath:
    """Tables are in force, programs on all devices, and something was counted."""
    wan, lan = devices
    datapath = Datapath.open(PINS)
    datapath.commit(tables_for(WELL_KNOWN, wan, lan))
    datapath.attach(wan.ifindex, "tc")
    datapath.attach(lan.ifindex, "xdp")
    datapath.attach_slow("near", link.get("near0").ifindex)
    with netns.inside(f"{PINS.name}-slow"):
        datapath.attach_slow("far", link.get("far0").ifindex)
    count(datapath, "counters", Reason.DROP_TTL_EXPIRED, 7)
    services = (datapath.prefix_ids()["services"] + 1) * Direction.DIRECTION_COUNT
    udp = (services + Direction.DIRECTION_64) * Protocol.PROTOCOL_COUNT + Protocol.PROTOCOL_UDP
    count(datapath, "prefix_counters", udp, 9, Reason.FORWARD_64)
    return datapath


def count(datapath: Datapath, name: str, index: int, packets: int, place: int = 0) -> None:
    """As if packets of 100 bytes had come by, the last of them on another CPU. `place`: of the
    counter in the element."""
    key = index.to_bytes(4, "little")
    values = datapath._maps[name].lookup_per_cpu(key) or []
    for cpu, seen in ((0, packets - 1), (-1, 1)):
        counter = bytes(layout.Counter(seen, 100 * seen))
        start = place * len(counter)
        values[cpu] = values[cpu][:start] + counter + values[cpu][start + len(counter) :]
    datapath._maps[name].update_per_cpu(key, values)


def make_older(*maps: str) -> None:
    """What is pinned becomes that of an older build, and those maps (all) of another layout."""
    for pin in (PINS / "maps").iterdir():
        name, _, _ = pin.name.rpartition("-")
        if name in maps or not maps:
            pin.rename(pin.with_name(f"{name}-01d1a707"))
    for programs in PINS.glob("programs-*"):
        programs.rename(PINS / "programs-01d")


def programs_of(datapath: Datapath) -> set[int]:
    return {datapath.program(name).info.id for name in ("uplink_xdp", "uplink_tc", "slow_turn")}


def attached() -> set[int]:
    """The programs on the devices and on both ends of the slow path."""
    return set(attach.maps_in_use(PINS / "links", f"{PINS.name}-slow"))


def test_older_programs_go_on_until_the_first_commit(devices: Devices) -> None:
    with in_force(devices) as old:
        programs, generation, ids = programs_of(old), old.generation(), old.prefix_ids()
        assert attached() == programs
    make_older()
    with Datapath.open(PINS) as new:
        assert attached() == programs, "still the older ones"
        assert new.digest() is None, "nothing is in force in the layout of this version"
        assert new.generation() == generation
        assert new.prefix_ids() == ids
        assert new.counters().reasons["drop_ttl_expired"] == Counter(7, 700)
        assert new.counters().prefixes["services"][64] == Counter(9, 900)
        kind = Kind("services", 64, "udp", "forward_64")
        assert new.counters().traffic[kind] == Counter(9, 900)

        new.commit(tables_for(WELL_KNOWN, *devices))

        assert attached() == programs_of(new)
        assert attached().isdisjoint(programs)
        assert new.generation() == generation + 1
        assert new.prefix_ids() == ids
        assert new.counters().reasons["drop_ttl_expired"] == Counter(7, 700)
        assert new.counters().prefixes["services"][64] == Counter(9, 900)
    assert not list(PINS.rglob("*-01d*")), "the older pins are gone"


def test_tables_of_the_same_layout_stay_in_force(devices: Devices) -> None:
    """Only counters changed: programs are replaced at once, over the tables that are there."""
    with in_force(devices) as old:
        programs, digest = programs_of(old), old.digest()
    make_older("counters", "past_counters", "next_hops")
    with Datapath.open(PINS) as new:
        assert new.digest() == digest
        assert attached() == programs_of(new) != programs
        assert new.counters().reasons["drop_ttl_expired"] == Counter(7, 700)
        count(new, "counters", Reason.DROP_TTL_EXPIRED, 5)
        assert new.counters().reasons["drop_ttl_expired"] == Counter(12, 1200)
    make_older("counters", "past_counters")
    with Datapath.open(PINS) as third:
        assert third.counters().reasons["drop_ttl_expired"] == Counter(12, 1200), "all three"
    assert not list(PINS.rglob("*-01d*"))


def test_an_upgrade_that_was_killed_before_the_flip_starts_over(devices: Devices) -> None:
    with in_force(devices) as old:
        programs = programs_of(old)
    make_older()
    for _ in range(2):  # each leaves maps that no program uses
        with Datapath.open(PINS) as new:
            assert attached() == programs
            half = new._maps["generation"].info.id
    with Datapath.open(PINS) as new:
        assert new._maps["generation"].info.id != half
        new.commit(tables_for(WELL_KNOWN, *devices))
        assert attached() == programs_of(new)
        assert new.counters().reasons["drop_ttl_expired"] == Counter(7, 700)


def test_an_upgrade_that_was_killed_between_two_devices_is_finished(
    devices: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    with in_force(devices) as old:
        programs = programs_of(old)
    make_older()
    replace = attach.replace

    def killed(links: Path, one: Attachment, program: Program) -> None:
        replace(links, one, program)
        raise KernelError(5, "killed")

    with monkeypatch.context() as patch, Datapath.open(PINS) as new:
        patch.setattr(attach, "replace", killed)
        with pytest.raises(KernelError, match="killed"):
            new.commit(tables_for(WELL_KNOWN, *devices))
        assert new.digest() is None, "what is in force is not wholly ours: plan it again"
        assert attached() & programs and attached() & programs_of(new)
    with Datapath.open(PINS) as again:
        assert attached() == programs_of(again)
        assert again.digest() is not None
        assert again.counters().reasons["drop_ttl_expired"] == Counter(7, 700)
    assert not list(PINS.rglob("*-01d*"))


@pytest.mark.parametrize("step", ["keep_past", "Pins.remove_others"])
def test_an_upgrade_that_was_killed_behind_the_swap_loses_no_counter(
    devices: Devices, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_force(devices).close()
    make_older()

    def killed(*_: object) -> None:
        raise KernelError(5, "killed")

    with monkeypatch.context() as patch, Datapath.open(PINS) as new:
        patch.setattr(f"sixlane.datapath.loader.{step}", killed)
        with pytest.raises(KernelError, match="killed"):
            new.commit(tables_for(WELL_KNOWN, *devices))
        count(new, "counters", Reason.DROP_TTL_EXPIRED, 5)
    with Datapath.open(PINS) as again:
        assert again.counters().reasons["drop_ttl_expired"] == Counter(12, 1200)
        assert again.counters().prefixes["services"][64] == Counter(9, 900)
    assert not list(PINS.rglob("*-01d*"))


@pytest.mark.parametrize("step", ["keep_past", "Pins.remove_others"])
def test_a_version_that_comes_back_finds_its_counters(
    devices: Devices, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other version was killed when its programs had been attached and ours were still pinned:
    what it took over of ours by then is not to be added to ours."""
    in_force(devices).close()
    make_older()

    def killed(*_: object) -> None:
        raise KernelError(5, "killed")

    with monkeypatch.context() as patch, Datapath.open(PINS) as new:
        patch.setattr(f"sixlane.datapath.loader.{step}", killed)
        with pytest.raises(KernelError, match="killed"):
            new.commit(tables_for(WELL_KNOWN, *devices))
        count(new, "counters", Reason.DROP_TTL_EXPIRED, 5)
    maps = PINS / "maps"
    pins = list(maps.iterdir())
    for pin in pins:  # what is ours becomes another's, and what was made another's is ours again
        name, _, digest = pin.name.rpartition("-")
        if digest != "01d1a707":
            pin.rename(maps / f"{name}-02d2a707")
    for pin in pins:
        name, _, digest = pin.name.rpartition("-")
        if digest == "01d1a707":
            pin.rename(maps / f"{name}-{layout.DIGESTS[name]}")
    for programs in PINS.glob("programs-*"):
        programs.rename(PINS / f"programs-02d{programs.name[-3:]}")
    with Datapath.open(PINS) as back:
        assert back.counters().reasons["drop_ttl_expired"] == Counter(12, 1200)
        back.commit(tables_for(WELL_KNOWN, *devices))
        assert attached() == programs_of(back)
        assert back.counters().reasons["drop_ttl_expired"] == Counter(12, 1200)
        assert back.counters().prefixes["services"][64] == Counter(9, 900)
    assert not list(PINS.rglob("*-02d*"))


def test_counters_are_not_taken_over_twice(devices: Devices) -> None:
    in_force(devices).close()
    make_older()
    with Datapath.open(PINS) as new:
        older = new._older
        keep_past(new._maps, older.reasons(), older.prefixes(), range(64))  # killed behind this
        new.commit(tables_for(WELL_KNOWN, *devices))
        assert new.counters().reasons["drop_ttl_expired"] == Counter(7, 700)
        assert new.counters().prefixes["services"][64] == Counter(9, 900)


def test_a_prefix_with_another_name_starts_from_zero(devices: Devices) -> None:
    in_force(devices).close()
    make_older()
    with Datapath.open(PINS) as new:
        tables = tables_for(WELL_KNOWN, *devices)
        renamed = [
            dataclasses.replace(one, name=f"new-{one.name}") if one.name == "services" else one
            for one in tables.prefixes
        ]
        new.commit(dataclasses.replace(tables, prefixes=renamed))
        assert new.counters().prefixes["new-services"][64] == Counter(0, 0)
    make_older("prefix_counters", "past_prefixes")
    with Datapath.open(PINS) as third:
        assert third.counters().prefixes["new-services"][64] == Counter(0, 0)


def test_one_directory_for_all_maps_is_an_older_layout(devices: Devices) -> None:
    """As early versions had it."""
    with in_force(devices) as old:
        programs = programs_of(old)
    make_older()
    everything = PINS / "maps-97b673089d51"
    (PINS / "maps").rename(everything)
    for pin in everything.iterdir():
        pin.rename(everything / pin.name.rpartition("-")[0])
    with Datapath.open(PINS) as new:
        assert attached() == programs
        assert sorted(new.prefix_ids()) == ["nodes", "services"]
        new.commit(tables_for(WELL_KNOWN, *devices))
        assert attached() == programs_of(new)
        assert new.counters().reasons["drop_ttl_expired"] == Counter(7, 700)
    assert not everything.exists()


def test_half_a_group_is_not_adopted(devices: Devices) -> None:
    """A flip of a `generation` that older programs share would lead them into an empty slot."""
    with in_force(devices) as old:
        programs = programs_of(old)
    next((PINS / "maps").glob("eam4-*")).unlink()
    for pinned in PINS.glob("programs-*"):
        pinned.rename(PINS / "programs-01d")
    with Datapath.open(PINS) as new:
        assert attached() == programs
        assert new.digest() is None
        new.commit(tables_for(WELL_KNOWN, *devices))
        assert attached() == programs_of(new)


def test_without_any_program_attached_counters_are_kept(devices: Devices) -> None:
    with in_force(devices) as old:
        for one in old.attachments():
            old.detach(one)
        old.clear()
    link.delete("near0")
    make_older()
    with Datapath.open(PINS) as new:
        assert new.counters().reasons["drop_ttl_expired"] == Counter(7, 700)
    assert not list(PINS.rglob("*-01d*"))
