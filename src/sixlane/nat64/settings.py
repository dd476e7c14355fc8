# SPDX-License-Identifier: Apache-2.0
"""Settings of a device: sysctls and features, and what they must be for a device of a gateway."""

import errno
from dataclasses import dataclass
from typing import Literal

from sixlane.errors import ConfigError, KernelError, NotSupported
from sixlane.net import ethtool, link, sysctl

Family = Literal["ipv4", "ipv6", "feature", "arp", "nd"]

EVERY = 0
"""In place of the index of a device: what is set for "all"."""


@dataclass(frozen=True)
class Setting:
    """A sysctl of net/<family>/conf/<device>, a feature as `ethtool -k` of the kernel has it, or of
    "arp" and "nd" a sysctl of net/ipv4/neigh/<device> and net/ipv6/neigh/<device>."""

    family: Family
    name: str

    def __str__(self) -> str:
        return self.name if self.family == "feature" else f"{self.family} {self.name}"


FORWARDING4 = Setting("ipv4", "forwarding")
FORWARDING6 = Setting("ipv6", "forwarding")
ACCEPT_RA = Setting("ipv6", "accept_ra")
FRAGLIST_GRO = Setting("feature", "rx-gro-list")
PROXY_DELAY4 = Setting("arp", "proxy_delay")
PROXY_DELAY6 = Setting("nd", "proxy_delay")
"""How long an answer for others may be held back, at random, in 1/100 s."""
PROXY_NDP = Setting("ipv6", "proxy_ndp")
"""Whether neighbour solicitations for others are answered, where there is an entry."""

WANTED = {
    # The FIB look-up answers for devices that forward.
    FORWARDING4: "1",
    FORWARDING6: "1",
    # Fraglist GRO makes packets that cannot be resized.
    FRAGLIST_GRO: "off",
}


@dataclass(frozen=True)
class Unsettled:
    """A setting that is not as it must be."""

    setting: Setting
    now: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.setting} is {self.now}, not {self.wanted}"


def read_setting(ifindex: int, setting: Setting) -> str | None:
    """None if this kernel or this device has no such setting."""
    try:
        if setting.family == "feature":
            return "on" if ethtool.get_feature(ifindex, setting.name) else "off"
        return sysctl.get(_path(ifindex, setting))
    except NotSupported:
        return None
    except KernelError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV):
            return None
        raise


def write_setting(ifindex: int, setting: Setting, value: str) -> None:
    if setting.family == "feature":
        ethtool.set_feature(ifindex, setting.name, value == "on")
    else:
        sysctl.set(_path(ifindex, setting), value)


def unsettled(ifindex: int) -> list[Unsettled]:
    """What is not as it must be. ConfigError: the device cannot be set so."""
    found = []
    for setting, wanted in WANTED.items():
        now = read_setting(ifindex, setting)
        if now is None and setting.family != "feature":
            raise ConfigError(
                f"device {link.name_of(ifindex)} has no {setting.family.replace('ip', 'IP')}",
                "its MTU must be at least 1280" if setting.family == "ipv6" else "",
            )
        if now not in (None, wanted):
            found.append(Unsettled(setting, str(now), wanted))
    return found


def _path(ifindex: int, setting: Setting) -> tuple[str, ...]:
    name = "all" if ifindex == EVERY else link.name_of(ifindex)
    if setting.family in ("arp", "nd"):
        family = "ipv4" if setting.family == "arp" else "ipv6"
        return ("net", family, "neigh", name, setting.name)
    return ("net", setting.family, "conf", name, setting.name)
