# SPDX-License-Identifier: Apache-2.0
"""Pods on a node: their devices as they should be, and real traffic between them, to another node
and back, past the host's stack."""

import contextlib
import hashlib
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import ip_interface, ip_network
from pathlib import Path

import pytest

from sixlane.bpf import (
    AttachType,
    Link,
    Object,
    Program,
    ProgramType,
    attached_programs,
    probe,
)
from sixlane.datapath import Datapath, attach
from sixlane.datapath.foreign import foreign_programs
from sixlane.datapath.pins import namespace_name
from sixlane.datapath.pods import Attached, By, Place, Pods
from sixlane.errors import ConfigError, KernelError
from sixlane.nat64 import (
    apply_gateway,
    observe_gateway,
    plan_gateway,
    remove_slow_path,
    restore_originals,
)
from sixlane.net import address, clsact, link, neigh, netns, requests, route, sysctl
from sixlane.net.netlink import Channel
from sixlane.pods import devices
from sixlane.pods.devices import GATEWAY, PROTOCOL
from tests import needs
from tests.netns import spaces
from tests.netns.compiled import compile_bpf
from tests.netns.edge import Kept, gateway_of
from tests.netns.node import EGRESS, EGRESS4, FAR, KINDS, NODE, ROUTER, Node, own, raise_node
from tests.packets import ip4, ip6, udp

pytestmark = [
    pytest.mark.netns,
    needs.root,
    needs.bpf,
    needs.command("ip"),
    needs.command("ping"),
]

PORT = 5500
_CONTINUE = bytes.fromhex("b4000000ffffffff9500000000000000")  # -1
BODY = bytes(range(251)) * 80_000  # 20 MB
VERSIONS = pytest.mark.parametrize("version", [4, 6])


@pytest.fixture(scope="module", params=KINDS)
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    with raise_node(kind=request.param) as raised:
        yield raised


def own_of(number: int, version: int) -> str:
    return own(number)[version == 4]


def ping(space: str, to: str, *options: str) -> str:
    """What `ping` says; it fails if no answer comes."""
    argv = ["ping", "-n", "-c", "2", "-i", "0.05", "-W", "2", *options, to]
    return netns.run(space, argv).stdout


def refused(space: str, to: str, *options: str) -> str:
    """What `ping` says that gets no answer."""
    argv = ["ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", *options, to]
    done = netns.run(space, argv, check=False)
    assert done.returncode == 1, done.stdout
    return done.stdout + done.stderr


@contextlib.contextmanager
def past_the_stack(node: Node) -> Iterator[None]:
    """The node's firewall forwards nothing."""
    with netns.inside(node.name):
        spaces.command("nft", "add table inet wall")
        hook = "type filter hook forward priority 0; policy drop;"
        spaces.command("nft", f"add chain inet wall forward {{ {hook} }}")
        try:
            yield
        finally:
            spaces.command("nft", "delete table inet wall")


def transfer(there: str, at: str, here: str, to: str = "") -> str:
    """BODY by TCP, both ways at once; the address that the other end saw. `to`: what is called,
    if it is not `at`."""
    family, called = _family(at), to or at
    with netns.inside(there):
        listener = socket.create_server((at, PORT), family=family)
    with netns.inside(here):
        client = socket.socket(_family(called), socket.SOCK_STREAM)
    with listener, client:
        listener.settimeout(10)
        client.settimeout(30)
        client.connect((called, PORT))
        server, peer = listener.accept()
        server.settimeout(30)
        with server:
            ends = (client, server)
            threads = [threading.Thread(target=one.sendall, args=(BODY,)) for one in ends]
            for thread in threads:
                thread.start()
            received = [_received(client), _received(server)]
            for thread in threads:
                thread.join()
    assert received == [hashlib.sha256(BODY).digest()] * 2
    return str(peer[0])


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _received(sock: socket.socket) -> bytes:
    digest, left = hashlib.sha256(), len(BODY)
    while left:
        data = sock.recv(min(left, 1 << 20))
        assert data
        digest.update(data)
        left -= len(data)
    return digest.digest()


# ---- the device ----


def test_both_ends_are_as_they_should_be(node: Node) -> None:
    device = node.device(1)
    v6, v4 = own(1)
    place = node.check(device)
    with netns.inside(node.name):
        (shown,) = spaces.ip("link", "show", "dev", device.name)
        assert shown["ifindex"] == place.ifindex
        assert shown["ifalias"] == device.alias
        assert "UP" in shown["flags"]
        to_pods = {one.dst for one in route.list_routes(dev=device.name, proto=PROTOCOL)}
        assert to_pods == {ip_network(one) for one in device.all_addresses}
        assert ip_interface(f"{GATEWAY}/64") in {
            one.interface for one in address.list_addresses(device.name)
        }
    with netns.inside(node.spaces[1]):
        (shown,) = spaces.ip("link", "show", "dev", "eth0")
        assert shown["address"] == place.pod_mac.hex(":")
        assert shown["mtu"] == 1500
        had = {str(one.interface) for one in address.list_addresses("eth0") if one.scope == 0}
        assert had == {f"{v6}/128", f"{v4}/32", f"{device.all_addresses[2]}/128"}
        assert not any(one.tentative for one in address.list_addresses("eth0"))
        assert sysctl.get("net.ipv6.conf.eth0.accept_ra") == "0"
    assert place.pod_mac != place.host_mac or device.kind == "netkit"


def test_the_source_is_the_own_address_but_for_ipv4(node: Node) -> None:
    """64:ff9b::... is more like many an address, and must not be chosen for it."""
    device = node.device(1)
    with netns.inside(node.spaces[1]):
        for to, source in (
            (f"64:ff9b::{FAR[4]}", device.all_addresses[2]),
            ("2001:db8:f::9", device.addresses[0]),
            ("64:ff9b:1::1", device.addresses[0]),
            ("::5:6", device.addresses[0]),
            ("192.31.196.9", device.addresses[1]),
        ):
            family = socket.AF_INET6 if ":" in to else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as caller:
                caller.connect((to, 9))
                assert caller.getsockname()[0] == str(source), to


def test_again_it_is_the_same(node: Node) -> None:
    device = node.device(1)
    before = node.check(device)
    assert node.add(device) == before
    assert node.check(device) == before


FAULTS: dict[str, tuple[bool, list[str]]] = {  # whether it is made in the pod
    "lacks the address": (True, ["address", "del", "{own}/128", "dev", "eth0"]),
    "lacks the route to ::/0": (True, ["-6", "route", "del", "default"]),
    "lacks the route to 0.0.0.0/0": (True, ["route", "del", "default"]),
    "lacks the route to 64:ff9b::/96": (True, ["-6", "route", "del", "64:ff9b::/96"]),
    "eth0 is down": (True, ["link", "set", "eth0", "down"]),
    "eth0 has an MTU": (True, ["link", "set", "eth0", "mtu", "1280"]),
    "there is no device eth0": (True, ["link", "set", "eth0", "name", "other"]),
    "is down": (False, ["link", "set", "{name}", "down"]),
    "lacks the route to 2001": (False, ["-6", "route", "del", "{own}", "dev", "{name}"]),
    "lacks the address fe80::1": (False, ["address", "del", "fe80::1/64", "dev", "{name}"]),
}


@pytest.mark.parametrize("said", FAULTS)
def test_what_is_wrong_is_told_and_made_anew(node: Node, said: str) -> None:
    inside, argv = FAULTS[said]
    with node.pod(9):
        device = node.device(9)
        place = node.add(device)
        named = {"own": own(9)[0], "name": device.name}
        with netns.inside(node.spaces[9] if inside else node.name):
            if "other" in argv:  # before Linux 6.2 it must be down
                link.set_down("eth0")
            spaces.command("ip", *(part.format(**named) for part in argv))
        with pytest.raises(ConfigError, match=said):
            node.check(device)
        again = node.add(device)
        assert node.check(device) == again != place
        ping(node.spaces[9], own(1)[0])
        node.remove(device)


def test_a_setting_and_a_neighbour_that_are_wrong(node: Node) -> None:
    with node.pod(9):
        device = node.device(9)
        node.add(device)
        with netns.inside(node.spaces[9]):
            sysctl.set("net.ipv6.conf.eth0.accept_ra", 1)
        with pytest.raises(ConfigError, match="accept_ra is 1, not 0"):
            node.check(device)
        node.add(device)
        if device.has_neighbours:
            with netns.inside(node.spaces[9]):
                neigh.remove("eth0", GATEWAY)
            with pytest.raises(ConfigError, match="lacks the neighbour fe80::1"):
                node.check(device)
        node.remove(device)


def test_removed_it_is_gone_on_both_sides(node: Node) -> None:
    with node.pod(9):
        device = node.device(9)
        node.add(device)
        assert node.remove(device)
        assert not node.remove(device)
        with netns.inside(node.name):
            assert link.find(device.name) is None
            assert not [one for one in route.list_routes(proto=PROTOCOL) if ":9" in str(one.dst)]
        with netns.inside(node.spaces[9]):
            assert [one.name for one in link.list_links()] == ["lo"]
        with pytest.raises(ConfigError, match="there is no device"):
            node.check(device)


def test_nothing_half_made_is_left(node: Node) -> None:
    """Whichever step fails."""

    def fail(place: Place) -> None:
        raise KernelError(28, "attach")

    with node.pod(9):
        device = node.device(9)
        steps: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
            "attach": contextlib.nullcontext,
            "route to a pod": partial(_in_the_way, node.name, own(9)[0]),
            "route in the pod": partial(_in_the_way, node.spaces[9], "::/0"),
        }
        for step, hindered in steps.items():
            with hindered(), netns.inside(node.name):
                made = fail if step == "attach" else partial(node.attach, device)
                with pytest.raises(KernelError):
                    devices.add(device, made)
                assert link.find(device.name) is None, step
            with netns.inside(node.spaces[9]):
                assert "eth0" not in [one.name for one in link.list_links()]
        node.add(device)
        node.remove(device)


@contextlib.contextmanager
def _in_the_way(space: str, dst: str) -> Iterator[None]:
    with netns.inside(space):
        link.create_veth("way0", "way1", up=True)
        argv = ("-6", "route", "add", dst, "dev", "way0", "metric", "1024")
        spaces.command("ip", *argv)
    try:
        yield
    finally:
        with netns.inside(space):
            link.delete("way0")


def test_what_cannot_be_is_refused(node: Node) -> None:
    with node.pod(9):
        device = node.device(9)
        nowhere = devices.Device(**{**vars(device), "netns": "/run/netns/nowhere"})
        with pytest.raises(ConfigError, match="no network namespace at /run/netns/nowhere"):
            node.add(nowhere)
        here = devices.Device(**{**vars(device), "netns": f"/run/netns/{node.name}"})
        with pytest.raises(ConfigError, match="the host's own network namespace"):
            node.add(here)
        with netns.inside(node.spaces[9]):
            link.create_veth("eth0", "eth1")
        with pytest.raises(KernelError, match="EEXIST"):
            node.add(device)
        with netns.inside(node.name):
            assert link.find(device.name) is None
            link.create_bridge(device.name)
            with pytest.raises(ConfigError, match="is none of sixlane's"):
                devices.remove(device.name)
            link.delete(device.name)


# ---- traffic ----


@VERSIONS
def test_from_pod_to_pod(node: Node, version: int) -> None:
    with past_the_stack(node), node.counting() as counted:
        ping(node.spaces[1], own_of(2, version))
        peer = transfer(node.spaces[2], own_of(2, version), node.spaces[1])
    assert peer == own_of(1, version)
    assert set(counted) == {"local"}
    assert "ttl=63" in ping(node.spaces[1], own_of(2, version))


@VERSIONS
def test_from_pod_to_another_node_and_back(node: Node, version: int) -> None:
    before = _sent_by_uplink(node)
    with past_the_stack(node), node.counting() as counted:
        ping(node.spaces[1], FAR[version])
        assert transfer(node.far, FAR[version], node.spaces[1]) == own_of(1, version)
        assert transfer(node.spaces[1], own_of(1, version), node.far) == FAR[version]
    assert set(counted) - {"pass_link"} == {"out", "in"}  # to its link a pod speaks when it likes
    assert _sent_by_uplink(node) - before >= counted["out"]
    assert "ttl=62" in ping(node.spaces[1], FAR[version])


def _sent_by_uplink(node: Node) -> int:
    """Packets; those of segments in one count once."""
    with netns.inside(node.name):
        (shown,) = spaces.ip("-s", "link", "show", "dev", "up0")
    return int(shown["stats64"]["tx"]["packets"])


@VERSIONS
def test_the_node_and_its_pods(node: Node, version: int) -> None:
    """By the stack, which knows the pod's address by its route and its neighbour for good."""
    with node.counting() as counted:
        ping(node.spaces[1], NODE[version].split("/")[0])
        ping(node.name, own_of(1, version))
    assert set(counted) == {"pass_route"}


@VERSIONS
def test_by_the_stack_if_asked(node: Node, version: int) -> None:
    node.pods.set_up(1, By.STACK)
    try:
        with node.counting() as counted:
            ping(node.spaces[1], own_of(2, version))
            ping(node.spaces[1], FAR[version])
            with past_the_stack(node):
                refused(node.spaces[1], own_of(2, version))
        assert set(counted) == {"pass_asked"}
    finally:
        node.pods.set_up(1)


@needs.command("traceroute")
@VERSIONS
def test_the_node_is_a_router(node: Node, version: int) -> None:
    argv = ["traceroute", "-n", "-q", "1", "-w", "2", FAR[version]]
    shown = netns.run(node.spaces[1], argv).stdout.splitlines()[1:]
    assert [line.split()[1] for line in shown] == [
        NODE[version].split("/")[0],
        ROUTER[version],
        FAR[version],
    ]


def _send(space: str, device: str, frame: bytes) -> None:
    with netns.inside(space), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((device, 0))
        with contextlib.suppress(OSError):  # of netkit, the sender hears that it was dropped
            wire.send(frame)


@VERSIONS
@pytest.mark.parametrize("to", ["pod", "far", "node"])
def test_a_pod_sends_from_its_own_addresses_alone(node: Node, version: int, to: str) -> None:
    """The same frame from its own address arrives, from another's it does not."""
    place = node.check(node.device(1))
    space, dst = {
        "pod": (node.spaces[2], own_of(2, version)),
        "far": (node.far, FAR[version]),
        "node": (node.name, NODE[version].split("/")[0]),
    }[to]
    ping(node.spaces[1], dst)
    kind = b"\x08\x00" if version == 4 else b"\x86\xdd"
    header = ip4 if version == 4 else ip6
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with netns.inside(space):
        server = socket.socket(family, socket.SOCK_DGRAM)
    with server:
        server.bind((dst, PORT))
        server.settimeout(5)
        for src in (own_of(7, version), FAR[version], own_of(1, version)):
            packet = header(src=src, dst=dst) / udp(dport=PORT)
            with node.counting() as counted:
                _send(node.spaces[1], "eth0", place.host_mac + place.pod_mac + kind + bytes(packet))
                if src == own_of(1, version):
                    assert server.recvfrom(100)[1][0] == src
            assert ("drop_source" in counted) == (src != own_of(1, version)), src


@VERSIONS
def test_what_is_too_long_is_told(node: Node, version: int) -> None:
    """By the node, whose uplink takes less than the pod's device; then segments are shorter."""
    size = 1500 - (28 if version == 4 else 48)
    ends = ((node.name, "up0"), (node.router, "near0"))
    for space, name in ends:
        with netns.inside(space):
            link.set_mtu(name, 1400)
    node.pods.forget_ways()  # as an agent does, or else within a second
    try:
        said = refused(node.spaces[1], FAR[version], "-M", "do", "-s", str(size))
        assert "mtu" in said.lower()
        assert "1400" in said
        ping(node.spaces[1], own_of(2, version), "-M", "do", "-s", str(size))
        ping(node.spaces[1], FAR[version], "-M", "do", "-s", str(1400 - 1500 + size))
        with node.counting() as counted:
            transfer(node.far, FAR[version], node.spaces[1])
        assert counted["out"] > 0
    finally:
        for space, name in ends:
            with netns.inside(space):
                link.set_mtu(name, 1500)
        for space in (node.spaces[1], node.far):
            with netns.inside(space):
                spaces.command("ip", f"-{version}", "route", "flush", "cache")


@VERSIONS
def test_a_pod_that_takes_less(node: Node, version: int) -> None:
    """Whoever sends to it is told by the node."""
    size = 1500 - (28 if version == 4 else 48)
    with node.pod(8):
        device = node.device(8, mtu=1300)
        node.add(device)
        try:
            for space in (node.spaces[1], node.far):
                said = refused(space, own_of(8, version), "-M", "do", "-s", str(size))
                assert "1300" in said, space
        finally:
            node.remove(device)


@VERSIONS
def test_a_pod_that_starts_again(node: Node, version: int) -> None:
    """With the same addresses in another namespace, by another device."""
    for kind in (node.kind, "veth"):
        with node.pod(3):
            device = node.device(3, kind=kind)
            node.add(device)
            with past_the_stack(node):
                ping(node.spaces[1], own_of(3, version))
                ping(node.spaces[3], own_of(1, version))
                ping(node.far, own_of(3, version))
            node.remove(device)
            refused(node.spaces[1], own_of(3, version))


def test_a_flow_goes_on_while_programs_are_replaced(node: Node) -> None:
    """Opened again, as by the next version; meanwhile nobody has them open."""
    argv = ["ping", "-n", "-q", "-i", "0.01", "-W", "1", "-c", "100", own(2)[0]]
    with netns.popen(node.spaces[1], argv, stdout=subprocess.PIPE, text=True) as pinging:
        before = {one.ifindex: one.program for one in _attached(node)}
        with Pods.open(node.pods.root) as again, netns.inside(node.name):
            again.take_over()
        after = {one.ifindex: one.program for one in _attached(node)}
        out, _ = pinging.communicate(timeout=20)
    assert " 0% packet loss" in out
    with netns.inside(node.name):
        names = ("up0", *(node.device(number).name for number in (1, 2)))
        assert before.keys() == after.keys() == {link.index(name) for name in names}
    assert not set(before.values()) & set(after.values())
    with netns.inside(node.name):
        node.pods.take_over()


def _attached(node: Node) -> list[Attached]:
    with netns.inside(node.name):
        return list(node.pods.attached())


@needs.tcx
@needs.command("clang")
@needs.command("gcc")
def test_the_uplink_knows_the_senders_socket(node: Node, tmp_path: Path) -> None:
    """So the pod's TCP hears when its packets leave the node. By the stack, it does not."""
    program = compile_bpf(Path(__file__).with_name("senders.bpf.c"), tmp_path)
    ping(node.spaces[1], FAR[6])
    with Object.open(program) as opened, netns.inside(node.name):
        opened.load()
        with Link.create(opened.programs["look"], link.index("up0"), AttachType.TCX_EGRESS):
            transfer(node.far, FAR[6], node.spaces[1])
            unknown, known = (int.from_bytes(n, "little") for _, n in opened.maps["seen"].items())
            assert known > 100
            assert unknown < known / 10  # what the stack says itself
            node.pods.set_up(1, By.STACK_OUT)
            try:
                transfer(node.far, FAR[6], node.spaces[1])
            finally:
                node.pods.set_up(1)
            values = [int.from_bytes(n, "little") for _, n in opened.maps["seen"].items()]
            assert values[1] < known + 20
            assert values[0] > unknown + 100


def test_another_program_on_an_uplink(node: Node) -> None:
    """What comes first would see packets that ours should; it is told, and nothing is changed."""
    with netns.inside(node.name):
        link.create_veth("up1", "up2", up=True)
        index = link.index("up1")
        node.pods.attach_uplink(index)
        node.pods.attach_uplink(index)
        node.pods.detach(index)
        assert index not in {one.ifindex for one in node.pods.attached()}
        other = node.pods.program("from_pod")
        if probe.has_tcx():
            with (
                Link.create(other, index, AttachType.TCX_INGRESS),
                pytest.raises(ConfigError, match="a tc program of somebody else"),
            ):
                node.pods.attach_uplink(index)
        else:
            clsact.attach(index, other.fd, "theirs")
            with pytest.raises(ConfigError, match="a tc filter of somebody else"):
                node.pods.attach_uplink(index)
        link.delete("up1")


@pytest.mark.parametrize("first", ["gateway", "pods"])
def test_a_gateways_program_on_an_uplink_comes_first(node: Node, first: str) -> None:
    """Whichever is attached first; and either goes without the other."""
    links = node.pods.root.with_name(f"{node.pods.root.name}-gateway")
    links.mkdir()
    with (
        netns.inside(node.name),
        Program.load(ProgramType.SCHED_CLS, "uplink_tc", _CONTINUE) as gateway,
    ):
        link.create_veth("up1", "up2", up=True)
        index = link.index("up1")
        steps = [
            lambda: attach.attach(links, index, "tc", gateway),
            lambda: node.pods.attach_uplink(index),
        ]
        for step in steps if first == "gateway" else reversed(steps):
            step()
        assert _names(index) == ["uplink_tc", "uplink_to_pod"]
        assert not foreign_programs(index, {gateway.info.id})
        (attached,) = attach.attachments(links)
        attach.detach(links, attached)
        assert _names(index) == ["uplink_to_pod"]
        node.pods.detach(index)
        assert _names(index) == []
        link.delete("up1")
    shutil.rmtree(links)


def _names(ifindex: int) -> list[str]:
    """Of the programs of a device, in the order in which they run."""
    if not probe.has_tcx():
        names = {"sixlane_uplink": "uplink_tc", "sixlane_to_pod": "uplink_to_pod"}
        return [names[one.name] for one in clsact.list_filters(ifindex)]
    found = []
    for id in attached_programs(ifindex, AttachType.TCX_INGRESS):
        with Program.from_id(id) as program:
            found.append(program.name)
    return found


@contextlib.contextmanager
def translating(node: Node) -> Iterator[Datapath]:
    """A Gateway on the node, for its pods and its uplink."""
    pins = node.pods.root.with_name(f"{node.pods.root.name}-gateway")
    prefix = {"name": "pods", "prefix": str(EGRESS), "ipv4": [EGRESS4]}
    wanted = gateway_of("tc", devices=[{"name": "up0", "attach": "tc"}], prefixes=[prefix])
    originals = Kept()
    try:
        with netns.inside(node.name):
            datapath = Datapath.open(pins)
        with datapath:
            with netns.inside(node.name):
                apply_gateway(datapath, plan_gateway(wanted, observe_gateway(datapath)), originals)
                node.pods.translate(datapath.program("uplink_tc"))
            yield datapath
            with netns.inside(node.name):
                node.pods.translate(None)
                apply_gateway(datapath, plan_gateway(None, observe_gateway(datapath)), originals)
                restore_originals(originals)
                remove_slow_path(namespace_name(pins))
        with netns.inside(node.name):
            Datapath.remove(pins)
    finally:
        netns.remove(namespace_name(pins), missing_ok=True)
        shutil.rmtree(pins, ignore_errors=True)


def test_pods_of_a_gateways_node(node: Node) -> None:
    """To IPv4 each is seen as the address of its own; a session that another pod would have made
    up is none; all else goes as without a Gateway."""
    there = f"64:ff9b::{FAR[4]}"
    place = node.check(node.device(1))
    with translating(node) as gateway:
        for to in (there, FAR[6], FAR[4]):
            ping(node.spaces[1], to)
        with past_the_stack(node), node.counting() as counted:
            ping(node.spaces[1], there)
            assert transfer(node.far, FAR[4], node.spaces[1], there) == "192.175.48.1"
        assert counted == {}  # it is the Gateway's to count
        with past_the_stack(node), node.counting() as counted:
            ping(node.spaces[1], FAR[6])
            ping(node.spaces[1], own(2)[0])
            transfer(node.far, FAR[6], node.spaces[1])
        assert set(counted) == {"out", "in", "local"}
        before = gateway.counters().reasons["forward_64"].packets
        assert before > 100
        stolen = ip6(src="64:ff9b::192.175.48.2", dst=there) / udp()
        with node.counting() as counted:
            frame = place.host_mac + place.pod_mac + b"\x86\xdd" + bytes(stolen)
            _send(node.spaces[1], "eth0", frame)
        assert counted == {"drop_source": 1}
        assert gateway.counters().reasons["forward_64"].packets == before
    ping(node.spaces[1], FAR[6])


def test_removed_the_stack_does_it_all() -> None:
    with raise_node() as node:
        ping(node.spaces[1], own(2)[0])
        with netns.inside(node.name):
            assert node.pods.attached()
            Pods.remove(node.pods.root)
            assert not node.pods.root.exists()
            assert not node.pods.attached()
        ping(node.spaces[1], own(2)[0])
        ping(node.spaces[1], FAR[4])


def test_the_first_no_of_many_requests() -> None:
    """The kernel's first no of many is told, and those behind it are done."""
    with spaces.inside_new(), Channel() as here:
        link.create_veth("left", "right", up=True)
        index = link.index("left")
        good = requests.new_address(index, ip_interface("192.0.2.1/32"), "the first")
        bad = requests.new_address(77, ip_interface("192.0.2.2/32"), "the second")
        last = requests.new_address(index, ip_interface("192.0.2.3/32"), "the third")
        with pytest.raises(KernelError, match=r"the second.*ENODEV"):
            here.change([good, bad, last])
        end = requests.read_end(here, "left")
        assert end is not None
        had = requests.read_furniture(here, end)
        assert {str(one) for one in had.settled if one.version == 4} == {
            "192.0.2.1/32",
            "192.0.2.3/32",
        }
