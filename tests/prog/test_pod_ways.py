# SPDX-License-Identifier: Apache-2.0
"""Ways of packets from pods that are remembered: used for the same alone, and forgotten in time."""

import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from sixlane.bpf import Map, Program, ProgramType, possible_cpus
from sixlane.datapath.layout import PodWay
from sixlane.datapath.pods import By
from tests import needs
from tests.cpus import on_one_cpu
from tests.packets import tcp, udp
from tests.prog.test_pods import (
    ENDS,
    FAR,
    FROM,
    NEIGHBOUR,
    OWN,
    ROUTER_MAC,
    TYPES,
    UPLINK_MTU,
    VERSIONS,
    Entry,
    Node,
    Seen,
    header,
    hops,
    node,
    routed,
    sized,
)

__all__ = ["node"]  # the fixture

pytestmark = [pytest.mark.prog, needs.root, needs.bpf, needs.command("ip")]

RETURN_2 = bytes.fromhex("b7000000020000009500000000000000")  # drop


@pytest.fixture(autouse=True)
def one_cpu() -> Iterator[None]:
    """Each remembers for itself."""
    with on_one_cpu():
        yield


def once(node: Node, packet: Any, entry: Entry = "from_pod") -> Seen:
    return node.once(node.frame(packet, "pod1"), entry)


def outcome(node: Node, packet: Any) -> str:
    """What it was counted as."""
    (counted,) = once(node, packet).counted
    return counted


def out(version: int, payload: Any = None, **fields: Any) -> Any:
    return header(version, **(ENDS["out"](version) | fields)) / (payload or udp())


def elsewhere(version: int, dst: str = "") -> Any:
    """The route by which packets left the node is no more."""
    return routed(f"-{version}", "route", "add", "unreachable", dst or FAR[version])


@FROM
@VERSIONS
def test_the_way_out_with_its_link_header(node: Node, entry: Entry, version: int) -> None:
    node.pods.forget_ways()
    packet = out(version)
    assert list(once(node, packet, entry).counted) == ["out"]
    with elsewhere(version):
        seen = once(node, packet, entry)
    after = out(version, **hops(version, 60))
    macs = ROUTER_MAC + node.devices["up0"].mac
    assert seen == Seen("redirect", macs + TYPES[version] + bytes(after), {"out": (1, len(packet))})


@VERSIONS
def test_it_is_asked_again_a_second_later(node: Node, version: int) -> None:
    node.pods.forget_ways()
    assert outcome(node, out(version)) == "out"
    with elsewhere(version):
        assert outcome(node, out(version)) == "out"
        time.sleep(1.1)
        assert outcome(node, out(version)) == "pass_route"


@VERSIONS
@pytest.mark.parametrize(
    "change",
    [
        lambda node: node.pods.forget_ways(),
        lambda node: node.pods.set_up(0, By.REDIRECTS),
        lambda node: node.pods.put([ip_address("192.0.2.77")], node.places["pod2"]),
        lambda node: node.pods.forget([ip_address("192.0.2.77")]),
        lambda node: node.pods.set_uplinks([node.devices["up0"].ifindex]),
        lambda node: node.pods.translate(None),
    ],
    ids=["forget_ways", "set_up", "put", "forget", "set_uplinks", "translate"],
)
def test_it_is_asked_again_after(node: Node, version: int, change: Callable[[Node], None]) -> None:
    node.pods.forget_ways()
    assert outcome(node, out(version)) == "out"
    with elsewhere(version):
        change(node)
        assert outcome(node, out(version)) == "pass_route"


@VERSIONS
@pytest.mark.parametrize(
    "other",
    [
        {"payload": udp(sport=40001)},
        {"payload": udp(dport=54)},
        {"payload": tcp(sport=40000, dport=53)},
        {"tos": 4},
        {"dst": "next"},
    ],
    ids=["sport", "dport", "proto", "class", "dst"],
)
def test_it_is_of_one_flow(node: Node, version: int, other: dict[str, Any]) -> None:
    node.pods.forget_ways()
    assert outcome(node, out(version)) == "out"
    fields = dict(other)
    if "dst" in fields:
        fields["dst"] = str(ip_address(FAR[version]) + 8)
    if "tos" in fields and version == 6:
        fields["tc"] = fields.pop("tos")
    with elsewhere(version, fields.get("dst", "")):
        assert outcome(node, out(version, **fields)) == "pass_route"


def test_it_is_of_one_flow_label(node: Node) -> None:
    node.pods.forget_ways()
    assert outcome(node, out(6, fl=1)) == "out"
    with elsewhere(6):
        assert outcome(node, out(6, fl=2)) == "pass_route"


@VERSIONS
def test_in_the_place_of_another_flow_it_is_not(node: Node, version: int) -> None:
    """One way in all places of the table."""
    node.pods.forget_ways()
    assert outcome(node, out(version)) == "out"
    (pin,) = (node.pods.root / "maps").glob("pod_ways-*")
    with Map.from_pin(pin) as ways:
        there = [one for _, values in ways.items_per_cpu() for one in values]
        way = max(map(PodWay.from_buffer_copy, there), key=lambda one: one.epoch)
        for number in range(ways.info.max_entries):
            ways.update_per_cpu(number.to_bytes(4, "little"), [way] * possible_cpus())
    other = str(ip_address(FAR[version]) + 8)
    with elsewhere(version), elsewhere(version, other):
        assert outcome(node, out(version)) == "out"
        assert outcome(node, out(version, dst=other)) == "pass_route"


@VERSIONS
@pytest.mark.parametrize("way", ["local", "out"])
def test_it_is_of_one_pod(node: Node, way: str, version: int) -> None:
    node.pods.forget_ways()
    packet = header(version, **ENDS[way](version)) / udp()
    assert outcome(node, packet) == way
    seen = node.once(node.frame(packet, "pod2"), "from_pod", device="pod2")
    assert list(seen.counted) == ["drop_source"]


def test_it_is_of_one_family(node: Node) -> None:
    """IPv6 addresses that look like IPv4 in canonical form."""
    node.pods.forget_ways()
    assert outcome(node, out(4, tos=0)) == "out"
    disguised = {"src": f"::ffff:{OWN[4]}", "dst": f"::ffff:{FAR[4]}", "tc": 0, "fl": 0}
    assert outcome(node, out(6, **disguised)) == "drop_source"


@VERSIONS
def test_what_does_not_fit_it_is_asked_for(node: Node, version: int) -> None:
    node.pods.forget_ways()
    for size, what in ((600, "out"), (UPLINK_MTU, "out"), (UPLINK_MTU + 1, "pass_too_big")):
        assert outcome(node, sized(version, size, "out")) == what
    assert outcome(node, out(version, **hops(version, 1))) == "pass_hops"


@VERSIONS
def test_to_a_pod_elsewhere(node: Node, version: int) -> None:
    """The table says so at once."""
    packet = header(version, **ENDS["local"](version)) / udp()
    node.pods.forget_ways()
    for place in (node.places["pod2"], node.places["pod1"], node.places["pod2"]):
        node.pods.put([ip_address(NEIGHBOUR[version])], place)
        for _ in range(2):
            assert once(node, packet).frame[:12] == place.pod_mac + place.host_mac
    node.pods.forget([ip_address(NEIGHBOUR[version])])
    assert outcome(node, packet) == "pass_route"
    node.pods.put([ip_address(NEIGHBOUR[version])], node.places["pod2"])


@VERSIONS
def test_it_is_not_before_a_translator(node: Node, version: int) -> None:
    with Program.load(ProgramType.SCHED_CLS, "uplink_tc", RETURN_2) as translator:
        node.pods.translate(translator)
        try:
            for _ in range(2):
                assert list(once(node, out(version), "from_pod_out").counted) == ["out"]
            assert once(node, out(version)).verdict == "drop"
        finally:
            node.pods.translate(None)


@VERSIONS
def test_of_a_frame_for_somebody_else_it_is_not(node: Node, version: int) -> None:
    node.pods.forget_ways()
    packet = out(version)
    assert outcome(node, packet) == "out"
    frame = node.frame(packet, "pod1", dst=bytes.fromhex("02dd00000001"))
    assert list(node.once(frame, "from_pod").counted) == ["drop_other_host"]
