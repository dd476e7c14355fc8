# SPDX-License-Identifier: Apache-2.0
"""What was stored is there after a crash; a store that cannot be read says so."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from sixlane.agent.desired import State
from sixlane.agent.edits import delete, put
from sixlane.agent.store import Store
from sixlane.errors import SixlaneError
from sixlane.model import Key
from tests.unit.agent.fakes import dns64, gateway, save

EDGE, CLUSTER = Key("Gateway", "edge"), Key("Dns64", "cluster")


def test_objects_generations_and_revisions(tmp_path: Path) -> None:
    with Store(tmp_path / "store.db") as store:
        assert store.load() == State()
        save(store, put(gateway()), put(dns64()))
        save(store, put(gateway(lowestIPv6MTU=1400)))
        saved = save(store, delete(CLUSTER))
        assert store.load() == saved
    with Store(tmp_path / "store.db") as store:
        state = store.load()
        assert state.revision == 3
        assert list(state.objects) == [EDGE]
        edge = state.objects[EDGE]
        assert (edge.generation, edge.revision) == (2, 2)
        assert edge.resource == gateway(lowestIPv6MTU=1400)
        assert state.gone == {CLUSTER: 3}
        assert store.clear() == 4
        assert store.clear() == 4
        assert store.load() == State(4, {}, {CLUSTER: 3, EDGE: 4})


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
from sixlane.agent.edits import put
from sixlane.agent.store import Store
from tests.unit.agent.fakes import gateway, save
store = Store(Path({str(tmp_path / "store.db")!r}))
for revision in range(1, 1000000):
    save(store, put(gateway(lowestIPv6MTU=1280 + revision % 1000)))
    print(revision, flush=True)
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
        state = store.load()
    assert state.revision in (seen, seen + 1)
    assert state.objects[EDGE].generation == state.revision


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
        save(store, put(gateway()))
        store._db.execute("UPDATE part SET body = replace(body, '64:ff9b::/96', '64:ff9b::/95')")
        with pytest.raises(SixlaneError, match="Gateway edge, which this version does not take"):
            store.load()


def test_no_such_directory(tmp_path: Path) -> None:
    with pytest.raises(SixlaneError, match="ENOENT"):
        Store(tmp_path / "nowhere" / "store.db")
