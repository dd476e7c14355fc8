# SPDX-License-Identifier: Apache-2.0
"""`sixlane pod`, and the API below it."""

import json
from ipaddress import IPv6Address

from sixlane.client import Client
from sixlane.pods import PodName
from tests.unit.agent.fakes import World
from tests.unit.cli.running import Sixlane
from tests.unit.pods.networks import DUAL, USUAL, asked, network

LONG = "0123456789abcdef"


def fill(world: World) -> None:
    leases = world.pods.service.leases()
    first = asked(LONG, pod=PodName("shop", "web-0", ""))
    leases.add(first, DUAL, USUAL)
    leases.ready(first.attachment)
    leases.add(asked("z"), network("2001:db8:64:2::/64"), USUAL)


def test_no_pods(sixlane: Sixlane) -> None:
    assert sixlane("pod", "list") == "no pods\n"
    assert json.loads(sixlane("pod", "list", "-o", "json")) == {"items": []}


def test_all_of_them(sixlane: Sixlane, world: World) -> None:
    fill(world)
    heads, *rows = sixlane("pod", "list").splitlines()
    assert heads.split() == ["CONTAINER", "INTERFACE", "POD", "ADDRESSES", "DEVICE", "READY"]
    assert [row.split() for row in rows] == [
        ["container-012", "eth0", "shop/web-0", "2001:db8:64:1::2,", "10.64.1.2", "veth", "yes"],
        ["container-z", "eth0", "-", "2001:db8:64:2::2", "veth", "no"],
    ]
    wide = sixlane("pod", "list", "-o", "wide").splitlines()[1].split()
    assert wide[0] == f"container-{LONG}"
    assert str(IPv6Address("64:ff9b::192.175.48.0")) in wide
    assert wide[-2:] == ["1500", f"/run/netns/{LONG}"]


def test_by_the_client(sixlane: Sixlane, world: World) -> None:
    fill(world)
    first, second = Client(str(sixlane.socket)).pods()
    assert (first["namespace"], first["name"], first["ready"]) == ("shop", "web-0", True)
    assert (second["namespace"], second["egress"], second["ready"]) == (None, None, False)
    assert second["addresses"] == ["2001:db8:64:2::2"]
