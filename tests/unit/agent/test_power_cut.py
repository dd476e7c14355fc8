# SPDX-License-Identifier: Apache-2.0
"""What was acknowledged is on the disk: the store as a power cut may leave it, at any moment.

What a writer does to its files is recorded as system calls. Of what no later fsync covers, a disk
may have kept all, nothing, or any part.
"""

import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sixlane.agent.store import Store
from sixlane.model import Gateway, Key
from tests import needs

pytestmark = needs.command("strace")

REVISIONS = 12
WRITER = f"""
import sys
from pathlib import Path
from sixlane.agent.edits import put
from sixlane.agent.store import Store
from tests.unit.agent.fakes import gateway, save
store = Store(Path(sys.argv[1]))
store._database._db.execute("PRAGMA wal_autocheckpoint = 16")  # the log starts over now and then
for revision in range(1, {REVISIONS + 1}):
    save(store, put(gateway(lowestIPv6MTU=1280 + revision)))
    print("acknowledged", flush=True)
"""
_CALLS = "pwrite64,write,fdatasync,fsync,ftruncate,unlink"
_ON_FILE = re.compile(r'(\w+)\((\d+)<(.*?)>(?:, (?:"((?:\\x..)*)", )?(.*))?\) += (\d+)$')
_UNLINK = re.compile(r'unlink\("(.*)"\) += 0$')


@dataclass
class File:
    """What is on the disk for certain, and what was written since: offset and bytes, or a size."""

    synced: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    unlinked: bool = False  # and the directory not yet synced

    def image(self, kept: list[tuple[int, bytes | None]]) -> bytes:
        data = bytearray(self.synced)
        for offset, written in kept:
            if written is None:
                data = data[:offset].ljust(offset, b"\0")
            else:
                data = data.ljust(offset, b"\0")
                data[offset : offset + len(written)] = written
        return bytes(data)

    def sync(self) -> None:
        self.synced, self.pending = self.image(self.pending), []


@dataclass
class Disk:
    files: dict[str, File] = field(default_factory=dict)
    acknowledged: int = 0

    def cuts(self, rng: random.Random) -> Iterator[dict[str, bytes]]:
        """Contents of the directory that a power cut may leave now."""
        yield {name: file.image([]) for name, file in self.files.items()}
        there = {name: file for name, file in self.files.items() if not file.unlinked}
        yield {name: file.image(file.pending) for name, file in there.items()}
        for _ in range(3):
            yield {
                name: file.image([one for one in file.pending if rng.random() < 0.5])
                for name, file in there.items()
            }


def test_what_was_acknowledged_survives_a_power_cut(tmp_path: Path) -> None:
    rng = random.Random(46)
    syncs = 0
    for number, disk in enumerate(replayed(record(tmp_path), tmp_path / "store")):
        syncs += 1
        for at, cut in enumerate(disk.cuts(rng)):
            place = tmp_path / f"cut-{number}-{at}"
            place.mkdir()
            for name, data in cut.items():
                (place / name).write_bytes(data)
            with Store(place / "store.db") as store:
                state = store.load()
            assert disk.acknowledged <= state.revision <= disk.acknowledged + 1
            if state.revision:
                edge = state.objects[Key("Gateway", "edge")].resource
                assert isinstance(edge, Gateway)
                assert edge.spec.lowest_ipv6_mtu == 1280 + state.revision
    assert disk.acknowledged == REVISIONS
    assert syncs > 3 * REVISIONS


def record(tmp_path: Path) -> list[str]:
    """The system calls of a writer in tmp_path/store, as strace writes them down."""
    (tmp_path / "store").mkdir()
    argv = ["strace", "-qq", "-y", "-xx", "-s", "100000", "-e", f"trace={_CALLS}"]
    argv += ["-o", str(tmp_path / "calls"), sys.executable, "-c", WRITER]
    subprocess.run(
        [*argv, str(tmp_path / "store" / "store.db")],
        stdout=subprocess.DEVNULL,
        check=True,
        cwd=os.getcwd(),
    )
    return (tmp_path / "calls").read_text().splitlines()


def replayed(calls: list[str], directory: Path) -> Iterator[Disk]:
    """The disk before each sync, and after each acknowledgement. The shared memory (-shm) is not
    of the disk: SQLite makes it anew.
    """
    disk = Disk()
    for line in calls:
        if found := _UNLINK.search(line):
            name = Path(_text(found[1])).name
            if name in disk.files:
                disk.files[name].unlinked = True
            continue
        if not (found := _ON_FILE.search(line)):
            continue
        call, fd, path, data, rest, result = found.groups()
        where = Path(_text(path))
        if call == "write" and fd == "1" and b"acknowledged" in _bytes(data):
            disk.acknowledged += 1
            yield disk
        elif where == directory and call.endswith("sync"):
            yield disk
            disk.files = {name: one for name, one in disk.files.items() if not one.unlinked}
        elif where.parent == directory and not where.name.endswith("-shm"):
            file = disk.files.setdefault(where.name, File())
            match call:
                case "pwrite64":
                    offset = int(rest.rpartition(", ")[2])
                    file.pending.append((offset, _bytes(data)[: int(result)]))
                case "ftruncate":
                    file.pending.append((int(rest), None))
                case "fdatasync" | "fsync":
                    yield disk
                    file.sync()


def _bytes(text: str | None) -> bytes:
    return bytes.fromhex((text or "").replace("\\x", ""))


def _text(path: str) -> str:
    return _bytes(path).decode() if path.startswith("\\x") else path
