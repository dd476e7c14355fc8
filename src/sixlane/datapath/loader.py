# SPDX-License-Identifier: Apache-2.0
"""The data path as the control plane sees it: opened or adopted, configured, attached, read."""

import shutil
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from sixlane.bpf import Map, Object, Program
from sixlane.datapath import attach, layout
from sixlane.datapath.attach import Attachment, End, Entry, Mode
from sixlane.datapath.commit import SLOTS, ZERO, clear, commit, number_of, slot_key
from sixlane.datapath.counters import Counters, read_counters
from sixlane.datapath.objects import UPLINK, object_path
from sixlane.datapath.pins import Pins, build_id
from sixlane.datapath.tables import Tables, prefix_names
from sixlane.errors import ConfigError

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
        resources: ExitStack,
    ) -> None:
        self._pins = pins
        self._maps = maps
        self._programs = programs
        self._resources = resources

    @classmethod
    def open(cls, root: Path) -> "Datapath":
        """Adopts what is pinned below `root`, or loads it; attached programs of another build are
        replaced in place.

        ConfigError: pinned maps of another version's layout. NotSupported: no bpffs, no objects.
        """
        path = object_path(UPLINK)
        constants = {"jiffies_per_second": jiffies_per_second()}
        pins = Pins.open(root, build_id(path.read_bytes(), repr(constants).encode()))
        if pins.other_layouts():
            raise ConfigError(
                f"{root} holds tables of another version of sixlane",
                "this version cannot take them over: sixlane teardown, then start again",
            )
        with ExitStack() as resources:
            if not _all_pinned(pins):
                _load(path, pins, constants)
            maps = {
                name: resources.enter_context(Map.from_pin(pins.maps / name))
                for name in layout.MAPS
            }
            programs = {
                name: resources.enter_context(Program.from_pin(pins.programs / name))
                for name in _PROGRAMS
            }
            datapath = cls(pins, maps, programs, resources.pop_all())
        datapath._replace_old_programs()
        return datapath

    def close(self) -> None:
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
        if root.is_dir():
            shutil.rmtree(root)

    @property
    def root(self) -> Path:
        return self._pins.root

    # ---- configuration ----

    def generation(self) -> int:
        """How often the tables were flipped; 0: never, all packets pass."""
        return number_of(self._maps["generation"].lookup(ZERO))

    def digest(self) -> int | None:
        """`Tables.digest` of what is in force, None if nothing is."""
        gateway = self._gateway()
        return layout.Gateway.from_buffer_copy(gateway).digest if gateway else None

    def prefix_ids(self) -> dict[str, int]:
        """The prefixes in force and the ids of their counters."""
        gateway = self._gateway()
        return prefix_names(gateway) if gateway else {}

    def commit(self, tables: Tables) -> int:
        """Puts tables in force between two packets; returns the new generation.

        All is written aside first. An error before the flip changes nothing for any packet.
        """
        return commit(self._maps, tables, self.generation(), self.prefix_ids())

    def clear(self) -> None:
        """Puts no tables in force: every packet passes to the kernel."""
        clear(self._maps)

    def forget_next_hops(self) -> None:
        """To be called when routes, neighbours or links have changed."""
        epoch = number_of(self._maps["next_hop_epoch"].lookup(ZERO))
        self._maps["next_hop_epoch"].update(ZERO, slot_key((epoch + 1) % (1 << 32)))

    # ---- devices ----

    def attachments(self) -> list[Attachment]:
        return list(attach.attachments(self._pins.links))

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
            self._maps["counters"], self._maps["prefix_counters"], self.prefix_ids()
        )

    def program(self, name: str) -> Program:
        """uplink_xdp, uplink_tc or slow_turn; owned by the datapath."""
        return self._programs[name]

    def _gateway(self) -> bytes | None:
        found = self._maps["gateways"].lookup(slot_key(self.generation() % SLOTS))
        if found is None:
            return None
        with Map.from_id(int.from_bytes(found, "little")) as inner:
            return inner.lookup(ZERO)

    def _replace_old_programs(self) -> None:
        current = {program.info.id for program in self._programs.values()}
        for attachment in self.attachments():
            if attachment.device and attachment.program not in current:
                xdp, tc = self._programs["uplink_xdp"], self._programs["uplink_tc"]
                attach.replace(self._pins.links, attachment, xdp, tc)
        for end, name in _SLOW.items():
            attach.replace_slow(self._pins.links, end, self._programs[name])
        self._pins.remove_other_programs()


def jiffies_per_second() -> int:
    """HZ of the running kernel: the coarse clock ticks once a jiffy."""
    return round(1 / time.clock_getres(_CLOCK_MONOTONIC_COARSE))


def _all_pinned(pins: Pins) -> bool:
    return all((pins.maps / name).exists() for name in layout.MAPS) and all(
        (pins.programs / name).exists() for name in _PROGRAMS
    )


def _load(path: Path, pins: Pins, constants: dict[str, int]) -> None:
    """Loads the programs over the pinned maps, pinning those that are not there yet."""
    with Object.open(path) as opened:
        for name in layout.MAPS:
            opened.maps[name].set_pin_path(pins.maps / name)
        rodata = opened.maps[".rodata"].initial_value
        for name, value in constants.items():
            place = layout.CONFIG[name]
            rodata[place.offset : place.offset + place.bytes] = value.to_bytes(
                place.bytes, "little"
            )
        opened.load()
        for name in _PROGRAMS:
            pin = pins.programs / name
            Program.unpin(pin)
            opened.programs[name].pin(pin)
