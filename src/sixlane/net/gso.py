# SPDX-License-Identifier: Apache-2.0
"""How large the packets are that a device is handed and makes; BIG TCP is above 64 KiB.

What the kernel says of a device has these rules: GSO sizes are at most its *maximum* (the driver's,
which nobody can change); GRO sizes at most LARGEST, on any device. Whoever sets a size for IPv6 to
64 KiB or less sets that for IPv4 with it, but not the other way round. Of a change, nobody is told.
"""

import errno
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from sixlane.errors import KernelError, NotSupported, SixlaneError
from sixlane.net import link, netlink
from sixlane.net.netlink import Channel, Request, attribute, attributes_of
from sixlane.net.requests import LINK_HEADER

ORDINARY: Final = 65536
"""The largest packet, in bytes, without BIG TCP; what devices have by default."""

LARGEST: Final = 8 * 65535
"""The largest size, in bytes, that the kernel takes for any device."""

Limit = Literal["gso", "gro", "gso_ipv4", "gro_ipv4"]
"""Of packets that are handed to the device, and of those that are made of what it received; the
first two are those of IPv6."""

_RTM_NEWLINK, _RTM_GETLINK = 16, 18
_U32 = struct.Struct("=I")
_SKIP_STATISTICS = attribute(29, _U32.pack(1 << 3))  # IFLA_EXT_MASK

# include/uapi/linux/if_link.h. What lowers a size for IPv4 too comes before that.
_ATTRIBUTES: Final[Mapping[Limit, int]] = {"gso": 41, "gro": 58, "gso_ipv4": 63, "gro_ipv4": 64}
_NAME, _MTU, _LINK, _MASTER, _LINKINFO, _LINK_NETNSID = 3, 4, 5, 10, 18, 37
_INFO_KIND = 1
_MAXIMUM = 59  # IFLA_TSO_MAX_SIZE
_UPPER = {"vlan", "macvlan", "ipvlan"}


@dataclass(frozen=True)
class Sizes:
    """The largest packets in bytes; None: this kernel has no such limit (IPv4: before 6.3).
    `maximum`: of both GSO sizes."""

    gso: int | None
    gro: int | None
    gso_ipv4: int | None
    gro_ipv4: int | None
    maximum: int = ORDINARY

    @property
    def is_big(self) -> bool:
        """Whether packets of IPv6 may be larger than 64 KiB."""
        return max(self.gso or 0, self.gro or 0) > ORDINARY

    def of(self, limit: Limit) -> int | None:
        return {
            "gso": self.gso,
            "gro": self.gro,
            "gso_ipv4": self.gso_ipv4,
            "gro_ipv4": self.gro_ipv4,
        }[limit]


@dataclass(frozen=True)
class Sized:
    """A device and its sizes. `peer`: the index of a pair's other end, where that end is; `mtu`:
    bytes of layer 3; `master`: the device whose port it is; `lower`: the one, in this namespace,
    by which it sends (VLAN, macvlan, ipvlan)."""

    ifindex: int
    name: str
    peer: int | None
    mtu: int
    sizes: Sizes
    master: int | None = None
    lower: int | None = None


def find(ifindex: int) -> Sized | None:
    """The device, or None if there is none (any more)."""
    what = f"look at the packet sizes of device {link.name_of(ifindex)}"
    body = LINK_HEADER.pack(0, 0, ifindex, 0, 0) + _SKIP_STATISTICS
    with Channel() as here:
        message = here.get(Request(what, _RTM_GETLINK, body, tolerated=(errno.ENODEV,)))
    return None if message is None else _read(message)


def list_sized() -> list[Sized]:
    """All devices of this namespace."""
    body = LINK_HEADER.pack(0, 0, 0, 0, 0) + _SKIP_STATISTICS
    with Channel() as here:
        return list(map(_read, here.dump(Request("list packet sizes", _RTM_GETLINK, body))))


def get_sizes(device: link.Device) -> Sizes:
    """`KernelError` ENODEV if there is no such device."""
    ifindex = link.index(device)
    found = find(ifindex)
    if found is None:
        raise KernelError(errno.ENODEV, f"look at the packet sizes of device {device}")
    return found.sizes


def list_sizes() -> dict[int, Sizes]:
    """Of each device of this namespace, by its index."""
    return {one.ifindex: one.sizes for one in list_sized()}


def _read(message: bytes) -> Sized:
    _, _, ifindex, _, _ = LINK_HEADER.unpack_from(message, netlink.HEADER.size)
    found = dict(attributes_of(message, netlink.HEADER.size + LINK_HEADER.size))

    def number(key: int) -> int | None:
        return int(_U32.unpack(found[key])[0]) if key in found else None

    gso, gro, gso_ipv4, gro_ipv4 = map(number, _ATTRIBUTES.values())
    info = dict(attributes_of(found.get(_LINKINFO, b""), 0))
    kind = info.get(_INFO_KIND, b"").rstrip(b"\0").decode()
    is_upper = kind in _UPPER and _LINK_NETNSID not in found
    return Sized(
        ifindex,
        found[_NAME].rstrip(b"\0").decode(),
        number(_LINK),
        number(_MTU) or 0,
        Sizes(gso, gro, gso_ipv4, gro_ipv4, number(_MAXIMUM) or ORDINARY),
        number(_MASTER),
        number(_LINK) if is_upper else None,
    )


def set_some(device: link.Device, wanted: Mapping[Limit, int]) -> Sizes:
    """Sets some of the sizes, in bytes, one after the other, and those alone but for what the
    kernel does by itself; returns what all of them are then.

    `KernelError` if the device cannot do as much, or has gone.
    """
    ifindex = link.index(device)
    name = link.name_of(device)
    requests = []
    for limit, key in _ATTRIBUTES.items():
        if limit in wanted:
            what = f"set {limit} of device {name} to {wanted[limit]} bytes"
            body = LINK_HEADER.pack(0, 0, ifindex, 0, 0) + attribute(key, _U32.pack(wanted[limit]))
            requests.append(Request(what, _RTM_NEWLINK, body))
    with Channel() as here:
        here.change(requests)
    seen = get_sizes(ifindex)
    for limit, size in wanted.items():
        if seen.of(limit) != size:
            what = f"set {limit} of device {name} to {size} bytes"
            raise SixlaneError(f"{what}: the kernel said yes, but it is not so")
    return seen


def set_sizes(device: link.Device, size: int) -> None:
    """Sets all four to `size` bytes.

    `NotSupported` if this kernel has no IPv4 ones and `size` is above ORDINARY; `KernelError` if
    the device cannot do as much.
    """
    had = get_sizes(device)
    lacking = [limit for limit in _ATTRIBUTES if had.of(limit) is None]
    if lacking and size > ORDINARY:
        raise NotSupported(f"BIG TCP ({lacking[0]})", "Linux 6.3 has it")
    set_some(device, {limit: size for limit in _ATTRIBUTES if limit not in lacking})
