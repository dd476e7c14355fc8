# SPDX-License-Identifier: Apache-2.0
"""An agent that dies between the SYN of a connection through pool4 and its answer."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sixlane.client import Client
from sixlane.net import netns
from tests import needs
from tests.netns import agents
from tests.netns.test_pool4 import POOL, SPEC, opened, shared_by, transfer

pytestmark = [pytest.mark.netns, needs.root]

_NO_ANSWERS = """
table inet handshake {
    chain output {
        type filter hook output priority filter
        tcp flags & (syn | ack) == (syn | ack) drop
    }
}
"""


@contextmanager
def _answers_kept_back(namespace: str) -> Iterator[None]:
    netns.run(namespace, ["nft", "--file", "-"], input=_NO_ANSWERS)
    try:
        yield
    finally:
        netns.run(namespace, ["nft", "delete", "table", "inet", "handshake"])


def _sessions(agent: agents.Agent) -> list[dict[str, Any]]:
    return [dict(one) for one in Client(str(agent.socket)).sessions()]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=lambda one: one.name)
def test_a_restart_inside_a_handshake(tmp_path: Path, end: signal.Signals) -> None:
    """The session of the SYN is there for the answer that comes when another agent runs."""
    with agents.world(tmp_path) as (agent, internet, pod):
        netns.run(internet, ["ip", "route", "add", str(POOL), "via", "192.31.196.1"])
        netns.run(pod, ["ip", "route", "add", "64:ff9b::/96", "via", "2001:db8:64::1"])
        agent.start()
        agent.apply(shared_by(SPEC))
        with (
            opened(internet, socket.AF_INET, socket.SOCK_STREAM, "192.31.196.53") as listener,
            opened(pod, socket.AF_INET6, socket.SOCK_STREAM, "2001:db8:64::2") as inside,
        ):
            listener.listen()
            inside.setblocking(False)
            with _answers_kept_back(internet):
                inside.connect_ex(("64:ff9b::192.31.196.53", listener.getsockname()[1]))
                (waiting,) = _sessions(agent)
                assert waiting["state"] == "V6 INIT"
                agent.end(end)
            server, peer = listener.accept()
            with server:
                inside.settimeout(10)
                transfer(inside, server, 1 << 16)
                agent.start()
                transfer(server, inside, 1 << 16)
                (there,) = _sessions(agent)
        assert there["state"] == "ESTABLISHED"
        assert peer == (there["pool"], there["poolPort"]) == (waiting["pool"], waiting["poolPort"])
