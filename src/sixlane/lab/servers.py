# SPDX-License-Identifier: Apache-2.0
"""The programs that serve on the lab's hosts: pages, datagram echo, iperf3, the name server."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sixlane.lab import echo, nameserver, pages, programs
from sixlane.lab.place import Place
from sixlane.lab.topology import POD_IPV4, SERVICE6, WEB4, embed


@dataclass(frozen=True)
class Server:
    """`ready` is what its log says once it serves."""

    host: str
    argv: Sequence[str]
    log: Path
    ready: str


def start_all(place: Place) -> None:
    """Start every server of the lab; all of them serve when this returns."""
    servers = list(_servers(place))
    with ThreadPoolExecutor(len(servers)) as pool:
        list(pool.map(lambda server: _start(place, server), servers))


def _start(place: Place, server: Server) -> None:
    argv = programs.on_host(place, server.host, server.argv)
    programs.start(argv, log=server.log, ready=server.ready)


def _servers(place: Place) -> Iterator[Server]:
    named = nameserver.write(place.nameserver_dir)
    yield Server("web4", named, nameserver.log(place.nameserver_dir), nameserver.READY)
    yield _page(place, "web4", "0.0.0.0", pages.GREETING4)
    yield _page(place, "pod1", "::", pages.GREETING6)
    yield _echo(place, "web4", WEB4)
    yield _echo(place, "pod1", SERVICE6)
    yield _echo(place, "pod2", embed(POD_IPV4["pod2"]))
    for host in ("web4", "pod1"):
        argv = ["iperf3", "--server", "--forceflush"]
        yield Server(host, argv, place.log(f"{host}-iperf3"), "Server listening")


def _page(place: Place, host: str, address: str, greeting: str) -> Server:
    argv = [*programs.python(pages.__file__), address, greeting]
    return Server(host, argv, place.log(f"{host}-pages"), pages.READY)


def _echo(place: Place, host: str, address: str) -> Server:
    argv = [*programs.python(echo.__file__), "serve", address]
    return Server(host, argv, place.log(f"{host}-echo"), echo.READY)
