# SPDX-License-Identifier: Apache-2.0
"""What services carry, told by a real agent: commands, API and metrics beside packets."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sixlane.client import Client
from sixlane.net import netns
from tests import needs
from tests.netns import agents
from tests.netns.agents import GATEWAY, Agent, changed, eventually
from tests.stock import kind_for

pytestmark = [pytest.mark.netns, needs.root, needs.bpf, needs.command("ip")]

FAILED = 1
VIP = "192.175.50.200"
POD, OTHER = "2001:db8:64::2", "2001:db8:65::2"
SMALL = changed(
    GATEWAY,
    loadBalancer={"max": {"services": 64, "backends": 256, "ringEntries": 131072, "flows": 1024}},
)
WEB: dict[str, Any] = {
    "apiVersion": "sixlane.dev/v1alpha1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {
        "frontends": [{"address": VIP, "port": 80, "protocol": "UDP"}],
        "backends": [{"address": POD}],
    },
}
HOWTO = Path(__file__).parents[2] / "docs" / "howto" / "load-balancer.md"
SEND = """
import socket, sys
for port in range(int(sys.argv[1]), int(sys.argv[2])):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("192.31.196.53", port))
        for _ in range(int(sys.argv[3])):
            one.sendto(b"hello", ("192.175.50.200", 80))
"""


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """With a Gateway and a Service, which the internet can call."""
    with agents.world(tmp_path, kind_for(SMALL)) as (agent, internet, _):
        agent.start()
        agent.apply(SMALL, WEB)
        netns.run(internet, ["ip", "route", "add", f"{VIP}/32", "via", "192.31.196.1"])
        netns.run(agent.namespace, ["ping", "-6", "-c", "1", POD])  # neighbours know each other
        yield agent


def send(agent: Agent, first: int, end: int, packets: int = 2) -> None:
    """Datagrams of 33 bytes of layer 3 from each of these ports."""
    argv = ["python3", "-c", SEND, str(first), str(end), str(packets)]
    netns.run(agent.internet, argv)


def backends(agent: Agent) -> dict[str, dict[str, Any]]:
    listing = json.loads(agent.sixlane("backend", "list", "web", "-o", "json"))
    return {one["address"]: one for one in listing["items"]}


def test_flows_are_counted_and_drained(agent: Agent) -> None:
    send(agent, 40000, 40008)
    assert eventually(lambda: backends(agent)[POD]["status"]["activeFlows"] == 8)
    status = backends(agent)[POD]["status"]
    assert (status["state"], status["share"]) == ("active", 1.0)
    assert (status["packets"], status["bytes"], status["newFlows"]) == (16, 16 * 33, 8)
    shown = agent.sixlane("service", "show", "web")
    assert f"{VIP}:80/udp       16    528    8        0" in shown

    agent.sixlane("backend", "add", "web", OTHER)
    said = agent.sixlane("backend", "drain", "web", POD, "--wait", "--timeout", "3", code=FAILED)
    assert "8 flows remain after 3 s" in said
    now = backends(agent)
    assert now[POD]["status"]["state"] == "terminating"
    assert (now[POD]["status"]["share"], now[OTHER]["status"]["share"]) == (0.0, 1.0)
    send(agent, 40000, 40008)
    send(agent, 41000, 41004)
    assert backends(agent)[POD]["status"]["packets"] == 32, "flows that are there go on"
    assert eventually(lambda: backends(agent)[OTHER]["status"]["activeFlows"] == 4)
    lines = agent.sixlane("backend", "drain", "web", POD, "--deadline", "2s", "--wait").splitlines()
    assert lines[-1].split()[1:] == [POD, "quarantined", "0"]
    send(agent, 40000, 40008)
    assert backends(agent)[POD]["status"]["packets"] == 32
    agent.sixlane("backend", "undrain", "web", POD)
    assert backends(agent)[POD]["status"]["state"] == "active"
    assert eventually(lambda: "True" in agent.sixlane("get", "service", "web", "--no-headers"))


def test_drops_have_a_reason_and_a_frontend(agent: Agent) -> None:
    agent.sixlane("backend", "remove", "web", POD)
    send(agent, 40000, 40003, packets=1)
    told = json.loads(agent.sixlane("service", "show", "web", "-o", "json"))["counters"]
    wanted = {"packets": 3, "bytes": 99}
    assert told["dropped"] == wanted and told["drops"] == {"drop_no_backend": wanted}
    assert told["frontends"][0]["drops"] == told["drops"]
    assert "drop_no_backend        3     99" in agent.sixlane("service", "show", "web")

    # Another frontend with that number does not inherit them.
    agent.sixlane("service", "set", "web", "--frontend", f"{VIP}:81/udp")
    agent.sixlane("service", "set", "web", "--frontend", f"{VIP}:80/udp")
    assert json.loads(agent.sixlane("service", "show", "web", "-o", "json"))["counters"][
        "drops"
    ] in ({}, {"drop_no_backend": wanted})


def test_many_changes_with_a_result_for_each(agent: Agent) -> None:
    client = Client(str(agent.socket))
    before = agent.status()["gateway"]["generation"]
    done = client.transaction(
        backends=[
            {"op": "put", "service": "web", "backend": {"address": OTHER, "weight": 3}},
            {"op": "patch", "service": "web", "backend": {"address": POD, "weight": 1}},
        ]
    )
    assert [one["outcome"] for one in done["backends"]] == ["created", "unchanged"]
    other = client.backend("web", OTHER)["status"]
    assert other is not None and other["share"] == pytest.approx(0.75, abs=0.01), (
        "3 of 4, in a table of 251"
    )
    assert agent.status()["gateway"]["generation"] == before, "no flip"
    assert agent.status()["balanced"] == {
        "services": 1,
        "backends": {"active": 2, "terminating": 0, "maintenance": 0, "quarantined": 0},
    }
    assert "services in force: 1, backends: 2 active" in agent.sixlane("status")


def test_it_goes_on_with_another_agent(agent: Agent) -> None:
    send(agent, 40000, 40004)
    assert eventually(lambda: backends(agent)[POD]["status"]["activeFlows"] == 4)
    agent.end()
    agent.start()
    assert eventually(lambda: backends(agent)[POD]["status"] is not None)
    status = backends(agent)[POD]["status"]
    assert (status["packets"], status["newFlows"], status["activeFlows"]) == (8, 4, 4)


def test_metrics(agent: Agent) -> None:
    send(agent, 40000, 40004)
    text = Client(str(agent.socket)).metrics()
    frontend = f'{{address="{VIP}",port="80",protocol="udp",service="web"}}'
    backend = f'{{backend="{POD}",service="web"}}'
    for line in (
        f"sixlane_frontend_packets_total{frontend} 8.0",
        f"sixlane_frontend_flows_total{frontend} 4.0",
        f"sixlane_backend_bytes_total{backend} {8 * 33}.0",
        f"sixlane_backend_weight{backend} 1.0",
    ):
        assert line in text
    assert f'sixlane_backend_state{{backend="{POD}",service="web",state="active"}} 1.0' in text


def test_trace(agent: Agent) -> None:
    said = agent.sixlane("trace", f"192.31.196.53:40000 -> {VIP}:80 udp")
    assert "is called at a frontend of service web\n" in said
    assert f"goes to backend {POD}, as its Maglev table has it\n" in said


def test_the_resources_of_the_howto(agent: Agent) -> None:
    """They are taken as they stand there, but for what the machine is called."""
    found = re.findall(
        r"^```yaml\n(apiVersion.*?)^```", HOWTO.read_text(), re.MULTILINE | re.DOTALL
    )
    resources = [yaml.safe_load(text) for text in found]
    assert [one["kind"] for one in resources] == ["Gateway", "Service", "Service"]
    agent.sixlane("delete", "service", "web")
    for one in resources:
        agent.apply(one)
    assert "services in force: 2, backends: 4 active" in agent.sixlane("status")
    argv = ["backend", "weight", "shop", "[2001:db8:64:1::7]:8080", "2"]
    assert agent.sixlane(*argv) == "backend [2001:db8:64:1::7]:8080 of shop changed\n"
