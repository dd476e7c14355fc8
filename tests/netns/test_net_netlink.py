# SPDX-License-Identifier: Apache-2.0
"""The transport: nothing is dropped in silence, and it works in any thread."""

import asyncio
import errno
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import pytest
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from sixlane.errors import KernelError, SixlaneError
from sixlane.net import address, clsact, ethtool, link, neigh, netlink, netns, route
from tests import needs
from tests.netns import spaces

pytestmark = [pytest.mark.netns, needs.root]

RTM_GETLINK, RTM_SETLINK = 18, 19
ADDRESS = ip_interface("192.31.196.1/24")
NEIGHBOUR = ip_address("192.31.196.2")
MAC = bytes.fromhex("02000000000a")


@pytest.fixture(autouse=True)
def here() -> Iterator[str]:
    with spaces.inside_new() as name:
        link.create_veth("left", "right", up=True)
        yield name


@pytest.mark.parametrize(
    "attribute",
    [
        ("IFLA_TELEPORT", 1),
        ("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_TELEPORT", 1)]}),
        (
            "IFLA_LINKINFO",
            {
                "attrs": [
                    ("IFLA_INFO_KIND", "veth"),
                    ("IFLA_INFO_DATA", {"attrs": [("VETH_INFO_TELEPORT", 1)]}),
                ]
            },
        ),
    ],
)
def test_an_attribute_that_the_codec_would_drop_is_refused(attribute: tuple[str, Any]) -> None:
    with pytest.raises(SixlaneError, match="TELEPORT is unknown"):
        netlink.change(ifinfmsg, RTM_SETLINK, {"index": 1}, [attribute], what="set")


def _writes() -> Sequence[tuple[str, Callable[[], object]]]:
    far = ip_network("198.18.0.0/15")
    return [
        ("make veth", lambda: link.create_veth("a", "b")),
        ("make bridge", lambda: link.create_bridge("a")),
        ("remove device", lambda: link.delete("left")),
        ("set up", lambda: link.set_down("left")),
        ("set up", lambda: link.set_up("lo")),
        ("set mtu", lambda: link.set_mtu("left", 1400)),
        ("set mac", lambda: link.set_mac("left", MAC)),
        ("set master", lambda: link.set_master("left", "right")),
        ("set name", lambda: link.rename("left", "a")),
        ("set alias", lambda: link.set_alias("left", "a")),
        ("add address", lambda: address.add("right", ADDRESS)),
        ("remove address", lambda: address.remove("left", ADDRESS)),
        ("add route", lambda: route.add(far, dev="left")),
        ("add route", lambda: route.add(far, dev="right", metric=9, mtu=1300, replace=True)),
        ("remove route", lambda: route.remove(far, metric=9)),
        ("add neighbour", lambda: neigh.add_permanent("left", NEIGHBOUR, bytes(6))),
        ("managed neighbours", lambda: neigh.add_managed("left", NEIGHBOUR)),
        ("remove neighbour", lambda: neigh.remove("left", NEIGHBOUR)),
        ("add qdisc", lambda: clsact.add_qdisc("right")),
        ("remove qdisc", lambda: clsact.remove_qdisc("left")),
        ("attach", lambda: clsact.attach("left", 0, "ours")),
        ("set rx-gro-list on", lambda: ethtool.set_feature("left", "rx-gro-list", True)),
    ]


@pytest.mark.parametrize("number", range(len(_writes())))
def test_a_write_that_did_nothing_is_noticed(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    address.add("left", ADDRESS)
    route.add(ip_network("198.18.0.0/15"), dev="right", metric=9, mtu=1400)
    neigh.add_permanent("left", NEIGHBOUR, MAC)
    clsact.add_qdisc("left")
    what, write = _writes()[number]
    monkeypatch.setattr(netlink, "change", lambda *_, **__: None)
    with pytest.raises(SixlaneError, match=what):
        write()


def test_moving_a_device_in_vain_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with spaces.new() as there:
        monkeypatch.setattr(netlink, "change", lambda *_, **__: None)
        with pytest.raises(SixlaneError, match=f"move device left to network namespace {there}"):
            link.move_to("left", there)


def test_it_works_where_an_event_loop_runs() -> None:
    async def names() -> list[str]:
        return [seen.name for seen in link.list_links()]

    assert asyncio.run(names()) == ["lo", "right", "left"]


def test_threads_do_not_meet_even_across_namespaces(here: str) -> None:
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            with spaces.new() as mine:
                for number in range(10):
                    device = f"{name}{number}"
                    link.create_veth(device, "peer", netns_a=mine, netns_b=mine)
                    with netns.inside(mine):
                        assert [seen.name for seen in link.list_links()][-1] == device
                        link.delete(device)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []


def test_a_list_longer_than_one_datagram_is_whole() -> None:
    lines = "\n".join(f"route add 198.18.{n >> 8}.{n & 255}/32 dev left" for n in range(3000))
    netns.run(None, ["ip", "-batch", "-"], input=lines)
    assert len(route.list_routes(version=4)) == 3000


def test_a_list_that_changed_while_it_was_read_is_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reads = 0
    receive = netlink._receive

    def interrupted_at_first(sock: Any, what: str) -> Iterator[bytes]:
        nonlocal reads
        reads += 1
        flag = netlink._F_DUMP_INTERRUPTED if reads == 1 else 0
        for message in receive(sock, what):
            length, kind, flags, sequence, port = netlink.HEADER.unpack_from(message)
            header = netlink.HEADER.pack(length, kind, flags | flag, sequence, port)
            yield header + message[netlink.HEADER.size :]

    monkeypatch.setattr(netlink, "_receive", interrupted_at_first)
    assert [seen.name for seen in link.list_links()] == ["lo", "right", "left"]
    assert reads > 2
    monkeypatch.setattr(netlink, "_DUMP_TRIES", 0)
    with pytest.raises(KernelError, match="list devices: EINTR"):
        link.list_links()


def test_a_yes_without_an_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netlink, "_until_acknowledged", lambda *_: iter(()))
    with pytest.raises(KernelError, match="read device lo: ENODATA"):
        link.get("lo")


def test_a_kernel_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(sock: socket.socket, _: str) -> Iterator[bytes]:
        sock.recv(1)
        return iter(())

    monkeypatch.setattr(netlink, "_SECONDS_TO_ANSWER", 0.05)
    monkeypatch.setattr(netlink, "_receive", lose)
    with pytest.raises(KernelError, match="list devices: ETIMEDOUT"):
        link.list_links()


def test_who_may_not_is_told_what_it_needs() -> None:
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        try:
            link.set_down("left")
        except KernelError as error:
            os._exit(0 if error.errno == errno.EPERM and "root" in error.hint else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
