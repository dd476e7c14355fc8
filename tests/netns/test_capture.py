# SPDX-License-Identifier: Apache-2.0
"""`sixlane capture`, with a real agent, real pings and the real tcpdump."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP
from scapy.layers.inet6 import ICMPv6EchoReply, IPv6
from scapy.utils import PcapNgReader

from sixlane.client import Client, Problem
from sixlane.datapath import attach
from sixlane.net import netns
from tests import needs
from tests.netns import agents
from tests.netns.agents import GATEWAY, Agent, changed, eventually

pytestmark = [
    pytest.mark.netns,
    needs.root,
    needs.bpf,
    *(needs.command(name) for name in ("ip", "ping", "tcpdump")),
]

REFUSED = 5


BOTH = pytest.mark.parametrize("attach_by", ["tc", "xdp"], indirect=True)
"""Where it matters how the programs are attached."""


@pytest.fixture
def attach_by(request: pytest.FixtureRequest) -> str:
    return getattr(request, "param", "tc")


@pytest.fixture
def agent(tmp_path: Path, attach_by: str) -> Iterator[Agent]:
    """Running, with a Gateway in force that brings pings through."""
    devices = [{"name": name, "attach": attach_by} for name in ("wan0", "lan0")]
    with agents.world(tmp_path) as (agent, internet, pod):
        agents.route_both_ways(agent)
        if attach_by == "xdp":
            for place in (internet, pod):
                netns.run(place, ["ethtool", "-K", "up0", "tx", "off", "gro", "on"])
        agent.start()
        agent.apply(changed(GATEWAY, devices=devices))
        assert eventually(lambda: _ping(agent, "-c", "1") == 0)
        yield agent


def _ping(agent: Agent, *options: str) -> int:
    argv = ["ping", "-n", "-q", "-W", "1", *options, "192.175.48.2"]
    return netns.run(agent.internet, argv, check=False).returncode


@contextmanager
def capturing(agent: Agent, *argv: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A `sixlane capture` that goes on, once its programs are on the devices."""
    before = _attached(agent)
    command = [sys.executable, "-m", "sixlane.cli.main", "--socket", str(agent.socket)]
    with subprocess.Popen(
        [*command, "capture", *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert eventually(lambda: _attached(agent).isdisjoint(before))
            yield process
        finally:
            process.kill()


def _attached(agent: Agent) -> set[int]:
    with netns.inside(agent.namespace):
        return {one.program for one in attach.attachments(agent.bpffs / "links") if one.device}


def _dumped(file: Path, *filter: str) -> list[str]:
    done = subprocess.run(
        ["tcpdump", "-n", "-e", "-r", str(file), *filter],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


@BOTH
def test_pings_as_they_come_and_as_they_leave(agent: Agent, tmp_path: Path) -> None:
    file = tmp_path / "pings.pcapng"
    usual = _attached(agent)
    with capturing(agent, "-w", str(file), "--seconds", "6", "icmp", "or", "icmp6") as capture:
        assert _ping(agent, "-c", "3", "-i", "0.2") == 0
        _, said = capture.communicate(timeout=30)
    assert said.endswith(b" packets, 0 more over the rate, 0 more lost\n")
    with PcapNgReader(str(file)) as reader:
        frames = reader.read_all()
    # Those that the kernel is to send come by the slow path once more.
    for device, wanted in (("wan0", ICMP), ("lan0", ICMPv6EchoReply)):
        came = [one for one in frames if str(one.sniffed_on).split()[::2] == [device, "in"]]
        assert len([one for one in came if wanted in one]) == 3, device
    assert {one.direction for one in frames} == {1, 2}
    assert any(one.comments == [b"sent: 46"] and IPv6 in one for one in frames)
    [first, *_] = _dumped(file, "icmp[icmptype] == icmp-echo")
    assert "192.31.196.53 > 192.175.48.2: ICMP echo request" in first
    assert len(_dumped(file, "ip6")) >= 6
    assert eventually(lambda: _attached(agent) == usual), "the usual programs are back"


def test_a_session_is_named(agent: Agent) -> None:
    """By its address and port of pool4, both ways, and by trace as well."""
    netns.run(agent.internet, ["ip", "route", "add", "192.31.197.8/32", "via", "192.31.196.1"])
    agent.apply(changed(GATEWAY, pool4=[{"name": "pods", "ipv4": ["192.31.197.8"]}]))
    to = "64:ff9b::192.31.196.53"
    ping = ["ping", "-n", "-q", "-c", "1", "-I", "2001:db8:64::2", to]
    netns.run(agent.pod, ping, check=False)  # neighbours get known
    with capturing(agent, "--packets", "2", "--only", "sent", "icmp") as capture:
        netns.run(agent.pod, ping)
        lines = capture.communicate(timeout=30)[0].decode().splitlines()
    ends = [
        re.search(r"sent: (?:64|46), pool4 (192\.31\.197\.8:\d+) ", line) for line in lines[-2:]
    ]
    assert ends[0] and ends[1] and ends[0][1] == ends[1][1], lines
    told = agent.sixlane("trace", f"192.31.196.53:1 -> {ends[0][1]} udp")
    assert "drop_no_binding" in told
    listed = agent.sixlane("session", "list", "--protocol", "icmp")
    assert ends[0][1] in listed


def test_lines_for_people_and_reasons(agent: Agent) -> None:
    netns.run(agent.internet, ["ip", "address", "add", "8.8.8.8/32", "dev", "lo"])
    with capturing(agent, "--only", "dropped", "--packets", "1", "--no-headers") as capture:
        argv = ["ping", "-n", "-c", "2", "-W", "1", "-I", "8.8.8.8", "192.175.48.2"]
        netns.run(agent.internet, argv, check=False)
        out, _ = capture.communicate(timeout=30)
    [line] = out.decode().splitlines()
    assert "dropped: source_not_allowed" in line
    assert "IPv4 8.8.8.8 > 192.175.48.2 icmp" in line


def test_one_at_a_time_and_it_ends_with_its_client(agent: Agent) -> None:
    usual = _attached(agent)
    with capturing(agent) as capture:
        said = agent.sixlane("capture", "--seconds", "1", code=REFUSED)
        assert said.startswith("sixlane: somebody captures already")
        capture.kill()
        capture.wait(10)
        assert eventually(lambda: _attached(agent) == usual)
    assert "0 packets" in agent.sixlane("capture", "--seconds", "0.2", "port", "9")


def test_an_apply_meanwhile(agent: Agent) -> None:
    """Its devices go on capturing, under the new tables."""
    asked = ("--device", "wan0", "--packets", "2", "--no-headers", "icmp")
    with capturing(agent, *asked) as capture:
        at_work = _attached(agent)
        client = Client(str(agent.socket))
        client.patch("Gateway", "edge", {"spec": {"lowestIPv6MTU": 1400}})
        assert _attached(agent) <= at_work
        assert _ping(agent, "-c", "2") == 0
        out, _ = capture.communicate(timeout=30)
    assert len(out.splitlines()) == 2


@BOTH
def test_killed_while_it_captures(agent: Agent) -> None:
    """Forwarding goes on, and the next agent puts the usual programs back."""
    usual = _attached(agent)
    with capturing(agent, "--seconds", "600"):
        capturing_programs = _attached(agent)
        agent.end(signal.SIGKILL)
        assert _attached(agent) == capturing_programs
        assert _ping(agent, "-c", "2") == 0
        agent.start()
    assert eventually(lambda: _attached(agent) == usual)
    assert _ping(agent, "-c", "1") == 0


def test_what_cannot_be_captured(agent: Agent) -> None:
    said = agent.sixlane("capture", "tcp", "tcp", code=REFUSED)
    assert said.startswith("sixlane: not a filter: 'tcp tcp': ")
    assert len(said.splitlines()) == 1
    said = agent.sixlane("capture", "--device", "eth7", code=REFUSED)
    assert "device eth7 has no program attached" in said
    said = agent.sixlane("capture", "-w", "/no/such/directory/x", "--seconds", "1", code=REFUSED)
    assert "cannot write /no/such/directory/x" in said


def test_for_programs(agent: Agent) -> None:
    client = Client(str(agent.socket))
    with client.capture(filter="icmp", packets=1, seconds=30) as packets:
        assert _ping(agent, "-c", "2") == 0
        packet = next(packets)
    assert packet["outcome"] == "sent"
    assert packet["after"] is not None
    with pytest.raises(Problem):
        client.capture(only=["everything"])
