# SPDX-License-Identifier: Apache-2.0
"""Writes that a power cut tears: the store's log is cut at every byte, or holds rubbish.

`test_power_cut` loses whole writes; here what was written since the last acknowledgement is there
in part, and so are the pages that a checkpoint was writing back.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from sixlane.agent.desired import State, merged
from sixlane.agent.edits import delete, put
from sixlane.agent.store import Store
from sixlane.agent.transaction import Edit, Transaction
from sixlane.model import Key
from tests.unit.agent.fakes import dns64, gateway, save

_PAGE = 4096
_CHANGES: tuple[tuple[Edit, ...], ...] = (
    (put(gateway()),),
    (put(gateway(lowestIPv6MTU=1400)), put(dns64())),
    (delete(Key("Dns64", "cluster")),),
    (put(gateway(lowestIPv6MTU=1500)),),
)


@dataclass(frozen=True)
class Moment:
    """What was acknowledged, and what the files held at that moment."""

    acknowledged: State
    originals: list[tuple[str, str]]
    database: bytes
    log: bytes


@pytest.fixture(scope="module")
def moments(tmp_path_factory: pytest.TempPathFactory) -> list[Moment]:
    """One behind each acknowledged change, of one store whose log was never written back."""
    path = tmp_path_factory.mktemp("power") / "store.db"
    with Store(path) as store:
        return list(_changed(store, path))


def _changed(store: Store, path: Path) -> Iterator[Moment]:
    for number, edits in enumerate(_CHANGES):
        state = save(store, *edits)
        yield _moment(store, path, state)
        store.remember(f"sysctl:{number}", "0")
        yield _moment(store, path, state)
    store.clear()
    yield _moment(store, path, store.load())


def _moment(store: Store, path: Path, state: State) -> Moment:
    log = path.with_name("store.db-wal")
    return Moment(state, store.items(), path.read_bytes(), log.read_bytes())


def _found(directory: Path, database: bytes, log: bytes) -> tuple[State, list[tuple[str, str]]]:
    """What a start finds. The index of the log (-shm) is made anew after a reboot."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    (directory / "store.db").write_bytes(database)
    (directory / "store.db-wal").write_bytes(log)
    with Store(directory / "store.db") as store:
        assert [one.revision for one in store.history()][:1] in ([], [store.load().revision])
        return store.load(), store.items()


def _cuts(start: int, end: int) -> Iterator[int]:
    """Every byte around the headers of the frames, and some within their pages."""
    for at in range(start, end):
        within = (at - 32) % (_PAGE + 24)
        if within < 40 or within % 331 == 0:
            yield at


def test_each_acknowledgement_waits_for_the_disk(tmp_path: Path) -> None:
    """In WAL mode nothing below FULL syncs the log at each commit (PRAGMA synchronous)."""
    with Store(tmp_path / "store.db") as store, store._database.writing() as db:
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_what_was_acknowledged_is_there_after_a_power_cut(
    moments: list[Moment], tmp_path: Path
) -> None:
    for moment in moments:
        found = _found(tmp_path / "cut", moment.database, moment.log)
        assert found == (moment.acknowledged, moment.originals)


def test_a_log_that_was_written_in_part(moments: list[Moment], tmp_path: Path) -> None:
    """Cut anywhere between two moments, it is one of both, never anything between."""
    for before, after in pairwise(moments):
        assert after.log.startswith(before.log)
        may_be = [(one.acknowledged, one.originals) for one in (before, after)]
        seen = set()
        for at in _cuts(len(before.log), len(after.log)):
            found = _found(tmp_path / "cut", before.database, after.log[:at])
            assert found in may_be, at
            seen.add(may_be.index(found))
        assert seen == {0}  # a whole log is the test above


@pytest.mark.parametrize("rubbish", [b"\0", b"\xff", b"\x5a"])
def test_a_log_with_rubbish_behind_what_was_synced(
    moments: list[Moment], tmp_path: Path, rubbish: bytes
) -> None:
    """A file may have grown on the disk before its blocks were written."""
    for before, after in pairwise(moments):
        may_be = [(one.acknowledged, one.originals) for one in (before, after)]
        length = len(after.log)
        for at in range(len(before.log), length, _PAGE // 2 + 7):
            torn = after.log[:at] + rubbish * (length - at)
            assert _found(tmp_path / "cut", before.database, torn) in may_be, at


def test_blocks_of_the_log_that_arrived_out_of_order(moments: list[Moment], tmp_path: Path) -> None:
    for before, after in pairwise(moments):
        may_be = [(one.acknowledged, one.originals) for one in (before, after)]
        blocks = range(len(before.log) // 512, len(after.log) // 512)
        for lost in blocks:
            torn = bytearray(after.log)
            torn[lost * 512 : (lost + 1) * 512] = bytes(512)
            torn[: len(before.log)] = before.log
            assert _found(tmp_path / "cut", before.database, bytes(torn)) in may_be, lost


def test_a_prepared_revision_does_not_count_after_a_power_cut(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with Store(path) as store:
        state = save(store, put(gateway()))
        new = merged(state, Transaction([put(gateway(lowestIPv6MTU=1400))])).state
        store.prepare(state, new, ["changed"])
        prepared = _moment(store, path, state)
        store.commit(new.revision)
        committed = _moment(store, path, new)
    assert _found(tmp_path / "cut", prepared.database, prepared.log)[0] == state
    assert _found(tmp_path / "cut", committed.database, committed.log)[0] == new


def test_a_cut_while_the_log_is_written_back(tmp_path: Path) -> None:
    """A checkpoint writes pages into the database while the log still holds all of them."""
    path = tmp_path / "store.db"
    with Store(path) as store:
        state = save(store, put(gateway()))
        state = save(store, put(gateway(lowestIPv6MTU=1400)), put(dns64()))
        before = _moment(store, path, state)
    after = path.read_bytes()  # closing wrote the log back
    size = max(len(before.database), len(after))
    old, new = before.database.ljust(size, b"\0"), after.ljust(size, b"\0")
    for at in range(0, size + 1, 512):
        torn = new[:at] + old[at:]
        assert _found(tmp_path / "cut", torn, before.log)[0] == state, at
    for at in range(0, size, _PAGE):
        torn = old[:at] + new[at : at + _PAGE] + old[at + _PAGE :]
        assert _found(tmp_path / "cut", torn, before.log)[0] == state, at
