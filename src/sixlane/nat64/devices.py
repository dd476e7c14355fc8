# SPDX-License-Identifier: Apache-2.0
"""Which device each entry of a Gateway means. Pure.

A name means the device that has it, as its name or as an alternative one. While no device has it,
it goes on meaning the device that had it when we attached to it, if our program is still there: a
renamed device forwards on, and that is told.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sixlane.model import Gateway, ResourceError
from sixlane.model.gateway import Device as WantedDevice
from sixlane.nat64.observe import Device, Observed
from sixlane.nat64.slowpath import NEAR

REFUSED = "DeviceRefused"
"""Our program or a setting could not be put on it."""
NOT_ATTACHED = "DeviceNotAttached"

_SWITCHES = {"bridge", "bond", "team", "openvswitch"}
"""Kinds of masters that take a port's packets before its own IP layer does. (A VRF does not.)"""


@dataclass(frozen=True)
class Use:
    """An entry and its device. `required`: the plan is refused if the device cannot be used."""

    wanted: WantedDevice
    device: Device
    required: bool


@dataclass(frozen=True)
class Trouble:
    """What is wrong with one entry; `reason` is one CamelCase word."""

    name: str
    reason: str
    message: str

    @property
    def unused(self) -> bool:
        """Whether the device has no program of ours because of it."""
        return self.reason in _UNUSED


@dataclass(frozen=True)
class Chosen:
    """`used`: in the order of the entries. `troubles`: of those left out, and of some in use."""

    used: tuple[Use, ...] = ()
    troubles: tuple[Trouble, ...] = ()


def choose_devices(
    gateway: Gateway, observed: Observed, before: Gateway | None, bound: Mapping[str, int]
) -> Chosen:
    """Finds the device of each entry.

    `before`: the Gateway in force. What it names already may have vanished or changed: that is a
    trouble, and its entry is left out. What it does not name must be right: else `ResourceError`.
    `bound`: the index of the device to which we attached for a name.
    """
    known = {entry.name: entry for entry in before.spec.devices} if before else {}
    used: list[Use] = []
    troubles: list[Trouble] = []
    for index, (wanted, device) in enumerate(_meant(gateway, observed, bound)):
        trouble = _trouble(wanted, device, observed, used)
        if trouble is not None and wanted.name not in known:
            path = ("spec", "devices", index, "name")
            hint = _hint(trouble, observed)
            what = f"no device {wanted.name}" if device is None else trouble.message
            raise ResourceError(what, path, hint, where=str(gateway.key))
        if trouble is not None:
            troubles.append(trouble)
        if device is not None and (trouble is None or trouble.reason in _STILL_USABLE):
            used.append(Use(wanted, device, required=known.get(wanted.name) != wanted))
    return Chosen(tuple(used), tuple(troubles))


def _meant(
    gateway: Gateway, observed: Observed, bound: Mapping[str, int]
) -> list[tuple[WantedDevice, Device | None]]:
    by_name = {
        name: device
        for device in observed.devices.values()
        for name in (device.name, *device.other_names)
    }
    by_index = {device.ifindex: device for device in observed.devices.values()}
    ours = {one.ifindex for one in observed.attachments if one.device}
    meant = [(wanted, by_name.get(wanted.name)) for wanted in gateway.spec.devices]
    named = {device.ifindex for _, device in meant if device is not None}
    renamed = {
        name: by_index[ifindex]
        for name, ifindex in bound.items()
        if ifindex in ours - named and ifindex in by_index
    }
    return [(wanted, device or renamed.get(wanted.name)) for wanted, device in meant]


_ABSENT, _TWICE, _UNUSABLE = "DeviceAbsent", "DeviceNamedTwice", "DeviceNotUsable"
_RENAMED, _PORT = "DeviceRenamed", "DeviceIsPort"
_STILL_USABLE = {_RENAMED, _PORT}
_UNUSED = {_ABSENT, _TWICE, _UNUSABLE, REFUSED, NOT_ATTACHED}


def _trouble(
    wanted: WantedDevice, device: Device | None, observed: Observed, used: list[Use]
) -> Trouble | None:
    name = wanted.name
    if device is None:
        return Trouble(name, _ABSENT, f"device {name} is not there")
    for other in used:
        if other.device.ifindex == device.ifindex:
            what = f"{name} and {other.wanted.name} are names of one device"
            return Trouble(name, _TWICE, what)
    if not device.is_ethernet:
        return Trouble(name, _UNUSABLE, f"device {name} is not an Ethernet device")
    if device.name == NEAR:
        return Trouble(name, _UNUSABLE, f"device {name} is sixlane's own")
    if name not in (device.name, *device.other_names):
        return Trouble(name, _RENAMED, f"device {name} is called {device.name} now, and used on")
    master = next((one for one in observed.devices.values() if one.ifindex == device.master), None)
    if master is not None and master.kind in _SWITCHES:
        what = f"device {name} is a port of {master.name}, which takes its packets"
        return Trouble(name, _PORT, what)
    return None


def _hint(trouble: Trouble, observed: Observed) -> str:
    if trouble.reason == _ABSENT:
        there = ", ".join(sorted(set(observed.devices) - {"lo", NEAR})) or "none"
        return f"there are: {there}"
    return "name each once" if trouble.reason == _TWICE else "give another device"
