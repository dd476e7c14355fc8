# SPDX-License-Identifier: Apache-2.0
"""The data path as the control plane sees it: opened or adopted, configured, attached, read."""

import logging
import os
import shutil
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import IPv6Network
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from sixlane.bpf import Map, Object, Program, ProgramInfo, possible_cpus
from sixlane.datapath import attach, layout
from sixlane.datapath.attach import Attachment, End, Entry, Mode
from sixlane.datapath.capturing import CaptureReader, Rule, capturing
from sixlane.datapath.clock import flow_tick_shift, jiffies_per_second
from sixlane.datapath.commit import (
    ZERO,
    Written,
    clear,
    commit,
    gateway_in_force,
    number_of,
    slot_key,
    wait_for_packets,
)
from sixlane.datapath.counters import Counters, keep_past, read_counters
from sixlane.datapath.events import EVENTS_PER_SECOND, EventReader, switch
from sixlane.datapath.flows import FlowMemory, flows_by_backend
from sixlane.datapath.imports import ImportName, import_sessions
from sixlane.datapath.layout import BindResult, GatewayFlag, Limit, SlotsIndex
from sixlane.datapath.logs import LogReader
from sixlane.datapath.objects import UPLINK, object_path
from sixlane.datapath.older import Older
from sixlane.datapath.pins import PINNED, Pins, build_id, namespace_name
from sixlane.datapath.pools import SESSION_TABLES, Placed, Room, Taken, taken
from sixlane.datapath.records import Memory
from sixlane.datapath.rooms import SERVICE_TABLES, ServiceRoom
from sixlane.datapath.service_counters import ServiceCounters, read_service_counters
from sixlane.datapath.sessions import (
    PROTOCOLS,
    Session,
    SessionRecords,
    StaticBinding,
    is_stateful,
)
from sixlane.datapath.simulate import Simulator, set_constants
from sixlane.datapath.sweeps import Swept, probe_of
from sixlane.datapath.tables import Tables, pool6_of, prefix_names
from sixlane.errors import KernelError, NotSupported

if TYPE_CHECKING:
    from numpy.typing import NDArray

_log = logging.getLogger("sixlane.datapath")

_UPLINK: dict[Entry, str] = {"xdp": "uplink_xdp", "xdp-generic": "uplink_xdp", "tc": "uplink_tc"}
# The slow path is tc's. The other entry takes the kernel a second to load: it waits for a device.
_PROGRAMS = (
    "uplink_tc",
    "slow_turn",
    "check_out",
    "sweep_sessions",
    "sweep_syns",
    "bind_static",
    "import_sessions",
    "build_ring",
)
_SLOW: dict[End, str] = {"near": "uplink_tc", "far": "slow_turn"}
_OWN_DEVICES: dict[End, str] = {**_SLOW, "checks": "check_out"}


class Datapath:
    """Pinned maps and programs. Closing it leaves all of them in force; `remove` does not."""

    def __init__(
        self,
        pins: Pins,
        maps: dict[str, Map],
        programs: dict[str, Program],
        older: Older,
        resources: ExitStack,
    ) -> None:
        self._pins = pins
        self._maps = maps
        self._programs = programs
        self._older = older
        self._replacing = False  # whether attached programs still work with other tables
        self._sessions = threading.RLock()  # those who read or sweep, and who makes tables anew
        self._capture: ExitStack | None = None
        self._simulators: dict[str, Simulator] = {}
        self._attached: Mapping[str, Program] = programs  # what belongs on devices now
        self._resources = resources

    @classmethod
    def open(
        cls, root: Path, room: Room | None = None, service_room: ServiceRoom | None = None
    ) -> "Datapath":
        """Adopts what is pinned below `root`, or loads it. `room`: of session tables if they are
        made now, `service_room`: of those of services; those that are there keep theirs.

        Attached programs of another build are replaced in place: now, if their tables are ours as
        well, else by the first commit, as until then our tables are empty. NotSupported: no bpffs,
        no objects.
        """
        path = object_path(UPLINK)
        constants = _constants()
        pins = Pins.open(root, _build(path, constants))
        in_use = attach.maps_in_use(pins.links, namespace_name(root))
        pins.remove_unused(set().union(*in_use.values()))
        with ExitStack() as resources:
            names = _wanted(pins)
            if not _all_pinned(pins, names):
                entries = _entries(room or _former_room(pins), service_room)
                _load(path, pins, constants, entries, names)
            maps = {name: resources.enter_context(Map.from_pin(pins.map(name))) for name in PINNED}
            older = Older(pins.others())
            resources.callback(older.close)
            programs = {
                name: resources.enter_context(Program.from_pin(pins.programs / name))
                for name in names
            }
            datapath = cls(pins, maps, programs, older, resources)
            if not datapath.generation():
                maps["generation"].update(ZERO, slot_key(older.generation()))
            if any(_are_better(ids, maps) for ids in in_use.values()):
                _log.info("programs of another version stay until the tables of this one are there")
                datapath._replacing = True
            else:
                datapath._replace_older()
            datapath._resources = resources.pop_all()
        return datapath

    def close(self) -> None:
        self.end_capture()
        self._forget_simulators()
        self._resources.close()

    def __enter__(self) -> "Datapath":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @staticmethod
    def loaded(root: Path) -> dict[str, ProgramInfo]:
        """The programs of this build below `root`, without what no device has needed yet; none
        unless all the others are there, with their maps."""
        pins = Pins(root, _build(object_path(UPLINK), _constants()))
        if not _all_pinned(pins, _PROGRAMS):
            return {}
        with ExitStack() as stack:
            return {
                name: stack.enter_context(Program.from_pin(pins.programs / name)).info
                for name in _wanted(pins)
            }

    @staticmethod
    def remove(root: Path) -> None:
        """Detaches everything in this network namespace and removes all pins below `root`."""
        links = root / "links"
        if links.is_dir():
            for attachment in attach.attachments(links):
                attach.detach(links, attachment)
        try:
            if root.is_dir():
                shutil.rmtree(root)
        except OSError as error:
            raise KernelError(error.errno or 0, f"remove the pins in {root}") from error

    @property
    def root(self) -> Path:
        return self._pins.root

    # ---- configuration ----

    def generation(self) -> int:
        """How often the tables were flipped; 0: never, all packets pass."""
        return number_of(self._maps["generation"].lookup(ZERO))

    def digest(self) -> int | None:
        """`Tables.digest` of what is in force, None if nothing is, or in another layout."""
        gateway = None if self._replacing else gateway_in_force(self._maps)
        return gateway.digest if gateway else None

    def prefix_ids(self) -> dict[str, int]:
        """The prefixes in force and the ids of their counters."""
        gateway = gateway_in_force(self._maps)
        return prefix_names(gateway) if gateway else self._older.prefix_ids()

    def pool6(self) -> list[tuple[str, IPv6Network]]:
        """Names and networks of the prefixes in force, in the order of the tables."""
        gateway = gateway_in_force(self._maps)
        return pool6_of(gateway) if gateway else []

    def placed(self) -> Placed | None:
        """Where the addresses of pool4 are in the session tables, by the tables in force."""
        gateway = gateway_in_force(self._maps)
        return Placed.in_force(gateway) if gateway else self._older.placed()

    def room(self) -> Room:
        """How large the session tables are."""
        return Room.of(self._maps)

    def service_room(self) -> ServiceRoom:
        """How large the tables are that services have."""
        return ServiceRoom.of(self._maps)

    def taken(self) -> dict[int, Taken]:
        """How much of pool4 clients have, by the index of the address."""
        with self._sessions:
            return taken(self._maps["blocks4"])

    def fill(self) -> dict[str, tuple[int, int]]:
        """Of what has a limit in the tables in force: how much is used, and the limit."""
        gateway = gateway_in_force(self._maps) or layout.Gateway()
        return {
            "prefixes": (gateway.prefix_count, int(Limit.MAX_PREFIXES)),
            "eam4_lens": (gateway.eam4_lens_count, int(Limit.MAX_EAM_LENGTHS)),
            "eam6_lens": (gateway.eam6_lens_count, int(Limit.MAX_EAM_LENGTHS)),
        }

    def commit(
        self,
        tables: Tables,
        room: Room | None = None,
        service_room: ServiceRoom | None = None,
        fill: Callable[[], None] = lambda: None,
    ) -> Written:
        """Puts tables in force between two packets, building what is not in force already.

        All is written aside first. An error before the flip changes nothing for any packet. What
        another version has attached is replaced after it. With `room`, session tables of that size
        take the place of those that are there: all sessions are lost. With `service_room`, those of
        services do, and are empty: `fill` is called to write them before a packet meets them.
        """
        names = (*(SESSION_TABLES if room else ()), *(SERVICE_TABLES if service_room else ()))
        with ExitStack() as stack:
            anew = None
            if names:
                entries = _entries(room, service_room)
                loaded = _loaded_anew(self._maps, names, entries, self._programs)
                anew = stack.enter_context(loaded)
            written = commit(self._maps, tables, self.prefix_ids())
            # Behind the flip: what is kept in the new session tables was made by the new tables.
            if anew is not None:
                self._take_over(anew, names)
                fill()
            self._replace_older()
        return written

    def _take_over(self, anew: Object, names: Sequence[str]) -> None:
        """Puts programs over new tables in the place of ours, not yet on devices.

        Whoever is killed on the way leaves what the next start can tell apart: tables that are not
        all there go, and so do those that no attached program uses; programs are loaded where none
        are pinned.
        """
        # Their programs are over the tables that go.
        self.end_capture()
        self._forget_simulators()
        for name in self._programs:
            Program.unpin(self._pins.programs / name)
        for name in names:
            Map.unpin(self._pins.map(name))
        for name in names:
            anew.maps[name].pin(self._pins.map(name))
        for name in self._programs:
            anew.programs[name].pin(self._pins.programs / name)
        with self._sessions:
            for name in names:
                old, pinned = self._maps[name], Map.from_pin(self._pins.map(name))
                self._maps[name] = self._resources.enter_context(pinned)
                old.close()
            for name, old_program in list(self._programs.items()):
                program = Program.from_pin(self._pins.programs / name)
                self._programs[name] = self._resources.enter_context(program)
                old_program.close()
        for table, what in (("sessions", "the session tables"), ("backends", "those of services")):
            if table in names:
                _log.info("%s were made anew", what)

    def clear(self) -> None:
        """Puts no tables in force: every packet passes to the kernel."""
        clear(self._maps)
        self._replace_older()

    def forget_next_hops(self) -> None:
        """To be called when routes, neighbours or links have changed."""
        epoch = number_of(self._maps["next_hop_epoch"].lookup(ZERO))
        self._maps["next_hop_epoch"].update(ZERO, slot_key((epoch + 1) % (1 << 32)))

    # ---- devices ----

    def attachments(self) -> list[Attachment]:
        return list(attach.attachments(self._pins.links))

    def attached(self) -> dict[str, Attachment]:
        """By the name of the device, where it is still there."""
        return {one.device: one for one in self.attachments() if one.device}

    def attach(self, ifindex: int, entry: Entry) -> Mode:
        """Puts the pipeline on a device of this network namespace."""
        return attach.attach(self._pins.links, ifindex, entry, self.program(_UPLINK[entry]))

    def detach(self, attachment: Attachment) -> None:
        attach.detach(self._pins.links, attachment)

    def attach_slow(self, end: End, ifindex: int) -> None:
        """Puts the slow path's programs on its ends; the calling thread is in that end's
        namespace."""
        attach.attach_slow(self._pins.links, end, ifindex, self._programs[_SLOW[end]])

    def attach_checks(self, ifindex: int) -> None:
        """Puts the program of health checks on the device by which they leave."""
        attach.attach_slow(self._pins.links, "checks", ifindex, self._programs["check_out"])

    def detach_checks(self) -> None:
        """To be called when that device has gone."""
        attach.detach_slow(self._pins.links, "checks")

    def checks_are_attached(self) -> bool:
        return attach.slow_program(self._pins.links, "checks") is not None

    def slow_path_is_attached(self) -> bool:
        """Both ends are there and have their programs."""
        return all(attach.slow_program(self._pins.links, end) is not None for end in _SLOW)

    # ---- reading ----

    def counters(self) -> Counters:
        return read_counters(
            self._maps, self.prefix_ids(), self._older.reasons(), self._older.prefixes()
        )

    def session_records(
        self,
        pool_names: Mapping[int, str] | None = None,
        *,
        clients: bool = False,
        pools: bool = False,
    ) -> SessionRecords | None:
        """Sessions and bindings as they are; None without a pool4 in force.

        What it returns may be used when the data path is closed. `pool_names`: of pool4's entries,
        by their ids, which are all that the tables have. `clients`, `pools`: read these as well,
        with `pools` also how many peers filtering counts, while it is on, and how many packets in
        fragments are noted.
        """
        with self._sessions:
            gateway = gateway_in_force(self._maps)
            if gateway is None or not is_stateful(gateway):
                return None
            maps = self._maps
            memory = Memory(
                maps["sessions"].mmap(writable=False),
                maps["bindings"].mmap(writable=False),
                maps["ports4"].mmap(writable=False),
                maps["syns"].mmap(writable=False),
                self._slots_used(SlotsIndex.SLOTS_SESSIONS),
                self._slots_used(SlotsIndex.SLOTS_BINDINGS),
                _joined(maps["clients"]) if clients else (b"", b""),
                maps["clients"].info.max_entries,
                _joined(maps["used4"])[1] if pools else b"",
                _joined(maps["blocks4"])[1] if pools else b"",
                _counted(maps, ("filters4", "fragments")) if pools else {},
            )
            prefixes = {id: name for name, id in prefix_names(gateway).items()}
            now, hz = self._sweep(0, 0).now, jiffies_per_second()
            return SessionRecords(memory, gateway, prefixes, now, hz, pool_names or {})

    def is_stateful(self) -> bool:
        """Whether there is a pool4 in force, and so anything to sweep."""
        return is_stateful(gateway_in_force(self._maps))

    def has_had_sessions(self) -> bool:
        """Whether the session tables have ever been used since they were made."""
        return bool(self._slots_used(SlotsIndex.SLOTS_BINDINGS))

    def session_slots(self) -> int:
        """How many slots of sessions there are to sweep: all that were ever used; 0: no pool4."""
        if not self.is_stateful():
            return 0
        with self._sessions:
            room = self._maps["sessions"].info.max_entries
            return min(self._slots_used(SlotsIndex.SLOTS_SESSIONS), room)

    def sweep_sessions(self, first: int, count: int) -> Swept:
        """Takes out what has ended in these slots, and says whom to probe; also tells the data
        path that there is somebody who does.
        """
        ended, probes = 0, []
        with self._sessions:
            while count > 0:
                told = self._sweep(first, count)
                ended += told.ended
                if told.probe.is_due:
                    probes.append(probe_of(told.probe))
                first, count = first + told.done, count - told.done if told.done else 0
        return Swept(ended, probes)

    def sweep_syns(self) -> list[bytes]:
        """Takes out SYNs that nobody came to meet; returns the first bytes of those to be answered.

        What is over the rate of ICMP errors is counted, and not among them.
        """
        syns = []
        with self._sessions:
            first, count = 0, self._maps["syns"].info.max_entries
            while count > 0:
                asked = layout.SynSweep(first=first, count=count)
                _, raw = self._programs["sweep_syns"].call(asked)
                told = layout.SynSweep.from_buffer_copy(raw)
                if told.is_due:
                    syns.append(bytes(told.syn.head)[: told.syn.bytes])
                first, count = first + told.done, count - told.done if told.done else 0
        return syns

    def flows_by_backend(self, affinity_ticks: Mapping[int, int]) -> "NDArray[Any]":
        """See `sixlane.datapath.flows`."""
        with self._sessions:
            maps, gateway = self._maps, gateway_in_force(self._maps) or layout.Gateway()
            memory = FlowMemory(
                maps["flow_cache"].mmap(writable=False),
                maps["backends"].mmap(writable=False),
                maps["nat_flows"].mmap(writable=False),
                _fresh(maps["flow_slots"], ZERO),
            )
            now = self._sweep(0, 0).now
        return flows_by_backend(memory, list(gateway.flow_ticks), affinity_ticks, now)

    def service_counters(self) -> ServiceCounters:
        """Whatever services count, by numbers of theirs."""
        with self._sessions:
            return read_service_counters(self._maps)

    def static_bindings(self) -> frozenset[StaticBinding]:
        records = self.session_records()
        return records.static_bindings() if records else frozenset()

    def bind_static(self, one: StaticBinding, wanted: bool = True) -> BindResult:
        """Puts a static binding, or has one go, with its sessions: it is known by the inside end.

        Other bindings and sessions stay, and are in the way if they have one of its ends.
        """
        number = int(one.inside)
        asked = layout.StaticBinding(
            inside=layout.Addr(number >> 64, number & (1 << 64) - 1),
            pool=int(one.pool),
            inside_port=one.inside_port,
            pool_port=one.pool_port,
            protocol=PROTOCOLS[one.protocol],
            prefix=one.prefix,
            wanted=wanted,
        )
        with self._sessions:
            _, told = self._programs["bind_static"].call(asked)
        return BindResult(layout.StaticBinding.from_buffer_copy(told).result)

    def import_sessions(self, sessions: Sequence[Session]) -> list[ImportName] | None:
        """Makes sessions of another gateway, as `SessionRecords.exported` has them, with the very
        ports that they have there; what became of each. None: there is no pool4 in force.

        Nobody's session, binding or port is taken away for one of them.
        """
        with self._sessions:
            gateway = gateway_in_force(self._maps)
            if gateway is None or not is_stateful(gateway):
                return None
            ids = prefix_names(gateway)
            by_text = {str(network): ids[name] for name, network in pool6_of(gateway)}
            program, imports = self._programs["import_sessions"], self._maps["imports"]
            return import_sessions(program, imports, sessions, by_text)

    def _sweep(self, first: int, count: int) -> layout.Sweep:
        asked = layout.Sweep(first=first, count=count)
        _, told = self._programs["sweep_sessions"].call(asked)
        return layout.Sweep.from_buffer_copy(told)

    def _slots_used(self, which: SlotsIndex) -> int:
        return _fresh(self._maps["free_slots"], slot_key(which))

    def events(self, events_per_second: int = EVENTS_PER_SECOND) -> EventReader:
        """Has the data path tell of dropped packets until the reader is closed; one at a time."""
        return EventReader(self._maps, events_per_second)

    def session_log(self) -> LogReader:
        """What the log of sessions has that nobody has read yet; one reader at a time."""
        return LogReader(self._maps)

    def no_events(self) -> None:
        """For whoever starts: a reader that was killed could not switch them off."""
        switch(self._maps["monitors"], layout.Monitor())

    def simulator(self, entry: Literal["xdp", "tc"]) -> Simulator:
        """To ask what would become of packets; owned by the data path, which keeps it, as it takes
        seconds to load. NotSupported: other tables than ours are in force.

        It works over the tables of each moment and changes nothing.
        """
        if self._replacing:
            raise NotSupported(
                "trace", "programs of another version are attached: apply once with this one"
            )
        if entry not in self._simulators:
            self._simulators[entry] = Simulator(
                object_path(UPLINK), self._maps, entry, _constants()
            )
        return self._simulators[entry]

    def _forget_simulators(self) -> None:
        while self._simulators:
            self._simulators.popitem()[1].close()

    def begin_capture(self, rule: Rule) -> CaptureReader:
        """Puts programs that capture in the place of those on all devices, until `end_capture`.

        A reader of before is closed. If this process is killed, the next one that opens the data
        path puts its own programs there. NotSupported: other tables than ours are in force.
        """
        if self._replacing:
            raise NotSupported(
                "capture", "programs of another version are attached: apply once with this one"
            )
        self.end_capture()
        with ExitStack() as stack:
            opened = capturing(object_path(UPLINK), self._maps, _constants(), rule)
            reader, programs = stack.enter_context(opened)
            stack.callback(self._attach_all, self._programs)
            self._attach_all(programs)
            self._capture = stack.pop_all()
        return reader

    def end_capture(self) -> None:
        """Puts the usual programs back, if others are there."""
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.close()

    def _attach_all(self, programs: Mapping[str, Program]) -> None:
        self._attached = programs
        self._replace_programs()

    def maps(self) -> Mapping[str, Map]:
        """The maps by their names in C; owned by the datapath."""
        return self._maps

    def program(self, name: str) -> Program:
        """One of those of uplink.bpf.c; owned by the data path. Loaded if nobody has needed it yet,
        over the tables that are there."""
        if name not in self._programs:
            pin = self._pins.programs / name
            with _loaded_anew(self._maps, (), {}, (name,)) as opened:
                opened.programs[name].pin(pin)
            self._programs[name] = self._resources.enter_context(Program.from_pin(pin))
        return self._programs[name]

    def _replace_older(self) -> None:
        """Puts our programs in the place of others, and keeps what those had counted."""
        if self._replace_programs():
            wait_for_packets(self._maps, self.generation())
        if self._older:
            ids = self.prefix_ids()
            before = self._older.prefix_ids() or ids
            kept = {id for name, id in ids.items() if before.get(name) == id}
            keep_past(self._maps, self._older.reasons(), self._older.prefixes(), kept)
        self._pins.remove_others()
        self._older.close()
        self._replacing = False

    def _replace_programs(self) -> bool:
        """Puts those in place that belong there; whether there was any other."""
        programs = self._attached
        current = {program.info.id for program in programs.values()}
        namespace = namespace_name(self.root)
        replaced = False
        for attachment in self.attachments():
            if attachment.device and attachment.program not in current:
                attach.replace(self._pins.links, attachment, programs[_UPLINK[attachment.entry]])
                _log.info("device %s: the program was replaced", attachment.device)
                replaced = True
        for end, name in _OWN_DEVICES.items():
            replaced |= attach.replace_slow(self._pins.links, end, programs[name], namespace)
        return replaced


def _constants() -> dict[str, int]:
    return {"jiffies_per_second": jiffies_per_second(), "flow_tick_shift": flow_tick_shift()}


def _build(path: Path, constants: Mapping[str, int]) -> str:
    return build_id(path.read_bytes(), repr(constants).encode())


def _fresh(slots: Map, key: bytes) -> int:
    """How many were ever used."""
    return layout.Slots.from_buffer_copy(slots.lookup(key) or b"").fresh


def _counted(maps: Mapping[str, Map], names: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Entries that are there, and room; without tables that are not in use, which hold one."""
    infos = {name: maps[name].info for name in names}
    return {
        name: (sum(len(keys) for keys, _ in maps[name].rows()) // info.key_size, info.max_entries)
        for name, info in infos.items()
        if info.max_entries > 1
    }


def _joined(map: Map) -> tuple[bytes, bytes]:
    """All keys one behind the other, and all values."""
    blocks = list(map.rows())
    return b"".join(keys for keys, _ in blocks), b"".join(values for _, values in blocks)


def _are_better(used: frozenset[int], maps: Mapping[str, Map]) -> bool:
    """Whether a program over the maps with these ids does what ours could not do now, as theirs are
    not filled yet: the tables, or with tables that have services, those of backends."""
    gateway, generation = gateway_in_force(maps), maps["generation"].info.id
    if gateway is None:
        return bool(used) and generation not in used
    has_services = bool(gateway.flags & GatewayFlag.GATEWAY_SERVICES)
    return has_services and generation in used and maps["backends"].info.id not in used


def _wanted(pins: Pins) -> tuple[str, ...]:
    """The programs that are used in any case, and what is attached by XDP, of whatever build, or
    was loaded for a device."""
    xdp = _UPLINK["xdp"]
    is_used = any(one.device and one.entry != "tc" for one in attach.attachments(pins.links))
    return (*_PROGRAMS, xdp) if is_used or (pins.programs / xdp).exists() else _PROGRAMS


def _all_pinned(pins: Pins, names: Iterable[str]) -> bool:
    return all(pins.map(name).exists() for name in PINNED) and all(
        (pins.programs / name).exists() for name in names
    )


def _load(
    path: Path,
    pins: Pins,
    constants: dict[str, int],
    entries: Mapping[str, int],
    names: Collection[str],
) -> None:
    """Loads the programs of these names over the pinned maps, pinning those that are not there
    yet."""
    with Object.open(path) as opened:
        opened.choose(names)
        _set_sizes(opened, entries)
        for name in PINNED:
            opened.maps[name].set_pin_path(pins.map(name))
            if pins.map(name).exists():
                with Map.from_pin(pins.map(name)) as pinned:
                    opened.maps[name].resize(pinned.info.max_entries)
        set_constants(opened, constants)
        opened.load()
        _keep_secrets(opened)
        for name in names:
            pin = pins.programs / name
            Program.unpin(pin)
            opened.programs[name].pin(pin)


def _former_room(pins: Pins) -> Room | None:
    """Of session tables in another layout, which are lost; theirs is most likely to be asked for
    again."""
    for group in pins.others():
        if group.keys() >= set(Room.TABLES):
            with ExitStack() as stack:
                return Room.of(
                    {name: stack.enter_context(Map.from_pin(group[name])) for name in Room.TABLES}
                )
    return None


@contextmanager
def _loaded_anew(
    maps: Mapping[str, Map],
    names: Collection[str],
    entries: Mapping[str, int],
    programs: Collection[str],
) -> Iterator[Object]:
    """These programs, over the maps that are there but for those of these names."""
    with Object.open(object_path(UPLINK)) as opened:
        opened.choose(programs)
        _set_sizes(opened, entries)
        for name in set(maps) - set(names):
            opened.maps[name].reuse(maps[name])
        set_constants(opened, _constants())
        opened.load()
        _keep_secrets(opened)
        yield opened


def _keep_secrets(opened: Object) -> None:
    """Draws them unless they are there: what is in the tables was put where they say."""
    for name in ("index_secrets", "flow_secrets"):
        secrets = opened.maps[name]
        if not any(secrets.lookup(ZERO) or b""):
            secrets.update(ZERO, os.urandom(secrets.info.value_size))


def _entries(room: Room | None, service_room: ServiceRoom | None) -> dict[str, int]:
    """Of the tables whose sizes are asked for."""
    return {
        **(room.entries() if room else {}),
        **(service_room.entries() if service_room else {}),
    }


def _set_sizes(opened: Object, entries: Mapping[str, int]) -> None:
    opened.maps["next_hops"].resize(Limit.NEXT_HOP_SLOTS * possible_cpus())
    opened.maps["pairs"].resize(Limit.PAIR_SLOTS * possible_cpus())
    opened.maps["pair_tags"].resize(Limit.PAIR_SLOTS // Limit.PAIR_WAYS * possible_cpus())
    for name, count in entries.items():
        opened.maps[name].resize(count)
