# SPDX-License-Identifier: Apache-2.0
"""What a backend's machine needs, by how it is."""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address, ip_interface
from typing import Any

import pytest

from sixlane.datapath.decap import Contents
from sixlane.decap.plan import Observed, Plan, plan_up
from sixlane.decap.wanted import read_wanted
from sixlane.errors import ConfigError
from sixlane.net import address, link

ETH0, LO = 3, 1
OWN4, OWN6 = "203.0.113.7", "2001:db8:c::7"
VIP4, VIP6 = "192.175.48.200", "2001:db8:64::200"
LAX = {"rp_filter": 0, "arp_ignore": 0, "arp_announce": 0}


def device(index: int, name: str, **more: Any) -> link.Link:
    loopback = index == LO
    found = link.Link(
        index,
        name,
        "",
        link.ARPHRD_LOOPBACK if loopback else link.ARPHRD_ETHER,
        b"\2" * 6,
        65536 if loopback else 1500,
        True,
        True,
        None,
        None,
        None,
        "",
    )
    return replace(found, **more)


def on(index: int, interface: str, scope: int = address.SCOPE_GLOBAL) -> address.Address:
    return address.Address(index, ip_interface(interface), scope, False, False, False)


def observed(**more: Any) -> Observed:
    fields: dict[str, Any] = {
        "device": device(ETH0, "eth0"),
        "loopback": device(LO, "lo"),
        "addresses": (
            on(LO, "127.0.0.1/8", address.SCOPE_HOST),
            on(ETH0, f"{OWN4}/24"),
            on(ETH0, f"{OWN6}/64"),
            on(ETH0, "fe80::7/64", address.SCOPE_LINK),
        ),
        "settings": LAX,
        "settings_of_all": LAX,
        "devices": {LO: "lo", ETH0: "eth0", 4: "eth1"},
        "namespace": 1,
    }
    return Observed(**(fields | more))


def plan(machine: Observed, *vips: str, **options: Any) -> Plan:
    return plan_up(read_wanted("eth0", vips or (VIP4, VIP6), **options), machine)


def texts(addresses: Any) -> set[str]:
    return {str(one) for one in addresses}


def set_up(machine: Observed, *vips: str, **options: Any) -> Observed:
    """As it is after that plan."""
    made = plan(machine, *vips, **options)
    return replace(
        machine,
        present=made.contents,
        entry=made.entry,
        addresses=(
            *(one for one in machine.addresses if one.interface.ip not in made.remove),
            *(on(LO, str(vip)) for vip in made.add),
        ),
        settings={**machine.settings, **made.set, **made.restore},
    )


# ---- from nothing ----


def test_of_a_new_machine() -> None:
    made = plan(observed())
    assert texts(made.contents.addresses) == {OWN4, OWN6}  # not the link-local one
    assert texts(made.contents.sources) == {"198.18.0.0/15", "100::/64"}
    assert {str(vip): added for vip, added in made.contents.vips.items()} == {
        VIP4: True,
        VIP6: True,
    }
    assert texts(made.add) == {VIP4, VIP6}
    assert made.set == {"arp_ignore": 1, "arp_announce": 2}
    assert made.contents.originals == {"arp_ignore": 0, "arp_announce": 0}
    assert (made.entry, made.attach, made.remove, made.restore) == ("xdp", True, (), {})


@pytest.mark.parametrize(
    ("kind", "wanted", "entry", "fallback"),
    [
        ("", "auto", "xdp", True),
        ("", "xdp", "xdp", False),
        ("", "tc", "tc", False),
        ("veth", "auto", "tc", False),
        ("veth", "xdp", "xdp", False),
    ],
)
def test_the_entry(kind: str, wanted: Any, entry: str, fallback: bool) -> None:
    made = plan(observed(device=device(ETH0, "eth0", kind=kind)), entry=wanted)
    assert (made.entry, made.fallback) == (entry, fallback)


@pytest.mark.parametrize(
    ("addresses", "mtu", "segments"),
    [
        # MTU less the outer header, the inner one (20 or 40) and TCP's (20)
        ((OWN4, OWN6), 1500, {4: 1500 - 40 - 20 - 20, 6: 1500 - 40 - 40 - 20}),
        ((OWN6,), 1500, {4: 1420, 6: 1400}),
        ((OWN4,), 1500, {4: 1500 - 20 - 20 - 20, 6: 1500 - 20 - 40 - 20}),
        ((OWN4,), 9000, {4: 8940, 6: 8920}),
        ((OWN4,), 576, {4: 536, 6: 536}),
    ],
)
def test_segments(addresses: tuple[str, ...], mtu: int, segments: Mapping[int, int]) -> None:
    machine = observed(device=device(ETH0, "eth0", mtu=mtu))
    assert plan(machine, addresses=addresses).contents.max_segments == segments
    told = plan(machine, addresses=addresses, max_segment=1000)
    assert told.contents.max_segments == {4: 1000, 6: 1000}


# ---- settings ----


@pytest.mark.parametrize(
    ("name", "own", "of_all", "becomes"),
    [
        ("rp_filter", 0, 0, None),
        ("rp_filter", 1, 0, 2),
        ("rp_filter", 0, 1, 2),
        ("rp_filter", 2, 1, None),
        ("rp_filter", 1, 2, None),
        ("arp_ignore", 0, 0, 1),
        ("arp_ignore", 1, 0, None),
        ("arp_ignore", 0, 8, None),
        ("arp_announce", 0, 0, 2),
        ("arp_announce", 1, 1, 2),
        ("arp_announce", 0, 2, None),
    ],
)
def test_settings(name: str, own: int, of_all: int, becomes: int | None) -> None:
    """The larger one of the device's and "all"'s is in force (ip-sysctl)."""
    strict = {"rp_filter": 0, "arp_ignore": 1, "arp_announce": 2}
    made = plan(observed(settings=strict | {name: own}, settings_of_all=LAX | {name: of_all}))
    assert made.set == ({} if becomes is None else {name: becomes})
    assert made.contents.originals == ({} if becomes is None else {name: own})


def test_vips_of_ipv6_need_no_setting() -> None:
    machine = observed(settings=LAX | {"rp_filter": 1})
    made = plan(machine, VIP6)
    assert (made.set, made.contents.originals) == ({}, {})


# ---- changed in place ----


def test_the_same_again_changes_nothing() -> None:
    machine = set_up(observed())
    made = plan(machine)
    assert made.contents == machine.present
    assert (made.add, made.remove, made.set, made.restore, made.attach) == ((), (), {}, {}, False)


def test_other_vips() -> None:
    made = plan(set_up(observed()), VIP4, "192.175.48.201")
    assert texts(made.add) == {"192.175.48.201"}
    assert texts(made.remove) == {VIP6}


def test_what_was_there_before_is_not_taken_off() -> None:
    machine = observed(addresses=(*observed().addresses, on(LO, f"{VIP4}/32")))
    made = plan(machine)
    assert {str(vip): added for vip, added in made.contents.vips.items()} == {
        VIP4: False,
        VIP6: True,
    }
    assert texts(plan(set_up(machine), "192.175.48.201").remove) == {VIP6}


def test_originals_are_kept_when_it_is_set_up_again_and_restored_without_ipv4() -> None:
    first = observed(settings=LAX | {"rp_filter": 1})
    machine = set_up(first)
    assert machine.settings == {"rp_filter": 2, "arp_ignore": 1, "arp_announce": 2}
    again = plan(machine)
    assert again.contents.originals == first.settings
    assert again.set == {}
    without = plan(machine, VIP6)
    assert without.restore == first.settings
    assert without.contents.originals == {}


def test_a_setting_that_somebody_undid_is_set_again() -> None:
    machine = set_up(observed())
    made = plan(replace(machine, settings={**machine.settings, "arp_ignore": 0}))
    assert made.set == {"arp_ignore": 1}
    assert made.contents.originals == {"arp_ignore": 0, "arp_announce": 0}


@pytest.mark.parametrize(
    ("there", "wanted", "attach"),
    [
        ("tc", "tc", False),
        ("tc", "xdp", True),
        ("xdp", "tc", True),
        ("xdp", "auto", False),
        ("tc", "auto", False),  # the driver has no native XDP: not tried each time
        (None, "auto", True),
    ],
)
def test_an_entry_that_is_there(there: Any, wanted: Any, attach: bool) -> None:
    machine = replace(set_up(observed()), entry=there)
    assert plan(machine, entry=wanted).attach == attach


def test_a_device_that_was_made_anew() -> None:
    """Settings of the old one went with it."""
    machine = set_up(observed(settings=LAX | {"rp_filter": 1}))
    anew = replace(
        machine,
        device=device(9, "eth0"),
        addresses=tuple(
            replace(one, ifindex=9) if one.ifindex == ETH0 else one for one in machine.addresses
        ),
        settings=LAX,
        devices={LO: "lo", 9: "eth0"},
        entry=None,
    )
    made = plan(anew)
    assert made.contents.ifindex == 9
    assert made.contents.originals == {"arp_ignore": 0, "arp_announce": 0}
    assert made.attach
    assert made.add == ()


# ---- refused ----

_PRESENT = Contents(4, 1, frozenset(), {}, frozenset(), {4: 0, 6: 0})


@pytest.mark.parametrize(
    ("changes", "options", "said"),
    [
        ({"device": device(ETH0, "eth0", type=65534)}, {}, "device eth0 is not an Ethernet device"),
        ({"loopback": device(LO, "lo", up=False)}, {}, "device lo, which has the VIPs, is down"),
        ({"present": _PRESENT}, {}, "device eth1 is set up already"),
        ({"present": replace(_PRESENT, namespace=2)}, {}, "another network namespace"),
        ({"addresses": ()}, {}, "device eth0 has no address that a tunnel could end at"),
        ({}, {"addresses": ("192.0.2.1",)}, "no device has the address 192.0.2.1"),
        ({}, {"addresses": (OWN4, VIP6)}, f"{VIP6} is a VIP, and tunnels end at other addresses"),
        (
            {"addresses": (on(ETH0, f"{VIP4}/24"),)},
            {},
            f"the VIP {VIP4} is an address of device eth0",
        ),
    ],
)
def test_refused(changes: dict[str, Any], options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan(observed(**changes), **options)
    assert said in str(caught.value)


@pytest.mark.parametrize(("option", "most"), [("vips", 2048), ("sources", 512), ("addresses", 128)])
def test_no_more_than_there_is_room_for_twice(option: str, most: int) -> None:
    """Half of the tables' rooms: old and new ones are there together."""
    texts = [f"10.0.{number >> 8}.{number & 0xFF}" for number in range(most + 1)]
    machine = observed(addresses=(*observed().addresses, *(on(4, f"{one}/8") for one in texts)))
    fields: dict[str, Any] = {"vips": [VIP4]}
    plan_up(read_wanted("eth0", **(fields | {option: texts[:-1]})), machine)
    with pytest.raises(ConfigError, match=f"{most + 1} are too many"):
        plan_up(read_wanted("eth0", **(fields | {option: texts})), machine)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"vips": ["10.0.0.0/8"]}, "--vip: 10.0.0.0/8 is not an IPv4 address"),
        ({"vips": ["fe80::1"]}, "--vip: fe80::1 is in fe80::/10, which is not routed"),
        ({"vips": ["::ffff:192.0.2.1"]}, "--vip: "),
        ({"vips": [VIP4], "addresses": ["localhost"]}, "--address: localhost is not an IPv4"),
        ({"vips": [VIP4], "sources": ["198.18.0.1/15"]}, "--source: 198.18.0.1/15 has bits set"),
    ],
)
def test_words_that_are_wrong(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_wanted("eth0", **options)
    assert said in str(caught.value)


def test_words_that_say_the_same_twice() -> None:
    wanted = read_wanted("eth0", [VIP4, VIP4, "2001:db8:64:0::200", VIP6], sources=["10.0.0.0/8"])
    assert wanted.vips == (ip_address(VIP4), ip_address(VIP6))
    assert texts(wanted.sources) == {"10.0.0.0/8"}
