# SPDX-License-Identifier: Apache-2.0
"""Which address a pod gets: of a range's, one that nobody has; what was unused longest goes first.

Addresses are numbers of 128 bits; IPv4 is ::ffff:a.b.c.d. Pure: who has what is asked of a `Book`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address
from itertools import chain
from typing import Protocol

from sixlane.errors import ConfigError
from sixlane.model import node_address
from sixlane.model.addresses import AnyAddress, AnyNetwork
from sixlane.model.packed import packed_address, unpacked_address

Span = tuple[int, int]
"""First and last of addresses in a row."""

_MANY = 1 << 20
"""Of more addresses, some are always unknown: no node has so many pods, and no book remembers so
many."""

_PATIENCE = 64

_RESERVED_IDS = (
    (0x0200_5EFF_FE00_0000, 0x0200_5EFF_FEFF_FFFF),  # of IANA's Ethernet block
    (0xFDFF_FFFF_FFFF_FF80, 0xFDFF_FFFF_FFFF_FFFF),  # anycast (RFC 2526)
)
"""Interface identifiers of RFC 5453, but for 0, which is the range's own."""


class NothingFree(ConfigError):
    """All addresses are leased; one that is given back later may be had then."""


class Book(Protocol):
    """What is known of addresses."""

    def is_known(self, number: int) -> bool:
        """Somebody has it; or had it, and that is remembered."""

    def count(self, span: Span) -> int:
        """How many of these are known."""

    def start(self, network: AnyNetwork) -> int | None:
        """Behind the last one that was given of a range when nobody knew it."""

    def longest_rested(self, spans: Iterable[Span]) -> int | None:
        """The one of these that was given back first, of all that nobody has."""


@dataclass(frozen=True)
class Givable:
    """What may be given of a range: `spans` rise, and do not touch."""

    network: AnyNetwork
    spans: tuple[Span, ...]

    @property
    def size(self) -> int:
        return sum(last - first + 1 for first, last in self.spans)

    def holds(self, number: int) -> bool:
        return any(first <= number <= last for first, last in self.spans)

    def from_there(self, start: int) -> Iterator[Span]:
        """All of it once, from `start` on, and what is before it last."""
        for first, last in self.spans:
            if start <= last:
                yield max(first, start), last
        for first, last in self.spans:
            if first < start:
                yield first, min(last, start - 1)


@lru_cache(maxsize=1024)
def of_pool(network: AnyNetwork) -> Givable:
    """What pods may get of a range of a pool.

    Not its first address (the network's own; of IPv6, the anycast address of its routers, RFC 4291
    2.6.1), not the node's, of IPv4 not the last one (RFC 922), of IPv6 nothing reserved (RFC 5453).
    """
    first, last = number_of(network[0]), number_of(network[-1])
    never = [(first, first), (number_of(node_address(network)),) * 2]
    if network.version == 4:
        never.append((last, last))
    else:
        # A range is a /64 or a part of one.
        above = first >> 64 << 64
        never += [(above | low, above | high) for low, high in _RESERVED_IDS]
    return Givable(network, tuple(_without((first, last), sorted(never))))


@lru_cache(maxsize=1024)
def of_egress(network: AnyNetwork) -> Givable:
    """What may stand for pods: all of it, as nothing has these addresses on a link."""
    return Givable(network, ((number_of(network[0]), number_of(network[-1])),))


def pick(ranges: Sequence[Givable], book: Book) -> tuple[int, AnyNetwork | None] | None:
    """The address that nobody has had for longest, or None: all are taken.

    With it comes the range of one that nobody is known to have had; the book's `start` of that is
    behind it from then on.
    """
    for one in ranges:
        number = _unknown(one, book)
        if number is not None:
            return number, one.network
    rested = book.longest_rested(span for one in ranges for span in one.spans)
    return None if rested is None else (rested, None)


def why_not(ranges: Sequence[Givable], address: AnyAddress) -> str | None:
    """Why no pod can have `address` of these, whoever may have it now; None: one can."""
    for one in ranges:
        if address in one.network:
            if one.holds(number_of(address)):
                return None
            if address == node_address(one.network):
                return f"is the node's own in {one.network} of"
            return f"is reserved in {one.network} of"
    return "is outside of"


def number_of(address: AnyAddress) -> int:
    return int.from_bytes(packed_address(address))


def address_of(number: int) -> AnyAddress:
    return unpacked_address(number.to_bytes(16))


def by_family(addresses: Iterable[AnyAddress]) -> tuple[AnyAddress, ...]:
    """IPv6 first."""
    return tuple(sorted(addresses, key=lambda one: not isinstance(one, IPv6Address)))


def _unknown(one: Givable, book: Book) -> int | None:
    """The next one that nobody is known to have had."""
    start = book.start(one.network)
    spans = one.from_there(number_of(one.network[0]) if start is None else start)
    numbers = chain.from_iterable(range(first, last + 1) for first, last in spans)
    for looked, number in enumerate(numbers):
        if not book.is_known(number):
            return number
        if looked == _PATIENCE and _is_known_as_a_whole(one, book):
            return None
    return None


def _is_known_as_a_whole(one: Givable, book: Book) -> bool:
    """Counting is quicker than looking up each."""
    return one.size <= _MANY and sum(map(book.count, one.spans)) == one.size


def _without(whole: Span, never: Iterable[Span]) -> Iterator[Span]:
    """What is left; `never` rises."""
    first, last = whole
    for low, high in never:
        if high < first or low > last:
            continue
        if first < low:
            yield first, low - 1
        first = max(first, high + 1)
    if first <= last:
        yield first, last
