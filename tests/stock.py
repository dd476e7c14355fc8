# SPDX-License-Identifier: Apache-2.0
"""Loaded data paths that the next test uses again.

The kernel takes seconds to verify the programs, and milliseconds to empty their maps. Whoever gets
one from the stock finds it as `Datapath.open` makes it, but for secrets that were drawn before.
"""

import itertools
import os
import shutil
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sixlane import lb
from sixlane.bpf import Map, Program, RingBuffer
from sixlane.bpf.uapi import PER_CPU_MAPS, MapType
from sixlane.datapath import Datapath
from sixlane.datapath.pools import NO_ROOM, Room
from sixlane.datapath.rooms import ServiceRoom
from sixlane.model import Gateway, parse_resource
from sixlane.nat64 import pools

Kind = tuple[Room | None, ServiceRoom | None]

_PREFIX = f"/sys/fs/bpf/sl-stock-{os.getpid()}-"
_DRAWN = {"index_secrets", "flow_secrets"}  # once, by who loads the programs
_HASHES = (MapType.HASH, MapType.PERCPU_HASH, MapType.LRU_HASH, MapType.LRU_PERCPU_HASH)
_numbers = itertools.count()


def kind_for(resource: dict[str, Any]) -> Kind:
    """As `kind_of`, of a Gateway that is yet to be parsed."""
    gateway = parse_resource(resource)
    assert isinstance(gateway, Gateway)
    return kind_of(gateway)


def kind_of(gateway: Gateway) -> Kind:
    """With the tables that its first apply would make, if it says how large they are to be."""
    room, balancer = pools.room_for(gateway.spec), gateway.spec.load_balancer
    return (
        None if room == NO_ROOM else room,
        lb.room_for(balancer) if balancer else None,
    )


class Stock:
    """Up to `kept` data paths that nobody uses now, by what they were asked for."""

    def __init__(self, kept: int = 0) -> None:
        self.kept = kept
        self._idle: list[tuple[Kind, Path]] = []

    @contextmanager
    def datapath(self, kind: Kind) -> Iterator[Datapath]:
        """One that is empty, for the network namespace that this runs in."""
        root = self._taken(kind)
        whole = False
        try:
            with _opened(root, kind) as datapath:
                made = _inventory(root)
                yield datapath
                whole = _inventory(root) == made
        finally:
            if whole:
                self._idle.append((kind, root))
            else:
                shutil.rmtree(root, ignore_errors=True)
        while len(self._idle) > self.kept:
            shutil.rmtree(self._idle.pop(0)[1])

    @contextmanager
    def lent(self, root: Path, kind: Kind = (None, None)) -> Iterator[None]:
        """Has one be pinned below `root` as well, for an agent that starts there to adopt."""
        if not self.kept:
            yield
            return
        ours = self._taken(kind)
        _opened(ours, kind).close()
        for pin in [*ours.glob("maps/*"), *ours.glob("programs-*/*")]:
            place = root / pin.relative_to(ours)
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (Map if pin.parent.name == "maps" else Program).from_pin(pin) as handle:
                handle.pin(place)
        try:
            yield
        finally:
            self._idle.append((kind, ours))

    def _taken(self, kind: Kind) -> Path:
        """The pins of one that was used before, or a place for those of another."""
        for place, (found, root) in enumerate(self._idle):
            if found == kind:
                del self._idle[place]
                empty(root)
                return root
        return Path(f"{_PREFIX}{next(_numbers)}")


def _opened(root: Path, kind: Kind) -> Datapath:
    """With both entries, and not as the first test that needs XDP's is on its way."""
    datapath = Datapath.open(root, *kind)
    datapath.program("uplink_xdp")
    return datapath


def is_stock(path: Path) -> bool:
    """Whether this lies among the pins of a data path that is, or was, in a stock."""
    return str(path).startswith(_PREFIX)


def empty(root: Path) -> None:
    """Has all maps of all programs be as they were when they were made."""
    ids: set[int] = set()
    for pin in root.glob("programs-*/*"):
        with Program.from_pin(pin) as program:
            ids.update(program.info.map_ids)
    for pin in root.glob("maps/*"):
        with Map.from_pin(pin) as map:
            ids.add(map.info.id)
    for id in ids:
        with Map.from_id(id) as map:
            if map.info.name not in _DRAWN and not map.info.name.endswith(".rodata"):
                _empty_map(map)


def _inventory(root: Path) -> dict[Path, int]:
    """All pins; one that was made anew has another inode."""
    return {path: path.stat().st_ino for path in root.rglob("*")}


def _empty_map(map: Map) -> None:
    info = map.info
    if info.type in _HASHES:
        for key in list(map.keys()):
            map.delete(key)
    elif info.type == MapType.ARRAY_OF_MAPS:
        # What the gateways' tables alone lead to may stay: to take one out waits for 30 ms.
        for number in range(info.max_entries if info.name == "gateways" else 0):
            map.delete(number.to_bytes(4, "little"))
    elif info.type == MapType.RINGBUF:
        with RingBuffer(map) as ring:
            while ring.read(1000):
                pass
    elif info.type in PER_CPU_MAPS:
        map.clear_per_cpu([number.to_bytes(4, "little") for number in range(info.max_entries)])
    else:
        keys = array("I", range(info.max_entries))
        map.update_rows(keys, bytes(info.value_size * info.max_entries))
