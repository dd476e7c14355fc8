# SPDX-License-Identifier: Apache-2.0
"""Features of a device, by the names that `ethtool -k` knows in the kernel: rx-gro, rx-gro-list,
tx-checksum-ip-generic, tx-tcp-segmentation ...

Over the "ethtool" family of generic netlink, which works in the network namespace of the thread.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyroute2.netlink import genlmsg
from pyroute2.netlink.generic.ethtool import ethtoolbitset, ethtoolheader

from sixlane.errors import ConfigError, NotSupported, SixlaneError
from sixlane.net import generic, link, netlink

_FEATURES_GET, _FEATURES_SET = 11, 12


class _FeaturesMessage(genlmsg):  # type: ignore[misc]
    """ETHTOOL_MSG_FEATURES_*, which pyroute2 lacks."""

    nla_map = (
        ("ETHTOOL_A_FEATURES_UNSPEC", "none"),
        ("ETHTOOL_A_FEATURES_HEADER", "ethtoolheader"),
        ("ETHTOOL_A_FEATURES_HW", "ethtoolbitset"),
        ("ETHTOOL_A_FEATURES_WANTED", "ethtoolbitset"),
        ("ETHTOOL_A_FEATURES_ACTIVE", "ethtoolbitset"),
        ("ETHTOOL_A_FEATURES_NOCHANGE", "ethtoolbitset"),
    )
    ethtoolheader = ethtoolheader
    ethtoolbitset = ethtoolbitset


@dataclass(frozen=True)
class Feature:
    """One feature of a device."""

    active: bool
    wanted: bool  # asked for; it may need another feature to become active
    changeable: bool


def features(device: link.Device) -> dict[str, Feature]:
    """All features that the kernel knows, by name."""
    message = netlink.get(
        _FeaturesMessage,
        generic.family("ethtool"),
        {"cmd": _FEATURES_GET, "version": generic.VERSION},
        [_header(device)],
        what=f"read features of device {link.name_of(device)}",
        protocol=netlink.GENERIC,
    )
    known, changeable = _bits(message.get_attr("ETHTOOL_A_FEATURES_HW"))
    wanted, _ = _bits(message.get_attr("ETHTOOL_A_FEATURES_WANTED"))
    active, _ = _bits(message.get_attr("ETHTOOL_A_FEATURES_ACTIVE"))
    fixed, _ = _bits(message.get_attr("ETHTOOL_A_FEATURES_NOCHANGE"))
    return {
        name: Feature(name in active, name in wanted, name in changeable and name not in fixed)
        for name in sorted(known | wanted | active | fixed)
    }


def get_feature(device: link.Device, name: str) -> bool:
    """Whether the feature is active. Raises `NotSupported` if this kernel does not know it."""
    return _known(features(device), name).active


def set_feature(device: link.Device, name: str, on: bool) -> None:
    """Switch one feature on or off, as `set_features`."""
    set_features(device, {name: on})


def set_features(device: link.Device, wanted: Mapping[str, bool]) -> None:
    """Switch features on or off.

    Raises `NotSupported` for a name that this kernel does not know, `ConfigError` for a feature
    that the device does not let change (unless it is as wanted already), `SixlaneError` if one is
    not as wanted afterwards.
    """
    before = features(device)
    to_change = {name: on for name, on in wanted.items() if _known(before, name).active != on}
    for name in to_change:
        if not before[name].changeable:
            state = "on" if before[name].active else "off"
            raise ConfigError(f"feature {name} of device {link.name_of(device)} is fixed: {state}")
    if not to_change:
        return
    what = "set " + ", ".join(f"{name} {_on(on)}" for name, on in to_change.items())
    what += f" on device {link.name_of(device)}"
    bits = [("ETHTOOL_A_BITSET_BITS_BIT", _bit(name, on)) for name, on in to_change.items()]
    bitset = {"attrs": [("ETHTOOL_A_BITSET_BITS", {"attrs": bits})]}
    netlink.change(
        _FeaturesMessage,
        generic.family("ethtool"),
        {"cmd": _FEATURES_SET, "version": generic.VERSION},
        [_header(device), ("ETHTOOL_A_FEATURES_WANTED", bitset)],
        what=what,
        protocol=netlink.GENERIC,
    )
    after = features(device)
    wrong = [name for name, on in wanted.items() if after[name].active != on]
    if wrong:
        raise SixlaneError(
            f"{what}: the kernel said yes, but {wrong[0]} is {_on(after[wrong[0]].active)}",
            "another feature that it depends on may stand in the way",
        )


def _header(device: link.Device) -> netlink.Attribute:
    index = link.index(device)
    return ("ETHTOOL_A_FEATURES_HEADER", {"attrs": [("ETHTOOL_A_HEADER_DEV_INDEX", index)]})


def _bit(name: str, on: bool) -> dict[str, Any]:
    attributes: list[netlink.Attribute] = [("ETHTOOL_A_BITSET_BIT_NAME", name)]
    if on:
        attributes.append(("ETHTOOL_A_BITSET_BIT_VALUE", None))
    return {"attrs": attributes}


def _bits(bitset: Any) -> tuple[set[str], set[str]]:
    """The names in a bitset, and those of them that are set (in a list without mask: all)."""
    listed: set[str] = set()
    marked: set[str] = set()
    bits = bitset.get_attr("ETHTOOL_A_BITSET_BITS") if bitset else None
    for bit in bits.get_attrs("ETHTOOL_A_BITSET_BITS_BIT") if bits else []:
        name = bit.get_attr("ETHTOOL_A_BITSET_BIT_NAME")
        listed.add(name)
        if any(key == "ETHTOOL_A_BITSET_BIT_VALUE" for key, _ in bit["attrs"]):
            marked.add(name)
    return listed, marked


def _known(known: Mapping[str, Feature], name: str) -> Feature:
    if name not in known:
        raise NotSupported(f"device feature {name}")
    return known[name]


def _on(on: bool) -> str:
    return "on" if on else "off"
