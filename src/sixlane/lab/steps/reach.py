# SPDX-License-Identifier: Apache-2.0
"""Who answers, and who stands on the way: ping and traceroute."""

import re

from sixlane.lab.programs import Ran
from sixlane.lab.session import Seen, Session
from sixlane.lab.topology import (
    GATEWAY4,
    GATEWAY6,
    ROUTER_IPV4,
    SERVICE4,
    WEB4,
    WEB4_NAME,
    embed,
)

PINGS = 3
_AVERAGE = re.compile(r"rtt min/avg/max/mdev = [\d.]+/([\d.]+)/")
_HOP = re.compile(r"^\s*\d+\s+(\S+)(?:\s+([\d.]+) ms)?", re.MULTILINE)

HOPS_46 = ["192.31.196.9", GATEWAY4, ROUTER_IPV4["leaf"], ROUTER_IPV4["node1"], SERVICE4]
HOPS_64 = [
    "2001:db8:64:2::1",
    "2001:db8:64:f2::1",
    GATEWAY6,
    embed("192.31.196.2"),
    embed("192.31.196.18"),
    embed(WEB4),
]


def ping_46(session: Session) -> Seen:
    return ping(session, "client", SERVICE4)


def ping_64(session: Session) -> Seen:
    return ping(session, "pod2", WEB4_NAME)


def traceroute_46(session: Session) -> Seen:
    return _traceroute(session, "client", SERVICE4, HOPS_46)


def traceroute_64(session: Session) -> Seen:
    return _traceroute(session, "pod2", embed(WEB4), HOPS_64)


def ping(session: Session, host: str, to: str, *options: str) -> Seen:
    """A few echo requests, all of which have to be answered."""
    argv = ["ping", "-n", "-c", str(PINGS), "-i", "0.2", "-W", "2", *options, to]
    ran = session.run_ok(host, argv)
    received = f"{PINGS} received, 0% packet loss"
    session.need(received in ran.out, f"not {received}", ran)
    return Seen(f"{PINGS} of {PINGS} answered", average_ms(session, ran))


def average_ms(session: Session, ran: Ran) -> float:
    """The average round trip that ping prints."""
    found = _AVERAGE.search(ran.out)
    session.need(found is not None, "ping printed no round trip", ran)
    assert found is not None
    return float(found[1])


def _traceroute(session: Session, host: str, to: str, expected: list[str]) -> Seen:
    argv = ["traceroute", "-n", "-q", "1", "-w", "2", "-m", "12", to]
    ran = session.run_ok(host, argv)
    hops = _HOP.findall(ran.out)
    seen = [address for address, _ in hops]
    session.need(seen == expected, f"the hops are not {', '.join(expected)}", ran)
    return Seen(f"{len(seen)} hops: {' '.join(seen)}", float(hops[-1][1]))
