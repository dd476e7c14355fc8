# SPDX-License-Identifier: Apache-2.0
"""The data path equals the reference, byte for byte, in both entries, on generated packets."""

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

import pytest
from hypothesis import HealthCheck, given, settings

from sixlane.errors import KernelError
from sixlane.rfc.checksum import checksum
from sixlane.rfc.outcome import Drop, Forward, Outcome, Pass
from sixlane.rfc.rfc7915 import Translator
from tests import needs
from tests.diff.strategies import CONFIGURATIONS, build_packet, build_super_packet, cases
from tests.world import Entry, Seen, World, raise_world

pytestmark = [pytest.mark.diff, needs.root]

SEEDS = int(os.environ.get("SEEDS", 500))
"""For each configuration and entry, and each twice: 20,000 in all, beside those of hypothesis."""


@dataclass(frozen=True)
class Expected:
    """`packet`: what is sent, None where nothing is or where its bytes are not compared."""

    verdict: str
    reason: str
    packet: bytes | None


def expected(outcome: Outcome) -> Expected:
    """What the data path has to do where the reference comes to this outcome."""
    if isinstance(outcome, Forward):
        reason = "forward_hairpin" if outcome.direction == 66 else f"forward_{outcome.direction}"
        return Expected("redirect", reason, outcome.packet)
    if isinstance(outcome, Pass):
        return Expected("pass", f"pass_{outcome.reason.lower()}", None)
    if isinstance(outcome, Drop):
        verdict = "redirect" if outcome.error else "drop"
        return Expected(verdict, f"drop_{outcome.reason.lower()}", outcome.error)
    return Expected("redirect", "forward_slow_path", None)


def identifications(seen: Seen) -> set[int]:
    """The data path draws identifications: its own, which the reference is told, of the packet or
    of the one it quotes."""
    packet = seen.packet
    if seen.verdict != "redirect" or len(packet) < 20 or packet[0] >> 4 != 4:
        return {0}
    return {int.from_bytes(packet[4:6]), int.from_bytes(packet[32:34])}


def pool_picks(translator: Translator, seen: Seen) -> set[int]:
    """Which address of RFC 6791's pool was drawn, if one was."""
    packet, before = seen.packet, 0
    if seen.verdict != "redirect" or len(packet) < 20 or packet[0] >> 4 != 4:
        return {0}
    source = IPv4Address(packet[12:16])
    for network in translator.icmp_pool:
        if source in network:
            return {before + int(source) - int(network[0])}
        before += network.num_addresses
    return {0}


def has_no_route(packet: bytes | None) -> bool:
    """Destinations that the kernel routes nowhere; the reference knows no routes."""
    if packet is None or packet[0] >> 4 != 4:
        return False
    destination = IPv4Address(packet[16:20])
    return (
        destination.is_multicast
        or destination.is_reserved
        or destination.is_loopback
        or destination.packed[0] == 0
    )


def is_too_short_for_a_test_run(packet: bytes) -> bool:
    """The kernel refuses to make an skb of less than the header that its EtherType announces."""
    return len(packet) < (40 if packet[:1] and packet[0] >> 4 == 6 else 20)


def compare(
    world: World,
    translator: Translator,
    packet: bytes,
    entry: Entry,
    segment_bytes: int | None = None,
) -> None:
    """Twice: while nothing is remembered, and then behind a packet between the same addresses."""
    world.datapath.forget_next_hops()
    _compare_once(world, translator, packet, entry, segment_bytes)
    between = plain_between(packet)
    if between:
        world.run(between, entry)
    _compare_once(world, translator, packet, entry, segment_bytes)


def plain_between(packet: bytes) -> bytes | None:
    """A datagram of the same addresses about which there is nothing else; None: they cannot be
    read."""
    datagram = bytes.fromhex("9c40 0035 0008 1234")  # the checksum is not looked at
    if len(packet) >= 20 and packet[0] >> 4 == 4:
        header = bytearray.fromhex("4500 001c 0000 4000 4011 0000") + packet[12:20]
        header[10:12] = checksum(bytes(header)).to_bytes(2, "big")
        return bytes(header) + datagram
    if len(packet) >= 40 and packet[0] >> 4 == 6:
        return bytes.fromhex("6000 0000 0008 1140") + packet[8:40] + datagram
    return None


def _compare_once(
    world: World, translator: Translator, packet: bytes, entry: Entry, segment_bytes: int | None
) -> None:
    try:
        seen = world.run(packet, entry, gso_bytes=segment_bytes or 0)
    except KernelError:
        assert entry == "tc"
        assert is_too_short_for_a_test_run(packet)
        return
    reasons = [name for name in seen.reasons if not name.startswith("icmp_error")]
    wanted = [
        expected(
            translator.translate(
                packet, identification=number, pool_pick=pick, segment_bytes=segment_bytes
            )
        )
        for number in identifications(seen)
        for pick in pool_picks(translator, seen)
    ]
    if reasons == ["drop_no_route"] and has_no_route(wanted[0].packet):
        return
    assert len(reasons) == 1
    got = {_like(one, seen, reasons[0]) for one in wanted}
    assert got & set(wanted), f"{entry}: {packet.hex()}\nseen {got}\nwanted {wanted}"


def _like(wanted: Expected, seen: Seen, reason: str) -> Expected:
    """What was seen, as far as it is compared. Behind the IP packet there may be padding."""
    packet = None if wanted.packet is None else seen.packet[: len(wanted.packet)]
    return Expected(seen.verdict, reason, packet)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with raise_world() as raised:
        yield raised


@pytest.mark.parametrize("entry", ["xdp", "tc"])
@pytest.mark.parametrize("number", range(len(CONFIGURATIONS)))
def test_seeds(world: World, number: int, entry: Entry) -> None:
    translator = CONFIGURATIONS[number]
    world.configure(translator)
    for seed in range(SEEDS):
        compare(world, translator, build_packet(random.Random(seed), translator), entry)


@pytest.mark.parametrize("number", range(len(CONFIGURATIONS)))
def test_super_packets(world: World, number: int) -> None:
    """GSO, which only tc sees. A test run takes a page: tests/netns/test_big_tcp.py has more."""
    translator = CONFIGURATIONS[number]
    world.configure(translator)
    for seed in range(SEEDS // 4):
        packet, segment_bytes = build_super_packet(random.Random(seed), translator)
        compare(world, translator, packet, "tc", segment_bytes)


@pytest.mark.parametrize("entry", ["xdp", "tc"])
def test_hypothesis(world: World, entry: Entry) -> None:
    """What hypothesis finds it shrinks: to one seed and few mutations."""
    in_force: list[Translator] = []

    @settings(
        max_examples=600, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(cases())
    def run(case: tuple[Translator, bytes]) -> None:
        translator, packet = case
        if in_force[-1:] != [translator]:
            world.configure(translator)
            in_force.append(translator)
        compare(world, translator, packet, entry)

    run()
