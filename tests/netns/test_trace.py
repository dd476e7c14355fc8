# SPDX-License-Identifier: Apache-2.0
"""`sixlane trace` and `sixlane top`, with a real agent and a real data path."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import PcapWriter

from sixlane.client import Client, Problem
from sixlane.net import netns
from tests import needs
from tests.netns import agents
from tests.netns.agents import GATEWAY, Agent, changed

pytestmark = [pytest.mark.netns, needs.root, needs.bpf, needs.command("ip"), needs.command("ping")]

REFUSED, USAGE = 5, 2
FLOW = "192.31.196.53 -> 192.175.48.2 udp/53"


@pytest.fixture
def attach_by(request: pytest.FixtureRequest) -> str:
    return getattr(request, "param", "tc")


@pytest.fixture
def agent(tmp_path: Path, attach_by: str) -> Iterator[Agent]:
    """Running, with a Gateway in force."""
    devices = [{"name": name, "attach": attach_by} for name in ("wan0", "lan0")]
    with agents.world(tmp_path) as (agent, _, _):
        agents.route_both_ways(agent)
        agent.start()
        agent.apply(changed(GATEWAY, devices=devices))
        yield agent


def traced(agent: Agent, *argv: str) -> dict[str, Any]:
    told = json.loads(agent.sixlane("trace", *argv, "-o", "json"))
    first: dict[str, Any] = told["items"][0]
    return first


@pytest.mark.parametrize("attach_by", ["tc", "xdp"], indirect=True)
def test_a_packet_in_words(agent: Agent) -> None:
    said = agent.sixlane("trace", FLOW).splitlines()
    assert said[0].startswith("comes in by wan0 (")
    assert "  prefix pods serves the inside address" in said
    told = traced(agent, FLOW)
    assert told["device"] == "wan0"
    assert told["after"]["fields"]["source"] == "64:ff9b::c01f:c435"
    refused = traced(agent, "8.8.8.8 -> 192.175.48.2 udp/53")
    assert refused["reasons"][0] == "drop_source_not_allowed"
    counted = Client(str(agent.socket)).counters()["reasons"]
    assert counted["drop_source_not_allowed"]["packets"] == 0


def test_bytes_and_files(agent: Agent, tmp_path: Path) -> None:
    packet = IP(src="192.31.196.53", dst="192.175.48.2", ttl=9) / UDP(sport=7, dport=53)
    assert traced(agent, "--hex", bytes(packet).hex())["before"]["fields"]["ttl"] == "9"
    file = tmp_path / "some.pcap"
    frame = Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:02") / packet
    with PcapWriter(str(file)) as writer:
        writer.write([frame, frame])
    as_it_is = traced(agent, "--pcap", str(file), "--device", "wan0")
    assert as_it_is["reasons"] == ["pass_other_host"]
    to_us = json.loads(agent.sixlane("trace", "--pcap", str(file), "--to-us", "-o", "json"))
    assert [one["verdict"] for one in to_us["items"]] == ["sent", "sent"]


def test_what_cannot_be_traced(agent: Agent) -> None:
    said = agent.sixlane("trace", "1.1.1.1 -> nowhere icmp", code=REFUSED)
    assert said.startswith("sixlane: not an address: 'nowhere'")
    assert len(said.splitlines()) == 1
    assert "is needed" in agent.sixlane("trace", code=USAGE)
    with pytest.raises(Problem):
        Client(str(agent.socket)).trace([{"flow": FLOW, "packet": "45"}])
    with pytest.raises(Problem, match="no program attached"):
        Client(str(agent.socket)).trace([{"flow": FLOW}], device="eth7")


def test_top(agent: Agent) -> None:
    """Real pings while it looks."""
    argv = ["ping", "-n", "-q", "-i", "0.02", "-c", "150", "192.175.48.2"]
    with netns.popen(agent.internet, argv) as ping:
        told = json.loads(agent.sixlane("top", "--count", "1", "--interval", "1", "-o", "json"))
        ping.wait(20)
    kinds = {(one["prefix"], one["direction"], one["protocol"]): one for one in told["items"]}
    assert kinds["pods", "46", "icmp"]["packetsPerSecond"] > 1
    assert kinds["pods", "46", "icmp"]["bitsPerSecond"] > 8 * 84
    rows = agent.sixlane("top", "--count", "1", "--by", "protocol").splitlines()
    assert rows[0].split() == ["PROTOCOL", "PKT/S", "MBIT/S", "PACKETS"] or "no packets" in rows[0]
    assert "--by: 'colour'" in agent.sixlane("top", "--by", "colour", code=USAGE)
