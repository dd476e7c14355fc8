# SPDX-License-Identifier: Apache-2.0
"""Frontends are where packets look for them."""

import random
from collections.abc import Iterator

import pytest

from sixlane.datapath.frontends import FrontendRow, frontend_key, sets_of
from sixlane.datapath.layout import FrontendSet
from sixlane.errors import ConfigError

WORD = 1 << 64


def rows(count: int) -> list[FrontendRow]:
    """Neighbours in address, port and protocol, and others anywhere."""
    chance = random.Random(count)
    found: dict[bytes, FrontendRow] = {}
    while len(found) < count:
        near = bytes.fromhex("20010db8000000000000000000000000")[:14] + len(found).to_bytes(2)
        address = near if len(found) % 3 else chance.randbytes(16)
        key = frontend_key(address, 80 + len(found) % 4, 6 + len(found) % 2 * 11)
        found[key] = FrontendRow(key, len(found) + 1, len(found) + 2, 1, 2)
    return list(found.values())


def spread(number: int) -> int:
    return number * 0x9E3779B97F4A7C15 % WORD


def sets_looked_at(key: bytes, count: int) -> Iterator[int]:
    """As frontend_find() has it."""
    high, low = int.from_bytes(key[:8]), int.from_bytes(key[8:16])
    end = int.from_bytes(key[16:])
    hash = spread(low + high * 0xC2B2AE3D27D4EB4F + end * 0xD6E8FEB86659FD93)
    yield (hash >> 40) % count
    yield (spread(hash ^ hash >> 32) >> 40) % count


def found_in(sets: list[FrontendSet], key: bytes) -> FrontendRow | None:
    for number in sets_looked_at(key, len(sets)):
        for one in sets[number].ways:
            ends = bytes(one.addr) + one.port.to_bytes(2) + bytes((one.protocol,))
            if one.is_there and ends == key:
                return FrontendRow(ends, one.service, one.id, one.flags, one.service_flags)
        if not sets[number].ways[0].elsewhere:
            return None
    return None


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 100, 1_000, 20_000])
def test_each_is_found(count: int) -> None:
    wanted = rows(count)
    data = sets_of(wanted)
    size = len(bytes(FrontendSet()))
    assert size == 64
    sets = [FrontendSet.from_buffer_copy(data, at) for at in range(0, len(data), size)]
    assert len(sets).bit_count() == 1 and len(sets) >= count
    assert [found_in(sets, row.key) for row in wanted] == wanted
    assert sum(one.is_there for each in sets for one in each.ways) == count
    others = [frontend_key(row.key[:16], 79, 6) for row in wanted]
    assert not any(found_in(sets, key) for key in others)


def test_few_need_a_second_look() -> None:
    wanted = rows(20_000)
    data = sets_of(wanted)
    away = sum(
        FrontendSet.from_buffer_copy(data, at).ways[0].elsewhere for at in range(0, len(data), 64)
    )
    assert 0 < away < 2_500


def colliding(count: int) -> list[FrontendRow]:
    """Other addresses, and the same sum of both halves."""
    keys = []
    for high in range(1, count + 1):
        low = -high * 0xC2B2AE3D27D4EB4F % WORD
        keys.append(frontend_key(high.to_bytes(8) + low.to_bytes(8), 80, 6))
    return [FrontendRow(key, 1, 1) for key in keys]


def test_four_of_one_hash() -> None:
    data = sets_of(colliding(4))
    sets = [FrontendSet.from_buffer_copy(data, at) for at in range(0, len(data), 64)]
    assert [found_in(sets, row.key) for row in colliding(4)] == colliding(4)


def test_more_of_one_hash_are_refused() -> None:
    with pytest.raises(ConfigError, match="more than four frontends"):
        sets_of(colliding(5))
