# SPDX-License-Identifier: Apache-2.0
"""A plan put into force: devices first, then tables, which can fail least; what goes, goes last."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from sixlane.datapath import Datapath
from sixlane.datapath.pins import namespace_name
from sixlane.errors import NotSupported, SixlaneError
from sixlane.nat64.announce import NO_OUTCOME, Outcome, announce, withdraw
from sixlane.nat64.devices import REFUSED, Trouble, Use
from sixlane.nat64.originals import (
    Originals,
    bind,
    restore_device,
    restore_unused,
    settle,
)
from sixlane.nat64.plan import Attach, Plan
from sixlane.nat64.settings import EVERY
from sixlane.nat64.slowpath import (
    observe_slow_path,
    put_fragments_in_order,
    raise_slow_path,
    remove_slow_path,
    set_fragment_size,
)
from sixlane.nat64.static import bind_all


@dataclass
class Done:
    """What became of a plan beside what it asked for.

    `failed`: devices that could not be used, and were not required. `announcement`: what
    became of that; `pool4`: what is not as it should be there. `settled`: settings that were
    changed, `lost`: those that could not be put back; one line each.
    """

    failed: list[Trouble] = field(default_factory=list)
    announcement: Outcome = NO_OUTCOME
    pool4: list[Trouble] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def apply_gateway(
    datapath: Datapath,
    plan: Plan,
    originals: Originals,
    fill: Callable[[], None] = lambda: None,
) -> Done:
    """Does what the plan says. An error before the flip leaves the tables as they were. `fill`: see
    `Datapath.commit`."""
    done = Done()
    if plan.tables is None:
        for attachment in plan.detach:
            datapath.detach(attachment)
        done.lost = [*withdraw(originals), *restore_unused(originals, ())]
        bind_all(datapath, frozenset())  # while there are tables that know them
        datapath.clear()
        remove_slow_path(namespace_name(datapath.root))
        return done

    with _undone_on_error(datapath, plan, originals):
        for use in plan.used:
            with _unless_required(use, done):
                done.settled += settle(originals, use.device.ifindex)
        for attach in plan.attach:
            with _unless_required(attach.use, done):
                _attach(datapath, plan, attach)
        slow = raise_slow_path(datapath) if plan.raise_slow_path else observe_slow_path(datapath)
        if plan.flip:
            set_fragment_size(datapath, plan.tables.lowest_ipv6_mtu_bytes)
            if plan.tables.stateful or plan.tables.services:
                put_fragments_in_order(datapath)
            tables = replace(plan.tables, slow=slow)
            datapath.commit(tables, plan.room, plan.service_room, fill)
    done.pool4 = bind_all(datapath, plan.static)
    done.announcement = announce(plan.announcement, originals)
    done.pool4 += done.announcement.troubles
    there = datapath.attachments()
    for attachment in plan.detach:
        if attachment in there:
            datapath.detach(attachment)
    used = {use.device.ifindex for use in plan.used}
    done.lost = restore_unused(originals, used | plan.absent | {EVERY})
    for use in plan.used:
        bind(originals, use.wanted.name, use.device.ifindex)
    return done


@contextlib.contextmanager
def _unless_required(use: Use, done: Done) -> Iterator[None]:
    """What fails for a device that was in use before is told, and the rest is done."""
    try:
        yield
    except SixlaneError as error:
        if use.required:
            raise
        done.failed.append(Trouble(use.wanted.name, REFUSED, str(error)))


@contextlib.contextmanager
def _undone_on_error(datapath: Datapath, plan: Plan, originals: Originals) -> Iterator[None]:
    """A refused plan leaves no device with a program or a setting that it had not before."""
    before = datapath.attachments()
    places = {(one.ifindex, one.mode) for one in before}  # another program may be there by now
    try:
        yield
    except BaseException:
        for attachment in datapath.attachments():
            if (attachment.ifindex, attachment.mode) not in places:
                datapath.detach(attachment)
        for use in plan.used:
            if use.device.ifindex not in {one.ifindex for one in before}:
                restore_device(originals, use.device.ifindex)
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
