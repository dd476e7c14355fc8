# SPDX-License-Identifier: Apache-2.0
"""Two nodes whose pods find each other by BGP: a real BIRD on each, as packaging/ has it.

pods ==== node one up0 ==== up0 node two ==== pods
"""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sixlane.net import netns, route, sysctl
from sixlane.pods.devices import PROTOCOL
from tests import needs
from tests.netns import spaces
from tests.netns.agents import Agent, changed, eventually, link_hosts
from tests.netns.test_pods import NETWORK, Node, past_the_stack, ping
from tests.world import stock

pytestmark = [
    pytest.mark.netns,
    needs.root,
    needs.bpf,
    needs.command("bird"),
    needs.command("ip"),
    needs.command("nft"),
    needs.command("ping"),
]

_EXAMPLE = Path(__file__).parents[2] / "packaging/bird-sixlane.conf"
_PATIENCE_S = 20.0
_BIRD = 12  # RTPROT_BIRD
SIX = {1: "2001:db8:64:1::/64", 2: "2001:db8:64:2::/64"}
FOUR = {1: "10.64.1.0/24", 2: "10.64.2.0/24"}
EGRESS = "64:ff9b::c0af:3000/121"


def network(number: int, **spec: Any) -> dict[str, Any]:
    pools = [{"name": "default", "ranges": [SIX[number], FOUR[number]]}]
    egress = {"ipv4": ["192.175.48.0/25"]} if number == 1 else None
    wanted: dict[str, Any] = {"pools": pools, "routes": [], "announce": "route"}
    return changed(NETWORK, **{**wanted, "statelessEgress": egress, **spec})


def configuration(number: int) -> str:
    """The example, which is node 1's."""
    text = _EXAMPLE.read_text()
    if number == 2:
        for one, other in (("2001:db8::1", "2001:db8::2"), ("192.0.2.1", "192.0.2.2")):
            text = text.replace(other, "OTHER").replace(one, other).replace("OTHER", one)
    return text


@contextlib.contextmanager
def bird(namespace: str, number: int, directory: Path) -> Iterator[None]:
    conf = directory / "bird.conf"
    conf.write_text(configuration(number))
    argv = ["/usr/sbin/bird", "-f", "-c", str(conf), "-s", str(directory / "bird.ctl")]
    with (directory / "bird.log").open("wb") as log:
        process = netns.popen(
            namespace, argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(_PATIENCE_S)
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def node_of(name: str, far: str, number: int, directory: Path) -> Iterator[Node]:
    directory.mkdir()
    agent = Agent(name, directory, internet=far, pod=far)
    with stock.lent(agent.bpffs):
        try:
            agent.start()
            agent.apply(network(number))
            yield Node(agent, far)
        finally:
            agent.clean()


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[dict[int, Node]]:
    with contextlib.ExitStack() as stack:
        one, two = stack.enter_context(spaces.new()), stack.enter_context(spaces.new())
        link_hosts(one, "up0", ["2001:db8::1/64"], two, ["2001:db8::2/64"])
        found = {}
        for number, name, far in ((1, one, two), (2, two, one)):
            with netns.inside(name):
                sysctl.set("net.ipv4.ip_forward", 0)
            directory = tmp_path / str(number)
            found[number] = stack.enter_context(node_of(name, far, number, directory))
            stack.enter_context(bird(name, number, directory))
        yield found


def ours(node: Node) -> set[str]:
    """What is there to be announced."""
    with netns.inside(node.agent.namespace):
        found = route.list_routes(proto=PROTOCOL)
    return {str(one.dst) for one in found if one.type == route.UNREACHABLE}


def own(node: Node, container: str) -> list[str]:
    """A new pod's addresses, of IPv6 and IPv4."""
    ips = node.add(container).result()["ips"][:2]
    return [ip["address"].split("/")[0] for ip in ips]


def learnt(node: Node) -> dict[str, str]:
    """What BIRD has put into the kernel: where to, and by whom."""
    with netns.inside(node.agent.namespace):
        return {str(one.dst): str(one.gateway) for one in route.list_routes(proto=_BIRD)}


def test_pods_of_two_nodes(nodes: dict[int, Node]) -> None:
    one, two = nodes[1], nodes[2]
    of_one = {SIX[1]: "2001:db8::1", FOUR[1]: "2001:db8::1", EGRESS: "2001:db8::1"}
    of_two = {SIX[2]: "2001:db8::2", FOUR[2]: "2001:db8::2"}
    assert eventually(lambda: learnt(one) == of_two), learnt(one)
    assert eventually(lambda: learnt(two) == of_one), learnt(two)
    assert ours(one) == of_one.keys()
    with one.containers("a"), two.containers("b"):
        of_a, of_b = own(one, "a"), own(two, "b")
        before = {name: one.counted(name) for name in ("out", "in")}
        with past_the_stack(one.agent.namespace), past_the_stack(two.agent.namespace):
            for to in of_b:
                ping(one.spaces["a"], to)
            for to in of_a:
                ping(two.spaces["b"], to)
        for name in ("out", "in"):
            assert one.counted(name) >= before[name] + 8, "past the stack, as BIRD has learnt"
        assert learnt(two) == of_one, "ranges, and no single pods"
        # What nobody has, ends here, and goes round between the two no more.
        said = ping(two.spaces["b"], "2001:db8:64:1::dead", code=1)
        assert "From 2001:db8::1" in said and "unreachable" in said.lower()
        passed = one.counted("pass_route")
        ping(one.spaces["a"], "2001:db8:64:1::dead", code=1)
        assert one.counted("pass_route") > passed
    two.agent.sixlane("delete", "network", "pods")
    assert ours(two) == set()
    assert eventually(lambda: learnt(one) == {}), learnt(one)
    assert learnt(two) == of_one, "of a node that is still there"


def test_what_is_announced(nodes: dict[int, Node]) -> None:
    one, two = nodes[1], nodes[2]
    with netns.inside(one.agent.namespace):
        spaces.command("ip", "-6", "route", "del", "unreachable", SIX[1])
    assert eventually(lambda: SIX[1] in ours(one)), "it is put back"
    quiet = yaml.safe_dump(network(1, announce="none"))
    shown = one.agent.sixlane("apply", "-f", "-", "--dry-run", stdin=quiet)
    assert f"remove route {SIX[1]} to be announced" in shown
    one.agent.apply(network(1, announce="none"))
    assert ours(one) == set()
    assert eventually(lambda: learnt(two) == {}), learnt(two)
    one.agent.apply(network(1, statelessEgress=None))
    assert ours(one) == {SIX[1], FOUR[1]}
    assert eventually(lambda: set(learnt(two)) == {SIX[1], FOUR[1]})
    one.agent.teardown()
    assert ours(one) == set()
    assert eventually(lambda: learnt(two) == {}), learnt(two)
