# SPDX-License-Identifier: Apache-2.0
"""Packets to and from a service that is translated, ICMP errors about them, and mutants of all,
through both entries. Each is made after the one before has come through: an answer goes to whatever
its client is seen as.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from scapy.layers.inet import ICMP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6PacketTooBig, ICMPv6TimeExceeded
from scapy.packet import Packet, Raw

from tests.fuzz.checking import ENTRIES, Difference, left_for, sent
from tests.fuzz.mutating import BYTES_MAX, mutant
from tests.fuzz.rewritten import Ends, addresses_of, ends_of, upper_of
from tests.fuzz.turned import FRONTENDS, Turned, is_on
from tests.fuzz.unknown import looks_unfinished
from tests.packets import ping4, ping6, tcp, udp
from tests.services import Balanced, raise_balanced
from tests.translated import (
    BACKEND_PORT,
    BACKENDS,
    CLIENTS,
    DNS,
    NAT,
    OTHER_WEB,
    POOL,
    TRANSLATOR,
    VIPS,
    WEB,
    headed,
    mapped,
    settle,
)

_TCP, _UDP = 6, 17
_CLIENTS = {
    4: (CLIENTS[4], "192.31.196.11", BACKENDS[4]),
    6: (CLIENTS[6], "2001:db8:1::6", BACKENDS[6]),
}
_ROUTERS = {4: "192.31.196.77", 6: "2001:db8:9::9"}
_SEGMENT = 1300
_FLOWS = 512
"""More than a batch makes."""


@contextmanager
def raise_turned() -> Iterator[Balanced]:
    with raise_balanced(TRANSLATOR, flows=_FLOWS) as lb:
        yield lb


def check_turned(lb: Balanced, seed: int, batch: int, count: int = 200) -> Difference | None:
    """`count` packets, each through both entries; the same each time, but for what is drawn."""
    rng = random.Random(f"turned {seed} {batch}")
    service = rng.choice((NAT, replace(NAT, max_segment_bytes=_SEGMENT), mapped(lb)))
    ring = rng.choice(((1,), (2,), (1, 2), (1, 3), (2, 4), (1, 2, 3, 4)))
    settle(lb)
    lb.ring(ring)
    lb.commit(service)
    turned = Turned(lb, service, ring)
    sender = _Sender(rng, turned)
    frontends = sorted(FRONTENDS.values())
    before = sum(lb.frontend_count(id)[0] for id in frontends)
    lb.world.counted()
    runs = 0
    for _ in range(count):
        packet, sound = sender.packet()
        for entry in ENTRIES:
            seen = sent(lb.world, packet, entry)
            if seen is None:
                continue
            runs += 1
            wrong = turned.wrong_with(packet, seen, sound=sound)
            if wrong and entry == "tc" and looks_unfinished(packet):
                return None  # one in 65,536 mutants does
            if wrong:
                told = f"{service.name} {ring}: {wrong}: {packet.hex()}"
                return Difference((packet,), entry, f"{told}, {seen.verdict} {seen.packet.hex()}")
            left = ends_of(seen.packet) if is_on(packet, seen) else None
            if left and left.source != left.destination:
                sender.sent = [*sender.sent[-30:], seen.packet]
    return _wrong_behind(turned, runs, before)


def _wrong_behind(turned: Turned, runs: int, before: int) -> Difference | None:
    lb = turned.lb
    counted = left_for(lb.world.counted())
    if sum(counted.values()) != runs:
        return Difference((), "xdp", f"{runs} packets are counted as {counted}")
    forwarded = sum(lb.frontend_count(id)[0] for id in sorted(FRONTENDS.values())) - before
    if forwarded != turned.forwarded:
        told = f"{turned.forwarded} packets to backends are counted as {forwarded}"
        return Difference((), "xdp", told)
    wrong = turned.wrong_tables()
    return Difference((), "xdp", wrong) if wrong else None


@dataclass
class _Sender:
    """Makes packets of a batch, from what has come of those before. `recent`: some that were good;
    `sent`: each with what it has become."""

    rng: random.Random
    turned: Turned
    recent: list[bytes] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)

    def packet(self) -> tuple[bytes, bool]:
        """And whether it is good."""
        made = bytes(self._made())[:BYTES_MAX]
        self.recent = [*self.recent[-30:], made]
        if self.rng.random() < 0.5:
            return made, True
        return mutant(self.rng, made, self.rng.choice(self.recent)), False

    def _made(self) -> bytes:
        ways = [self._call, self._call, self._stray]
        if self.turned.calls:
            ways += [self._again, self._reply, self._reply]
        if self.sent:
            ways += [self._error, self._error]
        return self.rng.choice(ways)()

    def _fields(self, family: int) -> dict[str, object]:
        hops = self.rng.choice((64, 64, 64, 64, 2, 1))
        if family == 6:
            return {"hlim": hops}
        flags = self.rng.choice(("DF", "DF", ""))
        options = b"\x01\x01\x01\x00" if self.rng.random() < 0.2 else b""
        return {"ttl": hops, "flags": flags, "options": options}

    def _upper(self, protocol: int, sport: int, dport: int) -> Packet:
        size = self.rng.choice((0, 1, 64, 64, 900, 1252, 1440, 1460))
        if protocol == _UDP:
            none = {"chksum": 0} if self.rng.random() < 0.1 else {}
            return udp(size, sport=sport, dport=dport, **none)
        flags = self.rng.choice(("S", "S", "SA", "A", "A", "FA", "R"))
        options = [("MSS", self.rng.choice((1200, 1460)))] if "S" in flags else []
        return tcp(size, sport=sport, dport=dport, flags=flags, options=options)

    def _call(self) -> bytes:
        family = self.rng.choice((4, 6))
        protocol, port = self.rng.choice(
            ((_TCP, WEB), (_TCP, WEB), (_TCP, OTHER_WEB), (_UDP, DNS), (_UDP, DNS), (_TCP, 443))
        )
        spoofed = self.rng.random() < 0.05  # as if it were from the frontend itself
        own = self.rng.choice((WEB, DNS, 40000)) if spoofed else self.rng.randrange(40000, 40008)
        upper = self._upper(protocol, own, port)
        client = VIPS[family] if spoofed else self.rng.choice(_CLIENTS[family])
        ends = {"src": client, "dst": VIPS[family]}
        return headed(family, upper, **(ends | self._fields(family)))

    def _between(self, ends: Ends, protocol: int) -> bytes:
        family = ends.source.version
        upper = self._upper(protocol, ends.source_port, ends.destination_port)
        addresses = {"src": str(ends.source), "dst": str(ends.destination)}
        return headed(family, upper, **(addresses | self._fields(family)))

    def _again(self) -> bytes:
        return self._between(*self.rng.choice(list(self.turned.calls)))

    def _reply(self) -> bytes:
        return self._between(*self.rng.choice(list(self.turned.replies)))

    def _stray(self) -> bytes:
        """To what clients are seen as, or an echo to a frontend."""
        family = self.rng.choice((4, 6))
        if self.rng.random() < 0.5:
            ping = ping4() if family == 4 else ping6()
            return headed(family, ping, src=_CLIENTS[family][0], dst=VIPS[family])
        pool = str(self.rng.choice(list(POOL[family])))
        upper = self._upper(self.rng.choice((_TCP, _UDP)), BACKEND_PORT, 40000)
        return headed(family, upper, src=BACKENDS[family], dst=pool)

    def _error(self) -> bytes:
        """About a packet that was sent on, from whom it went to or from a router."""
        quote = self.rng.choice(self.sent)
        family = quote[0] >> 4
        source, destination = addresses_of(quote)
        router = self.rng.choice((_ROUTERS[family], str(destination)))
        mtu = self.rng.choice((576, 1280, 1400, 1500, 9000))
        kinds: tuple[Packet, ...] = (
            ICMP(type=3, code=self.rng.choice((1, 3))),
            ICMP(type=3, code=4, nexthopmtu=mtu),
            ICMP(type=11, code=0),
        )
        if family == 6:
            kinds = ICMPv6DestUnreach(code=4), ICMPv6PacketTooBig(mtu=mtu), ICMPv6TimeExceeded()
        kept = self.rng.choice((len(quote), 400, upper_of(quote).at + 8))
        error = self.rng.choice(kinds) / Raw(quote[: min(kept, 1200)])
        return headed(family, error, src=router, dst=str(source))
