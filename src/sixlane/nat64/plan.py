# SPDX-License-Identifier: Apache-2.0
"""From a Gateway and what is observed to what has to change. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from sixlane.datapath import Attachment, Entry, Tables
from sixlane.errors import ConfigError
from sixlane.model import Gateway
from sixlane.nat64.observe import Device, Observed
from sixlane.nat64.slowpath import NEAR
from sixlane.nat64.tables import tables_of


@dataclass(frozen=True)
class Attach:
    """One device to attach to; `fallback`: tc if the driver has no native XDP."""

    device: Device
    entry: Entry
    fallback: bool


@dataclass(frozen=True)
class Plan:
    """What to do, in this order. `tables` come without a slow path: apply fills it in.

    `tables` is None if there is to be no gateway. `keep`: the devices in use afterwards.
    """

    tables: Tables | None
    detach: tuple[Attachment, ...] = ()
    attach: tuple[Attach, ...] = ()
    keep: tuple[Device, ...] = ()
    raise_slow_path: bool = False
    flip: bool = False
    notes: tuple[str, ...] = field(default=())

    @property
    def empty(self) -> bool:
        """True if nothing has to change (settings of devices apart, which apply checks itself)."""
        return not (self.detach or self.attach or self.raise_slow_path or self.flip)

    def summary(self) -> list[str]:
        """One line for each change."""
        return [
            *(f"detach {one.entry} from {one.device or one.ifindex}" for one in self.detach),
            *(f"attach {one.entry} to {one.device.name}" for one in self.attach),
            *(["raise the slow path"] if self.raise_slow_path else []),
            *self.notes,
        ]


def plan_gateway(gateway: Gateway | None, observed: Observed) -> Plan:
    """ConfigError if a device is not there or cannot be used."""
    if gateway is None:
        return Plan(
            None,
            detach=observed.attachments,
            flip=observed.digest is not None,
            notes=("no gateway: packets pass to the kernel",) if observed.digest else (),
        )
    devices = [_device(observed, wanted.name) for wanted in gateway.spec.devices]
    detach, attach = _attachments(gateway, devices, observed)
    tables = tables_of(gateway, devices, observed)
    in_force = replace(tables, slow=observed.slow_path).digest == observed.digest
    return Plan(
        tables,
        detach=tuple(detach),
        attach=tuple(attach),
        keep=tuple(devices),
        raise_slow_path=observed.slow_path is None,
        flip=not in_force or observed.slow_path is None,
        notes=() if in_force else tuple(_table_notes(tables, observed)),
    )


def _device(observed: Observed, name: str) -> Device:
    device = observed.devices.get(name)
    if device is None:
        there = ", ".join(sorted(set(observed.devices) - {"lo", NEAR})) or "none"
        raise ConfigError(f"no device {name}", f"there are: {there}")
    if not device.is_ethernet:
        raise ConfigError(f"device {name} is not an Ethernet device", "give one that is")
    return device


def _attachments(
    gateway: Gateway, devices: list[Device], observed: Observed
) -> tuple[list[Attachment], list[Attach]]:
    """What is there and wanted stays as it is."""
    there = {one.ifindex: one for one in observed.attachments if one.device}
    detach = [one for one in observed.attachments if not one.device]
    attach = []
    for wanted, device in zip(gateway.spec.devices, devices, strict=True):
        present = there.pop(device.ifindex, None)
        automatic = wanted.attach == "auto"
        entry: Entry = _automatic_entry(device) if wanted.attach == "auto" else wanted.attach
        if present and (present.entry == entry or (automatic and present.entry == "tc")):
            continue
        if present:
            detach.append(present)
        attach.append(Attach(device, entry, fallback=automatic and entry == "xdp"))
    return [*detach, *there.values()], attach


def _automatic_entry(device: Device) -> Entry:
    """XDP for NICs. A virtual device carries GSO packets and partial checksums: tc."""
    return "tc" if device.kind else "xdp"


def _table_notes(tables: Tables, observed: Observed) -> Iterator[str]:
    names = {entry.name for entry in tables.prefixes}
    for entry in tables.prefixes:
        verb = "change" if entry.name in observed.prefix_ids else "add"
        yield f"{verb} prefix {entry.name}: {entry.network}"
    for name in observed.prefix_ids:
        if name not in names:
            yield f"remove prefix {name}"
