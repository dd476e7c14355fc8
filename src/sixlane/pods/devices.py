# SPDX-License-Identifier: Apache-2.0
"""A pod's device: a pair with one end in the pod's network namespace, made, looked at, removed.

The host's end has the same link-local address for each pod, and is the pod's gateway for both
families: no other address is needed on the link, and none of IPv4 on the node. Both ends know each
other's hardware address for good, so nobody has to be asked for it, or believed. Everything of a
pod hangs on the pair, and goes with it.
"""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import (
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)

from sixlane.datapath.pods import Place
from sixlane.errors import ConfigError, SixlaneError
from sixlane.model.addresses import AnyAddress, AnyNetwork
from sixlane.net import netkit, netns, requests, sysctl
from sixlane.net.netlink import Channel, Request
from sixlane.net.requests import End, Furniture, Neighbour, Way
from sixlane.pods.pod import DeviceKind, Lease

GATEWAY = IPv6Address("fe80::1")

PROTOCOL = 65
"""Of routes to pods, as `ip route` and BIRD's `krt_source` have it. (64 is announced.)"""

_STATIC = 4
_NO_MAC = bytes(6)
_KINDS: dict[DeviceKind, str] = {
    "veth": "veth",
    "netkit": netkit.KIND,
    "netkit-l2": netkit.KIND,
}
_EVERYTHING: dict[int, AnyNetwork] = {4: IPv4Network("0.0.0.0/0"), 6: IPv6Network("::/0")}

# The host's end is a router's. What IPv4 packets may be from is checked by the kernel as well.
_HOST_SETTINGS = {
    "ipv6": {
        "disable_ipv6": 0,
        "forwarding": 1,
        "accept_ra": 0,
        "accept_dad": 0,
        "accept_redirects": 0,
    },
    "ipv4": {"forwarding": 1, "rp_filter": 1, "accept_redirects": 0, "send_redirects": 0},
}
# All that there is to know is told to the pod; nobody else on the link could have its address.
_POD_SETTINGS = {
    "ipv6": {"disable_ipv6": 0, "accept_ra": 0, "accept_dad": 0, "accept_redirects": 0},
}


@dataclass(frozen=True)
class Device:
    """What is wanted. `netns`: the path of the pod's network namespace; `egress`: the address that
    stands for one of IPv4, and the network that is reached from it alone."""

    name: str
    kind: DeviceKind
    netns: str
    ifname: str
    mtu: int
    addresses: tuple[AnyAddress, ...]
    egress: tuple[IPv6Address, IPv6Network] | None = None
    alias: str = ""

    @classmethod
    def of(cls, lease: Lease, egress_prefix: IPv6Network | None) -> "Device":
        """`egress_prefix`: as the Network has it."""
        egress = (lease.egress, egress_prefix) if lease.egress and egress_prefix else None
        return cls(
            lease.host_device,
            lease.device,
            lease.netns,
            lease.attachment.ifname,
            lease.mtu,
            lease.addresses,
            egress,
            f"sixlane: {lease.pod or lease.attachment}",
        )

    @property
    def all_addresses(self) -> tuple[AnyAddress, ...]:
        return (*self.addresses, *(self.egress[:1] if self.egress else ()))

    @property
    def has_neighbours(self) -> bool:
        """Whether there are hardware addresses on the link."""
        return self.kind != "netkit"

    @property
    def host_mac(self) -> bytes:
        return _mac(self.name, "host") if self.has_neighbours else _NO_MAC

    @property
    def pod_mac(self) -> bytes:
        return _mac(self.name, "pod") if self.has_neighbours else _NO_MAC


def add(device: Device, attach: Callable[[Place], None]) -> Place:
    """Makes a device; one that is as it should be stays, any other of its name is made anew.

    `attach` has the data path know it before it is up, and is called in any case. If anything
    fails, nothing of the device is left. ConfigError: there is no such namespace, or somebody
    else's device has the name. NotSupported: this kernel has no such devices.
    """
    with _opened(device.netns) as namespace_fd, Channel() as here:
        there = _take_over(device, here)
        if there is not None:
            place = _place(device, there)
            attach(place)
            return place
        with _removed_on_failure(device, here):
            _make(device, here, namespace_fd)
            place = Place(socket.if_nametoindex(device.name), device.pod_mac, device.host_mac)
            what = f"set up device {device.name}"
            here.change([requests.without_generated_addresses(place.ifindex, what)])
            _set(device.name, _HOST_SETTINGS)
            attach(place)
            here.change(_host_requests(device, place.ifindex))
            _furnish(device)
            wrong = list(_differences(device, here))
            if wrong:
                raise SixlaneError(f"make device {device.name}: {wrong[0]}")
    return place


def check(device: Device) -> Place:
    """ConfigError: the first thing that is not as it should be, here or in the pod."""
    with Channel() as here:
        for wrong in _differences(device, here):
            raise ConfigError(wrong, "remove the pod, and have it made again")
        end = requests.read_end(here, device.name)
    if end is None:  # gone since
        raise ConfigError(f"there is no device {device.name}")
    return _place(device, end)


def remove(name: str) -> int | None:
    """Removes both ends, with all that hangs on them; returns the index that it had. None: there is
    none of that name.

    ConfigError: it is somebody else's device.
    """
    with Channel() as here:
        found = requests.read_end(here, name)
        if found is None:
            return None
        _refuse_others(found)
        here.change([requests.delete(found.ifindex, f"remove device {name}")])
    return found.ifindex


# ---- making ----


def _make(device: Device, here: Channel, namespace_fd: int) -> None:
    """Both ends, down, each at once where it belongs."""
    name, ifname, mtu = device.name, device.ifname, device.mtu
    if device.kind == "veth":
        near = requests.end_attributes(name, mtu, device.host_mac)
        far = requests.end_attributes(ifname, mtu, device.pod_mac, namespace_fd)
        here.change([requests.new_veth(near, far, f"make veth pair {name} and {ifname}")])
        return
    mode: netkit.Mode = "l2" if device.has_neighbours else "l3"
    macs = (device.host_mac, device.pod_mac) if device.has_neighbours else (b"", b"")
    netkit.create(here, name, ifname, namespace_fd, mode, mtu=mtu, mac=macs[0], peer_mac=macs[1])


def _host_requests(device: Device, ifindex: int) -> list[Request]:
    what = f"set up device {device.name}"
    return [
        requests.set_up(ifindex, what, device.alias),
        *(requests.new_address(ifindex, one, what) for one in _host_addresses()),
        *(requests.new_neighbour(ifindex, one, what) for one in _host_neighbours(device)),
        *(requests.new_way(ifindex, one, _told(device.name, one)) for one in _host_ways(device)),
    ]


def _furnish(device: Device) -> None:
    """The pod's end."""
    ifname, what = device.ifname, f"set up {device.ifname} in {device.netns}"
    with netns.inside_path(device.netns), Channel() as pod:
        _set(ifname, _POD_SETTINGS)
        ifindex = socket.if_nametoindex(ifname)
        pod.change(
            [
                requests.set_up(ifindex, what),
                *(requests.new_address(ifindex, one, what) for one in _pod_addresses(device)),
                *(requests.new_neighbour(ifindex, one, what) for one in _pod_neighbours(device)),
                *(requests.new_way(ifindex, one, _told(ifname, one)) for one in pod_ways(device)),
            ]
        )


def _take_over(device: Device, here: Channel) -> End | None:
    """The host's end, if it is there as it should be. What is there otherwise is removed."""
    found = requests.read_end(here, device.name)
    if found is None:
        return None
    _refuse_others(found)
    if not any(_differences(device, here)):
        return found
    here.change([requests.delete(found.ifindex, f"remove device {device.name}")])
    return None


def _refuse_others(found: End) -> None:
    if found.kind not in _KINDS.values():
        raise ConfigError(
            f"device {found.name} is none of sixlane's", f"look: ip -d link show {found.name}"
        )


@contextlib.contextmanager
def _removed_on_failure(device: Device, here: Channel) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            ifindex = socket.if_nametoindex(device.name)
            here.change([requests.delete(ifindex, f"remove device {device.name}")])
        raise


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    fd = netns.open_path(path)
    try:
        if os.path.samestat(os.fstat(fd), os.stat("/proc/thread-self/ns/net")):
            raise ConfigError(f"{path} is the host's own network namespace", "it needs no device")
        yield fd
    finally:
        os.close(fd)


def _mac(name: str, end: str) -> bytes:
    """The same each time, and given with the request: whoever gives devices on the host other
    addresses leaves alone those that were asked for (systemd's MACAddressPolicy)."""
    drawn = sha256(f"{name} {end}".encode()).digest()[:6]
    return bytes((drawn[0] & 0xFC | 0x02,)) + drawn[1:]  # of one's own choice, of one device


# ---- what belongs there ----


def _host_addresses() -> Sequence[IPv6Interface]:
    return [IPv6Interface((GATEWAY, 64))]


def _host_ways(device: Device) -> Sequence[Way]:
    return [Way(_alone(one).network, None, None, PROTOCOL) for one in device.all_addresses]


def _host_neighbours(device: Device) -> Sequence[Neighbour]:
    known = device.all_addresses if device.has_neighbours else ()
    return [Neighbour(one, device.pod_mac) for one in known]


def _pod_addresses(device: Device) -> Sequence[IPv4Interface | IPv6Interface]:
    return [_alone(one) for one in device.all_addresses]


def pod_ways(device: Device) -> Sequence[Way]:
    """The pod's routes. The source is said: that of `egress` would be chosen for whatever is more
    like it."""
    ways: list[Way] = []
    for one in device.addresses:
        everything = _EVERYTHING[one.version]
        if all(way.dst != everything for way in ways):
            ways.append(Way(everything, GATEWAY, one, _STATIC))
    if device.egress:
        address, network = device.egress
        ways.append(Way(network, GATEWAY, address, _STATIC))
    return ways


def _pod_neighbours(device: Device) -> Sequence[Neighbour]:
    return [Neighbour(GATEWAY, device.host_mac)] if device.has_neighbours else []


def _alone(address: AnyAddress) -> IPv4Interface | IPv6Interface:
    """/32 or /128"""
    return IPv4Interface(address) if address.version == 4 else IPv6Interface(address)


# ---- looking ----


def _differences(device: Device, here: Channel) -> Iterator[str]:
    """What is not as it should be, the most telling first."""
    end = requests.read_end(here, device.name)
    if end is None:
        yield f"there is no device {device.name}"
        return
    yield from _of_end(device, end, device.host_mac)
    if end.generates:
        yield f"device {end.name} has other addresses than ours"
    had = requests.read_furniture(here, end)
    wanted = Furniture(
        frozenset(_host_addresses()),
        frozenset(_host_ways(device)),
        frozenset(_host_neighbours(device)),
    )
    yield from _lacking(end.name, wanted, had)
    yield from _unset(device.name, _HOST_SETTINGS)
    if device.kind != "veth":
        yield from _of_netkit(device, end)
    with netns.inside_path(device.netns), Channel() as pod:
        far = requests.read_end(pod, device.ifname)
        if far is None or far.kind != _KINDS[device.kind]:
            yield f"there is no device {device.ifname} of ours in {device.netns}"
            return
        yield from _of_end(device, far, device.pod_mac)
        had = requests.read_furniture(pod, far)
        wanted = Furniture(
            frozenset(_pod_addresses(device)),
            frozenset(pod_ways(device)),
            frozenset(_pod_neighbours(device)),
        )
        yield from _lacking(far.name, wanted, had)
        yield from _unset(device.ifname, _POD_SETTINGS)


def _of_end(device: Device, end: End, mac: bytes) -> Iterator[str]:
    if end.kind != _KINDS[device.kind]:
        yield f"device {end.name} is of kind {end.kind}, not {device.kind}"
    if end.mac != mac:
        yield f"device {end.name} has the address {end.mac.hex(':')}, not {mac.hex(':')}"
    if end.mtu != device.mtu:
        yield f"device {end.name} has an MTU of {end.mtu}, not {device.mtu}"
    if not end.up:
        yield f"device {end.name} is down"


def _of_netkit(device: Device, end: End) -> Iterator[str]:
    mode: netkit.Mode = "l2" if device.has_neighbours else "l3"
    if netkit.read(end) != netkit.Netkit(True, mode, "pass", "blackhole"):
        yield f"device {end.name} is not as netkit devices of pods are made"


def _lacking(name: str, wanted: Furniture, had: Furniture) -> Iterator[str]:
    for address in wanted.settled - had.settled:
        yield f"device {name} lacks the address {address}"
    for way in wanted.ways - had.ways:
        yield f"device {name} lacks the route to {way.dst}"
    for neighbour in wanted.neighbours - had.neighbours:
        yield f"device {name} lacks the neighbour {neighbour.address}"


def _set(name: str, settings: dict[str, dict[str, int]]) -> None:
    """Not what is so by default: to write some of them, the kernel spins while anybody else changes
    a device."""
    for family, values in settings.items():
        for setting, value in values.items():
            parts = ("net", family, "conf", name, setting)
            if sysctl.get(parts) != str(value):
                sysctl.set(parts, value)


def _unset(name: str, settings: dict[str, dict[str, int]]) -> Iterator[str]:
    for family, values in settings.items():
        for setting, value in values.items():
            parts = ("net", family, "conf", name, setting)
            shown = sysctl.get(parts)
            if shown != str(value):
                yield f"{'/'.join(parts)} is {shown}, not {value}"


def _place(device: Device, end: End) -> Place:
    return Place(end.ifindex, device.pod_mac, device.host_mac)


def _told(device: str, way: Way) -> str:
    return f"add route {way.dst} on device {device}"
