# SPDX-License-Identifier: Apache-2.0
"""Backends by their ids, in memory that packets read.

While anything may name an id, its record keeps address, port and service: rings and remembered
flows do. A record that is free names no service, so that whoever still has its id finds nobody; it
may be written again when no packet is at work any more that was at that moment.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sixlane.bpf import Map
from sixlane.datapath import layout
from sixlane.datapath.layout import BackendSince, BackendState

NO_SERVICE = 0xFFFFFFFF

_SIZE = layout.MAPS["backends"].value_bytes
_WORD = struct.Struct("=I2sBx")  # service, port, state: 8 bytes, which packets see change at once
_WORD_AT = 16
_STATE_AT = 22
_SINCE = struct.Struct("=I")  # a tick, which a ring that names it writes
_SINCE_AT = 24
NAMING = 18
"""Bytes that tell a backend from others of its service: address and port, in network order."""


class Held(NamedTuple):
    """A backend's id and state."""

    id: int
    state: BackendState


@dataclass(frozen=True)
class Found:
    """What the map holds. `held`: by service, and by address and port; `freed`: ids of records that
    were somebody's, rising."""

    held: Mapping[int, Mapping[bytes, Held]] = field(default_factory=dict)
    freed: tuple[int, ...] = ()


class Backends:
    """The map, for as long as it is in use."""

    def __init__(self, backends: Map) -> None:
        self._memory = backends.mmap()

    def read(self) -> Found:
        import numpy as np

        rows = np.frombuffer(self._memory, np.dtype(layout.Backend))
        used = np.flatnonzero(rows["state"] != BackendState.BACKEND_FREE).tolist()
        freed = np.flatnonzero(rows["service"] == NO_SERVICE).tolist()
        held: dict[int, dict[bytes, Held]] = {}
        for id in used:
            start = id * _SIZE
            service, port, state = _WORD.unpack_from(self._memory, start + _WORD_AT)
            naming = bytes(self._memory[start : start + _WORD_AT]) + port
            held.setdefault(service, {})[naming] = Held(id, BackendState(state))
        return Found(held, tuple(freed))

    def put(self, id: int, service: int, naming: bytes, state: BackendState) -> None:
        """Writes a free record; it is found from its last word on."""
        start = id * _SIZE
        self._memory[start : start + _WORD_AT] = naming[:_WORD_AT]
        _SINCE.pack_into(self._memory, start + _SINCE_AT, BackendSince.BACKEND_NOT_YET)
        _WORD.pack_into(self._memory, start + _WORD_AT, service, naming[_WORD_AT:], state)

    def set_state(self, id: int, state: BackendState) -> None:
        self._memory[id * _SIZE + _STATE_AT] = state

    def free(self, id: int) -> None:
        start = id * _SIZE + _WORD_AT
        _WORD.pack_into(self._memory, start, NO_SERVICE, b"\0\0", BackendState.BACKEND_FREE)


class Ids:
    """Numbers from 1 to `room` that are given to things, and come back. Those that were longest
    unused come first, after those that nobody ever had."""

    def __init__(self, room: int, used: set[int], freed: tuple[int, ...] | None = ()) -> None:
        """`freed`: not in use, but once they were; None: nobody knows which."""
        self.room = room
        self._known = freed is not None
        self._next = max((*used, *(freed or ())), default=0) + 1
        self._free = {id: None for id in range(1, self._next) if id not in used}

    def free(self) -> Iterator[int]:
        """In the order in which they should be taken."""
        yield from range(self._next, self.room + 1)
        yield from self._free

    def is_fresh(self, id: int) -> bool:
        """Whether nobody ever had it, for sure."""
        return self._known and id >= self._next

    def take(self, id: int) -> None:
        """One of `free`; of those that nobody had, the first."""
        if id in self._free:
            del self._free[id]
        else:
            self._next = id + 1

    def give(self, id: int) -> None:
        self._free[id] = None
