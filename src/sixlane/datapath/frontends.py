# SPDX-License-Identifier: Apache-2.0
"""Frontends as packets look for them: sets of two, a cache line each, and two sets for each key.

All of them are known before the table is in force, so whoever is in the way moves to its other set
(cuckoo hashing, Pagh and Rodler 2001): no packet ever looks at a third. Most are in their first; a
set says whether anything that belongs there lies elsewhere.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sixlane.bpf import Map
from sixlane.datapath.layout import Limit
from sixlane.datapath.spreading import both_halves, spread
from sixlane.errors import ConfigError

_WAYS = int(Limit.FRONTEND_WAYS)
_ROW = struct.Struct("=16s2sBBIIBBBx")  # struct frontend
_KEY = struct.Struct("!QQHB")  # address, port and protocol
_ELSEWHERE_AT = 30
_SET_BYTES = _WAYS * _ROW.size
_FIRST_SET_SHIFT = 40
_MOST_TIMES = 16  # as many sets as should do
_MOVES = 100  # of others for the sake of one, before there are more sets


class FrontendRow(NamedTuple):
    """`key`: see `frontend_key`. `id` numbers its counters; no `service` has an address itself."""

    key: bytes
    service: int = 0
    id: int = 0
    flags: int = 0
    service_flags: int = 0


def frontend_key(address: bytes, port: int, protocol: int) -> bytes:
    """With neither port nor protocol, of the address (16 bytes) itself."""
    return address + port.to_bytes(2) + bytes((protocol,))


def sets_of(rows: Sequence[FrontendRow]) -> bytes:
    """struct frontend_set of each set: a power of two, at most half of their places in use. Keys
    differ. ConfigError: too many were made to collide."""
    count = least = 1 << max(0, len(rows) - 1).bit_length()
    hashes = [_hash(row.key) for row in rows]
    while (placed := _placed(hashes, count)) is None:
        count *= 2
        if count > _MOST_TIMES * least:
            raise ConfigError(
                "more than four frontends have the same hash", "other addresses or ports"
            )
    found = bytearray(count * _SET_BYTES)
    for place, at in placed.items():
        key, service, id, flags, service_flags = rows[at]
        fields = (key[:16], key[16:18], key[18], 1, service, id, flags, service_flags, 0)
        _ROW.pack_into(found, place * _ROW.size, *fields)
    for place, at in placed.items():
        first = _sets(hashes[at], count)[0]
        if place // _WAYS != first:
            found[first * _SET_BYTES + _ELSEWHERE_AT] = 1
    return bytes(found)


def rows_in(frontends: Map) -> Iterator[FrontendRow]:
    """All of a table, in no order."""
    for _, values in frontends.rows():
        for address, port, protocol, there, *fields, _ in _ROW.iter_unpack(values):
            if there:
                yield FrontendRow(address + port + bytes((protocol,)), *fields)


def _hash(key: bytes) -> int:
    """As frontend_hash() in frontend.h has it."""
    high, low, port, protocol = _KEY.unpack(key)
    return spread(both_halves(high, low) + (port << 8 | protocol) * 0xD6E8FEB86659FD93)


def _sets(hash: int, count: int) -> tuple[int, int]:
    """Where a key may be."""
    other = spread(hash ^ hash >> 32)
    return hash >> _FIRST_SET_SHIFT & count - 1, other >> _FIRST_SET_SHIFT & count - 1


def _placed(hashes: Sequence[int], count: int) -> dict[int, int] | None:
    """Who has which place, of all sets' one behind the other; None: it does not work out."""
    places: dict[int, int] = {}
    for newcomer in range(len(hashes)):
        at: int | None = newcomer
        for move in range(_MOVES):
            assert at is not None
            sets = _sets(hashes[at], count)
            free = _free(places, sets)
            if free is not None:
                places[free] = at
                at = None
                break
            # Another way each time, so that two do not turn each other out for ever.
            place = sets[move & 1] * _WAYS + (move >> 1) % _WAYS
            places[place], at = at, places[place]
        if at is not None:
            return None
    return places


def _free(places: dict[int, int], sets: tuple[int, int]) -> int | None:
    for number in sets:
        for place in range(number * _WAYS, (number + 1) * _WAYS):
            if place not in places:
                return place
    return None
