# SPDX-License-Identifier: Apache-2.0
"""Captures: whom they are for, what of a packet is wanted, and what is told of it."""

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import Any

from sixlane.agent.drops import rfc3339
from sixlane.bpf.pcap import Filter
from sixlane.datapath.capturing import Captured, CaptureReader, Rule
from sixlane.nat64.headers import end_in, layer3, summary
from sixlane.net import link

_BATCH = 256
_TOP_LEVEL = re.compile(r"\band\b|&&")
_PLAIN = re.compile(r"(?:(?P<protocol>tcp|udp)(?:\s+port\s+(?P<port>\d+))?|ip|ip6)", re.ASCII)

Told = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """`expression`: of pcap-filter(7), which the frame must match as it came or as it left; "":
    any. `device`: that it came in by."""

    expression: str
    device: str | None
    rule: Rule


class Capture:
    """Packets that are wanted, as plain data. Used by one thread at a time."""

    def __init__(
        self, reader: CaptureReader, filter: Filter | None, pool4: Container[IPv4Address] = ()
    ) -> None:
        self._reader, self._filter, self._pool4 = reader, filter, pool4

    def read(self) -> Sequence[Told]:
        """What there is now."""
        found = self._reader.read(_BATCH)
        return [as_data(one, self._pool4) for one in found if self._is_wanted(one)]

    def missed(self) -> Told | None:
        """How many packets there were beside, since this was last asked; None: none."""
        limited, lost = self._reader.missed()
        return {"limited": limited, "lost": lost} if limited or lost else None

    @property
    def ended(self) -> bool:
        """Another capture has begun, or there is no data path any more."""
        return self._reader.closed

    def _is_wanted(self, one: Captured) -> bool:
        if self._filter is None or self._filter.matches(one.before, one.before_bytes):
            return True
        return one.after is not None and self._filter.matches(one.after, one.after_bytes)


def narrowed(rule: Rule, expression: str) -> Rule:
    """What the data path can leave out already, so that the rate is for what is wanted: protocol
    and port, where an expression asks for those and joins all it asks for by `and`.

    A translated packet keeps both. ICMP may answer a packet of another protocol.
    """
    if not re.fullmatch(r"[\w\s.:/&-]*", expression, re.ASCII) or re.search(
        r"\b(or|not)\b|\|\|", expression
    ):
        return rule
    for part in _TOP_LEVEL.split(expression):
        found = _PLAIN.fullmatch(part.strip())
        if found and found["protocol"]:
            rule = replace(rule, protocol=found["protocol"])
            if found["port"] and int(found["port"]) < 65536:
                rule = replace(rule, port=int(found["port"]))
    return rule


def as_data(one: Captured, pool4: Container[IPv4Address] = ()) -> Told:
    """A packet as the API tells it. `pool4`: those addresses, to name a session by."""
    return {
        "time": rfc3339(one.time_ns),
        "device": link.name_or_number(one.ifindex),
        "entry": one.entry,
        "outcome": one.outcome,
        "reasons": [reason.name.lower() for reason in one.reasons],
        "before": _frame(one.before, one.before_bytes),
        "after": None if one.after is None else _frame(one.after, one.after_bytes),
        "pool4": _pool4_end(one, pool4),
    }


def _pool4_end(one: Captured, pool4: Container[IPv4Address]) -> str | None:
    """Address and port of pool4 that a packet came to, or left from."""
    return end_in(layer3(one.before)[1], "destination", pool4) or (
        end_in(layer3(one.after)[1], "source", pool4) if one.after is not None else None
    )


def _frame(data: bytes, whole_bytes: int) -> Told:
    return {"bytes": whole_bytes, "hex": data.hex(), "summary": summary(layer3(data)[1])}
