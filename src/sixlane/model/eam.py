# SPDX-License-Identifier: Apache-2.0
"""Explicit address mappings (RFC 7757), and lists of 10,000 of them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from struct import Struct
from typing import Annotated, Any, overload

from pydantic import Field, GetCoreSchemaHandler, model_validator
from pydantic_core import core_schema

from sixlane.model.addresses import Ipv4Range, Ipv6Range, never_a_source
from sixlane.model.packed import NEVER_FIRST
from sixlane.model.problem import wrong
from sixlane.model.ranges import Spans
from sixlane.model.resource import Model


class Eam(Model):
    """One explicit address mapping (RFC 7757): `ipv4` and `ipv6` stand for each other."""

    ipv4: Annotated[Ipv4Range, Field(examples=["192.175.48.8/30"])]
    ipv6: Annotated[
        Ipv6Range,
        Field(
            description="Has at least as many bits behind its length as `ipv4`.",
            examples=["2001:db8:1::/126"],
        ),
    ]
    remote: Annotated[
        bool,
        Field(
            description="The nodes are outside and have the IPv4 addresses; else inside, with the "
            "IPv6 ones."
        ),
    ] = False

    @model_validator(mode="after")
    def _check(self) -> "Eam":
        if self.ipv4.prefixlen == 0 or self.ipv6.prefixlen == 0:
            which = "ipv4" if self.ipv4.prefixlen == 0 else "ipv6"
            raise wrong(f"a mapping of all {which} addresses", "give a longer prefix", (which,))
        longest = _longest_ipv6(self.ipv4.prefixlen)
        if self.ipv6.prefixlen > longest:
            raise wrong(
                f"the suffix of {self.ipv4} does not fit behind {self.ipv6}",
                f"RFC 7757: an IPv6 prefix of at most /{longest} for /{self.ipv4.prefixlen}",
                ("ipv6",),
            )
        illegal = never_a_source(self.ipv4)
        if illegal:
            raise wrong(f"{self.ipv4} overlaps {illegal}, which no node has", "", ("ipv4",))
        return self


def _longest_ipv6(ipv4_length: int) -> int:
    """The suffix is copied whole."""
    return 128 - (32 - ipv4_length)


ROW = Struct("!16s4sBB?x")
"""One mapping: both addresses in network order, both lengths, whether it is remote."""


class EamList(Sequence[Eam]):
    """Mappings in the order in which they were given: compact and immutable.

    `data`: each as it is written in a resource, with the keys that were given; not to be changed.
    `packed`: a `ROW` for each.
    """

    def __init__(self, data: Iterable[dict[str, Any]] = (), packed: bytes = b"") -> None:
        self.data = tuple(data)
        self.packed = packed

    @classmethod
    def of(cls, eams: Iterable[Eam]) -> "EamList":
        eams = tuple(eams)
        return cls(map(_data_of, eams), b"".join(map(_packed_of, eams)))

    @classmethod
    def of_data(cls, items: Sequence[object]) -> "EamList":
        """From plain data that has nothing unusual in it. Else ValueError, KeyError or OSError:
        what is wrong, if anything, is for `Eam` to tell."""
        data, packed = [], []
        for item in items:
            given, row = _read(item)
            data.append(given)
            packed.append(row)
        return cls(data, b"".join(packed))

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        one_by_one = handler.generate_schema(Annotated[tuple[Eam, ...], Field(strict=False)])
        return core_schema.no_info_wrap_validator_function(
            _parse_eams,
            one_by_one,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda eams: list(eams.data), when_used="json"
            ),
        )

    def with_eam(self, eam: Eam) -> "EamList":
        """With a mapping in the place of that of the same IPv4 prefix, or behind the others."""
        at = self._place(eam.ipv4)
        if at is None:
            at = len(self)
        return self._spliced(at, at + 1, EamList.of([eam]))

    def without(self, ipv4: IPv4Network) -> "EamList":
        """Without the mapping of an IPv4 prefix. KeyError if there is none."""
        at = self._place(ipv4)
        if at is None:
            raise KeyError(ipv4)
        return self._spliced(at, at + 1, EamList())

    def find(self, ipv4: IPv4Network) -> Eam | None:
        """The mapping of an IPv4 prefix, exactly."""
        at = self._place(ipv4)
        return None if at is None else self[at]

    @cached_property
    def prefixes(self) -> frozenset[bytes]:
        """The prefixes of both families, packed; fewer than two a mapping if one stands twice."""
        rows = list(ROW.iter_unpack(self.packed))
        return frozenset(
            [ipv4 + bytes([length]) for _, ipv4, length, _, _ in rows]
            + [ipv6 + bytes([length]) for ipv6, _, _, length, _ in rows]
        )

    @cached_property
    def served(self) -> Spans:
        """The IPv4 addresses that stand for nodes inside."""
        rows = [row for row in ROW.iter_unpack(self.packed) if not row[4]]
        return Spans.of(b"".join(row[1] for row in rows), bytes(row[2] for row in rows))

    @cached_property
    def digest(self) -> bytes:
        """Names the mappings and their order."""
        return sha256(self.packed).digest()

    @cached_property
    def lengths(self) -> tuple[frozenset[int], frozenset[int]]:
        """The lengths of all IPv4 and of all IPv6 prefixes."""
        return frozenset(self.packed[20 :: ROW.size]), frozenset(self.packed[21 :: ROW.size])

    def __len__(self) -> int:
        return len(self.data)

    @overload
    def __getitem__(self, at: int) -> Eam: ...
    @overload
    def __getitem__(self, at: slice) -> "EamList": ...
    def __getitem__(self, at: int | slice) -> "Eam | EamList":
        if isinstance(at, slice):
            return EamList.of(self[index] for index in range(*at.indices(len(self))))
        at = range(len(self))[at]
        ipv6, ipv4, length4, length6, remote = ROW.unpack_from(self.packed, at * ROW.size)
        return Eam.model_construct(
            set(self.data[at]),
            ipv4=IPv4Network((ipv4, length4)),
            ipv6=IPv6Network((ipv6, length6)),
            remote=remote,
        )

    def __iter__(self) -> Iterator[Eam]:
        return (self[at] for at in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return self.packed == other.packed if isinstance(other, EamList) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.packed)

    def __repr__(self) -> str:
        return f"<EamList: {len(self)}>"

    def _place(self, ipv4: IPv4Network) -> int | None:
        wanted = (ipv4.network_address.packed, ipv4.prefixlen)
        rows = enumerate(ROW.iter_unpack(self.packed))
        return next((at for at, row in rows if row[1:3] == wanted), None)

    def _spliced(self, start: int, end: int, new: "EamList") -> "EamList":
        return EamList(
            self.data[:start] + new.data + self.data[end:],
            self.packed[: start * ROW.size] + new.packed + self.packed[end * ROW.size :],
        )


def _read(item: object) -> tuple[dict[str, Any], bytes]:
    """One mapping of plain data: as it is given, and its row."""
    if not isinstance(item, dict) or not {"ipv4", "ipv6"} <= item.keys() <= _KEYS:
        raise ValueError(item)
    remote = item.get("remote", False)
    if not isinstance(remote, bool):
        raise ValueError(item)
    address4, length4 = _split(item["ipv4"], AF_INET, 32)
    address6, length6 = _split(item["ipv6"], AF_INET6, 128)
    if length6 > _longest_ipv6(length4) or length4 < 8 or address4[0] in NEVER_FIRST:
        raise ValueError(item)
    given: dict[str, Any] = {
        "ipv4": f"{inet_ntop(AF_INET, address4)}/{length4}",
        "ipv6": f"{_ipv6_text(address6)}/{length6}",
    }
    if "remote" in item:
        given["remote"] = remote
    return given, ROW.pack(address6, address4, length4, length6, remote)


_KEYS = {"ipv4", "ipv6", "remote"}
_BITS = {str(length): length for length in range(129)}


def _split(text: object, family: int, longest: int) -> tuple[bytes, int]:
    """A prefix in its common form: packed, and its length. Not of length 0."""
    if not isinstance(text, str):
        raise ValueError(text)
    address, slash, length = text.partition("/")
    packed = inet_pton(family, address)  # no zones, no leading zeros in IPv4
    bits = _BITS[length] if slash else longest
    if not 0 < bits <= longest or int.from_bytes(packed) & (1 << longest - bits) - 1:
        raise ValueError(text)
    return packed, bits


def _ipv6_text(packed: bytes) -> str:
    text = inet_ntop(AF_INET6, packed)
    return str(IPv6Address(packed)) if "." in text else text


def _data_of(eam: Eam) -> dict[str, Any]:
    return eam.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _packed_of(eam: Eam) -> bytes:
    return ROW.pack(
        eam.ipv6.network_address.packed,
        eam.ipv4.network_address.packed,
        eam.ipv4.prefixlen,
        eam.ipv6.prefixlen,
        eam.remote,
    )


def _parse_eams(value: object, handler: Callable[[object], Sequence[Eam]]) -> EamList:
    if isinstance(value, EamList):
        return value
    if isinstance(value, list | tuple):
        try:
            return EamList.of_data(value)
        except (ValueError, KeyError, OSError):
            pass
    return EamList.of(handler(value))
