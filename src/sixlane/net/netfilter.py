# SPDX-License-Identifier: Apache-2.0
"""What the host's firewall has to say of forwarded packets: chains of nftables, as the kernel has
them (iptables-nft's are among them), and whether there is anything of the older iptables."""

import errno
import struct
from dataclasses import dataclass
from pathlib import Path

from pyroute2.netlink.nfnetlink import nfgen_msg

from sixlane.errors import KernelError
from sixlane.net import netlink

_GET_CHAIN = 10 << 8 | 4  # NFNL_SUBSYS_NFTABLES, NFT_MSG_GETCHAIN
_TABLE, _NAME, _HOOK, _POLICY, _USE, _KIND = 1, 3, 4, 5, 6, 7
_HOOK_NUMBER = 1
_NETDEV, _INET = 5, 1
# By family: which hooks come after the place where sixlane takes packets, and lead past the host.
# The numbers are NF_INET_* and NF_NETDEV_INGRESS.
_IP_HOOKS = {0: "prerouting", 2: "forward", 4: "postrouting"}
_HOOKS = {_NETDEV: {0: "ingress"}, _INET: {**_IP_HOOKS, 5: "ingress"}}
_DROP = 0
_GENERIC_HEADER_LENGTH = 4
_U32 = struct.Struct("!I")

_FAMILIES = {_INET: "inet", 2: "ip", _NETDEV: "netdev", 10: "ip6"}
_LEGACY = {"ip": "ip_tables_names", "ip6": "ip6_tables_names"}
_NO_NFTABLES = (errno.EINVAL, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.ENOENT)


@dataclass(frozen=True)
class Chain:
    """A base chain that forwarded packets meet; `rules` counts them."""

    family: str  # inet, ip, ip6, netdev
    table: str
    name: str
    hook: str  # ingress, prerouting, forward, postrouting
    kind: str  # filter, nat, route
    rules: int
    drops: bool  # by its policy


def chains() -> list[Chain]:
    """All of this network namespace that IPv4 or IPv6 packets meet from one device to another."""
    try:
        messages = netlink.dump_raw(
            nfgen_msg,
            _GET_CHAIN,
            {"nfgen_family": 0, "version": 0, "res_id": 0},
            what="list chains of nftables",
            protocol=netlink.NETFILTER,
        )
    except KernelError as error:
        if error.errno in _NO_NFTABLES:
            return []
        raise
    return [chain for message in messages if (chain := _chain(message)) is not None]


def legacy_tables() -> list[str]:
    """The tables of iptables-legacy that are there, as "ip filter". What is in them, it does not
    tell."""
    return [
        f"{family} {table}"
        for family, name in _LEGACY.items()
        for table in _read(Path("/proc/thread-self/net", name)).split()
    ]


def _chain(message: bytes) -> Chain | None:
    start = netlink.HEADER.size
    family = _FAMILIES.get(message[start])
    attributes = dict(netlink.attributes_of(message, start + _GENERIC_HEADER_LENGTH))
    hook = dict(netlink.attributes_of(attributes.get(_HOOK, b""), 0))
    at = _HOOKS.get(message[start], _IP_HOOKS).get(_u32(hook.get(_HOOK_NUMBER)) or 0)
    if family is None or _HOOK not in attributes or at is None:
        return None
    return Chain(
        family,
        _text(attributes[_TABLE]),
        _text(attributes[_NAME]),
        at,
        _text(attributes.get(_KIND, b"")),
        _u32(attributes.get(_USE)) or 0,
        _u32(attributes.get(_POLICY)) == _DROP,
    )


def _u32(value: bytes | None) -> int | None:
    return _U32.unpack(value)[0] if value else None


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
