# SPDX-License-Identifier: Apache-2.0
"""A plan put into force. Tables first, devices last: no device gets a program without tables."""

import contextlib
from dataclasses import replace

from sixlane.datapath import Datapath
from sixlane.errors import NotSupported
from sixlane.nat64.observe import Device
from sixlane.nat64.originals import Originals, restore_device, set_feature, set_sysctl
from sixlane.nat64.plan import Attach, Plan
from sixlane.nat64.slowpath import (
    namespace_name,
    observe_slow_path,
    raise_slow_path,
    remove_slow_path,
    set_fragment_size,
)
from sixlane.net import sysctl


def apply_gateway(datapath: Datapath, plan: Plan, originals: Originals) -> None:
    """Does what the plan says. An error before the flip leaves the tables as they were."""
    if plan.tables is None:
        for attachment in plan.detach:
            datapath.detach(attachment)
            restore_device(originals, attachment.device)
        datapath.clear()
        remove_slow_path(namespace_name(datapath))
        return

    for device in plan.keep:
        _settle_device(device, originals)
    slow = raise_slow_path(datapath) if plan.raise_slow_path else observe_slow_path(datapath)
    if plan.flip:
        set_fragment_size(datapath, plan.tables.lowest_ipv6_mtu_bytes)
        datapath.commit(replace(plan.tables, slow=slow))
    for attachment in plan.detach:
        datapath.detach(attachment)
        if attachment.ifindex not in {device.ifindex for device in plan.keep}:
            restore_device(originals, attachment.device)
    for attach in plan.attach:
        _attach(datapath, attach)


def _attach(datapath: Datapath, attach: Attach) -> None:
    try:
        datapath.attach(attach.device.ifindex, attach.entry)
    except NotSupported:  # a driver without native XDP; anything else is to be heard of
        if not attach.fallback:
            raise
        datapath.attach(attach.device.ifindex, "tc")


def _settle_device(device: Device, originals: Originals) -> None:
    """What the FIB look-up and the pipeline ask of a device."""
    _set_forwarding6(device, originals)
    set_sysctl(originals, ("net", "ipv4", "conf", device.name, "forwarding"), "1")
    # Fraglist GRO makes packets that cannot be resized. A kernel without it has nothing to switch.
    with contextlib.suppress(NotSupported):
        set_feature(originals, device.name, "rx-gro-list", on=False)


def _set_forwarding6(device: Device, originals: Originals) -> None:
    """A forwarding device ignores router advertisements unless it is told twice: it may live on
    them."""
    path = ("net", "ipv6", "conf", device.name)
    if sysctl.get((*path, "forwarding")) == "0" and sysctl.get((*path, "accept_ra")) == "1":
        set_sysctl(originals, (*path, "accept_ra"), "2")
    set_sysctl(originals, (*path, "forwarding"), "1")
