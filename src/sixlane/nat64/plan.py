# SPDX-License-Identifier: Apache-2.0
"""From a Gateway and what is observed to what has to change. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from sixlane.datapath import Attachment, Entry, Room, Tables
from sixlane.datapath.attach import automatic_entry
from sixlane.datapath.rooms import ServiceRoom
from sixlane.datapath.services import Services
from sixlane.model import Gateway
from sixlane.model.segments import Segments
from sixlane.nat64.announce import NO_ANNOUNCEMENT, Announcement
from sixlane.nat64.asked import Ask, asks_of_pools
from sixlane.nat64.devices import Trouble, Use, choose_devices
from sixlane.nat64.observe import Device, Observed
from sixlane.nat64.pools import Sharing, plan_sharing
from sixlane.nat64.static import Static, static_changes, static_of
from sixlane.nat64.tables import segments_of, tables_of


@dataclass(frozen=True)
class Attach:
    """One device to attach to; `fallback`: tc if the driver has no native XDP."""

    use: Use
    entry: Entry
    fallback: bool

    @property
    def device(self) -> Device:
        return self.use.device


@dataclass(frozen=True)
class Beside:
    """What goes into the same flip: `services`, and the size of their tables if those are made
    anew. `told`: whoever planned it tells what changes. `asks`: to be announced as pool4 is."""

    services: Services | None = None
    room: ServiceRoom | None = None
    told: bool = False
    asks: tuple[Ask, ...] = ()


NOTHING_BESIDE = Beside()


@dataclass(frozen=True)
class Plan:
    """What to do, in this order. `tables` come without a slow path: apply fills it in.

    `tables` is None if there is to be no gateway. `used`: the devices in use afterwards; `absent`:
    the indices of those that are to be used again when they come back; `troubles`: of the entries
    that are left out, or used in spite of them. `room`: the session tables are made anew, of that
    size, which goes with a flip; `ending`: why sessions end by that, if there are any.
    `service_room`: the same for services, of which nothing is lost.
    `announcement`: of pool4 and services, where `announce` are its changes. `static`: bindings,
    where `bind` are their changes.
    """

    tables: Tables | None
    detach: tuple[Attachment, ...] = ()
    attach: tuple[Attach, ...] = ()
    used: tuple[Use, ...] = ()
    absent: frozenset[int] = frozenset()
    troubles: tuple[Trouble, ...] = ()
    raise_slow_path: bool = False
    flip: bool = False
    room: Room | None = None
    ending: str = ""
    service_room: ServiceRoom | None = None
    announcement: Announcement = NO_ANNOUNCEMENT
    announce: tuple[str, ...] = ()
    static: Static = frozenset()
    bind: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def empty(self) -> bool:
        """True if nothing has to change (settings of devices apart, which apply checks itself)."""
        tables = self.raise_slow_path or self.flip
        return not (self.detach or self.attach or tables or self.announce or self.bind)

    def summary(self) -> list[str]:
        """One line for each change."""
        return [
            *(f"detach {one.entry} from {one.device or one.ifindex}" for one in self.detach),
            *(f"attach {one.entry} to {one.device.name}" for one in self.attach),
            *(["raise the slow path"] if self.raise_slow_path else []),
            *self.notes,
            *self.announce,
            *self.bind,
        ]

    def warnings(self) -> list[str]:
        """What a change costs that may surprise, one line each."""
        return [f"all sessions end: {self.ending}"] if self.ending else []


def plan_gateway(
    gateway: Gateway | None,
    observed: Observed,
    before: Gateway | None = None,
    bound: Mapping[str, int] | None = None,
    beside: Beside = NOTHING_BESIDE,
) -> Plan:
    """ConfigError if a device is not there or cannot be used, unless `before` names it already.

    `before`: the Gateway in force; `bound`: see `choose_devices`.
    """
    if gateway is None:
        return Plan(
            None,
            detach=observed.attachments,
            flip=observed.digest is not None,
            announce=tuple(NO_ANNOUNCEMENT.changes(observed.announced, None)),
            notes=("no gateway: packets pass to the kernel",) if observed.digest else (),
        )
    bound = bound or {}
    chosen = choose_devices(gateway, observed, before, bound)
    names = {use.wanted.name for use in chosen.used}
    detach, attach = _attachments(chosen.used, observed)
    sharing = plan_sharing(gateway, observed)
    devices = [use.device for use in chosen.used]
    tables = tables_of(gateway, devices, observed, sharing.stateful, beside.services)
    asks = (*asks_of_pools(gateway.spec.pool4), *beside.asks)
    announcement = Announcement.of(asks, devices)
    near = observed.slow_path.ifindex if observed.slow_path else None
    static = static_of(gateway, {entry.name: entry.id for entry in tables.prefixes})
    in_force = replace(tables, slow=observed.slow_path).digest == observed.digest
    return Plan(
        tables,
        detach=tuple(detach),
        attach=tuple(attach),
        used=chosen.used,
        absent=frozenset(
            bound[entry.name]
            for entry in gateway.spec.devices
            if entry.name in bound and entry.name not in names
        ),
        troubles=chosen.troubles,
        raise_slow_path=observed.slow_path is None,
        flip=not in_force
        or observed.slow_path is None
        or sharing.room is not None
        or beside.room is not None,
        room=sharing.room,
        service_room=beside.room,
        ending=sharing.why if sharing.room else "",
        announcement=announcement,
        announce=tuple(announcement.changes(observed.announced, near)),
        static=static,
        bind=tuple(static_changes(static, frozenset() if sharing.room else observed.static)),
        notes=(
            *(() if in_force else _table_notes(gateway, observed, before, beside.told)),
            *_room_notes(sharing),
        ),
    )


def plan_segments(
    gateway: Gateway,
    observed: Observed,
    before: Gateway | None = None,
    bound: Mapping[str, int] | None = None,
) -> Segments:
    """What `maxSegmentSize` of services comes to beside this Gateway. As `plan_gateway`."""
    chosen = choose_devices(gateway, observed, before, bound or {})
    return segments_of(gateway, [use.device for use in chosen.used])


def _attachments(
    used: tuple[Use, ...], observed: Observed
) -> tuple[list[Attachment], list[Attach]]:
    """What is there and wanted stays as it is."""
    there = {one.ifindex: one for one in observed.attachments if one.device}
    detach = [one for one in observed.attachments if not one.device]
    attach = []
    for use in used:
        present = there.pop(use.device.ifindex, None)
        automatic = use.wanted.attach == "auto"
        entry: Entry = (
            automatic_entry(use.device.kind) if use.wanted.attach == "auto" else use.wanted.attach
        )
        if present and (present.entry == entry or (automatic and present.entry == "tc")):
            continue
        if present:
            detach.append(present)
        attach.append(Attach(use, entry, fallback=automatic and entry == "xdp"))
    return [*detach, *there.values()], attach


def _table_notes(
    gateway: Gateway, observed: Observed, before: Gateway | None, moved: bool
) -> Iterator[str]:
    """What is new for packets, prefix by prefix; `before`: the Gateway in force. `moved`: whether
    something else is known to change."""
    old = {prefix.name: prefix for prefix in before.spec.prefixes} if before else {}
    for prefix in gateway.spec.prefixes:
        there = prefix.name in observed.prefix_ids
        if there and old.get(prefix.name) == prefix:
            continue
        moved = True
        yield f"{'change' if there else 'add'} prefix {prefix.name}: {prefix.prefix}"
    for name in observed.prefix_ids.keys() - {prefix.name for prefix in gateway.spec.prefixes}:
        moved = True
        yield f"remove prefix {name}"
    for note in _pool_notes(gateway, before):
        moved = True
        yield note
    if not moved:
        yield "change what all prefixes share: devices, their addresses, native routes, or settings"


def _pool_notes(gateway: Gateway, before: Gateway | None) -> Iterator[str]:
    old = {pool.name: pool for pool in before.spec.pool4} if before else {}
    for pool in gateway.spec.pool4:
        if old.get(pool.name) != pool:
            verb = "change" if pool.name in old else "add"
            yield f"{verb} pool4 {pool.name}: {', '.join(pool.ipv4.texts)}"
    for name in sorted(old.keys() - {pool.name for pool in gateway.spec.pool4}):
        yield f"remove pool4 {name}"
    if before and before.spec.sessions != gateway.spec.sessions:
        yield "change what holds for all sessions"


def _room_notes(sharing: Sharing) -> Iterator[str]:
    if sharing.room and sharing.why:
        yield f"make the session tables anew, so all sessions end: {sharing.why}"
    elif sharing.room and sharing.stateful:
        yield f"make session tables: room for {sharing.room.sessions:,} sessions"
    elif sharing.room:
        yield "give the session tables back"
