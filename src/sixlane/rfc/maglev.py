# SPDX-License-Identifier: Apache-2.0
"""Maglev hashing: a table of whom flows belong to, which all gateways make alike.

Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section
3.4: each member has a permutation of the table's entries; members take turns, and whose turn it is
takes the first entry of its permutation that is free, until none is.

Weights alter "the relative frequency of the backends' turns"; the paper does not say how. Here, in
each round the credit of each member grows by its weight, and whose credit has reached the largest
weight takes one turn and pays that much. Members of the same weight have the same credit at any
time. In a round, heavier members come first, then those whose hash is lower, so that nothing
depends on the order in which members are named. Without weights that is the paper's.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address
from math import isqrt
from struct import Struct

SIZES = (251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65537, 131071)
"""Primes from which the size of a table is picked if nobody has picked another one."""
ENTRIES_A_MEMBER = 100
"""At least: then shares differ by 1 % at most (section 3.4)."""

_PERSON = b"sixlane.maglev"  # changed, no gateway agrees with one of another version
_IPV4 = 0xFFFF << 32  # ::ffff:0:0/96
_THREE = Struct(">3Q")


@dataclass(frozen=True)
class Member:
    """Who may get flows. `key`: what tells it from all others, on each gateway; `weight`: its share
    against that of others, 0: none. ValueError: less than none."""

    key: bytes
    weight: int = 1

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise ValueError(f"a member's weight is {self.weight}")


def member_of(address: IPv4Address | IPv6Address, port: int, weight: int = 1) -> Member:
    """Known by its canonical address, of which IPv4 is ::ffff:a.b.c.d, and its port."""
    number = int(address) | (_IPV4 if address.version == 4 else 0)
    return Member(number.to_bytes(16, "big") + port.to_bytes(2, "big"), weight)


def permutation(member: Member, size: int) -> tuple[int, int]:
    """Offset and skip: the member's n-th choice is the entry (offset + n * skip) % size.

    The paper has them of two hashes of the member's name. ValueError: `size` is no prime, with
    which choices would repeat themselves.
    """
    check_size(size)
    first, second, _ = _hashes(member.key)
    return first % size, second % (size - 1) + 1


def check_size(size: int) -> None:
    """ValueError if it is no prime."""
    if not _is_prime(size):
        raise ValueError(f"a table has a prime number of entries: {size} is none")


def smallest_size(count: int) -> int:
    """Of SIZES, for so many members. ValueError: they are too many for any."""
    for size in SIZES:
        if size >= ENTRIES_A_MEMBER * count:
            return size
    most = SIZES[-1] // ENTRIES_A_MEMBER
    raise ValueError(f"{count} members: the largest table is for {most}")


def in_turn(members: Sequence[Member]) -> list[int]:
    """The positions of those that have a weight, in the order of their turns in a round.

    ValueError: two are the same.
    """
    if len({member.key for member in members}) < len(members):
        raise ValueError("a member is named twice")

    def place(position: int) -> tuple[int, int, bytes]:
        member = members[position]
        return -member.weight, _hashes(member.key)[2], member.key

    return sorted((n for n, member in enumerate(members) if member.weight), key=place)


def turns(weights: Sequence[int]) -> Iterator[int]:
    """Whose turn it is, without end: positions in `weights`, all of which are above 0."""
    largest = max(weights)
    credits = [0] * len(weights)
    while True:
        for position, weight in enumerate(weights):
            credits[position] += weight
            if credits[position] >= largest:
                credits[position] -= largest
                yield position


def populate(
    permutations: Sequence[Iterable[int]], whose_turn: Iterable[int], size: int
) -> list[int]:
    """The paper's pseudocode 1: each entry's owner, as a position in `permutations`.

    Each permutation has the entries from 0 up to `size` in the order in which somebody wants them.
    """
    choices = [iter(one) for one in permutations]
    entry = [-1] * size
    free = size
    for owner in whose_turn:
        entry[next(choice for choice in choices[owner] if entry[choice] < 0)] = owner
        free -= 1
        if not free:
            break
    return entry


def table(members: Sequence[Member], size: int) -> list[int]:
    """Each entry's owner, as a position in `members`; empty if nobody has a weight.

    ValueError: `size` is no prime, or a member is named twice.
    """
    check_size(size)
    order = in_turn(members)
    if not order:
        return []
    choices = [_choices(*permutation(members[position], size), size) for position in order]
    owners = populate(choices, turns([members[position].weight for position in order]), size)
    return [order[owner] for owner in owners]


def _choices(offset: int, skip: int, size: int) -> Iterator[int]:
    return ((offset + number * skip) % size for number in range(size))


@lru_cache(maxsize=4096)
@lru_cache(maxsize=4096)
def _hashes(key: bytes) -> tuple[int, int, int]:
    """Of 64 bits each: for the offset, for the skip, for the order of turns."""
    first, second, third = _THREE.unpack(blake2b(key, digest_size=24, person=_PERSON).digest())
    return first, second, third


@lru_cache(maxsize=64)
def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, isqrt(number) + 1))
