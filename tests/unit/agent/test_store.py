# SPDX-License-Identifier: Apache-2.0
"""What was stored is there after a crash; a store that cannot be read says so."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from sixlane.agent import schema
from sixlane.agent.desired import KEPT_REVISIONS, State, Stored, merged
from sixlane.agent.edits import delete, delete_prefix, put, put_prefix
from sixlane.agent.problems import NotFound
from sixlane.agent.store import Store
from sixlane.agent.transaction import Transaction
from sixlane.errors import SixlaneError
from sixlane.model import Gateway, Key
from tests.unit.agent.fakes import dns64, gateway, save

EDGE, CLUSTER = Key("Gateway", "edge"), Key("Dns64", "cluster")
PODS, NODES = (
    {"name": "pods", "prefix": "64:ff9b::/96", "ipv4": ["192.175.48.0/24"]},
    {"name": "nodes", "prefix": "64:ff9b::/96", "ipv4": ["192.31.196.0/24"]},
)


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
        store.clear()
        store.clear()
        assert store.load() == State(4, {}, {CLUSTER: 3, EDGE: 4})


def test_fields_that_are_new_and_rows_that_lack_them(tmp_path: Path) -> None:
    """A store from before there were these fields is read; what they say is kept."""
    pool = {"ipv4": ["192.31.196.8/30"], "origin": False}
    full = gateway(
        tos=0,
        trafficClass=184,
        udpZeroChecksum="compute",
        hairpin="off",
        icmpErrors={"rate": "unlimited"},
        icmpPool=pool,
        prefixes=[{**PODS, "maxSegmentSize": "auto"}, {**NODES, "maxSegmentSize": 1300}],
    )
    with Store(tmp_path / "store.db") as store:
        save(store, put(gateway()))
        before = store.load().objects[EDGE].resource
        assert before == gateway()
        assert "tos" not in before.as_data()["spec"]
        save(store, put(full))
    with Store(tmp_path / "store.db") as store:
        after = store.load().objects[EDGE].resource
        assert after == full
        assert after.as_data() == full.as_data()


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
        store._database._db.execute(
            "UPDATE piece SET body = replace(body, '64:ff9b::/96', '64:ff9b::/95')"
        )
        with pytest.raises(SixlaneError, match="Gateway edge, which this version does not take"):
            store.load()


def test_no_such_directory(tmp_path: Path) -> None:
    with pytest.raises(SixlaneError, match="ENOENT"):
        Store(tmp_path / "nowhere" / "store.db")


def pieces(store: Store, revision: int) -> list[str]:
    """What one revision wrote."""
    rows = store._database._db.execute(
        "SELECT piece FROM piece WHERE revision = ? ORDER BY piece", (revision,)
    )
    return [piece for (piece,) in rows]


def test_a_changed_prefix_is_one_row(tmp_path: Path) -> None:
    with Store(tmp_path / "store.db") as store:
        save(store, put(gateway(prefixes=[PODS, NODES])), put(dns64()))
        assert pieces(store, 1) == ["", "", "nodes", "pods"]
        save(store, put_prefix("edge", {**PODS, "ipv4": []}))
        assert pieces(store, 2) == ["pods"]
        save(store, put(gateway(prefixes=[NODES, {**PODS, "ipv4": []}])))
        assert pieces(store, 3) == [""]  # the order stands among the own fields
        save(store, delete_prefix("edge", "pods"))
        assert pieces(store, 4) == ["", "pods"]
        assert store.load().objects[EDGE].resource == gateway(prefixes=[NODES])


def test_what_was_prepared_does_not_count_yet(tmp_path: Path) -> None:
    with Store(tmp_path / "store.db") as store:
        one = save(store, put(gateway()))
        two = merged(one, Transaction([delete(EDGE), put(dns64())])).state
        store.prepare(one, two, [])
        assert store.load() == one
        assert [entry.revision for entry in store.history()] == [1]
    with Store(tmp_path / "store.db") as store:  # killed before the commit
        assert store.load() == one
        other = save(store, put(gateway(lowestIPv6MTU=1400)))
        assert store.load() == other
        assert CLUSTER not in store.load().objects


def test_history(tmp_path: Path) -> None:
    with Store(tmp_path / "store.db") as store:
        assert store.history() == []
        save(store, put(gateway()), put(dns64()))
        save(store, delete(CLUSTER))
        told = store.history()
        assert [(one.revision, one.summary) for one in told] == [
            (2, ["Dns64 cluster deleted"]),
            (1, ["Dns64 cluster created", "Gateway edge created"]),
        ]
        assert told[1].time_s <= told[0].time_s


def test_earlier_revisions(tmp_path: Path) -> None:
    with Store(tmp_path / "store.db") as store:
        save(store, put(gateway(prefixes=[PODS, NODES])))
        save(store, put_prefix("edge", {**PODS, "ipv4": []}), put(dns64()))
        save(store, delete(EDGE))
        now = save(store, put(gateway(prefixes=[NODES])))
        assert store.earlier(4, now) == {}
        assert store.earlier(3, now) == {EDGE: None}
        assert store.earlier(2, now) == {EDGE: gateway(prefixes=[{**PODS, "ipv4": []}, NODES])}
        one = store.earlier(1, now)
        assert one == {EDGE: gateway(prefixes=[PODS, NODES]), CLUSTER: None}
        assert store.earlier(0, now) == {EDGE: None, CLUSTER: None}
        with pytest.raises(NotFound, match="no revision 5"):
            store.earlier(5, now)


def test_an_earlier_revision_shares_what_is_the_same_now(tmp_path: Path) -> None:
    with Store(tmp_path / "store.db") as store:
        save(store, put(gateway(prefixes=[PODS, NODES])))
        now = save(store, put_prefix("edge", {**PODS, "ipv4": []}))
        then = store.earlier(1, now)[EDGE]
        present = now.objects[EDGE].resource
        assert isinstance(then, Gateway) and isinstance(present, Gateway)
        assert then == gateway(prefixes=[PODS, NODES])
        assert then.spec.prefixes[1] is present.spec.prefixes[1]


def test_fifty_revisions_are_kept(tmp_path: Path) -> None:
    count = KEPT_REVISIONS + 10
    with Store(tmp_path / "store.db") as store:
        save(store, put(gateway(prefixes=[PODS, NODES])), put(dns64()))
        save(store, delete(CLUSTER))
        for turn in range(count - 2):
            now = save(store, put(gateway(prefixes=[PODS, NODES], lowestIPv6MTU=1300 + turn)))
        kept = [entry.revision for entry in store.history()]
        assert kept == list(range(count, count - KEPT_REVISIONS, -1))
        oldest = kept[-1] - 1
        assert store.earlier(oldest, now) == {
            EDGE: gateway(prefixes=[PODS, NODES], lowestIPv6MTU=1300 + oldest - 3)
        }
        with pytest.raises(NotFound, match=f"there are: {oldest} to {count}"):
            store.earlier(oldest - 1, now)
        db = store._database._db
        assert db.execute("SELECT count(*) FROM piece").fetchone()[0] == 2 + KEPT_REVISIONS + 1
        assert db.execute("SELECT count(*) FROM object").fetchone()[0] == KEPT_REVISIONS + 1
        assert store.load() == now


def schema_1(path: Path) -> None:
    """A store of sixlane 0.1: one row an object, in revision 7."""
    with sqlite3.connect(path) as db:
        db.executescript(
            """CREATE TABLE object (kind TEXT NOT NULL, name TEXT NOT NULL, generation INTEGER
            NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID;
            CREATE TABLE original (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
            CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
            INSERT INTO counter VALUES ('generation', 7);
            INSERT INTO original VALUES ('sysctl:a', '0');
            PRAGMA user_version = 1;"""
        )
        for generation, one in ((5, gateway(prefixes=[PODS, NODES])), (7, dns64())):
            row = (one.kind, one.name, generation, json.dumps(one.as_data()))
            db.execute("INSERT INTO object VALUES (?, ?, ?, ?)", row)
    db.close()


def test_a_store_of_the_first_schema_is_taken_over(tmp_path: Path) -> None:
    schema_1(tmp_path / "store.db")
    for _ in range(2):
        with Store(tmp_path / "store.db") as store:
            assert store.load() == State(
                7,
                {
                    CLUSTER: Stored(dns64(), 1, 7),
                    EDGE: Stored(gateway(prefixes=[PODS, NODES]), 1, 5),
                },
            )
            assert store.items() == [("sysctl:a", "0")]
            assert store.history() == []
    with Store(tmp_path / "store.db") as store:
        now = save(store, put_prefix("edge", {**PODS, "ipv4": []}))
        assert pieces(store, 8) == ["pods"]
        assert store.earlier(7, now) == {EDGE: gateway(prefixes=[PODS, NODES])}
        with pytest.raises(NotFound, match="there are: 7 to 8"):
            store.earlier(6, now)


def test_taking_over_is_done_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schema_1(tmp_path / "store.db")

    def broken(_: object) -> dict[str, str]:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(schema, "_split", broken)
        with pytest.raises(SixlaneError, match="disk I/O error"):
            Store(tmp_path / "store.db")
    with Store(tmp_path / "store.db") as store:
        assert store.load().revision == 7
