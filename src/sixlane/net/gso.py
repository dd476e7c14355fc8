# SPDX-License-Identifier: Apache-2.0
"""How large the packets are that a device is handed and makes; BIG TCP is above 64 KiB."""

from dataclasses import dataclass, fields
from typing import Any, Final

from pyroute2.netlink import nlmsg

from sixlane.errors import NotSupported, SixlaneError
from sixlane.net import link, netlink

_RTM_NEWLINK, _RTM_GETLINK = 16, 18

ORDINARY: Final = 65536
"""The largest packet, in bytes, without BIG TCP; what devices have by default."""


class _LinkMessage(nlmsg):  # type: ignore[misc]
    """struct ifinfomsg with the attributes that pyroute2 lacks, and no others."""

    prefix = "IFLA_"
    fields = (
        ("family", "B"),
        ("pad", "B"),
        ("ifi_type", "H"),
        ("index", "i"),
        ("flags", "I"),
        ("change", "I"),
    )
    nla_map = (
        (41, "IFLA_GSO_MAX_SIZE", "uint32"),
        (58, "IFLA_GRO_MAX_SIZE", "uint32"),
        (63, "IFLA_GSO_IPV4_MAX_SIZE", "uint32"),
        (64, "IFLA_GRO_IPV4_MAX_SIZE", "uint32"),
    )


@dataclass(frozen=True)
class Sizes:
    """The largest packets in bytes; None: this kernel has no such limit (IPv4: before 6.3)."""

    gso: int | None
    gro: int | None
    gso_ipv4: int | None
    gro_ipv4: int | None

    @property
    def is_big(self) -> bool:
        """Whether packets of IPv6 may be larger than 64 KiB."""
        return max(self.gso or 0, self.gro or 0) > ORDINARY


_ATTRIBUTES = {field.name: f"IFLA_{field.name.upper()}_MAX_SIZE" for field in fields(Sizes)}
_ATTRIBUTES |= {"gso_ipv4": "IFLA_GSO_IPV4_MAX_SIZE", "gro_ipv4": "IFLA_GRO_IPV4_MAX_SIZE"}


def get_sizes(device: link.Device) -> Sizes:
    """`KernelError` ENODEV if there is no such device."""
    request = {"family": 0, "index": link.index(device)}
    what = f"look at the packet sizes of device {device}"
    return _sizes(netlink.get(_LinkMessage, _RTM_GETLINK, request, [], what=what))


def list_sizes() -> dict[int, Sizes]:
    """Of each device of this namespace, by its index."""
    found = netlink.dump(_LinkMessage, _RTM_GETLINK, {"family": 0}, what="list packet sizes")
    return {message["index"]: _sizes(message) for message in found}


def _sizes(message: Any) -> Sizes:
    return Sizes(**{name: message.get_attr(key) for name, key in _ATTRIBUTES.items()})


def set_sizes(device: link.Device, size: int) -> None:
    """Sets all four to `size` bytes.

    `NotSupported` if this kernel has no IPv4 ones and `size` is above ORDINARY; `KernelError` if
    the device cannot do as much.
    """
    what = f"set the packet sizes of device {device} to {size}"
    # One request each: what lowers the first also lowers the IPv4 one, which comes later.
    for name, key in _ATTRIBUTES.items():
        if getattr(get_sizes(device), name) is None:
            if size > ORDINARY:
                raise NotSupported(f"BIG TCP ({name})", "Linux 6.3 has it")
            continue
        request = {"family": 0, "index": link.index(device)}
        netlink.change(_LinkMessage, _RTM_NEWLINK, request, [(key, size)], what=what)
    seen = get_sizes(device)
    if any(getattr(seen, name) not in (None, size) for name in _ATTRIBUTES):
        raise SixlaneError(f"{what}: the kernel said yes, but it is not so")
