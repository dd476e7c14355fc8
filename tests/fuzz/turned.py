# SPDX-License-Identifier: Apache-2.0
"""What is known of the flows of a service that is translated, and what must not become of a packet.

Which address and port a client is seen as is the data path's choice: it is read from the first
packet of a flow, and must be one that it may choose. All else follows: `rewritten` says what
becomes of each packet, and each that it lets through has to come out so. What belongs to no flow is
translated by the gateway's prefix, answered, or goes nowhere.
"""

from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address

from sixlane.datapath.layout import SessionProtocol
from sixlane.datapath.services import ServiceEntry
from sixlane.model.addresses import AnyAddress
from sixlane.model.packed import packed_address
from sixlane.rfc.icmp_errors import icmpv4_error, icmpv6_error
from sixlane.rfc.outcome import Answer, Refused, SlowPath
from tests.diff.test_datapath import identifications
from tests.fuzz.checking import _reason
from tests.fuzz.rewritten import (
    Ends,
    addresses_of,
    ends_of,
    error_with,
    has_addresses,
    own_echo,
    packet_with,
    quote_of,
    upper_of,
)
from tests.fuzz.unknown import leads_nowhere
from tests.services import Balanced
from tests.translated import BACKEND_PORT, BACKENDS, IDS, NAT, POOL, SECOND, TRANSLATOR, VIPS
from tests.world import FAR_MAC, OWN4, OWN6, Seen

_TCP, _UDP = 6, 17
FRONTENDS = {(str(one.address), one.port, one.protocol): one.id for one in NAT.frontends}
_BACKENDS = {ip_address(one): id for id, one in ((IDS[f], BACKENDS[f]) for f in (4, 6))}
_BACKENDS |= {ip_address(one): id for id, one in ((IDS[f] + 2, SECOND[f]) for f in (4, 6))}
Key = tuple[Ends, int]
"""A packet's ends, and its protocol."""


@dataclass
class Turned:
    """What is known of a service's flows: `calls` tells for a client's packets how they leave for a
    backend, `replies` for a backend's how they leave for the client."""

    lb: Balanced
    service: ServiceEntry
    ring: tuple[int, ...]
    calls: dict[Key, Ends] = field(default_factory=dict)
    replies: dict[Key, Ends] = field(default_factory=dict)
    forwarded: int = 0
    """To backends, errors among them."""

    # ---- what must not be ----

    def wrong_with(self, packet: bytes, seen: Seen, *, sound: bool) -> str | None:
        """`sound`: it is as its sender made it, and good."""
        key, quoted = _key(packet), _key(quote_of(packet), quoted=True)
        if key and _frontend(key):
            return self._wrong_with_call(packet, key, seen)
        if key and key in self.replies:
            wanted = self.replies[key]
            return self._wrong_with(packet, seen, _rewritten(packet, wanted, seen, self._segment))
        new = self._quoted(packet, quoted)
        if new:
            error = _rewritten_error(packet, new, seen)
            if quoted and _frontend(_turned(quoted)):
                self.forwarded += _is_as(seen, error)
            return self._wrong_with(packet, seen, error, is_due=sound)
        return self._wrong_with_other(packet, seen)

    @property
    def _segment(self) -> int:
        return self.service.max_segment_bytes

    def _quoted(self, packet: bytes, quoted: Key | None) -> Ends | None:
        """How the ends of the quoted packet are known to who has sent it; None: to nobody, or the
        error is for somebody else."""
        if quoted is None or quoted[0].source != addresses_of(packet)[1]:
            return None
        turned = _turned(quoted)
        found = self.calls.get(turned) if _frontend(turned) else self.replies.get(turned)
        return found.turned if found else None

    def _wrong_with_call(self, packet: bytes, key: Key, seen: Seen) -> str | None:
        if _frontend(_turned(key)):  # the answer would be a call
            return self._wrong_with(packet, seen, None)
        known = self.calls.get(key)
        if known is None:
            known = ends_of(seen.packet) if is_on(packet, seen) else self._in_table(packet, key)
            wrong = self._wrong_choice(packet, key, known) if known else None
            if wrong:
                return wrong
            if known:
                self.calls[key] = known
                self.replies[known.turned, key[1]] = key[0].turned
        if known is None:
            if _begins(packet) and self._has_way(packet, key):
                return "it begins a flow, and does not go on"
            return self._wrong_with(packet, seen, None)
        wanted = _rewritten(packet, known, seen, self._segment)
        self.forwarded += _is_as(seen, wanted)
        return self._wrong_with(packet, seen, wanted)

    def _in_table(self, packet: bytes, key: Key) -> Ends | None:
        """How a flow leaves of which no packet has left: it was too large, or nothing led there."""
        if not self._may_begin(packet):
            return None
        ends = key[0]
        client = packed_address(ends.source), ends.source_port, _frontend(key)
        for flow in self.lb.flows():
            if (bytes(flow.client), flow.client_port, flow.frontend) == client:
                source, backend = (_address(bytes(one)) for one in (flow.source, flow.backend))
                return Ends(source, flow.source_port, backend, flow.backend_port)
        return None

    def _may_begin(self, packet: bytes) -> bool:
        """A connection goes on in its middle only where its client is seen as ever the same."""
        return _begins(packet) or (self.service.mapped_by is not None and not _sign(packet) & 4)

    def _wrong_choice(self, packet: bytes, key: Key, new: Ends) -> str | None:
        """Of a new flow."""
        ends, family = key[0], new.destination.version
        if not self._may_begin(packet):
            return "a flow begins in its middle"
        if _BACKENDS.get(new.destination) not in self.ring:
            return f"{new.destination} is no backend that takes new flows"
        if new.destination_port != BACKEND_PORT:
            return f"to port {new.destination_port}"
        if self.service.mapped_by is not None:
            if new.source != IPv6Address(f"64:ff9b::{ends.source}"):
                return f"the client is seen as {new.source}"
        elif new.source not in POOL[family]:
            return f"{new.source} is not of the pool"
        if new.source_port != ends.source_port and new.source_port < 1024:
            return f"port {new.source_port} is a well-known one"
        if (new.turned, key[1]) in self.replies:
            return "another flow has that source"
        return None

    def _has_way(self, packet: bytes, key: Key) -> bool:
        """Whether a new flow goes on, whichever backend it goes to."""
        ends = key[0]
        for backend, id in _BACKENDS.items():
            if id not in self.ring:
                continue
            source: AnyAddress = POOL[backend.version][0]
            is_46 = (ends.source.version, backend.version) == (4, 6)
            if self.service.mapped_by is not None and not is_46:
                return False
            new = Ends(source, ends.source_port, backend, BACKEND_PORT)
            wanted = _rewritten(packet, new, None, self._segment)
            if not isinstance(wanted, bytes) or leads_nowhere(wanted):
                return False
        return not _is_fragment(packet)

    def _wrong_with(
        self, packet: bytes, seen: Seen, wanted: bytes | SlowPath | None, *, is_due: bool = True
    ) -> str | None:
        """`wanted`: as it has to leave, None: it must not; `is_due`: it has to."""
        if _is_as(seen, wanted):
            return None
        if seen.verdict == "pass":
            return "it passes"
        if _is_slow(seen):
            if isinstance(wanted, SlowPath) or _is_fragment(packet):
                return None
            return "it takes the slow path"
        if is_on(packet, seen):
            if wanted is None or isinstance(wanted, SlowPath):
                return f"it goes on, and should not: {wanted}"
            return f"it goes on otherwise than {wanted.hex()}"
        if isinstance(wanted, bytes) and is_due:
            has_way = not _is_fragment(packet) and not leads_nowhere(wanted)
            if has_way:
                return f"it does not go on as {wanted.hex()}"
        return _wrong_with_answer(packet, seen)

    def _wrong_with_other(self, packet: bytes, seen: Seen) -> str | None:
        """What is of no flow, and for no service."""
        if not has_addresses(packet) or not self._is_ours(addresses_of(packet)[1]):
            if _is_slow(seen) and _is_fragment(packet):
                return None
            if seen.verdict == "pass":
                return (
                    None if seen.packet[: len(packet)] == packet else "it was changed, and passes"
                )
            return None if seen.verdict == "drop" else _wrong_by_prefix(packet, seen)
        if seen.verdict == "pass" and not _is_solicitation(packet):
            return "it passes"
        return self._wrong_with(packet, seen, None) if seen.verdict == "redirect" else None

    def _is_ours(self, to: AnyAddress) -> bool:
        if str(to) in VIPS.values():
            return True
        return self.service.mapped_by is None and to in POOL[to.version]

    # ---- what has to be in the tables ----

    def wrong_tables(self) -> str | None:
        """Behind a batch."""
        found = {}
        for flow in self.lb.flows():
            back = (bytes(flow.backend), flow.backend_port, bytes(flow.source), flow.source_port)
            if (*back, flow.protocol) in found:
                return f"two flows have one source: {back}"
            found[*back, flow.protocol] = (bytes(flow.client), flow.client_port)
        for (ends, protocol), new in self.calls.items():
            of = SessionProtocol.SESSION_TCP if protocol == _TCP else SessionProtocol.SESSION_UDP
            back = (
                packed_address(new.destination),
                new.destination_port,
                packed_address(new.source),
                new.source_port,
            )
            client = packed_address(ends.source), ends.source_port
            if found.get((*back, of)) != client:
                return f"a flow is not in the table: {ends}, {new}"
        return None


def _address(packed: bytes) -> AnyAddress:
    address = IPv6Address(packed)
    return address.ipv4_mapped or address


def _key(packet: bytes | None, *, quoted: bool = False) -> Key | None:
    ends = ends_of(packet, quoted=quoted) if packet else None
    return (ends, upper_of(packet).protocol) if packet and ends else None


def _turned(key: Key) -> Key:
    return key[0].turned, key[1]


def _frontend(key: Key) -> int | None:
    """The id of the one that it is to."""
    return FRONTENDS.get((str(key[0].destination), key[0].destination_port, key[1]))


def _sign(packet: bytes) -> int:
    """Flags of a TCP segment: 4 is RST, 2 is SYN."""
    return int.from_bytes(packet[upper_of(packet).at + 13 :][:1])


def _begins(packet: bytes) -> bool:
    return upper_of(packet).protocol == _UDP or _sign(packet) & 6 == 2


def _is_fragment(packet: bytes) -> bool:
    """Or what might be one."""
    if packet[0] >> 4 == 4:
        return len(packet) < 20 or bool(int.from_bytes(packet[6:8]) & 0x3FFF)
    try:
        return upper_of(packet).is_fragment
    except Refused:
        return True


def _is_slow(seen: Seen) -> bool:
    return seen.verdict == "redirect" and seen.frame[:6] == FAR_MAC


def _is_as(seen: Seen, wanted: bytes | SlowPath | None) -> bool:
    """Whether it was sent so. Behind the IP packet there may be padding."""
    return isinstance(wanted, bytes) and (
        seen.verdict == "redirect" and seen.packet[: len(wanted)] == wanted
    )


def is_on(packet: bytes, seen: Seen) -> bool:
    """Whether it was sent, and not answered."""
    if seen.verdict != "redirect" or _is_slow(seen):
        return False
    return not _is_answer(packet, seen.packet)


def _is_answer(packet: bytes, out: bytes) -> bool:
    """An ICMP message to who has sent, which is not what an ICMP message has become."""
    if out[0] >> 4 != packet[0] >> 4 or (out[9] if out[0] >> 4 == 4 else out[6]) not in (1, 58):
        return False
    return addresses_of(out)[1] == addresses_of(packet)[0]


def _is_solicitation(packet: bytes) -> bool:
    try:
        return packet[0] >> 4 == 6 and packet[upper_of(packet).at] == 135 and packet[7] == 255
    except Refused:
        return False


def _rewritten(
    packet: bytes, new: Ends, seen: Seen | None, segment: int
) -> bytes | SlowPath | None:
    """With the identification that was drawn, if one was."""
    drawn = 0
    if seen and seen.verdict == "redirect" and seen.packet[0] >> 4 == 4:
        drawn = int.from_bytes(seen.packet[4:6])
    try:
        return packet_with(packet, new, drawn, segment)
    except Refused:
        return None


def _rewritten_error(packet: bytes, new: Ends, seen: Seen) -> bytes | SlowPath | None:
    wanted: bytes | SlowPath | None = None
    for drawn in sorted(identifications(seen)):
        try:
            wanted = error_with(packet, new, drawn)
        except Refused:
            return None
        if isinstance(wanted, bytes) and seen.packet[: len(wanted)] == wanted:
            break
    return wanted


def _wrong_by_prefix(packet: bytes, seen: Seen) -> str | None:
    reasons = _reason(TRANSLATOR, packet, seen, "xdp")
    return None if reasons is not None else "it is not what the prefix makes of it"


def _wrong_with_answer(packet: bytes, seen: Seen) -> str | None:
    """An ICMP error about it, an echo, or nothing."""
    if seen.verdict == "drop":
        return None
    if seen.verdict != "redirect":
        return f"it came to {seen.verdict}"
    out = seen.packet
    source, called = addresses_of(out)[0], addresses_of(packet)[1]
    kind, code = out[upper_of(out).at], out[upper_of(out).at + 1]
    if kind in (0, 129):
        return None if out[: len(packet)] == own_echo(packet) else "it is no answer to an echo"
    if source not in (called, OWN4, OWN6):
        return f"the answer is from {source}"
    at = upper_of(out).at + 4
    answer = Answer(kind, code, int.from_bytes(out[at : at + 4]))
    try:
        if out[0] >> 4 == 4:
            wanted = icmpv4_error(answer, packet, source)  # type: ignore[arg-type]
        else:
            wanted = icmpv6_error(answer, packet, source)  # type: ignore[arg-type]
    except Refused as why:
        return f"it is answered, and makes no sense: {why}"
    if wanted is None:
        return "it must not be answered"
    return None if out[: len(wanted)] == wanted else f"the answer is not {wanted.hex()}"
