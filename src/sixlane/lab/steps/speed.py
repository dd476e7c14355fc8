# SPDX-License-Identifier: Apache-2.0
"""How much gets through, by iperf3. Two shared cores carry all hosts: a figure, no benchmark."""

import re

from sixlane.lab.session import Seen, Session
from sixlane.lab.topology import SERVICE4, WEB4, embed

SECONDS = 2
_RECEIVED = re.compile(r"([\d.]+) Mbits/sec\s+receiver")


def stream_46(session: Session) -> Seen:
    return _both_ways(session, "client", SERVICE4)


def stream_64(session: Session) -> Seen:
    return _both_ways(session, "pod2", embed(WEB4))


def _both_ways(session: Session, host: str, to: str) -> Seen:
    sent = _stream(session, host, to)
    received = _stream(session, host, to, "--reverse")
    return Seen(f"{SECONDS} s there, {SECONDS} s back", bits_per_second=(sent, received))


def _stream(session: Session, host: str, to: str, *options: str) -> float:
    """One TCP stream; what the receiver counted, in bits per second."""
    argv = ["iperf3", "-c", to, "-t", str(SECONDS), "-i", "0", "-f", "m", *options]
    ran = session.run_ok(host, argv, timeout=SECONDS + 10)
    found = _RECEIVED.search(ran.out)
    session.need(found is not None, "iperf3 printed no figure", ran)
    assert found is not None
    bits = float(found[1]) * 1e6
    session.need(bits > 0, "nothing arrived", ran)
    return bits
