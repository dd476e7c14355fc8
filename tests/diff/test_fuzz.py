# SPDX-License-Identifier: Apache-2.0
"""A short run of the fuzzer: the corpus, and some of its mutants. `make fuzz` is a long one."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from scapy.layers.inet import ICMP
from scapy.layers.inet6 import ICMPv6DestUnreach
from scapy.packet import Raw

from sixlane.rfc.checksum import checksum
from tests import needs
from tests.diff.configurations import CONFIGURATIONS
from tests.fuzz import corpus
from tests.fuzz.batches import configuration_of, packets_of
from tests.fuzz.called import (
    VIP4,
    check_called,
    packets_to_frontends,
    raise_called,
    wrong_with,
)
from tests.fuzz.checking import check, smaller
from tests.fuzz.turned import Turned
from tests.fuzz.turning import check_turned, raise_turned
from tests.packets import ip4, tcp, udp
from tests.services import Balanced
from tests.translated import IDS, NAT, SECOND, VIPS, call, changed, headed, settle, to_vip
from tests.world import Seen, World, raise_world

pytestmark = [pytest.mark.diff, needs.root]

NUMBERS = pytest.mark.parametrize("number", range(len(CONFIGURATIONS)))
BATCHES = 5  # of 200 packets, for each configuration


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with raise_world() as raised:
        yield raised


@NUMBERS
def test_corpus(world: World, number: int) -> None:
    translator = CONFIGURATIONS[number]
    packets = [kept.packet for kept in corpus.read() if kept.configuration == number]
    assert packets
    world.configure(translator)
    assert check(world, translator, packets) is None


@NUMBERS
def test_mutants(world: World, number: int) -> None:
    translator = CONFIGURATIONS[number]
    world.configure(translator)
    chosen = (batch for batch in range(10_000) if configuration_of(batch) == number)
    for batch, _ in zip(chosen, range(BATCHES), strict=False):
        difference = check(world, translator, packets_of(2, batch))
        assert difference is None, f"batch {batch}: {difference}"


def test_a_difference_is_found_and_made_smaller(world: World) -> None:
    """The reference is told of another MTU than the data path: 1,300 bytes differ, 100 do not."""
    translator = CONFIGURATIONS[0]
    world.configure(translator)
    told = replace(translator, lowest_ipv6_mtu=1400)
    good, bad = (bytes(ip4(flags="") / udp(size)) for size in (100, 1300))
    assert check(world, told, [good, good]) is None
    difference = check(world, told, [good, bad, good])
    assert difference is not None
    assert difference.packets == (bad,)
    small = smaller(world, told, bad, "tc")
    assert sum(byte != 0 for byte in small) < sum(byte != 0 for byte in bad) / 2


def test_a_packet_that_is_not_counted_is_found(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verdicts and bytes are right, and a counter is not."""
    translator = CONFIGURATIONS[0]
    world.configure(translator)
    packet = bytes(ip4() / udp(100))
    monkeypatch.setattr(world, "counted", dict)
    difference = check(world, translator, [packet])
    assert difference is not None


@pytest.fixture(scope="module")
def called() -> Iterator[Balanced]:
    with raise_called() as lb:
        yield lb


def test_packets_to_frontends(called: Balanced) -> None:
    for batch in range(10):
        difference = check_called(called, packets_to_frontends(2, batch))
        assert difference is None, f"batch {batch}: {difference}"


def _into(packet: bytes, lb: Balanced) -> Seen:
    seen = lb.world.send(packet, "xdp")
    assert seen.verdict == "redirect"
    assert wrong_with(packet, seen) is None
    return seen


@pytest.mark.parametrize(
    ("at", "wrong"),
    [(10, "outer header"), (12, "comes from"), (28, "another packet"), (60, "another packet")],
)
def test_a_tunnel_that_is_not_right_is_seen(called: Balanced, at: int, wrong: str) -> None:
    """Of IPv4: checksum and source outside, the hop limit and the last byte inside."""
    called.ring([1])
    packet = bytes(ip4(dst=str(VIP4)) / tcp(1))
    seen = _into(packet, called)
    called.ring([1, 2])
    changed = bytearray(seen.frame)
    changed[14 + at] ^= 1
    if at == 12:  # with a right checksum
        changed[24:26] = bytes(2)
        changed[24:26] = checksum(bytes(changed[14:34])).to_bytes(2)
    assert wrong in (wrong_with(packet, replace(seen, frame=bytes(changed))) or "")


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"src": "127.0.0.1"}, "a source that is none"),
        ({"ttl": 1}, "no hop left"),
        ({"chksum": 1}, "a wrong header checksum"),
        ({"len": 60}, "a length beyond its end"),
    ],
)
def test_what_must_not_go_on_is_seen(
    called: Balanced, fields: dict[str, object], wrong: str
) -> None:
    called.ring([1])
    seen = _into(bytes(ip4(dst=str(VIP4)) / tcp()), called)
    called.ring([1, 2])
    packet = bytes(ip4(**({"dst": str(VIP4)} | fields)) / tcp())
    assert wrong in (wrong_with(packet, seen) or "")


def test_a_service_that_nobody_has_is_seen(called: Balanced) -> None:
    seen = _into(bytes(ip4(dst=str(VIP4)) / tcp()), called)
    assert "no service" in (wrong_with(bytes(ip4(dst=str(VIP4)) / tcp(dport=81)), seen) or "")


@pytest.fixture(scope="module")
def turned() -> Iterator[Balanced]:
    with raise_turned() as lb:
        yield lb


def test_packets_to_and_from_a_service(turned: Balanced) -> None:
    for batch in range(12):
        difference = check_turned(turned, 2, batch, 100)
        assert difference is None, f"batch {batch}: {difference}"


@pytest.fixture
def known(turned: Balanced) -> Turned:
    settle(turned)
    turned.ring([IDS[4]])
    return Turned(turned, NAT, (IDS[4],))


def _with(seen: Seen, packet: bytes) -> Seen:
    return replace(seen, frame=seen.frame[:14] + packet)


@pytest.mark.parametrize("inside", [4, 6])
@pytest.mark.parametrize("outside", [4, 6])
def test_each_wrong_byte_of_a_flow_is_seen(turned: Balanced, inside: int, outside: int) -> None:
    """Of both ways, and of an error about each."""
    settle(turned)
    turned.ring([IDS[inside]])
    known = Turned(turned, NAT, (IDS[inside],))
    packet = to_vip(outside, tcp(9))
    flow = call(turned, packet)
    answer = flow.answer(tcp(9, flags="SA"))
    replied = turned.world.send(answer, "xdp").packet
    errors = {4: ICMP(type=3, code=1), 6: ICMPv6DestUnreach(code=3)}
    routers = {4: "192.31.196.77", 6: "2001:db8:9::9"}
    about_call = errors[inside] / Raw(flow.packet)
    about_reply = errors[outside] / Raw(replied)
    for sent in (
        packet,
        answer,
        headed(inside, about_call, src=routers[inside], dst=flow.source),
        headed(outside, about_reply, src=routers[outside], dst=VIPS[outside]),
    ):
        seen = turned.world.send(sent, "xdp")
        assert known.wrong_with(sent, seen, sound=True) is None
        for at in range(len(seen.packet)):
            changed = bytearray(seen.packet)
            changed[at] ^= 0x10
            assert known.wrong_with(sent, _with(seen, bytes(changed)), sound=False), at
        for verdict in ("drop", "pass"):
            nowhere = replace(seen, verdict=verdict, frame=seen.frame[:14] + sent)
            assert known.wrong_with(sent, nowhere, sound=True), verdict
    assert known.forwarded == 2
    assert known.wrong_tables() is None
    turned.forget()
    assert "not in the table" in (known.wrong_tables() or "")


@pytest.mark.parametrize(
    ("source", "port", "backend", "to", "wrong"),
    [
        ("10.1.0.7", 40000, "10.0.0.1", 8080, "not of the pool"),
        ("10.1.0.8", 53, "10.0.0.1", 8080, "a well-known one"),
        ("10.1.0.8", 40000, SECOND[4], 8080, "takes new flows"),
        ("10.1.0.8", 40000, "10.0.0.1", 80, "to port 80"),
    ],
)
def test_what_must_not_be_chosen_is_seen(
    known: Turned, source: str, port: int, backend: str, to: int, wrong: str
) -> None:
    packet = to_vip(4, tcp())
    seen = known.lb.world.send(packet, "xdp")
    other = _with(seen, changed(packet, source, backend, port, to))
    assert wrong in (known.wrong_with(packet, other, sound=True) or "")
    assert known.wrong_with(packet, seen, sound=True) is None


def test_one_source_of_two_flows_is_seen(known: Turned) -> None:
    packet, other = to_vip(4, tcp()), to_vip(4, tcp(), src="192.31.196.77")
    seen = known.lb.world.send(packet, "xdp")
    assert known.wrong_with(packet, seen, sound=True) is None
    assert "another flow" in (known.wrong_with(other, seen, sound=True) or "")


def test_flows_that_begin_in_their_middle_are_seen(known: Turned) -> None:
    packet = to_vip(4, tcp(flags="A"))
    first = to_vip(4, tcp())
    seen = known.lb.world.send(first, "xdp")
    late = _with(seen, changed(packet, "10.1.0.8", "10.0.0.1", 40000, 8080))
    assert "in its middle" in (known.wrong_with(packet, late, sound=True) or "")


@pytest.mark.parametrize("fields", [{"ttl": 1}, {"chksum": 1}, {"src": "127.0.0.1"}])
def test_what_must_not_go_to_a_backend_is_seen(known: Turned, fields: dict[str, object]) -> None:
    good, bad = to_vip(4, tcp()), to_vip(4, tcp(), **fields)
    seen = known.lb.world.send(good, "xdp")
    assert "should not" in (known.wrong_with(bad, seen, sound=False) or "")


def test_batches_repeat() -> None:
    assert packets_of(3, 7) == packets_of(3, 7)
    assert packets_of(3, 7) != packets_of(3, 8) != packets_of(4, 7)
