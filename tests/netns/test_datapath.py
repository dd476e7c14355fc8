# SPDX-License-Identifier: Apache-2.0
"""The data path's life: loaded, attached, adopted, replaced, taken away."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sixlane.bpf import AttachType, Link, Program, ProgramType, XdpFlag, probe
from sixlane.datapath import Datapath
from sixlane.datapath.pins import Pins
from sixlane.datapath.pools import Room
from sixlane.errors import ConfigError
from sixlane.net import clsact, link, netns
from tests import needs
from tests.diff.configurations import WELL_KNOWN
from tests.world import tables_for

pytestmark = [pytest.mark.netns, needs.root]

NAMESPACE = "sl-life"
PINS = Path("/sys/fs/bpf/sl-life")
PASS_ALL = bytes.fromhex("b7000000020000009500000000000000")  # r0 = XDP_PASS; exit


@pytest.fixture
def devices() -> Iterator[tuple[link.Link, link.Link]]:
    """Inside a namespace with two veth devices whose other ends are there too."""
    netns.create(NAMESPACE)
    try:
        with netns.inside(NAMESPACE):
            wan, _ = link.create_veth("wan0", "wan1", up=True)
            lan, _ = link.create_veth("lan0", "lan1", up=True)
            yield wan, lan
            Datapath.remove(PINS)
    finally:
        netns.remove(NAMESPACE)
        shutil.rmtree(PINS, ignore_errors=True)


def programs_of(datapath: Datapath) -> dict[str, int]:
    names = ("uplink_xdp", "uplink_tc", "slow_turn")
    return {name: datapath.program(name).info.id for name in names}


def attached(datapath: Datapath) -> list[tuple[str, str, int]]:
    return [(one.device, one.mode, one.program) for one in datapath.attachments()]


def test_a_second_start_adopts_everything(devices: tuple[link.Link, link.Link]) -> None:
    wan, lan = devices
    with Datapath.open(PINS) as first:
        first.commit(tables_for(WELL_KNOWN, wan, lan))
        first.attach(wan.ifindex, "tc")
        first.attach(lan.ifindex, "xdp")
        programs, generation, digest = programs_of(first), first.generation(), first.digest()
        before = attached(first)
    with Datapath.open(PINS) as second:
        assert programs_of(second) == programs
        assert (second.generation(), second.digest()) == (generation, digest)
        assert attached(second) == before
        assert sorted(second.prefix_ids()) == ["nodes", "services"]


def test_the_program_of_xdp_waits_for_a_device(devices: tuple[link.Link, link.Link]) -> None:
    """And from then on each start, and whoever makes tables anew, has it as well."""
    wan, lan = devices
    with Datapath.open(PINS) as first:
        first.commit(tables_for(WELL_KNOWN, wan, lan))
        first.attach(wan.ifindex, "tc")
        assert "uplink_xdp" not in Datapath.loaded(PINS)
        first.attach(lan.ifindex, "xdp")
        own = first.program("uplink_xdp").info
        assert Datapath.loaded(PINS)["uplink_xdp"] == own
    with Datapath.open(PINS) as second:
        assert Datapath.loaded(PINS)["uplink_xdp"] == own
        second.commit(tables_for(WELL_KNOWN, wan, lan), Room(64, 64, 64, addresses=1))
        anew = Datapath.loaded(PINS)["uplink_xdp"].id
        assert anew != own.id
        assert ("lan0", "xdp", anew) in attached(second)


@pytest.mark.parametrize("entry", ["tc", "xdp", "xdp-generic"])
def test_another_build_replaces_the_programs_in_place(
    devices: tuple[link.Link, link.Link], entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wan, _ = devices
    monkeypatch.setattr("sixlane.datapath.loader.build_id", lambda *parts: "0ld")
    with Datapath.open(PINS) as old:
        old.attach(wan.ifindex, entry)  # type: ignore[arg-type]
        old_programs = programs_of(old)
        (before,) = old.attachments()
    monkeypatch.undo()
    with Datapath.open(PINS) as new:
        (after,) = new.attachments()
        name = "uplink_tc" if entry == "tc" else "uplink_xdp"
        assert before.program == old_programs[name]
        assert after.program == programs_of(new)[name] != before.program
        assert (after.device, after.mode) == (before.device, before.mode)
    assert not (PINS / "programs-0ld").exists()


def test_a_load_that_was_cut_short_is_finished(devices: tuple[link.Link, link.Link]) -> None:
    with Datapath.open(PINS) as datapath:
        datapath.commit(tables_for(WELL_KNOWN, *devices))
    pins = next(iter(PINS.glob("programs-*")))
    (pins / "uplink_tc").unlink()
    next(iter(PINS.glob("maps/error_works-*"))).unlink()
    with Datapath.open(PINS) as again:
        assert again.generation() == 1
        assert programs_of(again)


def test_remove_leaves_nothing(devices: tuple[link.Link, link.Link]) -> None:
    wan, lan = devices
    with Datapath.open(PINS) as datapath:
        datapath.attach(wan.ifindex, "xdp")
        datapath.attach(lan.ifindex, "tc")
    Datapath.remove(PINS)
    assert not PINS.exists()
    with Datapath.open(PINS) as fresh:
        assert fresh.attachments() == []
        fresh.attach(wan.ifindex, "xdp")


def test_a_device_that_went_takes_its_attachment_along(
    devices: tuple[link.Link, link.Link],
) -> None:
    wan, _ = devices
    with Datapath.open(PINS) as datapath:
        datapath.attach(wan.ifindex, "tc")
        link.delete(wan.ifindex)
        (dead,) = datapath.attachments()
        assert dead.device == ""
        datapath.detach(dead)
        assert datapath.attachments() == []


def test_somebody_elses_xdp_program_is_refused(devices: tuple[link.Link, link.Link]) -> None:
    wan, _ = devices
    with (
        Program.load(ProgramType.XDP, "other", PASS_ALL) as other,
        Link.create(other, wan.ifindex, AttachType.XDP, XdpFlag.DRV_MODE),
        Datapath.open(PINS) as datapath,
    ):
        with pytest.raises(ConfigError, match=r"device wan0 has an XDP program of somebody else"):
            datapath.attach(wan.ifindex, "xdp")
        assert datapath.attachments() == []


def test_somebody_elses_filter_is_refused(devices: tuple[link.Link, link.Link]) -> None:
    wan, _ = devices
    with (
        Program.load(ProgramType.SCHED_CLS, "other", PASS_ALL) as other,
        Datapath.open(PINS) as datapath,
    ):
        clsact.attach(wan.ifindex, other.fd, "cilium")
        with pytest.raises(ConfigError, match=r"device wan0 has a tc filter of somebody else"):
            datapath.attach(wan.ifindex, "tc")


def test_somebody_elses_tcx_program_is_refused(devices: tuple[link.Link, link.Link]) -> None:
    wan, _ = devices
    with (
        Program.load(ProgramType.SCHED_CLS, "other", PASS_ALL) as other,
        Link.create(other, wan.ifindex, AttachType.TCX_INGRESS),
        Datapath.open(PINS) as datapath,
        pytest.raises(ConfigError, match=r"wan0 has a tc program of somebody else \(other\)"),
    ):
        datapath.attach(wan.ifindex, "tc")


class TestWithoutTcx:
    """What Debian 12's own kernel needs: filters instead of links."""

    @pytest.fixture(autouse=True)
    def no_tcx(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(probe, "has_tcx", lambda: False)

    def test_attach_adopt_detach(self, devices: tuple[link.Link, link.Link]) -> None:
        wan, lan = devices
        with Datapath.open(PINS) as datapath:
            assert datapath.attach(wan.ifindex, "tc") == "clsact"
            assert datapath.attach(lan.ifindex, "xdp") == "xdp"
        with Datapath.open(PINS) as again:
            modes = {one.device: one.mode for one in again.attachments()}
            assert modes == {"wan0": "clsact", "lan0": "xdp"}
        Datapath.remove(PINS)
        assert not clsact.has_qdisc(wan.ifindex)

    def test_another_build(
        self, devices: tuple[link.Link, link.Link], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wan, _ = devices
        with monkeypatch.context() as patch:
            patch.setattr("sixlane.datapath.loader.build_id", lambda *parts: "0ld")
            with Datapath.open(PINS) as old:
                old.attach(wan.ifindex, "tc")
        with Datapath.open(PINS) as new:
            (after,) = new.attachments()
            assert after.program == programs_of(new)["uplink_tc"]

    def test_both_ends_of_the_slow_path(self, devices: tuple[link.Link, link.Link]) -> None:
        wan, lan = devices
        with Datapath.open(PINS) as datapath:
            datapath.attach_slow("near", wan.ifindex)
            datapath.attach_slow("far", lan.ifindex)
            names = [clsact.list_filters(one.ifindex)[0].name for one in devices]
            assert names == ["sixlane_near", "sixlane_far"]
            assert datapath.slow_path_is_attached()
            assert datapath.attachments() == []


def test_pins_are_for_root_alone(devices: tuple[link.Link, link.Link]) -> None:
    with Datapath.open(PINS):
        for directory in (PINS / "links", PINS / "maps", *PINS.glob("programs-*")):
            assert directory.stat().st_mode & 0o077 == 0


def test_the_ends_of_the_slow_path_are_watched(devices: tuple[link.Link, link.Link]) -> None:
    wan, lan = devices
    with Datapath.open(PINS) as datapath:
        assert not datapath.slow_path_is_attached()
        datapath.attach_slow("near", wan.ifindex)
        datapath.attach_slow("far", lan.ifindex)
        assert datapath.slow_path_is_attached()
        link.delete(lan.ifindex)
        assert not datapath.slow_path_is_attached()


def test_a_pin_directory_of_another_name_has_no_dots() -> None:
    """bpffs refuses dots."""
    pins = Pins(PINS, "0123456789ab")
    assert "." not in "".join((pins.maps.name, pins.programs.name, pins.links.name))
