# SPDX-License-Identifier: Apache-2.0
"""BIG TCP on a node: the sizes of uplinks and of both ends of pods' devices, without an agent, and
the packets that come of them.

What is asserted is how large packets are where they arrive, not how fast: a flow that collapses
arrives segment by segment.
"""

import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sixlane.agent import big_tcp
from sixlane.agent.big_tcp import LACKING, NOT_SET, NodeSizes, enlarge, set_end
from sixlane.datapath.pods import By
from sixlane.errors import KernelError
from sixlane.model.network import BigTcp
from sixlane.net import features, gso, link, netns, sysctl
from sixlane.pods import Attachment, Lease
from sixlane.pods.big_tcp import NOTHING, Bound, EndPlan, SizesAsked, plan_big_tcp
from tests import needs
from tests.netns import spaces
from tests.netns.compiled import compile_bpf
from tests.netns.edge import Kept
from tests.netns.looking import carried
from tests.netns.node import FAR, KINDS, MTU, Node, own, raise_node

pytestmark = [pytest.mark.netns, needs.root, needs.bpf]


def looks_at_packets(test: Callable[..., None]) -> Callable[..., None]:
    for mark in (needs.big_tcp, needs.tcx, needs.command("clang"), needs.command("gcc")):
        test = mark(test)
    return test


BIG, BIG4 = 196_608, 131_072


def asking(
    ipv6: int | None = None, ipv4: int | None = None, *, gateway: bool = False
) -> SizesAsked:
    return SizesAsked(BigTcp(ipv6=ipv6, ipv4=ipv4), gateway)


BOTH = asking(BIG, BIG4)
VERSIONS = pytest.mark.parametrize("version", [4, 6])
Four = tuple[int | None, ...]
HAVE: Four = (BIG, BIG, BIG4, BIG4)
ORDINARY: Four = (gso.ORDINARY,) * 4


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_bpf(
        Path(__file__).with_name("segments.bpf.c"), tmp_path_factory.mktemp("segments")
    )


@pytest.fixture(scope="module", params=KINDS)
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    with raise_node(kind=request.param) as raised:
        yield raised


def lease(node: Node, number: int) -> Lease:
    device = node.device(number)
    return Lease(
        Attachment(f"pod{number}", "eth0"),
        device.netns,
        None,
        "default",
        device.addresses,
        device.egress[0] if device.egress else None,
        device.kind,
        device.name,
        device.mtu,
        True,
    )


def bring(node: Node, sizes: NodeSizes, asked: SizesAsked, *uplinks: str) -> list[str]:
    """The reasons of what could not be had."""
    with netns.inside(node.name):
        indices = [link.index(one) for one in uplinks or ("up0",)]
        leases = [lease(node, number) for number in node.spaces]
        troubles = sizes.apply(asked, plan_big_tcp(asked, sizes.observe(indices, leases)))
        again = sizes.observe(indices, leases)
        assert all(one.empty for one in plan_big_tcp(asked, again))
    return [one.reason for one in troubles]


def four(space: str, device: str) -> Four:
    """Those of IPv6, those of IPv4."""
    with netns.inside(space):
        found = gso.get_sizes(device)
    return found.gso, found.gro, found.gso_ipv4, found.gro_ipv4


def all_of(node: Node) -> dict[str, Four]:
    had = {"up0": four(node.name, "up0")}
    for number, space in node.spaces.items():
        had[f"host {number}"] = four(node.name, node.device(number).name)
        had[f"pod {number}"] = four(space, "eth0")
    return had


def ipv6_mtu(space: str) -> int:
    with netns.inside(space):
        return int(sysctl.get(("net", "ipv6", "conf", "eth0", "mtu")))


# ---- sizes ----


@needs.big_tcp
def test_all_have_it_and_get_back_what_they_had(node: Node) -> None:
    kept = Kept()
    sizes = NodeSizes(kept)
    one = node.device(1).name
    with netns.inside(node.name):
        gso.set_some("up0", {"gso": 100_000})
        gso.set_some(one, {"gro": 90_000, "gso_ipv4": 80_000})
    with netns.inside(node.spaces[2]):
        gso.set_some("eth0", {"gro_ipv4": 50_000})
    before = all_of(node)
    try:
        assert bring(node, sizes, BOTH) == []
        assert set(all_of(node).values()) == {HAVE}
        assert [ipv6_mtu(space) for space in node.spaces.values()] == [MTU - 8] * 2
        again = NodeSizes(kept)  # as by another agent
        assert bring(node, again, asking(ipv6=BIG4)) == []
        for name, (*_, gso4, gro4) in before.items():
            assert all_of(node)[name] == (BIG4, BIG4, gso4, gro4)
        assert bring(node, again, asking(ipv6=BIG4, gateway=True)) == []
        for name, (*_, gso4, gro4) in before.items():
            gso4 = BIG4 if name == "up0" else gso4
            assert all_of(node)[name] == (BIG4, BIG4, gso4, gro4)
        assert bring(node, again, asking(ipv4=BIG)) == []
        for name, (gso6, gro6, *_) in before.items():
            assert all_of(node)[name] == (gso6, gro6, BIG, BIG)
        assert [ipv6_mtu(space) for space in node.spaces.values()] == [MTU] * 2
        assert bring(node, again, NOTHING) == []
        assert all_of(node) == before
        assert kept.values == {}
    finally:
        for space, device in (
            (node.name, "up0"),
            (node.name, one),
            (node.spaces[2], "eth0"),
        ):
            with netns.inside(space):
                gso.set_sizes(device, gso.ORDINARY)


@needs.big_tcp
def test_what_is_not_asked_for_is_left_alone(node: Node) -> None:
    """Also where the kernel would lower it."""
    kept = Kept()
    sizes = NodeSizes(kept)
    with netns.inside(node.name):
        gso.set_some("up0", {"gso": BIG, "gro": BIG, "gso_ipv4": BIG4, "gro_ipv4": BIG4})
    try:
        bring(node, sizes, asking(ipv6=gso.ORDINARY))
        assert four(node.name, "up0") == (gso.ORDINARY, gso.ORDINARY, BIG4, BIG4)
        assert ipv6_mtu(node.spaces[1]) == MTU
        bring(node, sizes, NOTHING)
        assert four(node.name, "up0") == (BIG, BIG, BIG4, BIG4)
    finally:
        with netns.inside(node.name):
            gso.set_sizes("up0", gso.ORDINARY)


@needs.big_tcp
def test_no_more_than_a_device_can_do(node: Node) -> None:
    """A bridge without ports cannot; and pods have no more than their uplinks."""
    sizes = NodeSizes(Kept())
    with netns.inside(node.name):
        link.create_bridge("br0")
        assert gso.get_sizes("br0").maximum == gso.ORDINARY
    try:
        bring(node, sizes, asking(ipv6=524_288, ipv4=524_288))
        assert set(all_of(node).values()) == {(gso.LARGEST,) * 4}
        bring(node, sizes, BOTH, "up0", "br0")
        had = all_of(node)
        assert had.pop("up0") == (BIG, BIG, BIG4, BIG4)
        assert set(had.values()) == {ORDINARY}
        assert four(node.name, "br0") == ORDINARY
        with netns.inside(node.name):
            rows = sizes.rows(plan_big_tcp(BOTH, sizes.observe([link.index("br0")], [])))
        assert rows[0]["why"]["ipv6"] == "limited by the device's maximum of 65536"
    finally:
        bring(node, sizes, NOTHING)
        with netns.inside(node.name):
            link.delete("br0")
    assert set(all_of(node).values()) == {ORDINARY}


@needs.big_tcp
def test_what_an_uplink_sends_by() -> None:
    """Ports of a bridge, and what a macvlan is on; not the other end of a pair."""
    sizes = NodeSizes(Kept())
    with spaces.new() as space, netns.inside(space):
        link.create_veth("port0", "end0")
        link.create_bridge("br0")
        link.set_master("port0", "br0")
        spaces.command("ip", "link", "add", "link", "br0", "name", "mv0", "type", "macvlan")
        ends = sizes.observe([link.index("mv0")], [])
        assert sizes.apply(BOTH, plan_big_tcp(BOTH, ends)) == []
        assert {four(space, name) for name in ("mv0", "br0", "port0")} == {HAVE}
        assert four(space, "end0") == ORDINARY
        rows = sizes.rows(plan_big_tcp(BOTH, sizes.observe([link.index("mv0")], [])))
        assert {one["device"]: one["role"] for one in rows} == {
            "mv0": "uplink",
            "br0": "lower",
            "port0": "lower",
        }
        sizes.restore([])
        assert {four(space, name) for name in ("mv0", "br0", "port0")} == {ORDINARY}


@needs.big_tcp
def test_a_pod_that_comes(node: Node) -> None:
    """Before it is told, and as far as the uplinks can do."""
    with node.pod(5) as space:
        node.add(node.device(5))
        with netns.inside(node.name):
            ifindex = link.index(node.device(5).name)
            enlarge(lease(node, 5), ifindex, BOTH, Bound(100_000, "up0"))
        assert four(space, "eth0") == four(node.name, node.device(5).name) == (100_000,) * 4
        assert ipv6_mtu(space) == MTU - 8
        node.remove(node.device(5))


@needs.big_tcp
def test_of_devices_that_have_gone_nothing_is_kept(node: Node) -> None:
    kept = Kept()
    sizes = NodeSizes(kept)
    with netns.inside(node.name):
        link.create_veth("up1", "end1")
    with node.pod(5):
        node.add(node.device(5))
        with netns.inside(node.name):
            gso.set_some(node.device(5).name, {"gso": 100_000})
        bring(node, sizes, BOTH, "up0", "up1")
        kept_of_both = len(kept.values)
        node.remove(node.device(5))
    with netns.inside(node.name):
        link.delete("up1")
    bring(node, sizes, BOTH)
    assert len(kept.values) == kept_of_both - 5
    bring(node, sizes, NOTHING)
    assert kept.values == {}


@needs.big_tcp
def test_one_that_fails_is_told_and_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is it set again and again, by whoever looks; and its original is kept till it is back."""
    kept = Kept()
    with spaces.new() as space, netns.inside(space):
        for name in ("up0", "up1", "up2"):
            link.create_veth(name, f"end-{name}")
        sizes, indices = NodeSizes(kept), [link.index(f"up{number}") for number in range(3)]

        def fails(plan: EndPlan) -> None:
            if plan.end.name == "up1":
                raise KernelError(errno.EBUSY, "set gso of device up1")
            set_end(plan)

        with monkeypatch.context() as patched:
            patched.setattr(big_tcp, "set_end", fails)
            ends = sizes.observe(indices, [])
            (told,) = sizes.apply(BOTH, plan_big_tcp(BOTH, ends))
            assert told.reason == NOT_SET
            assert "up1" in told.message and "EBUSY" in told.message
            assert [four(space, f"up{one}") for one in range(3)] == [HAVE, ORDINARY, HAVE]
            ends = sizes.observe(indices, [])
            assert not sizes.has_drifted(BOTH, ends)
            why = [one["why"]["ipv6"] for one in sizes.rows(plan_big_tcp(BOTH, ends))]
            assert why == ["as asked", f"not set: {told.message.partition(': ')[2]}", "as asked"]
            gso.set_sizes("up0", gso.ORDINARY)
            assert sizes.has_drifted(BOTH, sizes.observe(indices, []))
        assert sizes.apply(BOTH, plan_big_tcp(BOTH, sizes.observe(indices, []))) == []
        assert {four(space, f"up{one}") for one in range(3)} == {HAVE}
        with monkeypatch.context() as patched:
            patched.setattr(big_tcp, "set_end", fails)
            sizes.apply(NOTHING, plan_big_tcp(NOTHING, sizes.observe(indices, [])))
        assert len(kept.values) == 4
        assert sizes.restore([]) == []
        assert {four(space, f"up{one}") for one in range(3)} == {ORDINARY}
        assert kept.values == {}


def test_what_this_kernel_lacks_is_told() -> None:
    """And all else is had."""
    with spaces.new() as space, netns.inside(space):
        link.create_veth("up0", "end0")
        sizes = NodeSizes(Kept())
        ends = sizes.observe([link.index("up0")], [])
        told = [one.reason for one in sizes.apply(BOTH, plan_big_tcp(BOTH, ends))]
        has_ipv4 = features.has_big_tcp(4)
        assert told == ([] if has_ipv4 else [LACKING])
        assert four(space, "up0") == (BIG, BIG, *((BIG4, BIG4) if has_ipv4 else (None, None)))
        row = sizes.rows(plan_big_tcp(BOTH, sizes.observe([link.index("up0")], [])))[0]
        lack = "this kernel has no BIG TCP for IPv4"
        assert row["why"] == {"ipv6": "as asked", "ipv4": "as asked" if has_ipv4 else lack}


# ---- packets ----


@pytest.fixture
def big(node: Node) -> Iterator[Node]:
    """Whatever is around it does BIG TCP as well."""
    sizes = NodeSizes(Kept())
    around = ((node.router, "near0"), (node.router, "far0"), (node.far, "eth0"))
    for space, device in around:
        with netns.inside(space):
            gso.set_sizes(device, BIG)
    bring(node, sizes, asking(ipv6=BIG, ipv4=BIG))
    try:
        yield node
    finally:
        bring(node, sizes, NOTHING)
        for space, device in around:
            with netns.inside(space):
                gso.set_sizes(device, gso.ORDINARY)


@looks_at_packets
@VERSIONS
@pytest.mark.parametrize("way", ["pod to pod", "node to pod", "pod to node"])
def test_packets_beyond_64_kib_arrive(big: Node, version: int, way: str, program: Path) -> None:
    """Their segments are as a wire takes them, with a jumbo header that a router counts."""
    first, second = (own(number)[version == 4] for number in (1, 2))
    one, two = big.spaces[1], big.spaces[2]
    here, there, at = {
        "pod to pod": (one, two, second),
        "node to pod": (big.far, one, first),
        "pod to node": (one, big.far, FAR[version]),
    }[way]
    sizes = carried(program, here, there, at)
    assert sizes.longest > gso.ORDINARY
    assert sizes.longest_segment <= MTU - (8 if version == 6 else 0)
    assert sizes.mean > 20_000


@looks_at_packets
def test_by_the_stack_too(big: Node, program: Path) -> None:
    """It counts the jumbo header into segments, and would answer Packet Too Big."""
    big.pods.set_up(1, By.STACK)
    try:
        with big.counting() as counted:
            sizes = carried(program, big.spaces[1], big.far, FAR[6])
    finally:
        big.pods.set_up(1)
    assert set(counted) == {"pass_asked"}
    assert sizes.longest > gso.ORDINARY
    assert sizes.mean > 20_000


@looks_at_packets
def test_without_it_packets_are_ordinary(node: Node, program: Path) -> None:
    sizes = carried(program, node.spaces[1], node.spaces[2], own(2)[0])
    assert sizes.longest <= gso.ORDINARY
    assert sizes.longest_segment == MTU
