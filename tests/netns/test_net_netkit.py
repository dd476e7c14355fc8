# SPDX-License-Identifier: Apache-2.0
"""netkit pairs: what we ask for is what the kernel has, and the peer cannot change it.

On Linux 6.12 under QEMU (tests.vm), as few kernels that are at hand have netkit."""

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_interface

import pytest

from sixlane.bpf import AttachType, Link, Program, ProgramType
from sixlane.errors import ConfigError, KernelError, NotSupported
from sixlane.net import address, features, link, netkit, netns, requests
from sixlane.net.netkit import Mode, Netkit
from sixlane.net.netlink import Channel, Request, attribute
from tests import needs
from tests.netns import spaces

pytestmark = [pytest.mark.netns, needs.root, needs.bpf]

MODES = pytest.mark.parametrize("mode", ["l2", "l3"])
MTU = 1400
HOST, POD = "2001:db8::1", "2001:db8::2"
_CONTINUE = bytes.fromhex("b4000000ffffffff9500000000000000")  # -1: NETKIT_NEXT


@dataclass
class Pair:
    """Names of the namespaces of the primary end `near` and the peer `far`."""

    host: str
    pod: str


@pytest.fixture
def pair() -> Iterator[Pair]:
    with spaces.new() as host, spaces.new() as pod:
        yield Pair(host, pod)


def make(pair: Pair, mode: Mode, **more: object) -> Netkit:
    fd = netns.open_fd(pair.pod)
    try:
        with netns.inside(pair.host), Channel() as here:
            return netkit.create(here, "near", "far", fd, mode, mtu=MTU, **more)  # type: ignore[arg-type]
    finally:
        os.close(fd)


def find(space: str, name: str) -> Netkit | None:
    with netns.inside(space), Channel() as here:
        return netkit.find(here, name)


@needs.netkit
@MODES
def test_a_pair_is_made_each_end_in_its_place(pair: Pair, mode: Mode) -> None:
    macs = {"mac": b"\x02\x01\x02\x03\x04\x05", "peer_mac": b"\x02\x0a\x0b\x0c\x0d\x0e"}
    made = make(pair, mode, **(macs if mode == "l2" else {}))
    assert made == Netkit(True, mode, "pass", "blackhole") == find(pair.host, "near")
    far = find(pair.pod, "far")
    assert far is not None
    assert (far.is_primary, far.mode) == (False, mode)
    for space, name, mac in ((pair.host, "near", "mac"), (pair.pod, "far", "peer_mac")):
        with netns.inside(space):
            shown = link.get(name)
        assert (shown.kind, shown.mtu, shown.up) == ("netkit", MTU, False)
        assert shown.arp == (mode == "l2")
        assert shown.mac == (macs[mac] if mode == "l2" else bytes(6))


@needs.netkit
@MODES
def test_nothing_leaves_the_peer_before_there_is_a_program(pair: Pair, mode: Mode) -> None:
    make(pair, mode)
    furnish(pair)
    assert not reaches(pair)
    with (
        Program.load(ProgramType.SCHED_CLS, "next", _CONTINUE) as program,
        netns.inside(pair.host),
        Link.create(program, link.index("near"), AttachType.NETKIT_PEER),
    ):
        assert reaches(pair)
    assert not reaches(pair)


@needs.netkit
@MODES
def test_unless_it_may(pair: Pair, mode: Mode) -> None:
    make(pair, mode, peer_policy="pass")
    furnish(pair)
    assert reaches(pair)


def furnish(pair: Pair) -> None:
    for space, name, own in ((pair.host, "near", HOST), (pair.pod, "far", POD)):
        with netns.inside(space):
            address.add(name, ip_interface(f"{own}/64"))
            link.set_up(name)


def reaches(pair: Pair) -> bool:
    """Whether a datagram from the peer arrives."""
    with netns.inside(pair.host):
        server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with netns.inside(pair.pod):
        client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with server, client:
        server.bind((HOST, 5600))
        server.settimeout(2)
        client.sendto(b"a word", (HOST, 5600))
        try:
            return server.recv(100) == b"a word"
        except TimeoutError:
            return False


@needs.netkit
@MODES
def test_the_peer_changes_nothing(pair: Pair, mode: Mode) -> None:
    """Neither policies nor programs, whatever it may do in its own namespace."""
    made = make(pair, mode)
    furnish(pair)
    with netns.inside(pair.pod), Channel() as there:
        index = link.index("far")
        for kind in (3, 4):  # POLICY, PEER_POLICY
            data = attribute(kind, (0).to_bytes(4, "little"))
            info = attribute(1, b"netkit") + attribute(2, data)
            body = requests.LINK_HEADER.pack(0, 0, index, 0, 0) + attribute(18, info)
            with pytest.raises(KernelError):
                there.change([Request("change the policy", 16, body)])
        with Program.load(ProgramType.SCHED_CLS, "next", _CONTINUE) as program:
            for place in (AttachType.NETKIT_PEER, AttachType.NETKIT_PRIMARY):
                with pytest.raises(KernelError), Link.create(program, index, place):
                    pass
    assert find(pair.host, "near") == made
    assert not reaches(pair)


@needs.netkit
def test_names_that_are_taken(pair: Pair) -> None:
    make(pair, "l3")
    with pytest.raises(KernelError, match="EEXIST"):
        make(pair, "l3")
    with pytest.raises(ConfigError, match="have no hardware address"):
        make(pair, "l3", mac=b"\x02\x01\x02\x03\x04\x05")


def test_other_devices_are_none(pair: Pair) -> None:
    with netns.inside(pair.host):
        link.create_veth("left", "right")
    assert find(pair.host, "left") is None
    assert find(pair.host, "nowhere") is None


def test_a_kernel_without_netkit_says_so(pair: Pair) -> None:
    if features.has_device_kind("netkit"):
        make(pair, "l3")
        return
    with pytest.raises(NotSupported, match="netkit"):
        make(pair, "l3")
    for space in (pair.host, pair.pod):
        with netns.inside(space):
            assert [one.name for one in link.list_links()] == ["lo"]
