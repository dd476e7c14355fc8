# SPDX-License-Identifier: Apache-2.0
"""`trace`: the data path's answer without its effects, in words."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, get_args

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6

from sixlane.datapath import Attachment, Datapath, layout
from sixlane.errors import ConfigError
from sixlane.nat64 import trace as tracing
from sixlane.nat64.flow import parse_flow
from sixlane.nat64.headers import fields
from sixlane.rfc.rfc7915 import Eam, Prefix, Translator
from tests import needs
from tests.packets import ip4, ip6, tcp, udp
from tests.world import Entry, World, tables_for

pytestmark = [pytest.mark.prog, needs.root]

ENTRIES = pytest.mark.parametrize("entry", ["xdp", "tc"])
POOL6 = IPv6Network("64:ff9b::/96")
INTO = "192.31.196.10:5000 -> 192.175.48.10"
OUT_OF = "64:ff9b::192.175.48.10 -> 64:ff9b::192.31.196.10"


def edge(sources: str | None = None) -> Translator:
    allowed = None if sources is None else (IPv4Network(sources),)
    mapping = Eam(IPv4Network("192.175.48.99/32"), IPv6Network("2001:db8:5::99/128"), False)
    services = Prefix(
        "services", POOL6, (IPv4Network("192.175.48.0/24"),), allowed, (mapping,), max_segment=1300
    )
    return Translator((services,), IPv4Address("193.0.14.1"), IPv6Address("2001:db8::1"))


class Tracer:
    """Asks about one packet at one entry, as if programs were attached."""

    def __init__(self, world: World, entry: Entry) -> None:
        self._attached = [
            Attachment(device.name, device.ifindex, "xdp" if entry == "xdp" else "tcx", 0)
            for device in (world.wan, world.lan)
        ]
        self._datapath = world.datapath

    def __call__(self, flow: str = "", **given: str) -> dict[str, Any]:
        asked = {"flow": flow} if flow else {k: v for k, v in given.items() if k != "device"}
        [answer] = self._ask([asked], given.get("device"))
        return answer

    def packets(self, *packets: bytes) -> list[dict[str, Any]]:
        """Of several at once."""
        return self._ask([{"packet": packet.hex()} for packet in packets], None)

    def _ask(self, asked: list[dict[str, str]], device: str | None) -> list[dict[str, Any]]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self._datapath, "attachments", lambda: self._attached)
            return list(tracing(self._datapath, asked, device))


def begin(datapath: Datapath) -> None:
    """Has it load what answers, which it keeps: no test of a module leaves that behind, then."""
    for entry in get_args(Entry):
        datapath.simulator(entry)


@pytest.fixture(scope="module")
def begun(world: World) -> World:
    begin(world.datapath)
    return world


@pytest.fixture
def ask(begun: World, entry: Entry) -> Tracer:
    begun.configure(edge())
    return Tracer(begun, entry)


@ENTRIES
def test_the_packet_that_would_leave_is_the_one_that_leaves(
    world: World, ask: Tracer, entry: Entry
) -> None:
    for packet in (ip4() / udp(), ip6() / udp(), ip4() / tcp(options=[("MSS", 1460)])):
        told = ask(packet=bytes(packet).hex())
        sent = world.run(bytes(packet), entry)
        assert told["verdict"] == "sent"
        assert _without_id(bytes.fromhex(told["after"]["hex"])[14:]) == _without_id(sent.packet)


def _without_id(packet: bytes) -> bytes:
    if packet[0] >> 4 == 6:
        return packet
    return packet[:4] + packet[6:10] + packet[12:]


@ENTRIES
def test_nothing_is_changed(world: World, ask: Tracer, entry: Entry) -> None:
    before = {
        name: _content(world, name)
        for name in ("counters", "prefix_counters", "pairs", "next_hops", "neighbours", "buckets")
    }
    for flow in (
        f"{INTO} udp/53",
        f"{INTO} udp/53 ttl=1",
        f"{OUT_OF} tcp/80",
        "1.1.1.1 -> 2.2.2.2 icmp",
    ):
        ask(flow)
    for name, content in before.items():
        assert _content(world, name) == content, name


def _content(world: World, name: str) -> list[Any]:
    found = world.datapath._maps[name]
    return list(found.items()) if name in ("pairs", "next_hops") else list(found.items_per_cpu())


@ENTRIES
def test_steps_in_words(ask: Tracer, world: World) -> None:
    told = ask(f"{INTO} tcp/80 ttl=61 tos=0x2e")
    assert told["reasons"] == ["forward_46"]
    assert told["device"] == "wan0"
    steps = told["steps"]
    assert "destination 192.175.48.10 becomes 64:ff9b::c0af:300a by 64:ff9b::/96" in steps
    assert "source 192.31.196.10 becomes 64:ff9b::c01f:c40a by 64:ff9b::/96" in steps
    assert "prefix services serves the inside address" in steps
    assert "the IPv4 header becomes one of IPv6" in steps
    assert "ttl 61 becomes hop limit 60" in steps
    assert "mss 1460 becomes 1300" in steps
    assert any(step.startswith("the kernel routes 64:ff9b::c0af:300a by lan0") for step in steps)
    assert steps[-1].startswith("leaves by lan0: IPv6 [64:ff9b::c01f:c40a]:5000 >")


@ENTRIES
def test_a_mapping_is_named(ask: Tracer) -> None:
    told = ask("192.31.196.10 -> 192.175.48.99 udp/53")
    by = "destination 192.175.48.99 becomes 2001:db8:5::99 by the mapping"
    assert f"{by} 192.175.48.99/32 = 2001:db8:5::99/128" in told["steps"]


@ENTRIES
@pytest.mark.parametrize(
    ("flow", "reason", "verdict"),
    [
        (f"{INTO} udp/53 ttl=1", "drop_ttl_expired", "answered"),
        ("127.0.0.1 -> 192.175.48.10 udp/53", "drop_illegal_source", "dropped"),
        ("10.0.0.1 -> 192.175.48.10 udp/53", "drop_not_global", "answered"),
        ("2001:db8::7 -> 64:ff9b::192.31.196.10 tcp/1", "drop_source_not_mappable", "answered"),
        ("192.31.196.10 -> 8.8.8.8 icmp", "pass_not_ours", "passed"),
        ("2001:db8::1 -> 2001:db8::2 icmp", "pass_not_ours", "passed"),
    ],
)
def test_why_not(ask: Tracer, flow: str, reason: str, verdict: str) -> None:
    told = ask(flow)
    assert told["reasons"][0] == reason
    assert told["verdict"] == verdict
    assert any(step.startswith(f"would be counted as {reason}: ") for step in told["steps"])
    assert (told["after"] is None) == (verdict != "answered")


@ENTRIES
def test_the_tables_of_now(world: World, ask: Tracer) -> None:
    assert ask(f"{INTO} udp/53")["verdict"] == "sent"
    world.configure(edge("8.0.0.0/8"))
    assert ask(f"{INTO} udp/53")["reasons"][0] == "drop_source_not_allowed"


@ENTRIES
def test_no_limit_keeps_an_answer_back(world: World, ask: Tracer) -> None:
    """A budget that others have used up says nothing of the rules."""
    world.commit(replace(tables_for(edge(), world.wan, world.lan), icmp_errors_per_second=0))
    assert ask(f"{INTO} udp/53 ttl=1")["verdict"] == "answered"


@ENTRIES
def test_frames_are_taken_as_they_are(world: World, ask: Tracer) -> None:
    foreign = bytes.fromhex("02ee000000020200000000010800") + bytes(ip4() / udp())
    told = ask(frame=foreign.hex(), device="wan0")
    assert told["reasons"] == ["pass_other_host"]


@ENTRIES
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"flow": "nonsense"}, "not a packet in words"),
        ({"flow": "1.1.1.1 -> 2001:db8::1 icmp"}, "different families"),
        ({"flow": "1.1.1.1 -> 2.2.2.2 tcp"}, "a port is missing"),
        ({"flow": "1.1.1.1 -> 2.2.2.2 tcp/80 ttl=256"}, "ttl must be from 0 to 255"),
        ({"flow": "1.1.1.1 -> 2.2.2.2 tcp/80 colour=red"}, "no such option"),
        ({"flow": "1.1.1.1 -> 2.2.2.2 tcp/99999"}, "no such port"),
        ({"flow": "1.1.1.1 -> 2.2.2.2 carp"}, "no such protocol"),
        ({"flow": "1.1.1.x -> 2.2.2.2 icmp"}, "not an address"),
        ({"flow": "1.1.1.1 -> 2.2.2.2 udp/1 size=20"}, "the headers alone are 28 bytes"),
        ({"packet": "xyz"}, "hexadecimal"),
        ({"packet": "00" * 40}, "neither IPv4 nor IPv6"),
        ({"frame": "00" * 8}, "no frame"),
        ({"flow": "1.1.1.1 -> 2.2.2.2 icmp", "device": "eth7"}, "eth7 has no program attached"),
    ],
)
def test_what_cannot_be_asked(ask: Tracer, given: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ask(**given)


def test_flows_have_right_checksums() -> None:
    """As scapy computes them."""
    for words, kind in (
        ("192.31.196.10:7 -> 192.175.48.10 tcp/80 ttl=3 tos=46 size=100 df=0 id=9 flags=SA", IP),
        ("192.31.196.10 -> 192.175.48.10:53 udp", IP),
        ("192.31.196.10 -> 192.175.48.10 icmp", IP),
        ("[2001:db8::1]:9 -> [2001:db8::2]:80 tcp", IPv6),
        ("2001:db8::1 -> 2001:db8::2 udp/53 size=60", IPv6),
        ("2001:db8::1 -> 2001:db8::2 icmp", IPv6),
    ):
        made = parse_flow(words)
        again = kind(made)
        for layer in again.layers():
            for field in ("chksum", "cksum"):
                if field in again[layer].fields:
                    del again[layer].fields[field]
        assert bytes(again) == made, words
        assert fields(made)["length"] == str(len(made))


def test_each_reason_has_a_meaning() -> None:
    from sixlane.nat64.reasons import MEANINGS

    names = {one.name.lower() for one in layout.Reason} - {"reason_none", "reason_count"}
    assert names == MEANINGS.keys()
