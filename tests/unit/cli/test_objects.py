# SPDX-License-Identifier: Apache-2.0
"""Objects by name: gateway, prefix, eam, dns64; each with list, get, add, set, delete."""

import json
from typing import Any

import pytest

from tests.unit.agent.fakes import DNS64, GATEWAY, World
from tests.unit.cli.running import NOT_FOUND, REFUSED, Sixlane


def spec(world: World, kind: str = "Gateway") -> dict[str, Any]:
    """Of the only resource of that kind."""
    (view,) = world.agent.resources(kind)
    found: dict[str, Any] = view["spec"]
    return found


@pytest.fixture
def filled(sixlane: Sixlane) -> Sixlane:
    """With one Gateway and one Dns64."""
    sixlane("apply", "-f", sixlane.file(GATEWAY, DNS64), "--wait")
    return sixlane


# ---- gateway ----


def test_a_gateway_from_nothing(sixlane: Sixlane, world: World) -> None:
    argv = ["gateway", "add", "edge", "--device", "wan0", "--device", "lan0:tc"]
    argv += ["--prefix", "services", "64:ff9b::/96", "--ipv4", "192.175.48.0/25"]
    assert sixlane(*argv, "--dry-run") == ("Gateway edge created (dry run)\n  set edge\n")
    assert sixlane(*argv, "--lowest-ipv6-mtu", "1400") == "Gateway edge created\n"
    assert spec(world) == {
        "devices": [{"name": "wan0"}, {"name": "lan0", "attach": "tc"}],
        "prefixes": [{"name": "services", "prefix": "64:ff9b::/96", "ipv4": ["192.175.48.0/25"]}],
        "lowestIPv6MTU": 1400,
    }
    said = sixlane(*argv, code=REFUSED)
    assert "edge" in said


def test_gateway_list_and_get(filled: Sixlane) -> None:
    assert filled("gateway", "list") == (
        "GATEWAY  DEVICES  PREFIXES  GENERATION  READY  REASON\n"
        "edge     wan0     pods      1           True   InForce\n"
    )
    assert filled("gateway", "get") == filled("gateway", "get", "edge")
    assert json.loads(filled("gateway", "get", "-o", "json"))["spec"] == GATEWAY["spec"]


def test_gateway_set(filled: Sixlane, world: World) -> None:
    argv = ["gateway", "set", "--device", "wan1:xdp", "--icmp-error-rate", "0"]
    argv += ["--icmp-source-ipv6", "2001:db8::1"]
    assert filled(*argv) == "Gateway edge changed\n"
    now = spec(world)
    assert now["devices"] == [{"name": "wan1", "attach": "xdp"}]
    assert now["icmpErrors"] == {"rate": 0}
    assert now["icmpSource"] == {"ipv6": "2001:db8::1"}
    assert now["prefixes"] == GATEWAY["spec"]["prefixes"]
    assert filled("gateway", "set", "--icmp-error-rate", "default") == "Gateway edge changed\n"
    assert "icmpErrors" not in spec(world)


def test_gateway_set_of_nonsense(filled: Sixlane, world: World) -> None:
    said = filled("gateway", "set", "--lowest-ipv6-mtu", "many", code=REFUSED)
    assert "many is not a whole number" in said
    said = filled("gateway", "set", "--device", "wan1:warp", code=REFUSED)
    assert "warp is not known here" in said
    assert spec(world) == GATEWAY["spec"]


def test_gateway_delete(filled: Sixlane, world: World) -> None:
    assert filled("gateway", "delete", "edge") == "Gateway edge deleted\n"
    assert world.agent.resources("Gateway") == []
    assert filled("gateway", "list") == "no Gateway\n"
    filled("gateway", "delete", "edge", code=NOT_FOUND)
    said = filled("prefix", "list", code=NOT_FOUND)
    assert said.startswith("sixlane: there is no Gateway yet (sixlane gateway add")


def test_gateway_set_what_the_rfcs_leave_open(filled: Sixlane, world: World) -> None:
    argv = ["--tos", "0", "--traffic-class", "184", "--udp-zero-checksum", "compute"]
    argv += ["--hairpin", "off", "--icmp-error-rate", "unlimited"]
    argv += ["--icmp-pool", "192.31.196.8/30", "--icmp-pool", "192.31.196.1", "--no-icmp-origin"]
    filled("gateway", "set", *argv)
    wanted = {
        "tos": 0,
        "trafficClass": 184,
        "udpZeroChecksum": "compute",
        "hairpin": "off",
        "icmpErrors": {"rate": "unlimited"},
        "icmpPool": {"ipv4": ["192.31.196.8/30", "192.31.196.1/32"], "origin": False},
    }
    assert spec(world) == GATEWAY["spec"] | wanted
    exported = filled("export")
    filled("delete", "gateway", "edge")
    filled("apply", "-f", "-", stdin=exported)
    assert spec(world) == GATEWAY["spec"] | wanted, "and back"
    filled("gateway", "set", "--tos", "copy", "--icmp-pool", "none", "--icmp-origin")
    assert spec(world)["tos"] == "copy"
    assert spec(world)["icmpPool"] == {"ipv4": [], "origin": True}
    argv = [f"--{one}" for one in ("tos", "traffic-class", "udp-zero-checksum", "hairpin")]
    filled("gateway", "set", *(word for option in argv for word in (option, "default")))
    assert spec(world).keys().isdisjoint({"tos", "trafficClass", "udpZeroChecksum", "hairpin"})
    assert "neither a number nor copy" in filled("gateway", "set", "--tos", "low", code=REFUSED)
    assert "is private" in filled("gateway", "set", "--icmp-pool", "10.0.0.1", code=REFUSED)


def test_segments_of_a_prefix(filled: Sixlane, world: World) -> None:
    def size() -> Any:
        return spec(world)["prefixes"][-1].get("maxSegmentSize")

    filled("prefix", "add", "more", "2001:db8:9::/96", "--max-segment-size", "1300")
    assert size() == 1300
    filled("prefix", "set", "more", "--max-segment-size", "auto")
    assert size() == "auto"
    assert "at most 65495" in filled("prefix", "set", "more", "--max-segment-size", "65496", code=5)
    filled("prefix", "set", "more", "--max-segment-size", "default")
    assert size() is None


# ---- prefix ----


def test_prefix_add_list_get(filled: Sixlane, world: World) -> None:
    argv = ["prefix", "add", "legacy", "2001:db8:46::/96", "--ipv4", "192.0.2.0/25"]
    assert filled(*argv, "--source-range", "192.31.196.0/24") == "Gateway edge changed\n"
    assert filled("prefix", "list") == (
        "PREFIX  POOL6             IPV4             SOURCE-RANGES    EAM\n"
        "pods    64:ff9b::/96      192.175.48.0/24  all                0\n"
        "legacy  2001:db8:46::/96  192.0.2.0/25     192.31.196.0/24    0\n"
    )
    assert filled("prefix", "get", "legacy", "--no-headers").startswith("legacy  2001:db8:46::/96")
    assert json.loads(filled("prefix", "get", "legacy", "-o", "json")) == spec(world)["prefixes"][1]
    assert len(filled("prefix", "list", "-o", "ndjson").splitlines()) == 2


def test_prefix_add_refuses_a_name_that_is_taken(filled: Sixlane, world: World) -> None:
    argv = ["prefix", "add", "pods", "2001:db8:46::/96", "--ipv4", "192.0.2.0/25"]
    assert filled(*argv, code=REFUSED) == (
        "sixlane: prefix pods in Gateway edge is there already (change it, or take another name)\n"
    )
    assert spec(world) == GATEWAY["spec"]


def test_prefix_add_refuses_what_the_rfc_refuses(filled: Sixlane) -> None:
    said = filled("prefix", "add", "odd", "2001:db8:46::/95", code=REFUSED)
    assert "has length /95" in said
    assert "RFC 6052 allows" in said


def test_prefix_set(filled: Sixlane, world: World) -> None:
    filled("prefix", "set", "pods", "--source-range", "none")
    assert spec(world)["prefixes"][0]["loadBalancerSourceRanges"] == []
    filled("prefix", "set", "pods", "--source-range", "192.31.196.0/24", "--gateway", "edge")
    assert spec(world)["prefixes"][0]["loadBalancerSourceRanges"] == ["192.31.196.0/24"]
    filled("prefix", "set", "pods", "--source-range", "all", "--ipv4", "192.175.48.0/25")
    assert spec(world)["prefixes"] == [
        {"name": "pods", "prefix": "64:ff9b::/96", "ipv4": ["192.175.48.0/25"]}
    ]
    filled("prefix", "set", "none", "--source-range", "all", code=NOT_FOUND)
    filled("prefix", "set", "pods", "--ipv4", "none", "-g", "core", code=NOT_FOUND)


def test_prefix_delete(filled: Sixlane, world: World) -> None:
    filled("prefix", "add", "legacy", "2001:db8:46::/96")
    assert filled("prefix", "delete", "legacy") == "Gateway edge changed\n"
    assert spec(world) == {**GATEWAY["spec"], "prefixes": GATEWAY["spec"]["prefixes"]}
    filled("prefix", "delete", "legacy", code=NOT_FOUND)


# ---- eam ----


def test_eam(filled: Sixlane, world: World) -> None:
    argv = ["eam", "add", "pods", "192.0.2.80", "2001:db8:1::80"]
    assert filled(*argv) == "Gateway edge changed\n"
    filled("eam", "add", "pods", "203.0.113.0/24", "2001:db8:2::/120", "--remote")
    assert spec(world)["prefixes"][0]["eam"] == [
        {"ipv4": "192.0.2.80/32", "ipv6": "2001:db8:1::80/128"},
        {"ipv4": "203.0.113.0/24", "ipv6": "2001:db8:2::/120", "remote": True},
    ]
    table = (
        "PREFIX  IPV4            IPV6                SIDE\n"
        "pods    192.0.2.80/32   2001:db8:1::80/128  local\n"
        "pods    203.0.113.0/24  2001:db8:2::/120    remote\n"
    )
    assert filled("eam", "list") == table
    assert filled("eam", "list", "pods") == table
    assert filled("eam", "get", "192.0.2.80", "--no-headers").split()[2] == "2001:db8:1::80/128"
    told = json.loads(filled("eam", "get", "192.0.2.80/32", "-o", "json"))
    assert told == {"prefixName": "pods", "ipv4": "192.0.2.80/32", "ipv6": "2001:db8:1::80/128"}

    there = "sixlane: mapping of 192.0.2.80/32 in Gateway edge is there already ("
    assert filled(*argv, code=REFUSED).startswith(there)
    filled("eam", "set", "203.0.113.0/24", "--local")
    filled("eam", "set", "192.0.2.80", "--ipv6", "2001:db8:1::81", "--prefix", "pods")
    assert [one["ipv6"] for one in spec(world)["prefixes"][0]["eam"]] == [
        "2001:db8:1::81/128",
        "2001:db8:2::/120",
    ]
    assert filled("eam", "delete", "192.0.2.80") == "Gateway edge changed\n"
    assert "192.0.2.80" not in filled("eam", "list")


def test_eam_that_is_not_there(filled: Sixlane) -> None:
    assert filled("eam", "list") == "no mapping\n"
    assert filled("eam", "delete", "192.0.2.80", code=NOT_FOUND) == (
        "sixlane: no mapping of 192.0.2.80/32 in Gateway edge (sixlane eam list)\n"
    )
    filled("eam", "list", "nothing", code=NOT_FOUND)
    filled("eam", "add", "nothing", "192.0.2.80", "2001:db8::1", code=NOT_FOUND)


# ---- dns64 ----


def test_dns64_from_nothing(sixlane: Sixlane, world: World) -> None:
    argv = ["dns64", "add", "cluster", "--listen", "2001:db8:64::1"]
    argv += ["--client", "2001:db8:64::/48", "--prefix", "64:ff9b::/96"]
    assert sixlane(*argv, "--port", "5353") == "Dns64 cluster created\n"
    assert spec(world, "Dns64") == {**DNS64["spec"], "port": 5353}
    sixlane(*argv, code=REFUSED)
    assert sixlane("dns64", "list", "--no-headers").split()[:4] == [
        "cluster",
        "2001:db8:64::1",
        "5353",
        "64:ff9b::/96",
    ]
    assert sixlane("dns64", "get", "cluster") == sixlane("dns64", "list")


def test_dns64_set(sixlane: Sixlane, world: World) -> None:
    """Also what a file said of a prefix that stays is kept."""
    prefix = {"prefix": "64:ff9b::/96", "mapped": ["192.0.2.0/24"]}
    resource = {**DNS64, "spec": {**DNS64["spec"], "prefixes": [prefix], "port": 5353}}
    sixlane("apply", "-f", sixlane.file(resource))
    argv = ["--prefix", "64:ff9b::/96", "--prefix", "2001:db8:46::/96", "--port", "default"]
    said = sixlane("dns64", "set", "cluster", *argv, "--forwarder", "2001:db8::53")
    assert said == "Dns64 cluster changed\n"
    now = spec(world, "Dns64")
    assert now["prefixes"] == [prefix, {"prefix": "2001:db8:46::/96"}]
    assert now["forwarders"] == ["2001:db8::53"]
    assert "port" not in now
    sixlane("dns64", "set", "cluster", "--forwarder", "none")
    assert spec(world, "Dns64")["forwarders"] == []
    sixlane("dns64", "set", "other", "--forwarder", "none", code=NOT_FOUND)


def test_dns64_delete(filled: Sixlane, world: World) -> None:
    assert filled("dns64", "delete", "cluster") == "Dns64 cluster deleted\n"
    assert filled("dns64", "list") == "no Dns64\n"
    filled("dns64", "delete", "cluster", code=NOT_FOUND)
