# SPDX-License-Identifier: Apache-2.0
"""A running agent, and what may happen to the devices of its gateway."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sixlane.bpf import AttachType, Link, Program, ProgramType, XdpFlag
from sixlane.net import ethtool, link, netns, sysctl
from tests import needs
from tests.netns import agents, spaces
from tests.netns.agents import GATEWAY, Agent, changed, eventually

pytestmark = [pytest.mark.netns, needs.root, needs.bpf, needs.command("ip")]

PASS_ALL = bytes.fromhex("b7000000020000009500000000000000")  # r0 = XDP_PASS; exit
POD = "192.175.48.2"


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """Started, with GATEWAY in force."""
    with agents.world(tmp_path) as (agent, internet, pod):
        with netns.inside(internet):
            spaces.command("ip", "route", "add", "default", "via", "192.31.196.1")
        with netns.inside(pod):
            spaces.command("ip", "address", "add", f"64:ff9b::{POD}/128", "dev", "up0", "nodad")
            spaces.command("ip", "route", "add", "default", "via", "2001:db8:64::1")
        ip(agent, "route", "add", f"64:ff9b::{POD}/128", "via", "2001:db8:64::2")
        agent.start()
        agent.apply(GATEWAY)
        yield agent


def ip(agent: Agent, *argv: str) -> None:
    netns.run(agent.namespace, ["ip", *argv])


def pings(agent: Agent) -> bool:
    """Whether a packet gets through, both ways."""
    return netns.run(agent.internet, ["ping", "-c1", "-W1", POD], check=False).returncode == 0


def attached(agent: Agent) -> dict[str, str]:
    gateway = agent.status()["gateway"] or {"devices": []}
    return {device["name"]: device["attached"] for device in gateway["devices"]}


def problems(agent: Agent) -> list[str]:
    told: list[str] = agent.status()["problems"]
    return told


def well(agent: Agent) -> bool:
    return eventually(lambda: problems(agent) == [])


def told(agent: Agent, text: str) -> bool:
    """Whether it comes to be the only problem."""
    return eventually(lambda: [text in one for one in problems(agent)] == [True])


def logged(agent: Agent, text: str) -> bool:
    return eventually(lambda: text in agent.log.read_text())


def condition(agent: Agent, kind: str) -> dict[str, Any]:
    (resource,) = agent.resources()
    conditions: list[dict[str, Any]] = resource["status"]["conditions"]
    (found,) = [one for one in conditions if one["type"] == kind]
    return found


def pinned(agent: Agent) -> list[str]:
    """The links of devices; each swap or new attachment would show."""
    return sorted(
        f"{path.name} {path.stat().st_ino}" for path in (agent.bpffs / "links").glob("*-[0-9]*")
    )


def test_a_renamed_device_goes_on_until_another_takes_its_name(agent: Agent) -> None:
    assert eventually(lambda: pings(agent))  # the first may wait for neighbours
    before = pinned(agent)
    ip(agent, "link", "set", "lan0", "down")  # before Linux 6.2 it must be
    ip(agent, "link", "set", "lan0", "name", "lan9", "up")
    ip(agent, "address", "add", "2001:db8:64::1/64", "dev", "lan9", "nodad")
    ip(agent, "route", "add", f"64:ff9b::{POD}/128", "via", "2001:db8:64::2")
    assert told(agent, "device lan0 is called lan9 now, and used on")
    assert eventually(lambda: pings(agent))
    assert pinned(agent) == before
    assert eventually(lambda: condition(agent, "DevicesInOrder")["reason"] == "DeviceRenamed")
    assert condition(agent, "DevicesAttached")["status"] == "True"

    agent.end()
    agent.start()  # which of the devices it was is not forgotten
    assert told(agent, "device lan0 is called lan9 now, and used on")
    assert pinned(agent) == before

    ip(agent, "link", "add", "lan0", "type", "veth", "peer", "name", "lan1")
    ip(agent, "link", "set", "lan0", "up")
    assert well(agent)
    assert pinned(agent) != before
    with netns.inside(agent.namespace):
        assert sysctl.get(("net", "ipv6", "conf", "lan9", "forwarding")) == "0"  # as it was
        assert sysctl.get(("net", "ipv6", "conf", "lan0", "forwarding")) == "1"


def test_a_renamed_device_is_restored_by_a_teardown(agent: Agent) -> None:
    ip(agent, "link", "set", "lan0", "down")
    ip(agent, "link", "set", "lan0", "name", "lan9", "up")
    with netns.inside(agent.namespace):
        assert sysctl.get(("net", "ipv6", "conf", "lan9", "forwarding")) == "1"
        assert agent.sixlane("teardown") == "torn down: nothing of sixlane is in force\n"
        assert sysctl.get(("net", "ipv6", "conf", "lan9", "forwarding")) == "0"
        assert sysctl.get(("net", "ipv6", "conf", "lan9", "accept_ra")) == "1"
        assert sysctl.get(("net", "ipv4", "conf", "lan9", "forwarding")) == "0"


def test_the_configuration_follows_a_new_name_without_a_new_attachment(agent: Agent) -> None:
    before = pinned(agent)
    ip(agent, "link", "set", "lan0", "down")
    ip(agent, "link", "set", "lan0", "name", "lan9", "up")
    assert told(agent, "device lan0 is called lan9 now")
    agent.apply(changed(GATEWAY, devices=[{"name": "wan0"}, {"name": "lan9"}]))
    assert problems(agent) == []
    assert pinned(agent) == before


def test_a_device_that_gets_a_name_that_is_wanted(agent: Agent) -> None:
    ip(agent, "link", "del", "lan0")
    assert told(agent, "device lan0 is not there")
    ip(agent, "link", "add", "new0", "type", "veth", "peer", "name", "new1")
    ip(agent, "link", "set", "new0", "name", "lan0")
    ip(agent, "link", "set", "lan0", "up")
    assert well(agent)
    assert attached(agent)["lan0"] != "no"


def test_an_alternative_name_will_do(agent: Agent) -> None:
    ip(agent, "link", "property", "add", "dev", "lan0", "altname", "inside-of-the-house")
    ip(agent, "link", "property", "add", "dev", "lan0", "altname", "inside")
    agent.apply(changed(GATEWAY, devices=[{"name": "wan0"}, {"name": "inside"}]))
    assert problems(agent) == []
    assert attached(agent).keys() == {"wan0", "inside"}
    twice = [{"name": "wan0"}, {"name": "inside"}, {"name": "lan0"}]
    said = agent.apply(changed(GATEWAY, devices=twice), code=5)
    assert "lan0 and inside are names of one device" in said
    assert said.count("\n") == 1


def test_a_device_that_is_not_there_at_the_start(agent: Agent) -> None:
    """The rest is brought back, and it is attached when it comes."""
    agent.end()
    ip(agent, "link", "del", "lan0")
    agent.start()
    assert told(agent, "device lan0 is not there")
    assert attached(agent)["wan0"] != "no"
    assert eventually(lambda: condition(agent, "DevicesAttached")["reason"] == "DeviceAbsent")
    assert eventually(lambda: condition(agent, "Ready")["status"] == "False")
    ip(agent, "link", "add", "lan0", "type", "veth", "peer", "name", "lan1")
    ip(agent, "link", "set", "lan0", "up")
    assert well(agent)
    assert eventually(lambda: condition(agent, "Ready")["status"] == "True")


def test_a_change_of_something_else_while_a_device_is_away(agent: Agent) -> None:
    ip(agent, "link", "del", "lan0")
    assert told(agent, "device lan0 is not there")
    assert agent.apply(changed(GATEWAY, lowestIPv6MTU=1400)) == "Gateway edge changed\n"
    assert told(agent, "device lan0 is not there")
    more = [*GATEWAY["spec"]["devices"], {"name": "dmz0"}]
    assert "no device dmz0" in agent.apply(changed(GATEWAY, devices=more), code=5)


def test_a_device_that_moves_to_another_namespace_and_back(agent: Agent) -> None:
    assert eventually(lambda: pings(agent))  # the first may wait for neighbours
    with netns.inside(agent.namespace), spaces.new() as elsewhere:
        gro = ethtool.get_feature("lan0", "rx-gro-list")
        link.move_to("lan0", elsewhere)
        assert told(agent, "device lan0 is not there")
        assert attached(agent)["wan0"] != "no"
        with netns.inside(elsewhere):
            shown = spaces.ip("link", "show", "dev", "lan0")[0]
            assert "xdp" not in shown
            link.set_up("lan0")
            link.move_to("lan0", agent.namespace)
        spaces.command("ip", "link", "set", "lan0", "up")
        spaces.command("ip", "address", "add", "2001:db8:64::1/64", "dev", "lan0", "nodad")
        way = [f"64:ff9b::{POD}/128", "via", "2001:db8:64::2"]
        spaces.command("ip", "route", "add", *way)
        assert well(agent)
        assert eventually(lambda: pings(agent))
        assert agent.sixlane("teardown") == "torn down: nothing of sixlane is in force\n"
        assert ethtool.get_feature("lan0", "rx-gro-list") == gro


def test_what_a_device_that_has_moved_away_was_set_to_is_told(agent: Agent) -> None:
    with netns.inside(agent.namespace), spaces.new() as elsewhere:
        link.move_to("lan0", elsewhere)
        assert told(agent, "device lan0 is not there")
        said = agent.sixlane("teardown")
        assert "device lan0 has gone: its ipv6 forwarding was 0" in said
        assert "wan0" not in said


def test_down_and_up(agent: Agent) -> None:
    before = pinned(agent)
    ip(agent, "link", "set", "wan0", "down")
    assert told(agent, "device wan0 is down")
    ip(agent, "link", "set", "wan0", "up")
    assert well(agent)
    assert eventually(lambda: pings(agent))
    assert pinned(agent) == before


def test_an_mtu_below_that_of_ipv6_and_back(agent: Agent) -> None:
    """The kernel takes IPv6 off such a device, with its addresses and sysctls."""
    ip(agent, "link", "set", "lan0", "mtu", "1200")
    assert eventually(lambda: any("lan0 has no IPv6" in one for one in problems(agent)))
    ip(agent, "link", "set", "lan0", "mtu", "1500")
    assert well(agent)
    with netns.inside(agent.namespace):
        assert sysctl.get(("net", "ipv6", "conf", "lan0", "forwarding")) == "1"


@pytest.mark.conformance(23, 24)
def test_the_tables_follow_mtu_and_mac(agent: Agent) -> None:
    agent.apply(changed(GATEWAY, lowestIPv6MTU=1500))

    def route_mtu() -> str:
        shown = netns.run(f"{agent.bpffs.name}-slow", ["ip", "-4", "route"]).stdout
        return shown.partition("mtu ")[2].split()[0]

    assert route_mtu() == "1472"  # 28 less: an IPv4 fragment grows by 20 + 8 bytes
    ip(agent, "link", "set", "lan0", "mtu", "1400")
    assert eventually(lambda: route_mtu() == "1372")
    ip(agent, "link", "set", "wan0", "address", "02:00:00:00:00:77")
    assert eventually(lambda: pings(agent))
    assert problems(agent) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (("net", "ipv4", "conf", "wan0", "forwarding"), "0"),
        (("net", "ipv6", "conf", "wan0", "forwarding"), "0"),
        (("net", "ipv4", "ip_forward"), "0"),  # all devices at once
    ],
)
def test_a_sysctl_that_somebody_resets_is_set_again(
    agent: Agent, name: tuple[str, ...], value: str
) -> None:
    with netns.inside(agent.namespace):
        sysctl.set("net.ipv4.ip_forward", 1)
        sysctl.set(name, value)
        device = ("net", "ipv4" if "ipv4" in name else "ipv6", "conf", "wan0", "forwarding")
        assert eventually(lambda: sysctl.get(device) == "1")
    assert logged(agent, f"device wan0: {device[1]} forwarding is 0, not 1: set")
    assert well(agent)


def test_a_feature_that_somebody_switches_is_switched_back(agent: Agent) -> None:
    """The kernel tells nobody of it."""
    with netns.inside(agent.namespace):
        ethtool.set_feature("wan0", "rx-gro-list", True)
        assert eventually(lambda: not ethtool.get_feature("wan0", "rx-gro-list"))
    assert logged(agent, "device wan0: rx-gro-list is on, not off: set")


def test_one_who_insists_is_not_fought_without_end(agent: Agent) -> None:
    """The pauses grow, and what is wrong meanwhile is told."""
    name = ("net", "ipv4", "conf", "wan0", "forwarding")
    tries = 0

    def is_told() -> bool:
        nonlocal tries
        tries += 1
        with netns.inside(agent.namespace):
            sysctl.set(name, 0)
        told = condition(agent, "DevicesInOrder")
        return told["reason"] == "SettingChanged" and (
            "wan0: ipv4 forwarding is 0, not 1" in told["message"]
        )

    assert eventually(lambda: is_told() and tries >= 20)
    assert agent.log.read_text().count("ipv4 forwarding is 0, not 1: set") < tries / 2


def test_a_program_of_somebody_else_on_one_device_does_not_stop_the_other(agent: Agent) -> None:
    """As after a reboot at which another tool was faster."""
    agent.apply(changed(GATEWAY, devices=[{"name": "wan0"}, {"name": "lan0", "attach": "xdp"}]))
    ip(agent, "link", "del", "lan0")
    assert told(agent, "device lan0 is not there")
    with netns.inside(agent.namespace):
        new, _ = link.create_veth("new0", "new1", up=True)
        with (
            Program.load(ProgramType.XDP, "other", PASS_ALL) as other,
            Link.create(other, new.ifindex, AttachType.XDP, XdpFlag.DRV_MODE),
        ):
            link.rename("new0", "lan0")
            assert told(agent, "device lan0 has an XDP program of somebody else")
            assert attached(agent)["wan0"] != "no"
        assert well(agent)  # tried again
    assert attached(agent)["lan0"] == "xdp"
