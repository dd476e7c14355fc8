# SPDX-License-Identifier: Apache-2.0
"""How long it takes to carry sessions to another gateway: a million of them, by the command.

    python -m bench.carrying [--sessions N]

The data path is a real one, in a namespace; what the API does is done in a process of its own, as
an agent does it. Needs root.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address, IPv6Network
from pathlib import Path
from subprocess import run

from bench.served import served
from sixlane.api.sessions import export_texts
from sixlane.datapath import Datapath
from sixlane.datapath.imports import ImportName
from sixlane.datapath.layout import Lifetime, SessionProtocol
from sixlane.datapath.pools import PoolEntry, PoolRange, Room, Stateful
from sixlane.datapath.sessions import Session
from tests.unit.rfc.vectors import TRANSLATOR
from tests.world import raise_world, tables_for

SESSIONS = 1_000_000
_PER_BINDING = 2
_BLOCK = 1 << 14
_PER_CLIENT = 64  # bindings: a block
_PORTS = 64512
_FIRST = IPv4Address("192.31.197.0")
_LIFETIMES = dict.fromkeys(list(Lifetime)[:5], 7440)
_PREFIX = "2001:db8:46::/96"


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--sessions", type=int, default=SESSIONS)
    count = options.parse_args().sessions
    bound = -(-count // _PER_BINDING)
    addresses = -(-bound // _PORTS)
    room = Room(count, bound, -(-bound // _PER_CLIENT), addresses)
    with raise_world(room) as world, tempfile.TemporaryDirectory(prefix="sixlane-bench-") as name:
        tables = tables_for(TRANSLATOR, world.wan, world.lan)
        world.commit(replace(tables, stateful=Stateful([_pool(addresses)], _LIFETIMES)))
        socket, file = Path(name, "api.sock"), Path(name, "edge.sessions")
        with file.open("w") as to:
            to.writelines(export_texts(_blocks(count)))
        print(f"{count:,} sessions, {file.stat().st_size >> 20} MiB: seconds")
        with served(_Agent(world.datapath), socket):
            command = partial(_sixlane, socket)
            _measure("sixlane session import --dry-run", command, "import", "--dry-run", file)
            _measure("sixlane session import, all are made", command, "import", file)
            _measure("sixlane session import, all are present", command, "import", file)
            _measure("sixlane session export", command, "export", Path(name, "again"))
        sessions = next(_blocks(count))
        before = time.perf_counter()
        world.datapath.import_sessions(sessions)
        each = (time.perf_counter() - before) / len(sessions)
        print(f"of each that is present, without text: {each * 1e6:.1f} microseconds")
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    print(f"the most memory that a process had: {most} MiB, with the tables themselves")


def _pool(addresses: int) -> PoolEntry:
    ports = dict.fromkeys(list(SessionProtocol)[:3], (1024, 65535))
    ranges = [PoolRange(_FIRST, addresses, 0)]
    return PoolEntry("all", 0, IPv6Network("::/0"), ranges, ports, block_ports=64, blocks=1)


def _blocks(count: int) -> Iterator[list[Session]]:
    for first in range(0, count, _BLOCK):
        yield [_session(number) for number in range(first, min(first + _BLOCK, count))]


def _session(number: int) -> Session:
    bound = number // _PER_BINDING
    return Session(
        "udp",
        f"2001:db8:{bound // _PER_CLIENT:x}::7",
        1024 + bound % _PER_CLIENT,
        str(_FIRST + bound // _PORTS),
        1024 + bound % _PORTS,
        f"8.8.8.{number % _PER_BINDING}",
        53,
        _PREFIX,
        "OPEN",
        7000.0,
    )


class _Agent:
    """What of an agent the routes ask."""

    def __init__(self, datapath: Datapath) -> None:
        self._datapath = datapath

    def exported_sessions(self) -> Iterator[list[Session]]:
        records = self._datapath.session_records()
        return records.exported() if records else iter(())

    def import_sessions(self, sessions: Sequence[Session]) -> list[ImportName]:
        return self._datapath.import_sessions(sessions) or []


def _sixlane(socket: Path, *arguments: str | Path) -> None:
    argv = [sys.executable, "-m", "sixlane.cli.main", "--socket", str(socket), "session"]
    run([*argv, *map(str, arguments)], check=True, capture_output=True)


def _measure(what: str, work: Callable[..., object], *arguments: str | Path) -> None:
    before = time.perf_counter()
    work(*arguments)
    print(f"{what:44} {time.perf_counter() - before:8.2f}", flush=True)


if __name__ == "__main__":
    if os.geteuid():
        sys.exit("be root")
    main()
