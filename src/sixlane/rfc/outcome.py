# SPDX-License-Identifier: Apache-2.0
"""What a translator does with one packet, and why."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class PassReason(StrEnum):
    """Why a packet is none of the translator's business."""

    NOT_OURS = "NOT_OURS"
    """The destination is neither served nor in a translation prefix."""
    NATIVE = "NATIVE"
    """The destination is an inside node's own IPv4-translatable IPv6 address."""


class DropReason(StrEnum):
    """Why a packet ends here."""

    TRUNCATED = "TRUNCATED"
    MALFORMED = "MALFORMED"
    BAD_HEADER_CHECKSUM = "BAD_HEADER_CHECKSUM"
    PROTOCOL = "PROTOCOL"
    ICMP_FRAGMENT = "ICMP_FRAGMENT"
    ICMP_TYPE = "ICMP_TYPE"
    ICMP_NESTED = "ICMP_NESTED"
    ILLEGAL_SOURCE = "ILLEGAL_SOURCE"
    NOT_GLOBAL = "NOT_GLOBAL"
    SOURCE_NOT_ALLOWED = "SOURCE_NOT_ALLOWED"
    TTL_EXPIRED = "TTL_EXPIRED"
    UDP_ZERO_CHECKSUM = "UDP_ZERO_CHECKSUM"
    NO_ROUTE = "NO_ROUTE"
    TOO_BIG = "TOO_BIG"
    EXTENSION_HEADERS = "EXTENSION_HEADERS"
    SOURCE_ROUTE = "SOURCE_ROUTE"
    SOURCE_NOT_MAPPABLE = "SOURCE_NOT_MAPPABLE"
    DESTINATION_NOT_MAPPABLE = "DESTINATION_NOT_MAPPABLE"


@dataclass(frozen=True)
class Forward:
    """Send on `packet`, translated in `direction` by the prefix entry named `prefix`.

    66 is a hairpin, counted for the entry that serves its destination.
    """

    packet: bytes
    direction: Literal[46, 64, 66]
    prefix: str


@dataclass(frozen=True)
class Pass:
    """Leave the packet to the host."""

    reason: PassReason


@dataclass(frozen=True)
class Drop:
    """Discard the packet; `error` is the ICMP error packet for its sender, if one is due."""

    reason: DropReason
    error: bytes | None


@dataclass(frozen=True)
class SlowPath:
    """Fragment the packet first; each fragment is then translated by itself."""


Outcome = Forward | Pass | Drop | SlowPath


@dataclass(frozen=True)
class Answer:
    """An ICMP error to be sent: type, code and the 32 bits after the checksum."""

    type: int
    code: int
    rest: int = 0


class Refused(Exception):
    """The first rule that a packet breaks; it ends the packet's translation."""

    def __init__(self, reason: DropReason, answer: Answer | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.answer = answer
