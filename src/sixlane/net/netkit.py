# SPDX-License-Identifier: Apache-2.0
"""netkit: pairs of devices whose programs run as packets leave one end (Linux 6.7).

The end that is asked for is the *primary* one, and the other its *peer*. Programs of both, and what
becomes of packets where there is none, are set at the primary end alone, so that nobody at the peer
can change them. An end without a program passes packets on (`pass`) or has none out (`blackhole`).
"""

import errno
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from sixlane.errors import ConfigError, KernelError, NotSupported, SixlaneError
from sixlane.net import requests
from sixlane.net.netlink import Channel, attribute, attributes_of

KIND = "netkit"

Mode = Literal["l2", "l3"]
"""Frames, with addresses of Ethernet and neighbours; or packets alone."""

Policy = Literal["pass", "blackhole"]

_Name = TypeVar("_Name", bound=str)

_MODES: Mapping[Mode, int] = {"l2": 0, "l3": 1}
_POLICIES: Mapping[Policy, int] = {"pass": 0, "blackhole": 2}
_PEER_INFO, _PRIMARY, _POLICY, _PEER_POLICY, _MODE = 1, 2, 3, 4, 5
_U32 = struct.Struct("=I")


@dataclass(frozen=True)
class Netkit:
    """An end as the kernel tells of it. `policy`: of packets that leave it while it has no program;
    `peer_policy`: of those that leave the other one; None: only the primary end is told."""

    is_primary: bool
    mode: Mode
    policy: Policy | None
    peer_policy: Policy | None


def create(
    channel: Channel,
    name: str,
    peer: str,
    namespace_fd: int,
    mode: Mode,
    *,
    mtu: int,
    mac: bytes = b"",
    peer_mac: bytes = b"",
    peer_policy: Policy = "blackhole",
) -> Netkit:
    """Makes a pair, both ends down, the peer in another namespace.

    `mac`, `peer_mac`: of mode l2 alone; b"": the kernel draws one. NotSupported: this kernel has no
    netkit. KernelError (EEXIST) if there is a device of either name.
    """
    what = f"make netkit pair {name} and {peer}"
    if mode == "l3" and (mac or peer_mac):
        raise ConfigError(f"{what}: devices of mode l3 have no hardware address")
    near = requests.end_attributes(name, mtu, mac)
    far = requests.end_attributes(peer, mtu, peer_mac, namespace_fd)
    data = b"".join(
        (
            attribute(_PEER_INFO, requests.LINK_HEADER.pack(0, 0, 0, 0, 0) + far),
            attribute(_POLICY, _U32.pack(_POLICIES["pass"])),
            attribute(_PEER_POLICY, _U32.pack(_POLICIES[peer_policy])),
            attribute(_MODE, _U32.pack(_MODES[mode])),
        )
    )
    try:
        channel.change([requests.new_pair(KIND, near, data, what)])
    except KernelError as error:
        if error.errno == errno.EOPNOTSUPP and "nknown device type" in error.what:
            raise NotSupported("netkit", "a kernel of 6.7 or newer with CONFIG_NETKIT") from error
        raise
    made = find(channel, name)
    if made != Netkit(True, mode, "pass", peer_policy):
        raise SixlaneError(f"{what}: the kernel said yes, but it is not so")
    return made


def find(channel: Channel, name: str) -> Netkit | None:
    """None if there is no such device, or it is of another kind."""
    end = requests.read_end(channel, name)
    return None if end is None else read(end)


def read(end: requests.End) -> Netkit | None:
    """None if it is a device of another kind."""
    if end.kind != KIND:
        return None
    found = dict(attributes_of(end.data, 0))
    return Netkit(
        found.get(_PRIMARY, b"\0")[0] != 0,
        _named(_MODES, found.get(_MODE)) or "l3",
        _named(_POLICIES, found.get(_POLICY)),
        _named(_POLICIES, found.get(_PEER_POLICY)),
    )


def _named(names: Mapping[_Name, int], value: bytes | None) -> _Name | None:
    if value is None:
        return None
    (number,) = _U32.unpack(value)
    return next((name for name, known in names.items() if known == number), None)
