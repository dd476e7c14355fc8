# SPDX-License-Identifier: Apache-2.0
"""Each command and each exit code, with a real agent and a real data path."""

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from sixlane.net import netns
from tests import needs
from tests.netns import agents
from tests.netns.agents import DNS64, GATEWAY, Agent, changed, eventually

pytestmark = [pytest.mark.netns, needs.root, needs.bpf, needs.command("ip")]

FAILED, USAGE, UNREACHABLE, NOT_FOUND, REFUSED = 1, 2, 3, 4, 5


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """Running, with a Gateway in force."""
    with agents.world(tmp_path) as (agent, _, _):
        agent.start()
        agent.apply(GATEWAY)
        yield agent


def watching(agent: Agent, *argv: str) -> "subprocess.Popen[str]":
    """A command that goes on; to be ended by the test."""
    options = ["--socket", str(agent.place.run_dir / "api.sock")]
    return subprocess.Popen(
        [sys.executable, "-m", "sixlane.cli.main", *options, *argv],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def test_apply_wait_and_what_is_found_late(agent: Agent, tmp_path: Path) -> None:
    """Devices are looked at when a plan is made: the error tells file and line all the same."""
    assert agent.sixlane("status", "--wait", "--timeout", "20").endswith("no problems\n")
    file = tmp_path / "edge.yaml"
    text = yaml.safe_dump(changed(GATEWAY, devices=[{"name": "wan0"}, {"name": "wan7"}]))
    file.write_text(text)
    line = text.splitlines().index("  - name: wan7") + 1
    said = agent.sixlane("apply", "-f", str(file), code=REFUSED)
    assert said.startswith(
        f"sixlane: no device wan7: {file}:1:spec.devices[1].name, line {line} (there are: "
    )
    file.write_text(yaml.safe_dump(changed(GATEWAY, lowestIPv6MTU=1400)))
    said = agent.sixlane("apply", "-f", str(file), "--wait", "--timeout", "20")
    assert said == "Gateway edge changed\n"


def test_apply_prune_and_delete(agent: Agent) -> None:
    agent.apply(DNS64)
    assert "Dns64 cluster deleted" in agent.sixlane(
        "apply", "-f", "-", "--prune", stdin=json.dumps(GATEWAY)
    )
    assert agent.named() is None
    assert agent.sixlane("delete", "gateway", "edge") == "Gateway edge deleted\n"
    assert agent.status()["gateway"] is None
    agent.sixlane("delete", "gateway", "edge", code=NOT_FOUND)
    assert agent.sixlane("delete", "gateway", "edge", "--ignore-not-found") == ""


def test_diff(agent: Agent) -> None:
    same = yaml.safe_dump(GATEWAY)
    assert agent.sixlane("diff", "-f", "-", stdin=same) == ""
    other = yaml.safe_dump(changed(GATEWAY, devices=[{"name": "wan0"}]))
    before = agent.status()["gateway"]
    said = agent.sixlane("diff", "-f", "-", stdin=other, code=FAILED)
    assert "\n-  - name: lan0\n" in said
    assert "would: detach tc from lan0" in said
    assert agent.status()["gateway"] == before
    agent.sixlane("apply", "-f", "-", stdin=other)
    assert agent.sixlane("diff", "-f", "-", stdin=other) == ""


def test_export_changes_nothing(agent: Agent) -> None:
    agent.apply(DNS64)
    before = agent.status()
    text = agent.sixlane("export")
    assert list(yaml.safe_load_all(text)) == [DNS64, GATEWAY]
    said = agent.sixlane("apply", "-f", "-", "--prune", stdin=text)
    assert said == "Dns64 cluster unchanged\nGateway edge unchanged\n"
    after = agent.status()
    assert after["revision"] == before["revision"]
    assert after["gateway"]["generation"] == before["gateway"]["generation"]


def test_get_and_describe(agent: Agent) -> None:
    assert eventually(lambda: " True " in agent.sixlane("get", "--no-headers"))
    assert agent.sixlane("get", "gateway", "edge", "-o", "yaml").startswith("apiVersion: ")
    agent.sixlane("get", "gateway", "core", code=NOT_FOUND)
    text = agent.sixlane("describe", "gateway", "edge")
    for part in ("DevicesAttached ", "SlowPathReady ", "pods    46 ", "  - name: wan0"):
        assert part in text


def test_get_watch(agent: Agent) -> None:
    with watching(agent, "get", "gateways", "--watch", "-o", "ndjson") as command:
        assert command.stdout is not None
        first = json.loads(command.stdout.readline())
        assert (first["type"], first["resource"]["metadata"]["name"]) == ("put", "edge")
        agent.sixlane("gateway", "set", "--lowest-ipv6-mtu", "1400")
        mtus = iter(lambda: json.loads(command.stdout.readline())["resource"]["spec"], None)  # type: ignore[union-attr]
        assert any(one.get("lowestIPv6MTU") == 1400 for one in mtus)
        agent.end()  # and the command with it
        assert command.wait(10) == UNREACHABLE


def test_objects(agent: Agent) -> None:
    argv = ["prefix", "add", "legacy", "2001:db8:46::/96", "--ipv4", "192.0.2.0/28"]
    assert agent.sixlane(*argv) == "Gateway edge changed\n"
    assert agent.sixlane("eam", "add", "legacy", "192.0.2.80", "2001:db8:65::2") == (
        "Gateway edge changed\n"
    )
    assert "192.0.2.80/32" in agent.sixlane("eam", "list", "legacy")
    counters = json.loads(agent.sixlane("counters", "-o", "json"))
    assert counters["prefixes"].keys() == {"pods", "legacy"}
    agent.sixlane("eam", "delete", "192.0.2.80")
    agent.sixlane("eam", "delete", "192.0.2.80", code=NOT_FOUND)
    agent.sixlane("prefix", "delete", "legacy")
    assert agent.status()["gateway"]["prefixes"][0]["name"] == "pods"
    said = agent.sixlane("gateway", "set", "--device", "wan7", code=REFUSED)
    assert said.startswith("sixlane: no device wan7: Gateway edge:spec.devices[0].name (")
    assert "Gateway edge changed" in agent.sixlane("gateway", "set", "--device", "wan0:tc")
    assert [one["name"] for one in agent.status()["gateway"]["devices"]] == ["wan0"]
    agent.sixlane("gateway", "delete", "edge")
    add = ["gateway", "add", "edge", "--device", "wan0", "--prefix", "pods", "64:ff9b::/96"]
    assert agent.sixlane(*add, "--ipv4", "192.175.48.0/25") == "Gateway edge created\n"


def test_dns64(agent: Agent) -> None:
    add = ["dns64", "add", "cluster", "--listen", "2001:db8:64::1", "--client", "2001:db8:64::/64"]
    add += ["--prefix", "64:ff9b::/96", "--dnssec-validation", "no"]
    agent.sixlane(*add, "--forwarder", "192.31.196.53")
    assert agent.named() is not None
    assert "2001:db8:64::1" in agent.sixlane("dns64", "list")
    said = agent.sixlane("dns64", "set", "cluster", "--listen", "2001:db8:99::1", code=REFUSED)
    assert "2001:db8:99::1 is not an address of this machine: Dns64 cluster:spec.listen" in said
    agent.sixlane("dns64", "delete", "cluster")
    assert agent.named() is None


def test_history_and_rollback(agent: Agent) -> None:
    agent.sixlane("gateway", "set", "--device", "wan0")
    assert agent.sixlane("history", "--no-headers").splitlines()[0].split()[0] == "2"
    assert "attach tc to lan0" in agent.sixlane("rollback", "--dry-run")
    assert len(agent.status()["gateway"]["devices"]) == 1
    assert agent.sixlane("rollback") == "Gateway edge changed\n"
    assert len(agent.status()["gateway"]["devices"]) == 2
    agent.sixlane("rollback", "--to", "77", code=NOT_FOUND)


def test_doctor(agent: Agent) -> None:
    """The same questions with the agent and without it."""
    told = json.loads(agent.sixlane("doctor", "-o", "json"))["checks"]
    assert {one["status"] for one in told} <= {"ok", "missing", "warning", "problem"}
    assert agent.sixlane("doctor", "-o", "wide").startswith("STATUS")
    text = agent.sixlane("doctor")
    well = [one for one in told if one["status"] == "ok"]
    assert text.endswith(f"{len(well)} of {len(told)} checks are ok (-o wide lists them)\n")
    assert len(text.splitlines()) <= 3 * (len(told) - len(well)) + 1
    for one in told:
        if one["status"] != "ok":
            assert f"{one['status']}: {one['what']}\n  costs: {one['costs']}\n" in text
    netns.run(agent.namespace, ["ip", "link", "set", "lan0", "down"])
    agent.end()
    alone = json.loads(agent.sixlane("doctor", "-o", "json", code=FAILED))
    assert {one["name"] for one in alone["checks"]} >= {one["name"] for one in told}
    assert "problem" in {one["status"] for one in alone["checks"]}


def test_sysdump(agent: Agent, tmp_path: Path) -> None:
    """It looks at the agent's network namespace, from wherever it is called."""
    target = tmp_path / "dump.tar.gz"
    agent.sixlane("sysdump", "-o", str(target))
    names = _members(target)
    assert {"agent/status.json", "agent/metrics.txt", "agent/doctor.json"} <= names.keys()
    assert b"lan0" in names["system/ip-address"]
    assert b"2001:db8:65::/64" in names["system/ip-6-route-show-table-all"]
    agent.end()
    agent.sixlane("sysdump", "-o", str(target))
    names = _members(target)
    assert b"lan0" in names["system/ip-address"]
    assert json.loads(names["agent/doctor.json"])["checks"]


def test_monitor_drops(agent: Agent) -> None:
    """A pod whose own address stands for no IPv4 address: each packet has a line of its own."""
    route = "route add 64:ff9b::/96 via 2001:db8:64::1 src 2001:db8:64::2"
    netns.run(agent.pod, ["ip", *route.split()])
    argv = ["monitor", "--drops", "--seconds", "20", "--limit", "2"]
    argv += ["--reason", "source_not_mappable"]
    with watching(agent, *argv, "-o", "ndjson") as one, watching(agent, *argv) as other:
        while one.poll() is None or other.poll() is None:
            ping = [
                "ping",
                "-6",
                "-c",
                "1",
                "-W",
                "1",
                "-I",
                "2001:db8:64::2",
                "64:ff9b::192.31.196.53",
            ]
            netns.run(agent.pod, ping, check=False)
        told, shown = one.communicate()[0], other.communicate()[0]
    events = [json.loads(line) for line in told.splitlines()]
    drops = [event for event in events if "reason" in event]
    assert [event["reason"] for event in drops] == ["drop_source_not_mappable"] * 2
    assert (drops[0]["device"], drops[0]["src"]) == ("lan0", "2001:db8:64::2")
    head, *lines = [line.split(maxsplit=3) for line in shown.splitlines()]
    assert head == ["TIME", "DEVICE", "REASON", "PACKET"]
    assert [line[1:3] for line in lines] == [["lan0", "source_not_mappable"]] * 2
    assert lines[0][3].startswith("icmpv6 type 128 code 0 2001:db8:64::2 > 64:ff9b::c01f:c435, ")


def test_monitor_of_a_reason_that_does_not_exist(agent: Agent) -> None:
    said = agent.sixlane("monitor", "--drops", "--reason", "tll_expired", code=USAGE)
    assert "no such reason: drop_tll_expired, did you mean drop_ttl_expired?" in said


def test_without_an_agent(agent: Agent) -> None:
    agent.end()
    for argv in (["status"], ["get"], ["status", "--wait", "--timeout", "0.3"]):
        agent.sixlane(*argv, code=UNREACHABLE)


def test_status_waits_for_an_agent_that_is_starting(agent: Agent) -> None:
    agent.end()
    with watching(agent, "status", "--wait", "--timeout", "30", "-o", "json") as command:
        agent.start()
        told, _ = command.communicate(timeout=40)
        assert command.returncode == 0
        assert json.loads(told)["problems"] == []


def test_status_tells_what_is_out_of_order(agent: Agent) -> None:
    netns.run(agent.namespace, ["ip", "link", "set", "lan0", "down"])
    assert eventually(lambda: "problem: " in agent.sixlane("status"))
    said = agent.sixlane("status", "--wait", "--timeout", "0.3", code=FAILED)
    assert said.startswith("sixlane: not ready after 0.3 s: ")


def test_wrong_usage(agent: Agent) -> None:
    assert "did you mean apply?" in agent.sixlane("aply", code=USAGE)


def _members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        files = {one.name: archive.extractfile(one) for one in archive.getmembers()}
        return {name.partition("/")[2]: file.read() for name, file in files.items() if file}
