# SPDX-License-Identifier: Apache-2.0
"""sixlaned with a real data path: adopted, followed, refused, torn down."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sixlane.datapath import Datapath
from sixlane.model import Gateway, parse_resource
from sixlane.nat64 import observe_gateway, plan_gateway
from sixlane.net import ethtool, netns, sysctl
from tests import needs
from tests.netns import agents
from tests.netns.agents import DNS64, GATEWAY, Agent, changed, eventually

pytestmark = [pytest.mark.netns, needs.root, needs.bpf, needs.command("ip")]


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """Not started."""
    with agents.world(tmp_path) as (agent, _, _):
        yield agent


def ip(agent: Agent, *argv: str) -> None:
    netns.run(agent.namespace, ["ip", *argv])


def attached(agent: Agent) -> dict[str, str]:
    """How each device is attached, as the agent tells it."""
    gateway = agent.status()["gateway"] or {"devices": []}
    return {device["name"]: device["attached"] for device in gateway["devices"]}


def links(agent: Agent) -> list[str]:
    """The pinned links of devices."""
    return sorted(path.name for path in (agent.bpffs / "links").glob("*-[0-9]*"))


def nothing_is_left_to_do(agent: Agent) -> bool:
    """Whether what is in force is what one would plan now."""
    gateway = parse_resource(GATEWAY)
    assert isinstance(gateway, Gateway)
    with netns.inside(agent.namespace), Datapath.open(agent.bpffs) as datapath:
        return plan_gateway(gateway, observe_gateway(datapath)).empty


def settings(agent: Agent) -> dict[str, Any]:
    """What a gateway changes on a machine."""
    with netns.inside(agent.namespace):
        found: dict[str, Any] = {}
        for device in ("wan0", "lan0"):
            for feature in ("rx-gro", "rx-gro-list", "rx-udp-gro-forwarding"):
                found[f"{device} {feature}"] = ethtool.get_feature(device, feature)
            for name in ("forwarding", "rp_filter"):
                path = ("net", "ipv4", "conf", device, name)
                found["/".join(path)] = sysctl.get(path)
            path = ("net", "ipv6", "conf", device, "forwarding")
            found["/".join(path)] = sysctl.get(path)
        found["links"] = netns.run(agent.namespace, ["ip", "-br", "link"]).stdout.split()[::3]
        return found


def test_a_gateway_in_force(agent: Agent) -> None:
    agent.start()
    assert agent.apply(GATEWAY) == "Gateway edge created\n"
    assert attached(agent).keys() == {"wan0", "lan0"}
    assert "no" not in attached(agent).values()
    status = agent.status()
    assert status["problems"] == []
    assert status["revision"] == 1
    counters = json.loads(agent.sixlane("counters", "-o", "json"))
    assert counters["reasons"]["drop_ttl_expired"] == {"packets": 0, "bytes": 0}
    assert counters["prefixes"]["pods"].keys() == {"46", "64"}


def test_applying_the_same_again_flips_nothing(agent: Agent) -> None:
    agent.start()
    agent.apply(GATEWAY)
    before = agent.status()["gateway"]["generation"]
    assert agent.apply(GATEWAY) == "Gateway edge unchanged\n"
    assert agent.status()["gateway"]["generation"] == before


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_ending_leaves_it_in_force_and_starting_adopts_it(
    agent: Agent, sign: signal.Signals
) -> None:
    agent.start()
    agent.apply(GATEWAY)
    before = links(agent)
    generation = agent.status()["gateway"]["generation"]
    assert before
    assert agent.end(sign) == (-9 if sign == signal.SIGKILL else 0)
    assert links(agent) == before
    agent.start()
    assert links(agent) == before
    status = agent.status()
    assert status["problems"] == []
    assert status["gateway"]["generation"] == generation
    assert status["resources"] == [
        {
            "kind": "Gateway",
            "name": "edge",
            "generation": 1,
            "observedGeneration": 1,
            "ready": True,
        }
    ]


def test_an_agent_that_finds_nothing_in_force_brings_it_back(agent: Agent) -> None:
    """After a reboot: pins are gone, the store is not."""
    agent.start()
    agent.apply(GATEWAY)
    agent.end()
    for pin in sorted(agent.bpffs.rglob("*"), reverse=True):
        pin.rmdir() if pin.is_dir() else pin.unlink()
    agent.bpffs.rmdir()
    agent.start()
    assert agent.status()["problems"] == []
    assert "no" not in attached(agent).values()


REFUSED = [
    (
        changed(GATEWAY, devices=[{"name": "wan7"}]),
        "no device wan7: standard input:1:spec.devices[0].name, line ",
    ),
    (changed(GATEWAY, devices=[{"name": "lo"}]), "device lo is not an Ethernet device"),
    (changed(GATEWAY, devics=[]), "unknown key devics: standard input:1:spec.devics, line"),
    (
        changed(
            GATEWAY, prefixes=[{"name": "a", "prefix": "64:ff9b::/96", "ipv4": ["10.0.0.0/8"]}]
        ),
        "10.0.0.0/8 is not global, so 64:ff9b::/96 cannot stand for it: standard input:1:",
    ),
    ({**GATEWAY, "metadata": {"name": "core"}}, "a machine has one Gateway"),
]


@pytest.mark.parametrize(("wrong", "message"), REFUSED)
def test_a_wrong_file_changes_nothing(agent: Agent, wrong: dict[str, Any], message: str) -> None:
    agent.start()
    agent.apply(GATEWAY)
    before = agent.status()
    said = agent.apply(wrong, code=5)
    assert said.startswith("sixlane: ")
    assert said.count("\n") == 1
    assert message in said
    after = agent.status()
    assert after["gateway"] == before["gateway"]
    assert after["revision"] == 1
    assert after["problems"] == []


def test_the_good_half_of_a_transaction_is_not_applied(agent: Agent) -> None:
    agent.start()
    wrong = changed(DNS64, listen=["2001:db8:99::1"])
    assert "not an address of this machine" in agent.apply(GATEWAY, wrong, code=5)
    assert agent.status()["resources"] == []
    assert links(agent) == []


def test_a_dry_run_changes_nothing(agent: Agent) -> None:
    agent.start()
    text = json.dumps(GATEWAY)
    said = agent.sixlane("apply", "-f", "-", "--dry-run", stdin=text)
    assert "Gateway edge created (dry run)" in said
    assert "wan0" in said
    assert links(agent) == []
    assert agent.status()["revision"] == 0


def test_a_device_that_goes_and_comes_back(agent: Agent) -> None:
    agent.start()
    agent.apply(GATEWAY)
    ip(agent, "link", "del", "lan0")
    assert eventually(lambda: any("lan0" in one for one in agent.status()["problems"]))
    assert attached(agent)["wan0"] != "no"
    ip(agent, "link", "add", "lan0", "type", "veth", "peer", "name", "lan1")
    ip(agent, "link", "set", "lan0", "up")
    assert eventually(lambda: attached(agent)["lan0"] != "no")
    assert eventually(lambda: agent.status()["problems"] == [])


def test_a_device_with_another_address_is_planned_anew(agent: Agent) -> None:
    """The gateway's own address is the source of its ICMP errors."""
    agent.start()
    agent.apply(GATEWAY)
    before = agent.status()["gateway"]["generation"]
    ip(agent, "address", "add", "192.52.193.1/24", "dev", "wan0")
    ip(agent, "address", "del", "192.31.196.1/24", "dev", "wan0")
    assert eventually(lambda: agent.status()["gateway"]["generation"] > before)
    assert eventually(lambda: nothing_is_left_to_do(agent))
    assert agent.status()["problems"] == []


def test_nothing_is_planned_for_neighbours_and_routes(agent: Agent) -> None:
    agent.start()
    agent.apply(GATEWAY)
    before = agent.status()["gateway"]["generation"]
    ip(agent, "route", "add", "192.52.193.0/24", "via", "192.31.196.53")
    ip(agent, "neighbour", "add", "192.31.196.54", "lladdr", "02:00:00:00:00:54", "dev", "wan0")
    time.sleep(0.3)
    assert agent.status()["gateway"]["generation"] == before


def test_teardown_removes_everything_and_restores_what_was_changed(agent: Agent) -> None:
    before = settings(agent)
    agent.start()
    agent.apply(GATEWAY)
    assert settings(agent) != before
    assert agent.sixlane("teardown") == "torn down: nothing of sixlane is in force\n"
    assert settings(agent) == before
    assert not agent.bpffs.exists()
    status = agent.status()
    assert (status["resources"], status["problems"]) == ([], [])
    assert agent.sixlane("teardown") == "torn down: nothing of sixlane is in force\n"
    agent.apply(GATEWAY)  # and the same agent goes on
    assert agent.status()["problems"] == []


def test_teardown_without_an_agent(agent: Agent) -> None:
    """From outside of the agent's network namespace, which is found again by its name."""
    before = settings(agent)
    agent.start()
    agent.apply(GATEWAY)
    agent.end(signal.SIGKILL)
    assert agent.sixlane("teardown") == "torn down: nothing of sixlane is in force\n"
    assert settings(agent) == before
    assert not agent.bpffs.exists()
    agent.start()
    assert agent.status()["resources"] == []


def test_teardown_where_nothing_ever_was(agent: Agent) -> None:
    assert agent.sixlane("teardown") == "torn down: nothing of sixlane is in force\n"


def test_teardown_does_not_work_behind_a_running_agents_back(agent: Agent) -> None:
    agent.start()
    (agent.place.run_dir / "api.sock").unlink()
    said = agent.sixlane("teardown", code=3)
    assert f"another sixlaned runs already (pid {agent.pid})" in said
    agent.end()


def test_a_second_agent_is_refused(agent: Agent) -> None:
    agent.start()
    second = agent.daemon()
    assert second.returncode == 1
    assert second.stderr.startswith(f"sixlaned: another sixlaned runs already (pid {agent.pid})")
    assert second.stderr.count("\n") == 1
    assert agent.status()["problems"] == []


def test_a_second_agent_with_the_socket_of_the_first(agent: Agent, tmp_path: Path) -> None:
    agent.start()
    second = agent.daemon(
        f"--run-dir={tmp_path / 'run2'}",
        f"--state-dir={tmp_path / 'state2'}",
        f"--bpffs={agent.bpffs}-2",
    )
    assert second.returncode == 1
    assert "another process listens on" in second.stderr
    subprocess.run(["rm", "-r", f"{agent.bpffs}-2"], check=True)


@needs.command("setpriv")
def test_no_privilege() -> None:
    daemon = [sys.executable, "-m", "sixlane.api.main"]
    done = subprocess.run(
        ["setpriv", "--bounding-set=-all", *daemon], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == (
        "sixlaned: no privilege: CAP_NET_ADMIN and CAP_BPF missing (run it as root)\n"
    )


def test_pins_outside_of_a_bpffs(agent: Agent) -> None:
    done = agent.daemon("--bpffs=/proc/sixlane-test/pins")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("sixlaned: open the pins in /proc/")
    assert "Traceback" not in done.stderr


def test_a_damaged_store(agent: Agent) -> None:
    agent.place.state_dir.mkdir()
    (agent.place.state_dir / "store.db").write_bytes(b"damaged, and long enough to tell" * 99)
    done = agent.daemon()
    assert done.returncode == 1
    assert "move it away and apply again" in done.stderr
    (agent.place.state_dir / "store.db").unlink()
