# SPDX-License-Identifier: Apache-2.0
"""A list of IPv4 ranges, for 100,000 of them: compact, immutable, quick to read and to compare."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from hashlib import sha256
from ipaddress import IPv4Network
from socket import AF_INET, inet_pton
from typing import TYPE_CHECKING, overload

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LENGTHS = {str(length): length for length in range(33)}


class Spans:
    """A set of IPv4 addresses: all from each of `starts` to before its one of `ends`.

    Both rise, and no end is the next start. An end may be 2**32.
    """

    def __init__(self, starts: "NDArray[np.uint64]", ends: "NDArray[np.uint64]") -> None:
        self.starts = starts
        self.ends = ends

    @classmethod
    def of(cls, packed: bytes, lengths: bytes) -> "Spans":
        """Of ranges: four bytes an address, in network order, and one byte a length."""
        import numpy as np

        sizes = np.uint64(1) << (32 - np.frombuffer(lengths, np.uint8)).astype(np.uint64)
        starts = np.frombuffer(packed, ">u4").astype(np.uint64)
        return cls.merged(starts, starts + sizes)

    @classmethod
    def merged(cls, starts: "NDArray[np.uint64]", ends: "NDArray[np.uint64]") -> "Spans":
        """Of spans in any order, which may overlap."""
        import numpy as np

        if not len(starts):
            return cls(starts, ends)
        order = np.argsort(starts, kind="stable")
        starts, furthest = starts[order], np.maximum.accumulate(ends[order])
        apart = np.flatnonzero(starts[1:] > furthest[:-1]) + 1
        return cls(
            np.concatenate((starts[:1], starts[apart])),
            np.concatenate((furthest[apart - 1], furthest[-1:])),
        )

    def joined(self, *others: "Spans") -> "Spans":
        """The addresses of all."""
        import numpy as np

        every = (self, *others)
        return Spans.merged(
            np.concatenate([one.starts for one in every]),
            np.concatenate([one.ends for one in every]),
        )

    def holds(self, addresses: "NDArray[np.uint64]") -> "NDArray[np.bool_]":
        """For each address, whether it is in the set."""
        import numpy as np

        # As many starts as ends before an address: it is behind all of them.
        return np.searchsorted(self.starts, addresses, "right") > np.searchsorted(
            self.ends, addresses, "right"
        )

    def cover(self, network: IPv4Network) -> bool:
        """Whether all of its addresses are in the set."""
        import numpy as np

        first, end = int(network[0]), int(network[-1]) + 1
        place = int(np.searchsorted(self.starts, np.uint64(first), "right")) - 1
        return place >= 0 and end <= int(self.ends[place])

    def overlap(self, other: "Spans") -> bool:
        """Whether an address is in both."""
        import numpy as np

        few, many = sorted((self, other), key=lambda one: len(one.starts))
        if not len(few.starts):
            return False
        # The first that ends behind the start of ours begins before our end.
        place = np.searchsorted(many.ends, few.starts, "right")
        there = place < len(many.starts)
        return bool((many.starts[place[there]] < few.ends[there]).any())


class RangeList(Sequence[IPv4Network]):
    """IPv4 ranges in the order in which they were given.

    `texts`: as a.b.c.d/n. `packed`: four bytes an address, in network order; `lengths`: a byte a
    length.
    """

    def __init__(
        self, texts: Iterable[str] = (), packed: bytes = b"", lengths: bytes = b""
    ) -> None:
        self.texts = tuple(texts)
        self.packed = packed
        self.lengths = lengths

    @classmethod
    def of(cls, networks: Iterable[IPv4Network]) -> "RangeList":
        networks = tuple(networks)
        return cls(
            map(str, networks),
            b"".join(network.network_address.packed for network in networks),
            bytes(network.prefixlen for network in networks),
        )

    @classmethod
    def of_texts(cls, values: Sequence[object]) -> "RangeList":
        """From the common forms, a.b.c.d/n and a.b.c.d. ValueError if there are others, or wrong
        ones; which, and why, is for a slower reader to tell."""
        texts, packed, lengths = [], [], bytearray()
        for text in values:
            if not isinstance(text, str):
                raise ValueError(text)
            address, slash, length = text.partition("/")
            packed.append(inet_pton(AF_INET, address))  # takes four plain decimal numbers only
            if slash:
                texts.append(text)
                lengths.append(_LENGTHS[length])
            else:
                texts.append(f"{text}/32")
                lengths.append(32)
        made = cls(texts, b"".join(packed), bytes(lengths))
        if made._has_bits_behind_a_length():
            raise ValueError("bits behind a length")
        return made

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """How it is written; how it is read is for the field to say."""
        return core_schema.is_instance_schema(
            cls,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda ranges: list(ranges.texts),
                return_schema=core_schema.list_schema(core_schema.str_schema()),
                when_used="json",
            ),
        )

    @cached_property
    def spans(self) -> Spans:
        return Spans.of(self.packed, self.lengths)

    @cached_property
    def digest(self) -> bytes:
        """Names the ranges and their order."""
        return sha256(self.packed + self.lengths).digest()

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, at: int) -> IPv4Network: ...
    @overload
    def __getitem__(self, at: slice) -> "RangeList": ...
    def __getitem__(self, at: int | slice) -> "IPv4Network | RangeList":
        if isinstance(at, slice):
            return RangeList.of(self[index] for index in range(*at.indices(len(self))))
        at = range(len(self))[at]
        return IPv4Network((self.packed[4 * at : 4 * at + 4], self.lengths[at]))

    def __iter__(self) -> Iterator[IPv4Network]:
        return (self[at] for at in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RangeList):
            return NotImplemented
        return self.lengths == other.lengths and self.packed == other.packed

    def __hash__(self) -> int:
        return hash((self.packed, self.lengths))

    def __repr__(self) -> str:
        shown = ", ".join(self.texts[:3])
        return f"<RangeList {shown}{', ...' if len(self) > 3 else ''}: {len(self)}>"

    def _has_bits_behind_a_length(self) -> bool:
        import numpy as np

        numbers = np.frombuffer(self.packed, ">u4").astype(np.uint64)
        lengths = np.frombuffer(self.lengths, np.uint8).astype(np.uint64)
        return bool((numbers & (np.uint64(0xFFFFFFFF) >> lengths)).any())
