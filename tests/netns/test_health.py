# SPDX-License-Identifier: Apache-2.0
"""Health checks by real packets: through tunnels to the frontend, or straight to the backend."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sixlane.net import link, netns, policy, sysctl
from tests import needs
from tests.netns import spaces
from tests.netns.agents import GATEWAY, eventually
from tests.netns.health import (
    BACKEND4,
    BACKEND6,
    CHECK,
    VIP4,
    VIP6,
    Checked,
    raise_checked,
    service,
    shown,
)

pytestmark = [pytest.mark.netns, needs.root, needs.command("setpriv")]

HTTP = {**CHECK, "type": "http"}
WAY: dict[str, Any] = {"devices": ["sixlane-nobody", "sixlane-checks"], "rules": 2, "routes": 2}
NO_WAY: dict[str, Any] = {"devices": [], "rules": 0, "routes": 0}


@pytest.fixture(scope="module")
def raised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checked]:
    with raise_checked(tmp_path_factory.mktemp("checked")) as checked:
        yield checked


@pytest.fixture
def lb(raised: Checked) -> Iterator[Checked]:
    yield raised
    raised.forget()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Checked]:
    """With an agent that a test may kill."""
    with raise_checked(tmp_path) as checked:
        yield checked


def six(**spec: Any) -> dict[str, Any]:
    """A service of IPv6 alone."""
    given = {"frontends": [{"address": VIP6, "port": 80}], "backends": [{"address": BACKEND6}]}
    return service(name="six", **{**given, **spec})


def way(lb: Checked) -> dict[str, Any]:
    found = shown(lb.agent.namespace)
    return {**found, "rules": len(found["rules"]), "routes": len(found["routes"])}


def test_a_check_goes_by_the_tunnel_to_the_frontend(lb: Checked) -> None:
    """Of either family, in a tunnel of the backend's: it sees the VIP, and this machine."""
    internet, pod = lb.agent.internet, lb.agent.pod
    lb.serve(internet)
    lb.serve(pod)
    lb.agent.apply(service(healthCheck=HTTP), six(healthCheck=HTTP))
    assert set(lb.states().values()) == {"quarantined"}, "nobody knows them yet"
    assert lb.conditions()["ChecksRun"] == "NobodyChecks"
    (status, what) = lb.diagnosed("health")
    assert (status, what.startswith("sixlane-health has not been heard of")) == ("problem", True)
    generation = lb.generation()
    lb.start_health()
    assert lb.are("active", "active")
    assert lb.asked(internet) == ("192.31.196.1", VIP4)
    assert lb.asked(pod) == ("2001:db8:64::1", VIP6)
    assert lb.conditions()["ChecksRun"] == "ChecksRun"
    lb.end_server(internet)
    assert lb.are("active", "quarantined")
    name = f'service="web",backend="{BACKEND4}"'.split(",")
    labels = "{" + ",".join(sorted(name)) + "}"
    told = lb.told()
    assert told[f"sixlane_backend_well{labels}"] == "0.0"
    assert float(told['sixlane_health_checks_total{outcome="failed",service="web"}']) >= 2
    assert float(told['sixlane_health_check_seconds_sum{service="six"}']) > 0
    lb.serve(internet)
    assert lb.are("active", "active")
    assert lb.generation() == generation, "no flip"
    assert lb.client.counters()["reasons"]["forward_check"]["packets"] > 0
    # A rule of ours is no reason to ask for each next hop.
    with netns.inside(lb.agent.namespace):
        assert policy.depends_on_more_than_destination() is None


def test_an_echo_goes_by_the_tunnel_as_well(lb: Checked) -> None:
    icmp = {**CHECK, "type": "icmp"}
    lb.agent.apply(service(healthCheck=icmp), six(healthCheck=icmp))
    lb.start_health()
    assert lb.are("active", "active")
    counted = lb.client.counters()["reasons"]
    with netns.inside(lb.agent.internet):
        spaces.command("ip", "address", "del", f"{VIP4}/32", "dev", "lo")
    try:
        assert lb.are("active", "quarantined")
    finally:
        with netns.inside(lb.agent.internet):
            spaces.command("ip", "address", "add", f"{VIP4}/32", "dev", "lo")
    assert counted["forward_check"]["packets"] > 0


def test_the_doctor_knows_why_nothing_is_well(lb: Checked) -> None:
    """By what happens: a privilege is lacking, or answers are dropped as they come in."""
    lb.serve(lb.agent.internet)
    lb.agent.apply(service(healthCheck=HTTP))
    lb.start_health("-net_raw")
    lacks = ("problem", "backends of Service web: not checked: operation not permitted")
    assert eventually(lambda: lb.diagnosed("health-checks") == lacks)
    lb.end_health()
    lb.start_health()
    assert lb.are("active")
    for name in ("health", "health-checks", "health-answers"):
        assert lb.diagnosed(name)[0] == "ok"

    def filtering(value: int) -> tuple[str, str]:
        with netns.inside(lb.agent.namespace):
            sysctl.set("net.ipv4.conf.wan0.rp_filter", value)
        return lb.diagnosed("health-answers")

    told = "device wan0: rp_filter {} drops answers to checks from " + f"{VIP4}, for Service web"
    assert filtering(1) == ("problem", told.format(1))
    assert lb.are("quarantined")
    assert filtering(2) == ("problem", told.format(2)), "no route leads there"
    with netns.inside(lb.agent.namespace):
        spaces.command("ip", "route", "add", VIP4, "dev", "lan0")
    try:
        assert lb.diagnosed("health-answers")[0] == "ok"
        assert lb.are("active")
        assert filtering(1)[0] == "problem"
        with netns.inside(lb.agent.namespace):
            spaces.command("ip", "route", "replace", VIP4, "dev", "wan0")
        assert lb.diagnosed("health-answers")[0] == "ok"
    finally:
        filtering(0)
        with netns.inside(lb.agent.namespace):
            spaces.command("ip", "route", "del", VIP4)


def test_an_ipv4_frontend_on_an_ipv6_backend(lb: Checked) -> None:
    """The answer is IPv4, and needs a way back there."""
    with netns.inside(lb.agent.pod):
        spaces.command("ip", "address", "add", "192.31.199.2/24", "dev", "up0")
        spaces.command("ip", "route", "add", "192.31.196.0/24", "dev", "up0", "scope", "link")
        spaces.command("sysctl", "-qw", "net.ipv4.conf.up0.arp_announce=0")
    lb.serve(lb.agent.pod)
    lb.agent.apply(service(backends=[{"address": BACKEND6}], healthCheck=HTTP))
    lb.start_health()
    assert lb.are("active")
    assert lb.asked(lb.agent.pod) == ("192.31.196.1", VIP4)


def test_what_is_translated_is_checked_at_its_own_address(lb: Checked) -> None:
    lb.serve(lb.agent.internet, 8080)
    nat = {"mode": "nat", "sourcePool": ["192.31.196.8/30"]}
    backends = [{"address": BACKEND4, "port": 8080}]
    lb.agent.apply(service(**nat, backends=backends, healthCheck=HTTP))
    assert way(lb) == NO_WAY, "none needs it"
    lb.start_health()
    assert lb.are("active")
    assert lb.asked(lb.agent.internet) == ("192.31.196.1", BACKEND4)


def test_a_frontend_that_the_host_has_is_no_way(lb: Checked) -> None:
    """A packet to it would never leave: the backend itself is asked."""
    with netns.inside(lb.agent.namespace):
        spaces.command("ip", "address", "add", f"{VIP4}/32", "dev", "wan0")
    try:
        lb.serve(lb.agent.internet)
        lb.agent.apply(service(healthCheck=HTTP))
        lb.start_health()
        assert lb.are("active")
        assert lb.asked(lb.agent.internet) == ("192.31.196.1", BACKEND4)
    finally:
        with netns.inside(lb.agent.namespace):
            spaces.command("ip", "address", "del", f"{VIP4}/32", "dev", "wan0")


def test_nothing_changes_when_either_starts_anew(alone: Checked) -> None:
    """What is in the kernel holds: a backend that was well, and one that was not."""
    lb = alone
    lb.serve(lb.agent.internet)
    backends = [{"address": BACKEND4}, {"address": "192.31.196.99"}]
    lb.agent.apply(service(backends=backends, healthCheck=HTTP))
    lb.start_health()
    assert lb.are("active", "quarantined")
    before = lb.states()
    assert lb.end_health(signal.SIGKILL) == -signal.SIGKILL
    lb.end_server(lb.agent.internet)  # nobody is there to see it
    lb.agent.end(signal.SIGKILL)
    lb.agent.start()
    assert lb.states() == before
    assert lb.conditions()["ChecksRun"] == "NobodyChecks"
    lb.start_health()
    assert lb.are("quarantined", "quarantined")
    lb.serve(lb.agent.internet)
    assert eventually(lambda: lb.states() == before)
    # The agent alone, while checks go on.
    lb.agent.end(signal.SIGKILL)
    lb.end_server(lb.agent.internet)
    lb.agent.start()
    assert lb.are("quarantined", "quarantined")


def test_checks_set_on_a_service_that_runs(lb: Checked) -> None:
    """Who gets flows goes on to; who comes anew has to be seen first."""
    lb.agent.apply(service(healthCheck=None))
    assert lb.are("active")
    lb.agent.apply(service())
    assert list(lb.states().values()) == ["active"]
    lb.agent.apply(service(backends=[{"address": BACKEND4}, {"address": "192.31.196.99"}]))
    assert sorted(lb.states().values()) == ["active", "quarantined"]
    lb.agent.apply(service(healthCheck=None))
    assert list(lb.states().values()) == ["active"]


def test_the_way_comes_and_goes_with_those_who_need_it(lb: Checked) -> None:
    assert way(lb) == NO_WAY
    lb.agent.apply(service())
    assert way(lb) == WAY
    with netns.inside(lb.agent.namespace):
        link.delete("sixlane-checks")
    assert eventually(lambda: way(lb) == WAY), "somebody took it away"
    with netns.inside(lb.agent.namespace):
        spaces.command("ip", "-6", "rule", "del", "table", "64640")
    assert eventually(lambda: way(lb) == WAY)
    lb.agent.apply(service(healthCheck=None))
    assert way(lb) == NO_WAY


def test_a_teardown_leaves_nothing(lb: Checked) -> None:
    lb.agent.apply(service())
    assert way(lb) == WAY
    lb.agent.teardown()
    assert way(lb) == NO_WAY
    lb.agent.apply(GATEWAY)
