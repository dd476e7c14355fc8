# SPDX-License-Identifier: Apache-2.0
"""How long segments in tunnels are on a wire: a veth carries what no wire would."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from sixlane.net import netns

_SOL_PACKET, _PACKET_VNET_HDR = 263, 15
_ETH_P_ALL = 3
_PACKET_OUTGOING = 4
_VIRTIO = struct.Struct("=BBHHHH")  # virtio_net_hdr: flags, gso_type, hdr_len, gso_size, csum ...
_ETHERNET_HEADER = 14
_HEADER_OF = {4: 20, 41: 40}  # inside an outer header, by its protocol


@dataclass
class Frames:
    """Bytes of layer 3, of packets of TCP in tunnels that came in; 0 until the block has ended."""

    longest: int = 0
    longest_segment: int = 0


@contextlib.contextmanager
def frames(namespace: str, device: str) -> Iterator[Frames]:
    """Watches for as long as the block lasts; some packets may be missed, none is made up."""
    seen, ended = Frames(), threading.Event()
    with netns.inside(namespace):
        watcher = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    with watcher:
        watcher.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        watcher.bind((device, _ETH_P_ALL))
        watcher.settimeout(0.1)
        thread = threading.Thread(target=_watch, args=(watcher, seen, ended))
        thread.start()
        try:
            yield seen
        finally:
            ended.set()
            thread.join()


def _watch(watcher: socket.socket, seen: Frames, ended: threading.Event) -> None:
    while not ended.is_set():
        try:
            data, sender = watcher.recvfrom(1 << 18)
        except TimeoutError:
            continue
        if sender[2] == _PACKET_OUTGOING:
            continue
        gso_size = _VIRTIO.unpack_from(data)[3]
        packet = data[_VIRTIO.size + _ETHERNET_HEADER :]
        headers = _headers(packet)
        if headers:
            segment = headers + gso_size if gso_size else len(packet)
            seen.longest = max(seen.longest, len(packet))
            seen.longest_segment = max(seen.longest_segment, segment)


def _headers(packet: bytes) -> int:
    """Of a packet of TCP in a tunnel: outer, inner, TCP; 0: it is none."""
    outer, protocol = (20, packet[9]) if packet[0] >> 4 == 4 else (40, packet[6])
    if protocol not in _HEADER_OF:
        return 0
    inner = outer + _HEADER_OF[protocol]
    if packet[outer + (9 if protocol == 4 else 6)] != socket.IPPROTO_TCP:
        return 0
    return inner + (packet[inner + 12] >> 4) * 4
