# SPDX-License-Identifier: Apache-2.0
"""As many packets as the machine makes, each counted where it leaves and where it arrives.

An end of the gateway sends frames by a test run with live frames, and counts what arrives by XDP,
before any queue or socket. What is missing there was lost by the gateway, or found the ring of that
end full, where a busy machine is late to empty it: the kernel counts those.
"""

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from scapy.packet import Packet

from sixlane.bpf import AttachType, Link, Object, RunFlag, XdpFlag, XdpMd
from sixlane.net import ethtool, link, neigh, netns
from tests.netns.compiled import compile_bpf
from tests.netns.edge import CLIENT, Hosts

FRAME_BYTES = 64
_AT_ONCE = 6_400
_SOURCE = Path(__file__).with_name("witness.bpf.c")

Arrived = dict[tuple[str, str], int]
"""Packets by their source and destination."""


def compile_witness(directory: Path) -> Path:
    """The object file, made in `directory`."""
    return compile_bpf(_SOURCE, directory)


@dataclass
class End:
    """One end of the gateway: eth0 of a namespace, which sends and counts. `peer`: the gateway's
    device that leads there."""

    namespace: str
    gateway: str
    peer: str
    opened: Object
    ipv6: bool
    sent: int = 0
    refused_before: int = field(init=False)

    def __post_init__(self) -> None:
        self.refused_before = self._refused_there()

    def send(self) -> None:
        """Some thousand frames, with the calling thread in another namespace or not."""
        with netns.inside(self.namespace):
            device = link.get("eth0").ifindex
            before = _refused("eth0")
            context = bytes(XdpMd(data_end=FRAME_BYTES, ingress_ifindex=device))
            self.opened.programs["transmit"].run(
                bytes(FRAME_BYTES), context, repeat=_AT_ONCE, flags=RunFlag.XDP_LIVE_FRAMES
            )
            self.sent += _AT_ONCE - (_refused("eth0") - before)

    def overrun(self) -> int:
        """Frames that the gateway has sent here, and that the ring had no room for."""
        return self._refused_there() - self.refused_before

    def _refused_there(self) -> int:
        with netns.inside(self.gateway):
            return _refused(self.peer)

    def arrived(self) -> Arrived:
        kind = IPv6Address if self.ipv6 else IPv4Address
        size = 16 if self.ipv6 else 4
        return {
            (str(kind(key[:size])), str(kind(key[16 : 16 + size]))): int.from_bytes(
                value, sys.byteorder
            )
            for key, value in self.opened.maps["arrived"].items()
        }


@dataclass
class Flood:
    client: End
    server: End

    def one_round(self) -> None:
        self.client.send()
        self.server.send()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Sends from both ends in turn, in a thread of its own, for as long as the block lasts."""
        ended = threading.Event()
        failed: list[BaseException] = []

        def rounds() -> None:
            try:
                while not ended.is_set():
                    self.one_round()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=rounds)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
        assert not failed, failed


@contextmanager
def flooding(
    hosts: Hosts, compiled: Path, from_client: Sequence[Packet], from_server: Sequence[Packet]
) -> Iterator[Flood]:
    """Both ends of a gateway; the packets of each are sent in turn.

    The gateway knows its neighbours for good: no packet is for the kernel to send.
    """
    with ExitStack() as stack:
        client = stack.enter_context(_end(hosts, hosts.client, "wan0", compiled, from_client))
        server = stack.enter_context(_end(hosts, hosts.server, "lan0", compiled, from_server))
        with netns.inside(hosts.client):
            client_mac = link.get("eth0").mac
        with netns.inside(hosts.server):
            server_mac = link.get("eth0").mac
        with netns.inside(hosts.gateway):
            neigh.add_permanent("wan0", IPv4Address(CLIENT), client_mac)
            neigh.add_permanent("lan0", IPv6Address("2001:db8::2"), server_mac)
        yield Flood(client, server)


@contextmanager
def _end(
    hosts: Hosts, namespace: str, peer: str, compiled: Path, packets: Sequence[Packet]
) -> Iterator[End]:
    with netns.inside(hosts.gateway):
        ethtool.set_feature(peer, "rx-gro", True)  # live frames reach a veth with NAPI only
        destination = link.get(peer).mac
    ipv6 = packets[0].version == 6
    with Object.open(compiled) as opened, netns.inside(namespace):
        opened.maps["frames"].resize(len(packets))
        opened.load()
        device = link.get("eth0")
        ether = destination + device.mac + (b"\x86\xdd" if ipv6 else b"\x08\x00")
        for index, packet in enumerate(packets):
            frame = ether + bytes(packet)
            opened.maps["frames"].update(index.to_bytes(4, sys.byteorder), frame)
        with Link.create(
            opened.programs["witness"], device.ifindex, AttachType.XDP, XdpFlag.DRV_MODE
        ):
            yield End(namespace, hosts.gateway, peer, opened, ipv6)


def _refused(device: str) -> int:
    """Frames that a device of this namespace could not hand over to its peer."""
    for line in Path("/proc/thread-self/net/dev").read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == device:
            return int(counts.split()[11])  # dropped when sending
    raise LookupError(f"no {device}")
