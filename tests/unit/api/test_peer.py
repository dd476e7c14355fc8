# SPDX-License-Identifier: Apache-2.0
"""The log names who asked for a change."""

import getpass
import logging
import os
import socket
from pathlib import Path

import httpx

from sixlane.agent.log import Formatter, who
from sixlane.api.peer import Peer, peer_at
from tests.unit.agent.fakes import GATEWAY, World
from tests.unit.agent.serving import serving


class _Lines(logging.Handler):
    """Lines as they are written, for they are made where the record is."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(Formatter(journal=True))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def test_the_peer_of_a_socket() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert str(peer_at(ours)) == f"{getpass.getuser()}[{os.getpid()}]"
    assert str(Peer(7, 4_000_000_000)) == "4000000000[7]"


def test_a_change_names_its_author(tmp_path: Path) -> None:
    world, written = World(tmp_path), _Lines()
    log = logging.getLogger("sixlane")
    log.addHandler(written)
    before = log.level
    log.setLevel(logging.INFO)
    path = tmp_path / "api.sock"
    transport = httpx.HTTPTransport(uds=str(path))
    try:
        with (
            serving(world.agent, path),
            httpx.Client(transport=transport, base_url="http://sixlane") as client,
        ):
            assert client.post("/v1/transactions", json={"put": [GATEWAY]}).status_code == 200
        world.agent.teardown()
    finally:
        log.removeHandler(written)
        log.setLevel(before)
        world.close()
    asked = f"who={getpass.getuser()}[{os.getpid()}]"
    assert written.lines == [
        f"<6>level=info msg=applied revision=1 kind=Gateway name=edge outcome=created {asked}",
        f'<6>level=info msg=changed revision=1 change="set edge" {asked}',
        '<6>level=info msg="torn down"',
    ]
    assert who.get() == ""
