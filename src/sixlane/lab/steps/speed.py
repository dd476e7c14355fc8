# SPDX-License-Identifier: Apache-2.0
"""How much gets through, by iperf3. Two shared cores carry all hosts: a figure, no benchmark."""

import contextlib
import re
import time
from collections.abc import Iterator

from sixlane.errors import SixlaneError
from sixlane.lab import gateway
from sixlane.lab.longest import longest_packet
from sixlane.lab.place import Place
from sixlane.lab.session import Seen, Session
from sixlane.lab.topology import LAB, SERVICE4, WEB4, embed
from sixlane.net import gso, netns

SECONDS = 2
BIG = 196_608
_WAY_64 = {"pod2", "node2", "leaf", "gw", "inet", "isp", "web4"}
_PATIENCE_S = 10.0
_RECEIVED = re.compile(r"([\d.]+) Mbits/sec\s+receiver")


def stream_46(session: Session) -> Seen:
    return _both_ways(session, "client", SERVICE4)


def stream_64(session: Session) -> Seen:
    return _both_ways(session, "pod2", embed(WEB4))


def big_tcp_64(session: Session) -> Seen:
    """Packets of more than 64 KiB all the way, where the gateway can see them: not by XDP."""
    to = embed(WEB4)
    plain = _stream(session, "pod2", to)
    with _big(session), longest_packet(session.place, "web4", "eth0") as longest:
        big = _stream(session, "pod2", to)
    if _is_attached_by_tc(session.place) and longest.bytes <= gso.ORDINARY:
        raise SixlaneError(f"no packet was longer than {longest.bytes} bytes")
    return Seen(
        f"off, then on: packets of up to {longest.bytes:,} bytes arrive",
        bits_per_second=(plain, big),
    )


@contextlib.contextmanager
def _big(session: Session) -> Iterator[None]:
    """Every device on the way takes and makes packets of up to BIG bytes."""
    ends = [
        (session.place.namespace(end.host), end.device)
        for link, end in LAB.ends()
        if {link.left.host, link.right.host} <= _WAY_64
    ]
    session.narrator.command(
        f"ip link set dev ... gso_max_size {BIG} gro_max_size {BIG} "
        f"gso_ipv4_max_size {BIG} gro_ipv4_max_size {BIG}    ({len(ends)} devices)"
    )
    before = gateway.generation(session.place)
    try:
        for namespace, device in ends:
            with netns.inside(namespace):
                gso.set_sizes(device, BIG)
        _await_generation_after(session.place, before)
        yield
    finally:
        for namespace, device in ends:
            with netns.inside(namespace):
                gso.set_sizes(device, gso.ORDINARY)


def _await_generation_after(place: Place, before: int) -> None:
    """The agent notices by itself, and has SYNs offer 8 bytes less."""
    deadline = time.monotonic() + _PATIENCE_S
    while gateway.generation(place) <= before:
        if time.monotonic() > deadline:
            raise SixlaneError("the gateway takes no notice of BIG TCP on its devices")
        time.sleep(0.1)


def _is_attached_by_tc(place: Place) -> bool:
    devices = gateway.read_status(place)["gateway"]["devices"]
    return all(device["attached"] in ("tcx", "clsact") for device in devices)


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
