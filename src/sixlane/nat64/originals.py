# SPDX-License-Identifier: Apache-2.0
"""What a device or the kernel was set to before us, kept so that a teardown can put it back."""

import contextlib
from typing import Protocol

from sixlane.errors import SixlaneError
from sixlane.net import ethtool, link, sysctl

_SYSCTL = "sysctl:"
_FEATURE = "feature:"


class Originals(Protocol):
    """A store that survives the agent; values by key, the first one remembered wins."""

    def remember(self, key: str, value: str) -> None: ...
    def items(self) -> list[tuple[str, str]]: ...
    def forget(self, key: str) -> None: ...


def set_sysctl(originals: Originals, name: tuple[str, ...], value: str) -> None:
    """Sets a sysctl, remembering what it was; does nothing where it is so already."""
    before = sysctl.get(name)
    if before != value:
        originals.remember(_SYSCTL + "/".join(name), before)
        sysctl.set(name, value)


def set_feature(originals: Originals, device: str, feature: str, on: bool) -> None:
    """Switches a device's feature, remembering what it was."""
    before = ethtool.get_feature(device, feature)
    if before != on:
        originals.remember(f"{_FEATURE}{device}/{feature}", "on" if before else "off")
        ethtool.set_feature(device, feature, on)


def restore_originals(originals: Originals) -> list[str]:
    """Puts everything back; what cannot be (a device has gone) is forgotten and returned."""
    lost = []
    for key, value in originals.items():
        try:
            _restore(key, value)
        except SixlaneError as error:
            lost.append(f"{key}: {error}")
        originals.forget(key)
    return lost


def restore_device(originals: Originals, device: str) -> None:
    """Puts back what was changed on one device that the gateway no longer uses."""
    for key, value in originals.items():
        if device and _device_of(key) == device:
            with contextlib.suppress(SixlaneError):
                _restore(key, value)
            originals.forget(key)


def _restore(key: str, value: str) -> None:
    if key.startswith(_SYSCTL):
        sysctl.set(tuple(key.removeprefix(_SYSCTL).split("/")), value)
        return
    device, _, feature = key.removeprefix(_FEATURE).rpartition("/")
    if link.find(device):
        ethtool.set_feature(device, feature, value == "on")


def _device_of(key: str) -> str:
    if key.startswith(_FEATURE):
        return key.removeprefix(_FEATURE).rpartition("/")[0]
    parts = key.removeprefix(_SYSCTL).split("/")
    return parts[3] if parts[:1] == ["net"] and parts[2:3] == ["conf"] else ""
