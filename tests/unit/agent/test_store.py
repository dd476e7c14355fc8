# SPDX-License-Identifier: Apache-2.0
"""What was stored is there after a crash; a store that cannot be read says so."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from sixlane.agent.store import Store
from sixlane.errors import SixlaneError
from sixlane.model import Key
from tests.unit.agent.fakes import dns64, gateway


def test_objects_and_their_generations(tmp_path: Path) -> None:
    with Store(tmp_path / "store.db") as store:
        assert store.load() == (0, {})
        store.save(1, [gateway(), dns64()])
        store.save(2, [gateway(lowestIPv6MTU=1400)])
        store.save(3, [], [Key("Dns64", "cluster"), Key("Dns64", "never-was")])
    with Store(tmp_path / "store.db") as store:
        generation, objects = store.load()
        assert generation == 3
        assert list(objects) == [Key("Gateway", "edge")]
        assert objects[Key("Gateway", "edge")].generation == 2
        assert objects[Key("Gateway", "edge")].resource == gateway(lowestIPv6MTU=1400)
        assert store.clear() == 4
        assert store.load() == (4, {})


def test_the_first_original_wins(tmp_path: Path) -> None:
    with Store(tmp_path / "store.db") as store:
        store.remember("sysctl:a", "0")
        store.remember("sysctl:a", "1")
        store.remember("feature:b", "on")
        assert store.items() == [("feature:b", "on"), ("sysctl:a", "0")]
        store.forget("sysctl:a")
        store.forget("never-was")
    with Store(tmp_path / "store.db") as store:
        assert store.items() == [("feature:b", "on")]


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    with Store(tmp_path / "store.db"):
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}


def test_a_kill_loses_nothing_that_was_saved(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from sixlane.agent.store import Store
from tests.unit.agent.fakes import gateway
store = Store(Path({str(tmp_path / "store.db")!r}))
for generation in range(1, 1000000):
    store.save(generation, [gateway(lowestIPv6MTU=1280 + generation % 1000)])
    print(generation, flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=os.getcwd()
    ) as writer:
        assert writer.stdout is not None
        for _ in range(20):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        seen = 20 + len(writer.stdout.read().splitlines())
    with Store(tmp_path / "store.db") as store:
        generation, objects = store.load()
    assert generation in (seen, seen + 1)
    assert objects[Key("Gateway", "edge")].generation == generation


def test_a_damaged_store(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"not a database, but long enough for a header" * 99)
    with pytest.raises(SixlaneError, match="not a database") as caught:
        Store(tmp_path / "store.db")
    assert "move it away and apply again" in caught.value.hint


def test_a_store_of_a_later_version(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "store.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(SixlaneError, match="another version of sixlane"):
        Store(tmp_path / "store.db")


def test_a_resource_that_this_version_does_not_take(tmp_path: Path) -> None:
    with Store(tmp_path / "store.db") as store:
        store.save(1, [gateway()])
        store._db.execute("UPDATE object SET body = replace(body, '64:ff9b::/96', '64:ff9b::/95')")
        with pytest.raises(SixlaneError, match="Gateway edge, which this version does not take"):
            store.load()


def test_no_such_directory(tmp_path: Path) -> None:
    with pytest.raises(SixlaneError, match="ENOENT"):
        Store(tmp_path / "nowhere" / "store.db")
