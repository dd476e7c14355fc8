# SPDX-License-Identifier: Apache-2.0
"""Packets too large for a link: path-MTU discovery, and datagrams in fragments."""

import re
from dataclasses import dataclass

from sixlane.lab import echo, programs
from sixlane.lab.programs import Ran
from sixlane.lab.session import Seen, Session
from sixlane.lab.steps import reach, web
from sixlane.lab.topology import ETHERNET_MTU, POD_IPV4, SERVICE4, SMALL_MTU, WEB4, embed

IPV4_HEADER, IPV6_HEADER, ICMP_HEADER = 20, 40, 8
GROWTH = IPV6_HEADER - IPV4_HEADER
UPLOAD_BYTES = 2_000_000
DATAGRAM_BYTES = 6000

# What a host of either side has to learn about the link of 1400 bytes on the other.
LEARNED_46 = SMALL_MTU - GROWTH
LEARNED_64 = SMALL_MTU + GROWTH
# IPv4 packets of a full Ethernet frame do not even fit behind the gateway.
GATEWAY_46 = ETHERNET_MTU - GROWTH

_MTU = re.compile(r"\bmtu[ =]+(?:lock )?(\d+)")
_COUNTER = re.compile(r"^Ip6?ReasmOKs\s+(\d+)", re.MULTILINE)
_ROUND_TRIP = re.compile(r"^round trip ([\d.]+) ms", re.MULTILINE)


def discovery_46(session: Session) -> Seen:
    """The gateway itself answers what is too large for it, and translates what leaf answers."""
    pinged = POD_IPV4["pod1"]
    need_too_big(session, "client", pinged, packet=ETHERNET_MTU, mtu=GATEWAY_46)
    need_too_big(session, "client", pinged, packet=GATEWAY_46, mtu=LEARNED_46)
    fits = _ping_unfragmented(session, "client", pinged, LEARNED_46)
    session.need(fits.status == 0, f"{LEARNED_46} bytes do not get through", fits)
    _upload_learns(session, "client", SERVICE4, SERVICE4, LEARNED_46)
    return Seen(_found(LEARNED_46, "IPv6"), reach.average_ms(session, fits))


def discovery_64(session: Session) -> Seen:
    """inet answers in ICMPv4, which the gateway translates. (192.31.196.49 is isp's far side.)

    No ping of 1420 bytes here: the answer to it may be fragmented on its way, as IPv4 hosts leave
    DF off in echo replies, and fragments of ICMP are not translated (RFC 7915 1.2).
    """
    need_too_big(session, "pod2", embed("192.31.196.49"), packet=ETHERNET_MTU, mtu=LEARNED_64)
    _upload_learns(session, "pod2", embed(WEB4), f"[{embed(WEB4)}]", LEARNED_64)
    return Seen(_found(LEARNED_64, "IPv4"))


def datagram_46(session: Session) -> Seen:
    return _datagram(session, _Far("client", "pod1", SERVICE4))


def datagram_64(session: Session) -> Seen:
    return _datagram(session, _Far("pod2", "web4", embed(WEB4)))


def learned_mtu(session: Session, host: str, to: str) -> int | None:
    """The path MTU in bytes that a host remembers towards an address, if any."""
    ran = session.run_ok(host, ["ip", "route", "get", to])
    found = _MTU.search(ran.out)
    return int(found[1]) if found else None


def need_too_big(session: Session, host: str, to: str, *, packet: int, mtu: int) -> None:
    """A packet of `packet` bytes is answered with "too big", and an MTU of `mtu` bytes."""
    ran = _ping_unfragmented(session, host, to, packet)
    found = _MTU.search(ran.text)
    told = int(found[1]) if found else None
    session.need(told == mtu, f"told MTU {told} for a packet of {packet} bytes, not {mtu}", ran)


def _ping_unfragmented(session: Session, host: str, to: str, packet: int) -> Ran:
    """One echo request as an IP packet of `packet` bytes that routers may not fragment."""
    header = IPV6_HEADER if ":" in to else IPV4_HEADER
    size = packet - header - ICMP_HEADER
    return session.run(host, ["ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s", str(size), to])


def _upload_learns(session: Session, host: str, to: str, in_url: str, mtu: int) -> None:
    """TCP, whose segments are too large at first, arrives whole, and the host knows why."""
    web.upload(session, host, f"http://{in_url}/", UPLOAD_BYTES)
    ran = session.run_ok(host, ["ip", "route", "get", to])
    found = _MTU.search(ran.out)
    session.need(found is not None and int(found[1]) == mtu, f"no path MTU of {mtu}", ran)


def _found(mtu: int, family: str) -> str:
    megabytes = UPLOAD_BYTES / 1_000_000
    return f"path MTU {mtu} for {SMALL_MTU} in {family}; {megabytes:g} MB by TCP whole"


@dataclass(frozen=True)
class _Far:
    """An echo server, seen from a host that asks it at an address of its own family."""

    asker: str
    server: str
    address: str


def _datagram(session: Session, far: _Far) -> Seen:
    before = _reassembled(session, far)
    argv = [*programs.python(echo.__file__), "ask", far.address, str(DATAGRAM_BYTES)]
    ran = session.run_ok(far.asker, argv)
    after = _reassembled(session, far)
    for host, count in after.items():
        session.need(count > before[host], f"{host} put no fragments together", ran)
    found = _ROUND_TRIP.search(ran.out)
    round_trip = float(found[1]) if found else None
    return Seen(f"{DATAGRAM_BYTES} bytes in fragments, both ways, content the same", round_trip)


def _reassembled(session: Session, far: _Far) -> dict[str, int]:
    """How many datagrams each end has put together from fragments."""
    counts = {}
    for host in (far.asker, far.server):
        ran = session.run_ok(host, ["nstat", "-asz", "IpReasmOKs", "Ip6ReasmOKs"])
        counts[host] = sum(int(count) for count in _COUNTER.findall(ran.out))
    return counts
