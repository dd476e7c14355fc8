# SPDX-License-Identifier: Apache-2.0
"""The data path as the control plane sees it: opened or adopted, configured, attached, read."""

import logging
import shutil
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from ipaddress import IPv6Network
from pathlib import Path
from types import TracebackType
from typing import Literal

from sixlane.bpf import Map, Object, Program, possible_cpus
from sixlane.datapath import attach, layout
from sixlane.datapath.attach import Attachment, End, Entry, Mode
from sixlane.datapath.capturing import CaptureReader, Rule, capturing
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
from sixlane.datapath.layout import Limit
from sixlane.datapath.objects import UPLINK, object_path
from sixlane.datapath.older import Older
from sixlane.datapath.pins import PINNED, Pins, build_id, namespace_name
from sixlane.datapath.simulate import Simulator, set_constants, simulator
from sixlane.datapath.tables import Tables, pool6_of, prefix_names
from sixlane.errors import KernelError, NotSupported

_log = logging.getLogger("sixlane.datapath")

_CLOCK_MONOTONIC_COARSE = 6  # linux/time.h
_PROGRAMS = ("uplink_xdp", "uplink_tc", "slow_turn")
_SLOW: dict[End, str] = {"near": "uplink_tc", "far": "slow_turn"}


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
        self._capture: ExitStack | None = None
        self._attached: Mapping[str, Program] = programs  # what belongs on devices now
        self._resources = resources

    @classmethod
    def open(cls, root: Path) -> "Datapath":
        """Adopts what is pinned below `root`, or loads it.

        Attached programs of another build are replaced in place: now, if their tables are ours as
        well, else by the first commit, as until then our tables are empty. NotSupported: no bpffs,
        no objects.
        """
        path = object_path(UPLINK)
        constants = _constants()
        pins = Pins.open(root, build_id(path.read_bytes(), repr(constants).encode()))
        in_use = attach.maps_in_use(pins.links, namespace_name(root))
        pins.remove_unused(set().union(*in_use.values()))
        with ExitStack() as resources:
            if not _all_pinned(pins):
                _load(path, pins, constants)
            maps = {name: resources.enter_context(Map.from_pin(pins.map(name))) for name in PINNED}
            older = Older(pins.others())
            resources.callback(older.close)
            programs = {
                name: resources.enter_context(Program.from_pin(pins.programs / name))
                for name in _PROGRAMS
            }
            datapath = cls(pins, maps, programs, older, resources)
            if not datapath.generation():
                maps["generation"].update(ZERO, slot_key(older.generation()))
            ours = maps["generation"].info.id
            if gateway_in_force(maps) is None and any(
                used and ours not in used for used in in_use.values()
            ):
                _log.info("programs of another version stay until the tables of this one are there")
                datapath._replacing = True
            else:
                datapath._replace_older()
            datapath._resources = resources.pop_all()
        return datapath

    def close(self) -> None:
        self.end_capture()
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

    def fill(self) -> dict[str, tuple[int, int]]:
        """Of what has a limit in the tables in force: how much is used, and the limit."""
        gateway = gateway_in_force(self._maps) or layout.Gateway()
        return {
            "prefixes": (gateway.prefix_count, int(Limit.MAX_PREFIXES)),
            "eam4_lens": (gateway.eam4_lens_count, int(Limit.MAX_EAM_LENGTHS)),
            "eam6_lens": (gateway.eam6_lens_count, int(Limit.MAX_EAM_LENGTHS)),
        }

    def commit(self, tables: Tables) -> Written:
        """Puts tables in force between two packets, building what is not in force already.

        All is written aside first. An error before the flip changes nothing for any packet. What
        another version has attached is replaced after it.
        """
        written = commit(self._maps, tables, self.prefix_ids())
        self._replace_older()
        return written

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
        xdp, tc = self._programs["uplink_xdp"], self._programs["uplink_tc"]
        return attach.attach(self._pins.links, ifindex, entry, xdp, tc)

    def detach(self, attachment: Attachment) -> None:
        attach.detach(self._pins.links, attachment)

    def attach_slow(self, end: End, ifindex: int) -> None:
        """Puts the slow path's programs on its ends; the calling thread is in that end's
        namespace."""
        attach.attach_slow(self._pins.links, end, ifindex, self._programs[_SLOW[end]])

    def slow_path_is_attached(self) -> bool:
        """Both ends are there and have their programs."""
        return all(attach.slow_program(self._pins.links, end) is not None for end in _SLOW)

    # ---- reading ----

    def counters(self) -> Counters:
        return read_counters(
            self._maps, self.prefix_ids(), self._older.reasons(), self._older.prefixes()
        )

    def events(self, events_per_second: int = EVENTS_PER_SECOND) -> EventReader:
        """Has the data path tell of dropped packets until the reader is closed; one at a time."""
        return EventReader(self._maps, events_per_second)

    def no_events(self) -> None:
        """For whoever starts: a reader that was killed could not switch them off."""
        switch(self._maps["monitors"], layout.Monitor())

    def simulator(self, entry: Literal["xdp", "tc"]) -> AbstractContextManager[Simulator]:
        """To ask what would become of packets. NotSupported: other tables than ours are in force.

        It works over the tables of each moment and changes nothing.
        """
        if self._replacing:
            raise NotSupported(
                "trace", "programs of another version are attached: apply once with this one"
            )
        return simulator(object_path(UPLINK), self._maps, entry, _constants())

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
        """uplink_xdp, uplink_tc or slow_turn; owned by the datapath."""
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
                xdp, tc = programs["uplink_xdp"], programs["uplink_tc"]
                attach.replace(self._pins.links, attachment, xdp, tc)
                _log.info("device %s: the program was replaced", attachment.device)
                replaced = True
        for end, name in _SLOW.items():
            replaced |= attach.replace_slow(self._pins.links, end, programs[name], namespace)
        return replaced


def _constants() -> dict[str, int]:
    return {"jiffies_per_second": jiffies_per_second()}


def jiffies_per_second() -> int:
    """HZ of the running kernel: the coarse clock ticks once a jiffy."""
    return round(1 / time.clock_getres(_CLOCK_MONOTONIC_COARSE))


def _all_pinned(pins: Pins) -> bool:
    return all(pins.map(name).exists() for name in PINNED) and all(
        (pins.programs / name).exists() for name in _PROGRAMS
    )


def _load(path: Path, pins: Pins, constants: dict[str, int]) -> None:
    """Loads the programs over the pinned maps, pinning those that are not there yet."""
    with Object.open(path) as opened:
        for name in PINNED:
            opened.maps[name].set_pin_path(pins.map(name))
        opened.maps["pairs"].resize(Limit.PAIR_SLOTS * possible_cpus())
        set_constants(opened, constants)
        opened.load()
        for name in _PROGRAMS:
            pin = pins.programs / name
            Program.unpin(pin)
            opened.programs[name].pin(pin)
