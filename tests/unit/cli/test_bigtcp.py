# SPDX-License-Identifier: Apache-2.0
"""`sixlane bigtcp`, and the API below it."""

import json
from typing import Any

from sixlane.client import Client
from tests.unit.agent.fakes import World
from tests.unit.cli.running import Sixlane

UPLINK: dict[str, Any] = {
    "device": "eth0",
    "role": "uplink",
    "containerId": None,
    "namespace": None,
    "name": None,
    "netns": None,
    "gso": 196608,
    "gro": 196608,
    "gsoIpv4": None,
    "groIpv4": None,
    "maximum": 524280,
    "ipv6Mtu": None,
    "why": {"ipv6": "as asked", "ipv4": "this kernel has no BIG TCP for IPv4"},
}
POD: dict[str, Any] = {
    **UPLINK,
    "role": "pod-end",
    "containerId": "0123456789abcdef",
    "netns": "/run/netns/one",
    "gsoIpv4": 65536,
    "groIpv4": 65536,
    "ipv6Mtu": 1492,
    "why": {"ipv6": "as asked", "ipv4": "as asked"},
}


def test_without_a_network(sixlane: Sixlane) -> None:
    assert sixlane("bigtcp", "status") == "no Network has uplinks or pods here\n"
    assert json.loads(sixlane("bigtcp", "status", "-o", "json")) == {"items": []}


def test_each_device(sixlane: Sixlane, world: World) -> None:
    named = {**POD, "namespace": "shop", "name": "web-0"}
    world.pods.sizes = [UPLINK, POD, named]
    heads, *rows = sixlane("bigtcp", "status").splitlines()
    assert heads.split() == ["DEVICE", "IN", "POD", "GSO", "GRO", "GSO4", "GRO4", "MAXIMUM", "WHY"]
    lack = "IPv6 as asked; IPv4 this kernel has no BIG TCP for IPv4"
    big, plain = ["196608"] * 2, ["65536"] * 2
    assert [row.split(maxsplit=8) for row in rows] == [
        ["eth0", "node", "-", *big, "-", "-", "524280", lack],
        ["eth0", "pod", "0123456789abc", *big, *plain, "524280", "as asked"],
        ["eth0", "pod", "shop/web-0", *big, *plain, "524280", "as asked"],
    ]
    wide = sixlane("bigtcp", "status", "-o", "wide").splitlines()[2].split()
    assert wide[-3:] == ["0123456789abcdef", "1492", "/run/netns/one"]
    lines = sixlane("bigtcp", "status", "-o", "ndjson").splitlines()
    assert [json.loads(one) for one in lines] == world.pods.sizes


def test_by_the_client(sixlane: Sixlane, world: World) -> None:
    world.pods.sizes = [UPLINK, POD]
    assert Client(str(sixlane.socket)).big_tcp() == [UPLINK, POD]
