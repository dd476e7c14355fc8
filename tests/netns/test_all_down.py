# SPDX-License-Identifier: Apache-2.0
"""No backend of a service is well, as real checks find: what `whenAllDown` makes of its flows."""

import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.client import HTTPConnection
from typing import Any, NamedTuple

import pytest

from sixlane.client import Client
from sixlane.lab import echo, pages
from sixlane.net import netns
from tests import needs
from tests.netns.agents import eventually
from tests.netns.balanced import (
    BACKENDS6,
    NAMES,
    VIP4,
    VIP6,
    Balanced,
    at,
    gateway,
    raise_balanced,
    service,
)
from tests.netns.health import start_health
from tests.patience import patience

pytestmark = [
    pytest.mark.netns,
    needs.root,
    needs.bpf,
    needs.command("ip"),
    needs.command("setpriv"),
]

TRANSLATED = 81
ENDS = ((VIP4, pages.PORT), (VIP6, pages.PORT), (VIP4, TRANSLATED))
"""Two by tunnels, and one that is translated."""
CHECKED = 8080
"""Where checks go, beside the pages: who fails them could serve all the same."""
CHECK = {"type": "tcp", "port": CHECKED, "intervalSeconds": 1, "rise": 1, "fall": 1}
MANY = 12  # of which all come to one of two backends once in 2,000 times
_PREFIX = {"name": "mapped", "prefix": "64:ff9b::/96", "ipv4": []}
_PATIENCE_S = patience(10)
_SILENCE_S = 0.5


@pytest.fixture(scope="module")
def raised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Balanced]:
    with raise_balanced(tmp_path_factory.mktemp("down"), "tc") as lab:
        lab.decap_up(VIP4, VIP6)
        lab.serve_echo(VIP4, VIP6)
        lab.agent.apply(gateway("tc", prefixes=[_PREFIX]))
        with start_health(lab.agent) as health:
            try:
                yield lab
            finally:
                health.kill()


@pytest.fixture
def lab(raised: Balanced) -> Iterator[Balanced]:
    """Without services: checks of others begin anew, with no flaps that count."""
    yield raised
    for name in ("web", "shop"):
        Client(str(raised.agent.socket)).delete("Service", name)


def apply(lab: Balanced, when_all_down: str) -> None:
    """`web`: by tunnels; `shop`: translated."""
    frontends = [{"address": vip, "port": pages.PORT} for vip in (VIP4, VIP6)]
    frontends += [{"address": vip, "port": echo.PORT, "protocol": "UDP"} for vip in (VIP4, VIP6)]
    both: dict[str, Any] = {"healthCheck": CHECK, "whenAllDown": when_all_down}
    translated = at(BACKENDS6, **{name: {"port": pages.PORT} for name in NAMES})
    lab.agent.apply(
        service("web", at(BACKENDS6), frontends, **both),
        service(
            "shop",
            translated,
            [{"address": VIP4, "port": TRANSLATED}],
            mode="nat",
            source="mapped",
            **both,
        ),
    )


@contextmanager
def well(lab: Balanced, *names: str) -> Iterator[None]:
    """These backends pass their checks, until the block ends."""
    with ExitStack() as stack:
        for name in names:
            with netns.inside(lab.hosts[name]):
                stack.enter_context(
                    socket.create_server(
                        ("::", CHECKED), family=socket.AF_INET6, dualstack_ipv6=True
                    )
                )
        yield


def need_states(lab: Balanced, *states: str) -> None:
    """b1 and b2 come to have them, in both services."""
    client = Client(str(lab.agent.socket))

    def are() -> bool:
        found = {
            (one["address"], one["status"] and one["status"]["state"])
            for name in ("web", "shop")
            for one in client.backends(name)["items"]
        }
        return found == set(zip(BACKENDS6.values(), states, strict=True))

    assert eventually(are), [client.backends(name) for name in ("web", "shop")]


class Kept(NamedTuple):
    """A connection, and the backend that has answered by it."""

    connection: HTTPConnection
    backend: str

    def goes_on(self) -> bool:
        return ask(self.connection) == self.backend

    def need_end(self, error: type[OSError]) -> None:
        assert self.connection.sock is not None
        if error is TimeoutError:
            self.connection.sock.settimeout(_SILENCE_S)
        with pytest.raises(error):
            ask(self.connection)


def ask(connection: HTTPConnection) -> str:
    """The backend that answers."""
    connection.request("GET", "/")
    return connection.getresponse().read().decode().splitlines()[0]


def connect(lab: Balanced, stack: ExitStack, vip: str, port: int) -> HTTPConnection:
    connection = HTTPConnection(vip, port, timeout=_PATIENCE_S)
    stack.callback(connection.close)
    with netns.inside(lab.hosts["client"]):
        connection.connect()
    return connection


def keep(lab: Balanced, stack: ExitStack) -> list[Kept]:
    connections = [connect(lab, stack, *end) for end in ENDS for _ in range(MANY)]
    return [Kept(one, ask(one)) for one in connections]


def answering(lab: Balanced, vip: str, port: int) -> set[str]:
    """The backends that new connections come to."""
    with ExitStack() as stack:
        return {ask(connect(lab, stack, vip, port)) for _ in range(MANY)}


def echoed(lab: Balanced, vip: str) -> bool:
    """Of a new flow of UDP. Raises OSError where it is refused."""
    version = socket.AF_INET6 if ":" in vip else socket.AF_INET
    with netns.inside(lab.hosts["client"]):
        sender = socket.socket(version, socket.SOCK_DGRAM)
    with sender:
        sender.settimeout(_PATIENCE_S)
        sender.connect((vip, echo.PORT))
        sender.send(b"anybody there?")
        return sender.recv(100) == b"anybody there?"


def need_refusal(new_flow: Callable[[], object]) -> None:
    with pytest.raises(OSError) as caught:
        new_flow()
    assert caught.value.errno == errno.ECONNREFUSED


def test_refuse(lab: Balanced) -> None:
    """Of new flows each is told so; those that are there end with their backends."""
    apply(lab, "refuse")
    with ExitStack() as stack:
        with well(lab, *NAMES):
            need_states(lab, "active", "active")
            kept = keep(lab, stack)
            assert all(answering(lab, *end) == set(NAMES) for end in ENDS)
        need_states(lab, "quarantined", "quarantined")
        for end in ENDS:
            need_refusal(partial(connect, lab, stack, *end))
        for vip in (VIP4, VIP6):
            need_refusal(partial(echoed, lab, vip))
        for one in kept[::MANY]:
            one.need_end(TimeoutError)  # an ICMP error ends no connection that is open
    with well(lab, *NAMES):
        need_states(lab, "active", "active")
        assert all(answering(lab, *end) == set(NAMES) for end in ENDS)
        assert echoed(lab, VIP4) and echoed(lab, VIP6)


def test_terminating(lab: Balanced) -> None:
    """New flows come to those that fail, and none ends; once one is well, they are its alone."""
    apply(lab, "terminating")
    with ExitStack() as stack:
        with well(lab, *NAMES):
            need_states(lab, "active", "active")
            kept = keep(lab, stack)
        need_states(lab, "terminating", "terminating")
        assert all(one.goes_on() for one in kept)
        assert all(answering(lab, *end) == set(NAMES) for end in ENDS)
        assert echoed(lab, VIP4) and echoed(lab, VIP6)
        kept += keep(lab, stack)
        with well(lab, "b1"):
            need_states(lab, "active", "quarantined")
            assert all(answering(lab, *end) == {"b1"} for end in ENDS)
            assert all(one.goes_on() for one in kept if one.backend == "b1")
            for at in range(0, len(kept), MANY):  # it comes to b1, which knows nothing of it
                next(one for one in kept[at : at + MANY] if one.backend == "b2").need_end(
                    ConnectionResetError
                )
