# SPDX-License-Identifier: Apache-2.0
"""Agents for the plugin: the API's routes over pods that are only remembered, and worse ones."""

import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

from fastapi import Depends, FastAPI

from sixlane.agent.cni_requests import Command
from sixlane.api import cni, problem
from sixlane.api.parameters import refuse_unknown
from sixlane.api.streams import Streams
from sixlane.pods.attached import Attached, CniCode, PodError, PodRoute
from sixlane.pods.pod import Asked, Attachment, Lease
from tests.unit.agent.serving import running

HOST_MAC, MAC = bytes.fromhex("0a0000000001"), bytes.fromhex("0a0000000002")
GATEWAYS = (IPv6Address("fe80::1"), IPv4Address("169.254.1.1"))
ROUTES = (
    PodRoute(ip_network("::/0"), GATEWAYS[0]),
    PodRoute(ip_network("0.0.0.0/0"), GATEWAYS[1]),
    PodRoute(ip_network("fe80::1/128")),
)
_FIRST6, _FIRST4 = int(IPv6Address("2001:db8:64:1::1")), int(IPv4Address("10.64.0.1"))
_FIRST_EGRESS = int(IPv6Address("64:ff9b::192.175.48.1"))


@dataclass
class RememberedPods:
    """What a part of the agent does for pods, without devices. `fail`: what each call raises."""

    there: dict[Attachment, tuple[Attached, str]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    fail: Exception | None = None
    has_macs: bool = True
    noted: list[tuple[str, str]] = field(default_factory=list)
    _given: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, asked: Asked, network: str) -> Attached:
        with self._lock:
            self._may_fail()
            self.asked.append(asked)
            if asked.attachment not in self.there:
                self.there[asked.attachment] = (self._made(asked), network)
            return self.there[asked.attachment][0]

    def delete(self, attachment: Attachment, netns: str | None) -> None:
        with self._lock:
            self._may_fail()
            self.there.pop(attachment, None)

    def check(self, asked: Asked, network: str) -> Attached:
        with self._lock:
            self._may_fail()
            if asked.attachment not in self.there:
                raise PodError(CniCode.UNKNOWN_CONTAINER, f"there is no {asked.attachment}")
            return self.there[asked.attachment][0]

    def gc(self, valid: Collection[Attachment], network: str) -> None:
        with self._lock:
            self._may_fail()
            for attachment, (_, of) in list(self.there.items()):
                if of == network and attachment not in valid:
                    del self.there[attachment]

    def status(self) -> None:
        self._may_fail()

    def note(self, command: Command, result: str, seconds: float) -> None:
        assert seconds >= 0
        self.noted.append((command, result))

    def forget(self) -> None:
        self.__init__()  # type: ignore[misc]

    def change(self, attachment: Attachment, **changes: object) -> None:
        """Something of a pod becomes another one."""
        attached, network = self.there[attachment]
        self.there[attachment] = (replace(attached, **changes), network)  # type: ignore[arg-type]

    def _may_fail(self) -> None:
        if self.fail is not None:
            raise self.fail

    def _made(self, asked: Asked) -> Attached:
        number, self._given = self._given, self._given + 1
        lease = Lease(
            asked.attachment,
            asked.netns,
            asked.pod,
            asked.pool or "default",
            asked.fixed or (IPv6Address(_FIRST6 + number), IPv4Address(_FIRST4 + number)),
            IPv6Address(_FIRST_EGRESS + number),
            "veth",
            asked.attachment.host_device,
            asked.mtu or 1500,
            True,
        )
        mac, host_mac = (MAC, HOST_MAC) if self.has_macs else (None, None)
        return Attached(lease, mac, host_mac, ROUTES, GATEWAYS)


@contextmanager
def serving(pods: cni.Pods, path: Path) -> Iterator[None]:
    """The API's routes on a real socket, as an agent has them."""
    app, streams = FastAPI(dependencies=[Depends(refuse_unknown)]), Streams()
    problem.install(app)
    app.include_router(cni.routes(pods))
    with running(app, streams, path):
        yield


@contextmanager
def answering(path: Path, answer: Callable[[socket.socket], None]) -> Iterator[None]:
    """Somebody who does `answer` with each connection, and then closes it."""
    ending = threading.Event()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(0.05)

        def run() -> None:
            while not ending.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.settimeout(0.05)
                    with suppress(OSError):  # the asker has gone
                        answer(connection)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            ending.set()
            thread.join()


def request(connection: socket.socket) -> bytes:
    """What was sent, as far as it came at once."""
    return connection.recv(1 << 16)


def saying(text: bytes) -> Callable[[socket.socket], None]:
    """Answers with these bytes, whatever is asked."""

    def answer(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(text)

    return answer


def silent_until_it_goes(connection: socket.socket) -> None:
    """Says nothing until the asker has gone."""
    while True:
        try:
            if not connection.recv(1 << 16):
                return
        except TimeoutError:
            continue


def dribbling(connection: socket.socket) -> None:
    """Begins an answer and never ends it, a byte at a time."""
    request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{")
    while True:
        connection.sendall(b" ")
        time.sleep(0.01)
