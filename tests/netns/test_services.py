# SPDX-License-Identifier: Apache-2.0
"""sixlaned with services: in force, changed, drained, found again, torn down."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sixlane.datapath import Datapath
from sixlane.datapath.backends import Backends
from sixlane.datapath.layout import BackendState
from sixlane.datapath.rings import rings_in_force
from sixlane.lb.observe import Observed, observe_services
from sixlane.model.packed import unpacked_address
from sixlane.net import netns
from tests import needs
from tests.netns import agents
from tests.netns.agents import GATEWAY, Agent, changed, eventually
from tests.stock import kind_for

pytestmark = [pytest.mark.netns, needs.root, needs.bpf, needs.command("ip")]

SMALL = changed(
    GATEWAY,
    loadBalancer={"max": {"services": 64, "backends": 256, "ringEntries": 131072, "flows": 1024}},
)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    with agents.world(tmp_path, kind_for(SMALL)) as (agent, _, _):
        agent.start()
        yield agent


def service(name: str, port: int, *backends: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "sixlane.dev/v1alpha1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {
            "frontends": [{"address": "192.175.50.1", "port": port}],
            "backends": list(backends),
            **spec,
        },
    }


def node(last: int, **more: Any) -> dict[str, Any]:
    return {"address": f"2001:db8:64:1::{last}", **more}


@contextmanager
def kernel(agent: Agent) -> Iterator[tuple[Datapath, Observed]]:
    with netns.inside(agent.namespace), Datapath.open(agent.bpffs) as datapath:
        yield datapath, observe_services(datapath, Backends(datapath.maps()["backends"]))


def states(agent: Agent, name: str) -> dict[str, str]:
    """Of backends, read from the kernel."""
    with kernel(agent) as (_, seen):
        return {
            str(unpacked_address(naming[:16])): BackendState(held.state).name[8:].lower()
            for naming, held in seen.services[name].backends.items()
        }


def everything(agent: Agent) -> Any:
    """Numbers, backends and rings, and the generation of the tables."""
    with kernel(agent) as (datapath, seen):
        rings = rings_in_force(datapath.maps()["service_rings"])
        return seen.services, seen.strays, rings, datapath.generation(), datapath.digest()


def conditions(agent: Agent, name: str) -> dict[str, tuple[str, str, str]]:
    told = json.loads(agent.sixlane("get", "service", name, "-o", "json"))
    return {
        one["type"]: (one["status"], one["reason"], one["message"])
        for one in told["status"]["conditions"]
    }


def test_services_without_a_gateway(agent: Agent) -> None:
    agent.apply(service("web", 80, node(1)))
    assert conditions(agent, "web")["Ready"][:2] == ("False", "NoGateway")
    agent.apply(SMALL)
    assert conditions(agent, "web")["Ready"][:2] == ("True", "InForce")
    assert conditions(agent, "web")["BackendsReady"] == (
        "True",
        "BackendsReady",
        "1 of 1 get new flows",
    )
    assert states(agent, "web") == {"2001:db8:64:1::1": "active"}


def test_a_life(agent: Agent) -> None:
    agent.apply(SMALL)
    agent.apply(service("web", 80, node(1), node(2)), service("dns", 53, node(3)))
    services, strays, rings, generation, _ = everything(agent)
    assert services.keys() == {"web", "dns"} and strays == ()
    assert sorted(extent.size for extent, _ in rings.values()) == [251, 251]

    # Another weight is no flip, and moves nothing else.
    agent.apply(service("web", 80, node(1), node(2, weight=3)))
    after, _, changed_rings, same, _ = everything(agent)
    assert same == generation
    assert after["web"].backends == services["web"].backends
    assert after["dns"] == services["dns"]
    assert changed_rings[after["web"].id] != rings[after["web"].id]

    # Another agent finds all of it, and has nothing to do.
    before = everything(agent)
    agent.end(signal.SIGKILL)
    agent.start()
    assert eventually(lambda: conditions(agent, "web")["Ready"][0] == "True")
    assert everything(agent) == before

    # A frontend more is a flip, and backends stay who they are.
    ends = [{"address": "192.175.50.1", "port": port} for port in (80, 81)]
    agent.apply(service("web", 80, node(1), node(2, weight=3), frontends=ends))
    now, _, _, generation, _ = everything(agent)
    assert generation == same + 1
    assert now["web"].backends == after["web"].backends
    assert len(now["web"].frontends) == 2

    agent.sixlane("delete", "service", "dns")
    now, strays, rings, _, _ = everything(agent)
    assert now.keys() == {"web"} and strays == () and len(rings) == 1

    agent.sixlane("delete", "gateway", "edge")
    assert conditions(agent, "web")["Ready"][:2] == ("False", "NoGateway")
    now, strays, rings, _, digest = everything(agent)
    assert (now, strays, rings, digest) == ({}, (), {}, None)
    agent.teardown()
    assert not agent.bpffs.exists()


def test_what_backends_do(agent: Agent) -> None:
    agent.apply(SMALL)
    agent.apply(service("web", 80, node(1, weight=0), node(2, state="maintenance")))
    assert conditions(agent, "web")["Ready"] == (
        "False",
        "NoneIsUp",
        "0 of 2 get new flows: all are refused",
    )
    agent.apply(service("web", 80))
    assert conditions(agent, "web")["Ready"][:2] == ("False", "NoBackends")


def test_a_drain_ends_by_itself(agent: Agent) -> None:
    agent.apply(SMALL)
    drains = node(2, state="terminating", drainUntil="2099-01-01T00:00:00Z")
    agent.apply(service("web", 80, node(1), drains))
    assert states(agent, "web")["2001:db8:64:1::2"] == "terminating"
    # The apply is over by then, unless the machine is very slow.
    soon = (datetime.now(UTC) + timedelta(seconds=10)).isoformat()
    agent.apply(service("web", 80, node(1), drains | {"drainUntil": soon}))
    assert eventually(lambda: states(agent, "web")["2001:db8:64:1::2"] == "quarantined")


def test_a_refused_service_changes_nothing(agent: Agent) -> None:
    agent.apply(SMALL)
    agent.apply(service("web", 80, node(1)))
    before = everything(agent)
    many = [node(at) for at in range(1, 301)]
    told = agent.sixlane("apply", "-f", "-", stdin=json.dumps(service("more", 81, *many)), code=5)
    assert told.count("\n") <= 2
    assert everything(agent) == before
