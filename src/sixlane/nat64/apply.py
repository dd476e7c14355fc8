# SPDX-License-Identifier: Apache-2.0
"""A plan put into force: devices first, then tables, which can fail least; what goes, goes last."""

import contextlib
from collections.abc import Iterator
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
        remove_slow_path(namespace_name(datapath.root))
        return

    with _undone_on_error(datapath, plan, originals):
        for device in plan.keep:
            _settle_device(device, originals)
        for attach in plan.attach:
            _attach(datapath, plan, attach)
        slow = raise_slow_path(datapath) if plan.raise_slow_path else observe_slow_path(datapath)
        if plan.flip:
            set_fragment_size(datapath, plan.tables.lowest_ipv6_mtu_bytes)
            datapath.commit(replace(plan.tables, slow=slow))
    there = datapath.attachments()
    for attachment in plan.detach:
        if attachment in there:
            datapath.detach(attachment)
        if attachment.ifindex not in {device.ifindex for device in plan.keep}:
            restore_device(originals, attachment.device)


@contextlib.contextmanager
def _undone_on_error(datapath: Datapath, plan: Plan, originals: Originals) -> Iterator[None]:
    """A refused plan leaves no device with a program or a setting that it had not before."""
    before = datapath.attachments()
    try:
        yield
    except BaseException:
        for attachment in datapath.attachments():
            if attachment not in before:
                datapath.detach(attachment)
        for device in plan.keep:
            if device.ifindex not in {one.ifindex for one in before}:
                restore_device(originals, device.name)
        raise


def _attach(datapath: Datapath, plan: Plan, attach: Attach) -> None:
    """New beside old, so that no packet meets neither. Only two XDP programs exclude each other."""
    for old in plan.detach:
        if old.ifindex == attach.device.ifindex and "tc" not in (old.entry, attach.entry):
            datapath.detach(old)
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
