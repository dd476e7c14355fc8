# SPDX-License-Identifier: Apache-2.0
"""What is to be checked, as the agent gives it; and what came of it."""

import os
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal

from sixlane.client.types import HealthTask
from sixlane.health.verdict import Rules, Word

Address = IPv4Address | IPv6Address
Kind = Literal["tcp", "http", "https", "grpc", "icmp"]


@dataclass(frozen=True)
class Check:
    """`address`, `port`: where packets are sent; `mark`: of the tunnel to the backend, None: none
    is needed. `verdict`: what the agent takes for true until something else is known."""

    id: str
    kind: Kind
    backend: Address
    address: Address
    port: int
    mark: int | None
    path: str
    host: str
    statuses: range
    interval_s: float
    timeout_s: float
    rise: int
    fall: int
    verdict: Word = "unknown"

    @property
    def rules(self) -> Rules:
        return Rules.of(self.rise, self.fall, self.interval_s)

    @classmethod
    def read(cls, data: HealthTask) -> "Check":
        return cls(
            data["id"],
            data["type"],
            ip_address(data["backend"]),
            ip_address(data["address"]),
            data["port"],
            data["mark"],
            data["path"],
            data["host"],
            range(data["statuses"][0], data["statuses"][1] + 1),
            data["intervalSeconds"],
            data["timeoutSeconds"],
            data["rise"],
            data["fall"],
            data["verdict"],
        )


@dataclass(frozen=True)
class Result:
    """`words`: what a person is told; `latency_s`: how long it took, if there was an answer."""

    is_well: bool
    words: str
    latency_s: float | None = None


class Failed(Exception):
    """A check that did not go well, in words."""

    def __init__(self, words: str, answered: bool = False) -> None:
        super().__init__(words)
        self.words = words
        self.answered = answered


class NotMade(Exception):
    """A check for which this machine lacks something, in words."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


def shown(text: bytes) -> str:
    """A few bytes of somebody else, for people: printable ASCII, and no more than 40."""
    cut = text[:40]
    return "".join(chr(one) if 32 <= one < 127 else "." for one in cut) + (
        "..." if text[40:] else ""
    )


def described(error: OSError) -> str:
    """An error of the kernel in lower case, as in "connection refused"."""
    known = os.strerror(error.errno) if error.errno else error.strerror  # asyncio has its own words
    words = known or str(error) or type(error).__name__
    return words[:1].lower() + words[1:] if words[1:2].islower() else words
