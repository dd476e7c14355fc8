# SPDX-License-Identifier: Apache-2.0
"""How long the longest packet is that comes in at a device, as a packet socket sees it."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from sixlane.lab.place import Place
from sixlane.net import netns

_ETH_P_ALL = 3
_ETHERNET_HEADER = 14
_PACKET_OUTGOING = 4
_BUFFER = 1 << 20


@dataclass
class Longest:
    """`bytes` of layer 3; 0 until the block has ended."""

    bytes: int = 0


@contextlib.contextmanager
def longest_packet(place: Place, host: str, device: str) -> Iterator[Longest]:
    """Watches for as long as the block lasts; some packets may be missed, none is made up."""
    longest = Longest()
    ended = threading.Event()
    with netns.inside(place.namespace(host)):
        watcher = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    with watcher:
        watcher.bind((device, _ETH_P_ALL))
        watcher.settimeout(0.1)
        thread = threading.Thread(target=_watch, args=(watcher, longest, ended))
        thread.start()
        try:
            yield longest
        finally:
            ended.set()
            thread.join()


def _watch(watcher: socket.socket, longest: Longest, ended: threading.Event) -> None:
    while not ended.is_set():
        try:
            data, sender = watcher.recvfrom(_BUFFER)
        except TimeoutError:
            continue
        if sender[2] != _PACKET_OUTGOING:
            longest.bytes = max(longest.bytes, len(data) - _ETHERNET_HEADER)
