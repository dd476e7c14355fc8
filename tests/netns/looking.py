# SPDX-License-Identifier: Apache-2.0
"""How large packets are where they arrive."""

import hashlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sixlane.bpf import AttachType, Link, Object
from sixlane.net import link, netns

PORT = 5600
SENT = bytes(range(251)) * 160_000  # 40 MB


@dataclass(frozen=True)
class Seen:
    """Packets of TCP, in bytes of layer 3."""

    packets: int
    total: int
    longest: int
    longest_segment: int

    @property
    def mean(self) -> float:
        return self.total / self.packets


@contextmanager
def looking(space: str, program: Path, device: str = "eth0") -> Iterator[Object]:
    """`program`: segments.bpf.c, compiled."""
    with Object.open(program) as opened, netns.inside(space):
        found = link.get(device)
        if found.type != link.ARPHRD_ETHER:
            opened.maps[".rodata"].initial_value[0:4] = bytes(4)
        opened.load()
        with Link.create(opened.programs["look"], found.ifindex, AttachType.TCX_INGRESS):
            yield opened


def seen(opened: Object) -> Seen:
    ((_, value),) = opened.maps["seen"].items()
    return Seen(*struct.unpack("=QQQQ", value))


def carried(
    program: Path,
    here: str,
    there: str,
    at: str,
    to: str = "",
    *,
    back: bool = False,
    sent: bytes = SENT,
) -> Seen:
    """`sent` by TCP from `here` to a server `there` at the address `at`, or `back`, as the device
    that receives it sees it come in. `to`: what is called, if it is not `at`."""
    called = to or at
    receiving = here if back else there
    with netns.inside(there):
        listener = socket.create_server((at, PORT), family=_family(at))
    with listener, looking(receiving, program) as opened:
        listener.settimeout(10)
        with netns.inside(here):
            client = socket.socket(_family(called), socket.SOCK_STREAM)
        with client:
            client.settimeout(60)
            client.connect((called, PORT))
            server, _ = listener.accept()
            server.settimeout(60)
            with server:
                sender, receiver = (server, client) if back else (client, server)
                thread = threading.Thread(target=sender.sendall, args=(sent,))
                thread.start()
                digest, received = hashlib.sha256(), 0
                while received < len(sent):
                    data = receiver.recv(1 << 20)
                    assert data
                    digest.update(data)
                    received += len(data)
                thread.join()
        assert digest.digest() == hashlib.sha256(sent).digest()
        return seen(opened)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
