# SPDX-License-Identifier: Apache-2.0
"""A backend set up, changed in place, taken down. Each says what it has changed, a line each."""

from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path

from sixlane.bpf import Object
from sixlane.datapath.decap import Contents, Decap, load, opened
from sixlane.decap.observe import observe, read_setting, setting
from sixlane.decap.plan import LOOPBACK, SETTLED, Plan, Wanted, plan_up
from sixlane.errors import ConfigError, NotSupported, SixlaneError
from sixlane.model.addresses import AnyAddress
from sixlane.net import address, link, netns, sysctl


def up(root: Path, wanted: Wanted) -> list[str]:
    """Sets a backend up, or changes it in place, between two packets.

    ConfigError: it cannot be done as wanted, and nothing was changed. If anything else fails,
    nothing of a new one is left.
    """
    with opened(root) as decap:
        before = decap.contents() if decap else None
        plan_up(wanted, observe(wanted.device, decap))
    try:
        with load(root) as (decap, loaded):
            return list(_apply(decap, loaded, plan_up(wanted, observe(wanted.device, decap))))
    except SixlaneError:
        if before is None:
            down(root)
        raise


def down(root: Path) -> list[str]:
    """Takes away what `up` made and restores what it changed; nothing, if there is nothing.

    ConfigError: another network namespace, or another version of sixlane, is set up there.
    """
    with opened(root) as decap:
        if decap is None:
            if root.is_dir():  # somebody was killed while making it
                Decap(root, {}).remove()
            return []
        contents = decap.contents()
        lines = list(_take_down(decap, contents)) if contents else []
        decap.remove()
        return lines


def _apply(decap: Decap, loaded: Object, plan: Plan) -> Iterator[str]:
    """What was added is noted before it is there, and what was changed before it is: whoever is
    killed on the way leaves what the next one, or `down`, can put right."""
    device = link.get_by_index(plan.contents.ifindex)
    is_new = decap.contents() is None
    decap.replace(loaded)
    if not is_new and plan.attach:
        yield from _attach(decap, loaded, plan)
    yield from _take_vips(plan.remove)
    for name, value in plan.restore.items():
        yield _restore(device.name, name, value)
    decap.write(plan.contents)
    for name, value in plan.set.items():
        was = read_setting(device.name, name)
        sysctl.set(setting(device.name, name), value)
        yield f"set {_shown(device.name, name)} to {value} (it was {was})"
    for vip in plan.add:
        address.add(LOOPBACK, _alone(vip), as_source=False)
        yield f"added {_alone(vip)} to device {LOOPBACK}"
    decap.attach_answer(loaded, device.ifindex)
    if is_new:
        yield from _attach(decap, loaded, plan)


def _attach(decap: Decap, loaded: Object, plan: Plan) -> Iterator[str]:
    """What was attached goes when the new one is there: a packet without a tunnel is let by."""
    before = decap.attachments()
    for one in before:
        if not one.device:  # its name may be wanted
            decap.detach(one)
    ifindex, entry = plan.contents.ifindex, plan.entry
    try:
        decap.attach(loaded, ifindex, entry)
    except NotSupported:
        if not plan.fallback:
            raise
        entry = "tc"
        decap.attach(loaded, ifindex, entry)
    for one in before:
        if one.device:
            decap.detach(one)
    yield f"attached to device {link.name_or_number(ifindex)} ({entry})"


def _take_down(decap: Decap, contents: Contents) -> Iterator[str]:
    if contents.namespace != netns.cookie():
        raise ConfigError(
            f"what is pinned in {decap.root} belongs to another network namespace",
            "take it down there",
        )
    devices = {one.ifindex: one.name for one in link.list_links()}
    for one in decap.attachments():
        decap.detach(one)
        if one.device:
            yield f"detached from device {one.device}"
    device = devices.get(contents.ifindex)
    if device is not None:
        decap.detach_answer(contents.ifindex)
    there = {one.interface.ip for one in address.list_addresses(LOOPBACK)}
    added = (vip for vip, ours in contents.vips.items() if ours)
    yield from _take_vips(tuple(vip for vip in added if vip in there))
    if device is not None:
        for name, value in contents.originals.items():
            yield _restore(device, name, value)


def _take_vips(vips: tuple[AnyAddress, ...]) -> Iterator[str]:
    for vip in vips:
        address.remove(LOOPBACK, _alone(vip))
        yield f"removed {_alone(vip)} from device {LOOPBACK}"


def _restore(device: str, name: str, value: int) -> str:
    """Not what somebody else has changed since."""
    now = read_setting(device, name)
    if now not in (SETTLED[name], value):
        return f"{_shown(device, name)} is {now} by somebody else: not restored to {value}"
    sysctl.set(setting(device, name), value)
    return f"restored {_shown(device, name)} to {value}"


def _shown(device: str, name: str) -> str:
    return "/".join(setting(device, name))


def _alone(vip: AnyAddress) -> IPv4Interface | IPv6Interface:
    """/32 or /128"""
    return IPv4Interface(vip) if vip.version == 4 else IPv6Interface(vip)
