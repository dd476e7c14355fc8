# SPDX-License-Identifier: Apache-2.0
"""The units under a systemd that runs: start, watchdog, socket, stop; what outlives what."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests import needs
from tests.netns.agents import DNS64, GATEWAY, changed, eventually
from tests.netns.booted import Machine, machine

pytestmark = [
    pytest.mark.netns,
    needs.root,
    needs.bpf,
    needs.command("systemctl"),
    needs.command("named"),
]

AGENT, RESOLVER = "sixlaned.service", "sixlane-dns64@cluster.service"
FILES = yaml.safe_dump_all([GATEWAY, DNS64])
NEEDED = {
    "CAP_NET_ADMIN": 12,
    "CAP_SYS_ADMIN": 21,
    "CAP_NET_BIND_SERVICE": 10,
    "CAP_NET_RAW": 13,
}
_LONG_S = 30.0


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Its first start puts in force what is in /etc/sixlane."""
    with machine(tmp_path_factory.mktemp("machine")) as booted:
        booted.write("/etc/sixlane/edge.yaml", FILES)
        booted.write("/etc/sixlane/sixlaned.env", "SIXLANED_METRICS=127.0.0.1:9646\n")
        booted.start_agent()
        yield booted


@pytest.fixture
def gateway(booted: Machine) -> Machine:
    """Agent and resolver run, and all is well."""
    booted.drop_in()
    booted.run(f"systemctl reset-failed; systemctl start {AGENT}")
    booted.run("sixlane apply -f -", stdin=FILES)
    assert status(booted)["problems"] == []
    return booted


def status(booted: Machine) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(booted.run("sixlane status -o json"))
    return told


def answers(booted: Machine) -> bool:
    asked = "dig +short +timeout=1 +tries=1 @2001:db8:64::1 ipv4only.arpa AAAA"
    return "64:ff9b::" in booted.run(asked, check=False)


def forwards(booted: Machine) -> bool:
    """Programs are attached, and the slow path is seen from outside of the service."""
    look = "ls /sys/fs/bpf/sixlane/links; ip -brief link show sixlane0; ip netns list"
    found = booted.run(look, check=False)
    return all(word in found for word in ("slow-near", "sixlane0@", "sixlane-slow"))


def test_the_first_start_applies_what_is_there(booted: Machine) -> None:
    told = status(booted)
    assert [one["name"] for one in told["resources"]] == ["cluster", "edge"]
    assert told["problems"] == []
    assert booted.show(AGENT, "StatusText") == "ready"
    assert answers(booted) and forwards(booted)


def test_the_agent_has_the_privileges_of_the_list_and_the_mounts_of_the_machine(
    gateway: Machine,
) -> None:
    pid = gateway.main_pid(AGENT)
    bits = sum(1 << number for number in NEEDED.values())
    assert f"CapEff:\t{bits:016x}" in gateway.run(f"cat /proc/{pid}/status")
    mine, theirs = gateway.run(f"readlink /proc/1/ns/mnt /proc/{pid}/ns/mnt").split()
    assert mine == theirs


def test_the_resolver_is_not_root_and_not_ours(gateway: Machine) -> None:
    pid = gateway.main_pid(RESOLVER)
    assert gateway.run(f"stat --format=%U /proc/{pid}") == "bind"
    assert f"CapEff:\t{1 << 10:016x}" in gateway.run(f"cat /proc/{pid}/status")
    assert "sixlaned" not in gateway.run(f"cat /proc/{pid}/cgroup")


def test_stopping_leaves_forwarding_and_dns64(gateway: Machine) -> None:
    resolver = gateway.main_pid(RESOLVER)
    gateway.run("systemctl stop sixlaned.service sixlaned.socket")
    assert not gateway.is_active(AGENT)
    assert forwards(gateway) and answers(gateway)
    assert gateway.main_pid(RESOLVER) == resolver
    gateway.run(f"kill -KILL {resolver}")
    assert eventually(lambda: answers(gateway), _LONG_S), "nobody started named again"


def test_whoever_asks_starts_the_agent(gateway: Machine) -> None:
    gateway.run(f"systemctl stop {AGENT}")
    assert not gateway.is_active(AGENT)
    assert gateway.run("stat --format='%a %U %G' /run/sixlane/api.sock") == "660 root sixlane"
    assert status(gateway)["problems"] == []
    assert gateway.is_active(AGENT)


def test_a_killed_agent_is_back(gateway: Machine) -> None:
    before = gateway.main_pid(AGENT)
    gateway.run(f"kill -KILL {before}")
    assert forwards(gateway) and answers(gateway)
    assert eventually(lambda: gateway.main_pid(AGENT) not in (0, before), _LONG_S)
    assert status(gateway)["problems"] == []


def test_a_killed_resolver_is_back(gateway: Machine) -> None:
    gateway.run(f"kill -KILL {gateway.main_pid(RESOLVER)}")
    assert eventually(lambda: answers(gateway), _LONG_S)
    assert eventually(lambda: status(gateway)["problems"] == [], _LONG_S)


def test_an_agent_that_hangs_is_ended_and_started_again(gateway: Machine) -> None:
    gateway.drop_in(WatchdogSec=3)
    gateway.run(f"systemctl restart {AGENT}")
    before = gateway.main_pid(AGENT)
    gateway.run(f"kill -STOP {before}")
    assert eventually(lambda: gateway.main_pid(AGENT) not in (0, before), _LONG_S)
    assert forwards(gateway) and answers(gateway)
    assert status(gateway)["problems"] == []
    said = gateway.run("journalctl --no-pager --unit sixlaned --output cat")
    assert "Fatal Python error: Aborted" in said  # SIGABRT, and where each thread was


def test_a_changed_resolver_is_reloaded(gateway: Machine) -> None:
    before = gateway.main_pid(RESOLVER)
    other = yaml.safe_dump(changed(DNS64, clients=["2001:db8::/32"]))
    gateway.run("sixlane apply -f -", stdin=other)
    assert gateway.main_pid(RESOLVER) == before
    assert answers(gateway)


# Without CAP_NET_RAW all is in force, but what time sends stays away (test_pool4.py).
@pytest.mark.parametrize("missing", sorted(NEEDED.keys() - {"CAP_NET_RAW"}))
def test_each_privilege_is_needed(gateway: Machine, missing: str) -> None:
    gateway.run("sixlane teardown")
    gateway.drop_in(CapabilityBoundingSet=f"~{missing}", Restart="no")
    gateway.run(f"systemctl stop {AGENT}")
    started = gateway.run(f"systemctl start {AGENT} && echo started", check=False)
    if "started" in started:
        said = gateway.run("sixlane apply -f - && echo applied", stdin=FILES, check=False)
        assert "applied" not in said
    gateway.drop_in()
    gateway.run(f"systemctl reset-failed; systemctl restart sixlaned.socket {AGENT}")


def test_announcing_needs_packet_sockets(gateway: Machine) -> None:
    pool = {"name": "pods", "ipv4": ["192.31.197.8"], "announce": "l2"}
    prefix = {"name": "all", "prefix": "64:ff9b::/96", "ipv4": []}
    announced = yaml.safe_dump(changed(GATEWAY, prefixes=[prefix], pool4=[pool]))
    gateway.run("sixlane apply -f -", stdin=announced)
    assert status(gateway)["problems"] == []
    gateway.run("sixlane apply -f -", stdin=FILES)
    gateway.drop_in(CapabilityBoundingSet="~CAP_NET_RAW")
    gateway.run(f"systemctl restart {AGENT}")
    gateway.run("sixlane apply -f -", stdin=announced)
    (problem,) = status(gateway)["problems"]
    assert problem.startswith("gateway: 192.31.197.8 is not announced on wan0: ")
    gateway.drop_in()
    gateway.run(f"systemctl restart {AGENT}; sixlane apply -f -", stdin=FILES)


def test_the_journal_has_priorities(gateway: Machine) -> None:
    gateway.run(f"kill -KILL {gateway.main_pid(RESOLVER)}")
    assert eventually(lambda: "4" in priorities(gateway, 'msg="named has ended"'), _LONG_S)
    assert priorities(gateway, 'msg="ready: the API listens"') == {"6"}
    assert eventually(lambda: status(gateway)["problems"] == [], _LONG_S)


def priorities(booted: Machine, message: str) -> set[str]:
    """Of the agent's lines with this message, which have none in front of them."""
    entries = booted.run("journalctl --no-pager --unit sixlaned --output json").splitlines()
    lines = [json.loads(entry) for entry in entries]
    assert not any(line["MESSAGE"].startswith("<") for line in lines)
    return {line["PRIORITY"] for line in lines if message in line["MESSAGE"]}


def test_metrics_of_a_gateway(gateway: Machine) -> None:
    told = gateway.run("curl --silent http://127.0.0.1:9646/metrics").splitlines()
    assert 'sixlane_device_up{device="wan0"} 1.0' in told
    assert 'sixlane_dns64_up{dns64="cluster"} 1.0' in told
    assert "sixlane_scrape_success 1.0" in told


def test_a_teardown_leaves_nothing(gateway: Machine) -> None:
    gateway.run("sixlane teardown")
    assert not gateway.is_active(RESOLVER)
    assert not forwards(gateway)
    assert gateway.run("ls /run/netns; ls -d /run/sixlane/dns64*", check=False).startswith("ls: ")
    assert "dns64" not in gateway.run("ls /var/lib/sixlane")
