# SPDX-License-Identifier: Apache-2.0
"""The programs that serve on the lab's hosts: pages, datagram echo, iperf3, the name server."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sixlane.lab import echo, nameserver, pages, programs
from sixlane.lab.place import Place
from sixlane.lab.steps.web import GREETING4, GREETING6
from sixlane.lab.topology import POD_IPV4, SERVICE6, WEB4, embed


@dataclass(frozen=True)
class Server:
    """`ready` is what its log says once it serves."""

    host: str
    name: str
    argv: Sequence[str]
    ready: str


def start_all(place: Place) -> None:
    """Start every server of the lab; all of them serve when this returns."""
    servers = list(_servers(place))
    with ThreadPoolExecutor(len(servers)) as pool:
        list(pool.map(lambda server: _start(place, server), servers))


def _start(place: Place, server: Server) -> None:
    name = f"{server.host}-{server.name}"
    programs.start(place, server.host, name, server.argv, ready=server.ready)


def _servers(place: Place) -> Iterator[Server]:
    yield Server("web4", "named", nameserver.write(place.nameserver_dir), nameserver.READY)
    yield _page("web4", "0.0.0.0", GREETING4)
    yield _page("pod1", "::", GREETING6)
    yield _echo("web4", WEB4)
    yield _echo("pod1", SERVICE6)
    yield _echo("pod2", embed(POD_IPV4["pod2"]))
    for host in ("web4", "pod1"):
        argv = ["iperf3", "--server", "--forceflush"]
        yield Server(host, "iperf3", argv, "Server listening")


def _page(host: str, address: str, greeting: str) -> Server:
    return Server(host, "pages", [*programs.python(pages.__file__), address, greeting], pages.READY)


def _echo(host: str, address: str) -> Server:
    return Server(host, "echo", [*programs.python(echo.__file__), "serve", address], echo.READY)
