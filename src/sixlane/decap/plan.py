# SPDX-License-Identifier: Apache-2.0
"""From what is wanted of a backend and how it is, to what has to change. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sixlane.datapath.attach import Entry, automatic_entry
from sixlane.datapath.decap import Contents
from sixlane.datapath.layout import DECAP_MAPS
from sixlane.errors import ConfigError
from sixlane.model.addresses import AnyAddress, AnyNetwork
from sixlane.net import address, link

LOOPBACK = "lo"

Way = Literal["auto", "tc", "xdp"]
"""By which entry; auto: by the one that suits the device."""

SETTLED = {"rp_filter": 2, "arp_ignore": 1, "arp_announce": 2}
"""What settings of the device are set to, where a VIP of IPv4 needs it: it has the packets of
clients, to whom the way may be another (rp_filter); it must tell nobody of the VIP, whose requests
are for the gateways (arp_ignore), and who would believe its own (arp_announce)."""

_MOST = {  # half of what there is room for: old and new ones are there together
    "--vip": DECAP_MAPS["vips"].max_entries // 2,
    "--source": DECAP_MAPS["tunnel_sources"].max_entries // 2,
    "--address": DECAP_MAPS["tunnels"].max_entries // 2,
}
_TCP_BYTES = 20
_HEADER_BYTES = {4: 20, 6: 40}
_SMALLEST_SEGMENT = 536  # RFC 9293 3.7.1


@dataclass(frozen=True)
class Wanted:
    """`addresses`: where tunnels end, () for the device's own. `max_segment`: that SYNs of VIPs may
    offer; None: what has room for the tunnel; 0: whatever they do."""

    device: str
    vips: tuple[AnyAddress, ...]
    addresses: tuple[AnyAddress, ...]
    sources: tuple[AnyNetwork, ...]
    entry: Way = "auto"
    max_segment: int | None = None


@dataclass(frozen=True)
class Observed:
    """`addresses`: all of the machine. `settings`: of the device; `settings_of_all`: of "all", the
    larger of both is in force. `present`: what is set up. `entry`: by which it is attached to a
    device that is there; None: to none. `devices`: names by index."""

    device: link.Link
    loopback: link.Link
    addresses: tuple[address.Address, ...]
    settings: Mapping[str, int]
    settings_of_all: Mapping[str, int]
    devices: Mapping[int, str]
    namespace: int
    present: Contents | None = None
    entry: Entry | None = None


@dataclass(frozen=True)
class Plan:
    """`fallback`: where the device cannot have the entry, the other one will do."""

    contents: Contents
    entry: Entry
    fallback: bool
    attach: bool
    add: tuple[AnyAddress, ...]
    remove: tuple[AnyAddress, ...]
    set: Mapping[str, int]
    restore: Mapping[str, int]


def plan_up(wanted: Wanted, observed: Observed) -> Plan:
    """ConfigError: it cannot be done as wanted."""
    _check(wanted, observed)
    present = observed.present
    same_device = present is not None and present.ifindex == observed.device.ifindex
    own = _own_addresses(wanted, observed)
    _check_room({"--vip": wanted.vips, "--source": wanted.sources, "--address": own})
    there = {one.interface.ip for one in observed.addresses}
    before = present.vips if present else {}
    vips = {one: before.get(one, False) or one not in there for one in wanted.vips}
    originals = present.originals if present and same_device else {}
    needed = _needed(observed) if any(one.version == 4 for one in wanted.vips) else {}
    keep = {name: value for name, value in originals.items() if name in SETTLED and needed}
    automatic = automatic_entry(observed.device.kind)
    entry = automatic if wanted.entry == "auto" else wanted.entry
    attached = observed.entry if same_device else None
    contents = Contents(
        observed.device.ifindex,
        observed.namespace,
        frozenset(own),
        vips,
        frozenset(wanted.sources),
        _max_segments(wanted, observed, own),
        {name: observed.settings[name] for name in needed if needed[name]} | keep,
    )
    return Plan(
        contents,
        entry,
        fallback=wanted.entry == "auto" and entry == "xdp",
        attach=attached is None
        or (attached != entry and not (wanted.entry == "auto" and attached == "tc")),
        add=tuple(one for one in vips if one not in there),
        remove=tuple(
            one for one, added in before.items() if added and one not in vips and one in there
        ),
        set={name: SETTLED[name] for name, unsettled in needed.items() if unsettled},
        restore={name: value for name, value in originals.items() if name not in keep},
    )


def _check(wanted: Wanted, observed: Observed) -> None:
    device, present = observed.device, observed.present
    if device.type != link.ARPHRD_ETHER:
        raise ConfigError(f"device {device.name} is not an Ethernet device", "give another one")
    if not observed.loopback.up:
        raise ConfigError(
            f"device {LOOPBACK}, which has the VIPs, is down", f"ip link set {LOOPBACK} up"
        )
    if present and present.namespace != observed.namespace:
        raise ConfigError(
            "another network namespace is set up with these pins", "give --bpffs another directory"
        )
    if present and present.ifindex != device.ifindex and present.ifindex in observed.devices:
        raise ConfigError(
            f"device {observed.devices[present.ifindex]} is set up already",
            "sixlane decap down, and up again",
        )
    for one in observed.addresses:
        if one.ifindex == device.ifindex and one.interface.ip in wanted.vips:
            raise ConfigError(
                f"the VIP {one.interface.ip} is an address of device {device.name}, which would "
                "tell of it on its link",
                f"ip address del {one.interface} dev {device.name}",
            )
    for vip in wanted.vips:
        if vip in wanted.addresses:
            raise ConfigError(f"{vip} is a VIP, and tunnels end at other addresses")


def _check_room(given: Mapping[str, Sequence[object]]) -> None:
    for option, values in given.items():
        if len(values) > _MOST[option]:
            raise ConfigError(
                f"{option}: {len(values)} are too many", f"{_MOST[option]} is the most"
            )


def _own_addresses(wanted: Wanted, observed: Observed) -> tuple[AnyAddress, ...]:
    """Where tunnels end."""
    there = {one.interface.ip for one in observed.addresses}
    for given in wanted.addresses:
        if given not in there:
            raise ConfigError(f"no device has the address {given}", "see: ip address")
    if wanted.addresses:
        return wanted.addresses
    found = tuple(
        one.interface.ip
        for one in observed.addresses
        if one.ifindex == observed.device.ifindex and one.scope == address.SCOPE_GLOBAL
    )
    if not found:
        raise ConfigError(
            f"device {observed.device.name} has no address that a tunnel could end at",
            "give the machine's own with --address",
        )
    return found


def _needed(observed: Observed) -> dict[str, bool]:
    """The settings that matter, and whether each is to be set."""
    in_force = {
        name: max(value, observed.settings_of_all[name])
        for name, value in observed.settings.items()
    }
    return {
        "rp_filter": in_force["rp_filter"] == 1,  # 2 is laxer
        "arp_ignore": in_force["arp_ignore"] < SETTLED["arp_ignore"],
        "arp_announce": in_force["arp_announce"] < SETTLED["arp_announce"],
    }


def _max_segments(
    wanted: Wanted, observed: Observed, own: tuple[AnyAddress, ...]
) -> Mapping[int, int]:
    """What clients send to the VIP has an outer header on its way here: of IPv6, if it may be."""
    if wanted.max_segment is not None:
        return {4: wanted.max_segment, 6: wanted.max_segment}
    outer = max(_HEADER_BYTES[one.version] for one in own)
    room = observed.device.mtu - outer - _TCP_BYTES
    return {
        version: max(_SMALLEST_SEGMENT, room - header) for version, header in _HEADER_BYTES.items()
    }
