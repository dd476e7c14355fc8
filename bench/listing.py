# SPDX-License-Identifier: Apache-2.0
"""How long it takes to list and to count sessions: a million of them, in real maps.

    python -m bench.listing [--sessions N] [--rounds N]

What the API does for them is done in a process of its own, as an agent does it. Needs root.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.served import served
from sixlane.api.sessions import sessions_text
from sixlane.bpf import Map
from sixlane.bpf.uapi import MapFlag, MapType
from sixlane.client import Client
from sixlane.datapath import layout
from sixlane.datapath.layout import GatewayFlag, SessionProtocol, SessionState
from sixlane.datapath.records import Memory
from sixlane.datapath.sessions import ANY, SessionRecords, Wanted

SESSIONS = 1_000_000
_PER_BINDING = 2
_NOW, _HZ = 1 << 32, 250


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--sessions", type=int, default=SESSIONS)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    records = _records(given.sessions)
    print(f"{f'{given.sessions:,} sessions: seconds':54} {'median':>8} {'min':>8} {'max':>8}")

    def measure(what: str, work: Callable[[], object]) -> None:
        took = []
        for _ in range(given.rounds):
            before = time.perf_counter()
            work()
            took.append(time.perf_counter() - before)
        print(f"{what:54} {statistics.median(took):8.2f} {min(took):8.2f} {max(took):8.2f}")

    one = Wanted(port=4711, state="OPEN")
    measure("counted, by protocol and state", records.count)
    measure("fill of the tables", records.fill)
    measure("one port's, looked for", lambda: list(records.sessions(one)))
    measure("read as tuples", lambda: _drain(records.sessions()))
    measure("read as lines of JSON", lambda: _drain_text(records))
    measure("bindings, read as tuples", lambda: _drain(records.bindings()))
    with tempfile.TemporaryDirectory(prefix="sixlane-bench-") as directory:
        socket = Path(directory) / "api.sock"
        with served(_Agent(records), socket):
            client = Client(str(socket))
            measure("got by the client, as lines", lambda: _drain(client.sessions().lines()))
            measure("got by the client, as dicts", lambda: _drain(client.sessions()))
            for form in ("ndjson", "csv", "json", "table"):
                listing = partial(_sixlane, socket, ["session", "list", "-o", form])
                measure(f"sixlane session list -o {form}", listing)
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"the most memory that a process had: {most:.0f} MiB, with the tables themselves")


def _drain(items: Any) -> None:
    for _ in items:
        pass


def _drain_text(records: SessionRecords) -> None:
    for block in records.sessions(ANY):
        sessions_text(block)


def _sixlane(socket: Path, argv: Sequence[str]) -> None:
    command = [sys.executable, "-m", "sixlane.cli.main", "--socket", str(socket), *argv]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


class _Agent:
    """What the routes ask of an agent."""

    def __init__(self, records: SessionRecords) -> None:
        self.sessions = records.sessions


def _records(count: int) -> SessionRecords:
    """Each binding has two; each client 64 bindings."""
    bound = count // _PER_BINDING
    addresses = -(-bound // 64512)
    sessions = _map("sessions", count)
    bindings = _map("bindings", bound)
    ports4 = _map("ports4", addresses * SessionProtocol.SESSION_PROTOCOLS << 16)
    numbers = np.arange(bound)
    rows = np.frombuffer(bindings, np.dtype(layout.Binding))
    _put_ends(rows, numbers)
    rows["address"], rows["sessions"] = numbers // 64512, _PER_BINDING
    cells = np.frombuffer(ports4, np.uint64)
    places = (numbers // 64512 * 3 + 1 << 16) + rows["pool_port"]
    cells[places] = numbers + 1
    flows = np.arange(count)
    rows = np.frombuffer(sessions, np.dtype(layout.Session))
    _put_ends(rows, flows // _PER_BINDING)
    rows["binding"] = flows // _PER_BINDING
    rows["remote"] = 0xC01FC400 + flows % 250
    rows["remote_port"] = 53
    until = _NOW + flows % 7000 * 10 + _HZ
    rows["word"] = until << int(SessionState.SESSION_STATE_BITS) | int(SessionState.SESSION_OPEN)
    gateway = layout.Gateway(flags=GatewayFlag.GATEWAY_STATEFUL, client_bits=64)
    memory = Memory(sessions, bindings, ports4, memoryview(b""), count, bound)
    return SessionRecords(memory, gateway, {0: "pods"}, _NOW, _HZ, {})


def _put_ends(rows: Any, numbers: Any) -> None:
    rows["inside"]["hi"] = 0x20010DB800640000 + numbers // 64
    rows["inside"]["lo"] = 7
    rows["inside_port"] = 1024 + numbers % 64
    rows["pool"] = 0xC01FC508 + numbers // 64512
    rows["pool_port"] = 1024 + numbers % 64512
    rows["protocol"] = SessionProtocol.SESSION_UDP


def _map(name: str, entries: int) -> memoryview:
    with Map.create(
        MapType.ARRAY,
        name,
        key_size=4,
        value_size=layout.MAPS[name].value_bytes,
        max_entries=entries,
        flags=MapFlag.MMAPABLE,
    ) as made:
        return made.mmap()


if __name__ == "__main__":
    if os.geteuid():
        sys.exit("be root")
    main()
