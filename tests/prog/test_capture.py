# SPDX-License-Identifier: Apache-2.0
"""Capturing programs: one record a packet, as it came and as it left, and nothing else changed."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from sixlane.bpf import SkBuff, XdpMd, possible_cpus
from sixlane.datapath.capturing import Captured, CaptureReader, Rule, capturing
from sixlane.datapath.clock import jiffies_per_second
from sixlane.datapath.objects import UPLINK, object_path
from sixlane.rfc.rfc7915 import Prefix, Translator
from tests import needs
from tests.packets import ip4, ip6, ping4, tcp, udp
from tests.world import WAN_PEER_MAC, Entry, World

pytestmark = [pytest.mark.prog, needs.root]

ENTRIES = pytest.mark.parametrize("entry", ["xdp", "tc"])
POOL6 = IPv6Network("64:ff9b::/96")


class Box:
    """The capturing programs over the tables of a world."""

    def __init__(self, world: World, reader: CaptureReader, programs: dict[str, object]) -> None:
        self.world, self.reader = world, reader
        self._programs = programs

    def run(self, packet: bytes, entry: Entry, link: bytes | None = None) -> tuple[int, bytes]:
        v6 = packet[0] >> 4 == 6
        device = self.world.lan if v6 else self.world.wan
        ether = device.mac + WAN_PEER_MAC + (b"\x86\xdd" if v6 else b"\x08\x00")
        frame = (link or ether) + packet
        context = (
            XdpMd.of(frame, ingress_ifindex=device.ifindex)
            if entry == "xdp"
            else SkBuff(ifindex=device.ifindex)
        )
        program = self._programs[f"uplink_{entry}"]
        ran = program.run(frame, ctx=bytes(context), data_out_size=len(frame) + 256)  # type: ignore[attr-defined]
        return ran.retval, bytes(ran.data)

    def one(self) -> Captured:
        [captured] = self.reader.read(10)
        return captured


@contextmanager
def box(world: World, rule: Rule | None = None) -> Iterator[Box]:
    constants = {"jiffies_per_second": jiffies_per_second()}
    pinned = world.datapath.maps()
    with capturing(object_path(UPLINK), pinned, constants, rule or Rule()) as (reader, programs):
        yield Box(world, reader, dict(programs))


@pytest.fixture
def ready(world: World) -> World:
    prefix = Prefix("services", POOL6, (IPv4Network("192.175.48.0/24"),), None, ())
    world.configure(Translator((prefix,), IPv4Address("193.0.14.1"), IPv6Address("2001:db8::1")))
    return world


@ENTRIES
def test_before_and_after(ready: World, entry: Entry) -> None:
    with box(ready) as one:
        for packet in (ip4() / udp(), ip6() / tcp(), ip4() / udp()):
            before = ready.datapath.counters().reasons
            _, sent = one.run(bytes(packet), entry)
            captured = one.one()
            assert captured.outcome == "sent"
            assert captured.entry == entry
            assert captured.before[14:] == bytes(packet)
            assert captured.before_bytes == len(packet) + 14
            assert captured.after == sent
            assert captured.after_bytes == len(sent)
            [reason] = [reason.name.lower() for reason in captured.reasons]
            assert ready.datapath.counters().reasons[reason].packets == before[reason].packets + 1


@ENTRIES
def test_dropped_answered_and_passed(ready: World, entry: Entry) -> None:
    with box(ready) as one:
        one.run(bytes(ip4(ttl=1) / udp()), entry)
        answered = one.one()
        names = [reason.name for reason in answered.reasons]
        assert (answered.outcome, names) == ("dropped", ["DROP_TTL_EXPIRED", "ICMP_ERROR_SENT"])
        assert answered.after is not None
        assert answered.after[14 + 9] == 1  # ICMP
        assert answered.before[14:] == bytes(ip4(ttl=1) / udp())
        one.run(bytes(ip4(src="127.0.0.1") / udp()), entry)
        dropped = one.one()
        assert (dropped.outcome, dropped.after) == ("dropped", None)
        one.run(bytes(ip4(dst="8.8.8.8") / udp()), entry)
        passed = one.one()
        assert (passed.outcome, passed.after) == ("passed", None)


@ENTRIES
@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        (Rule(outcomes=frozenset({"dropped"})), ["expired"]),
        (Rule(outcomes=frozenset({"sent"})), ["udp", "tcp", "ping"]),
        (Rule(outcomes=frozenset({"passed"})), ["other"]),
        (Rule(protocol="tcp"), ["tcp"]),
        (Rule(protocol="udp"), ["udp", "expired", "other"]),
        (Rule(protocol="icmp"), ["ping"]),
        (Rule(protocol="udp", port=53), ["udp", "expired", "other"]),
        (Rule(protocol="udp", port=40000), ["udp", "expired", "other"]),
        (Rule(protocol="udp", port=54), []),
        (Rule(ifindex=99), []),
    ],
)
def test_what_is_asked_for(ready: World, entry: Entry, rule: Rule, wanted: list[str]) -> None:
    packets = {
        "udp": ip4() / udp(),
        "tcp": ip4() / tcp(),
        "ping": ip4() / ping4(),
        "expired": ip4(ttl=1) / udp(),
        "other": ip4(dst="8.8.8.8") / udp(),
    }
    with box(ready, rule) as one:
        for packet in packets.values():
            one.run(bytes(packet), entry)
        found = {captured.before[14:] for captured in one.reader.read(10)}
    assert found == {bytes(packets[name]) for name in wanted}


@ENTRIES
@pytest.mark.parametrize("size", [1, 63, 64, 65, 1400])
def test_how_much_is_kept(ready: World, entry: Entry, size: int) -> None:
    packet = bytes(ip4() / udp(size))
    with box(ready, Rule(frame_bytes=64)) as one:
        _, sent = one.run(packet, entry)
        captured = one.one()
    assert captured.before[14:] == packet[:50]
    assert captured.before_bytes == len(packet) + 14
    assert captured.after == sent[:64]
    assert captured.after_bytes == len(sent)


@ENTRIES
def test_over_the_rate(ready: World, entry: Entry) -> None:
    """A second's worth is there at once, and each one more is counted."""
    time.sleep(1.1)  # until the budget is whole again
    with box(ready, Rule(packets_per_second=4 * possible_cpus())) as one:
        verdicts = {one.run(bytes(ip4() / udp()), entry)[0] for _ in range(100)}
        captured, (limited, lost) = one.reader.read(200), one.reader.missed()
    assert len(verdicts) == 1
    assert 4 <= len(captured) < 100
    assert len(captured) + limited == 100
    assert lost == 0


@ENTRIES
def test_nobody_reads(ready: World, entry: Entry) -> None:
    """The ring is full: packets go on, and each that is not there is counted."""
    count, packet = 3_000, bytes(ip4() / udp(1400))
    with box(ready, Rule(packets_per_second=1_000_000)) as one:
        verdicts = {one.run(packet, entry)[0] for _ in range(count)}
        there = sum(len(found) for found in iter(lambda: one.reader.read(256), []))
        limited, lost = one.reader.missed()
    assert len(verdicts) == 1
    assert lost > 0
    assert there + lost + limited == count
