# SPDX-License-Identifier: Apache-2.0
"""What a stateful NAT64 does with a packet, and what it sends by itself."""

from dataclasses import dataclass
from enum import StrEnum

from sixlane.rfc.rfc6146.packets import (
    Icmp4Error,
    Icmp6Error,
    Other4,
    Other6,
    Packet4,
    Packet6,
)


class DropReason(StrEnum):
    """Why a packet ends here."""

    SOURCE_IN_PREF64 = "SOURCE_IN_PREF64"
    NOT_GLOBAL = "NOT_GLOBAL"
    """64:ff9b::/96 would stand for an address that is not global (RFC 6052 section 3.1)."""
    PROTOCOL = "PROTOCOL"
    NO_BINDING = "NO_BINDING"
    FILTERED = "FILTERED"
    """Address-dependent filtering, or no SYNs from outside."""
    SYN_IS_STORED = "SYN_IS_STORED"
    """A SYN of this connection is stored already."""
    ICMP_NO_SESSION = "ICMP_NO_SESSION"
    """An ICMP error about no packet that was translated."""
    NO_PORT = "NO_PORT"
    PREF64_CONFLICT = "PREF64_CONFLICT"
    """The IPv4 tuple belongs to a session under another prefix of pool6."""
    BINDING_LIMIT = "BINDING_LIMIT"
    SESSION_LIMIT = "SESSION_LIMIT"
    CLIENT_BINDING_LIMIT = "CLIENT_BINDING_LIMIT"
    CLIENT_SESSION_LIMIT = "CLIENT_SESSION_LIMIT"
    STORED_SYN_LIMIT = "STORED_SYN_LIMIT"


@dataclass(frozen=True)
class OwnError:
    """An ICMP error of the NAT64 itself to the source of `about`, in the family of that."""

    type: int
    code: int
    about: Packet4 | Packet6 | Other4 | Other6


@dataclass(frozen=True)
class NotOurs:
    """The destination is neither in pool6 nor in pool4 (section 3.5)."""


@dataclass(frozen=True)
class Forward:
    """Send on `packet`, translated. It is of the sender's own family if this is a hairpin."""

    packet: Packet4 | Packet6 | Icmp4Error | Icmp6Error


@dataclass(frozen=True)
class Drop:
    """Discard the packet; `error` is None for silence."""

    reason: DropReason
    error: OwnError | None = None


class Refused(Exception):
    """The first rule that a packet breaks; `answer` is type and code of the error that is due."""

    def __init__(self, reason: DropReason, answer: tuple[int, int] | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.answer = answer


@dataclass(frozen=True)
class Stored:
    """The SYN is kept for a simultaneous open (section 3.5.2.2); nothing is sent."""


Outcome = NotOurs | Forward | Drop | Stored


@dataclass(frozen=True)
class Probe:
    """A segment without data, ACK alone, to one of both ends or to both (section 3.5.2.2)."""

    to_inside: Packet6
    to_outside: Packet4


@dataclass(frozen=True)
class Sent:
    """What went out because of time, at `at` seconds of the virtual clock."""

    at: float
    what: OwnError | Probe
