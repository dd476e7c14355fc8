# SPDX-License-Identifier: Apache-2.0
"""What the user asked for, and what the machine was before, kept through crashes and power cuts."""

import contextlib
import errno
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sixlane.agent import schema
from sixlane.agent.desired import KEPT_REVISIONS, State, Stored
from sixlane.agent.problems import not_found
from sixlane.agent.rows import changed_rows, data_of
from sixlane.errors import ConfigError, KernelError, SixlaneError
from sixlane.model import AnyResource, Key, parse_resource

_LATEST_PARTS = """
SELECT part, body FROM part AS this WHERE kind = ? AND name = ? AND body IS NOT NULL
AND revision = (SELECT max(revision) FROM part AS that WHERE that.kind = this.kind
    AND that.name = this.name AND that.part = this.part AND revision <= ?)
"""
_LATEST_OBJECTS = """
SELECT kind, name, revision, generation FROM object AS this
WHERE revision = (SELECT max(revision) FROM object AS that WHERE that.kind = this.kind
    AND that.name = this.name AND revision <= ?)
"""
# What no revision from `floor` on can need.
_SUPERSEDED = """
DELETE FROM {table} WHERE revision < :floor AND EXISTS (SELECT 1 FROM {table} AS later WHERE {same}
    AND later.revision > {table}.revision AND later.revision <= :floor)
"""
_BURIED = "DELETE FROM {table} WHERE revision <= :floor AND {value} IS NULL"
_CANNOT_WRITE = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
)


@dataclass(frozen=True)
class Entry:
    """One line of the history: a revision, its time since 1970 in seconds, what it changed."""

    revision: int
    time_s: float
    summary: list[str]


class Store:
    """An SQLite file; what a method returned from is on the disk.

    A revision is written by `prepare` and counts from `commit` on: what fails for want of space or
    permission fails in `prepare`, before anything is changed in the kernel. A store that cannot be
    written is read all the same; `refusal` then says why, writing raises it and tries again, and
    what the machine was before is kept in memory meanwhile.

    May be used by any thread. All methods raise `SixlaneError` if the file is damaged, the disk
    full or the file system read-only. Also the `Originals` of nat64.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self.refusal: SixlaneError | None = None
        with self._explained():
            try:
                self._db = self._open()
            except (OSError, sqlite3.Error) as error:
                if not _is_unwritable(error):
                    raise
                self._db = self._copy()
                self.refusal = self._error(error)

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- what the user asked for ----

    def load(self) -> State:
        """All that is desired."""
        with self._explained():
            revision = self._revision()
            rows = self._db.execute(_LATEST_OBJECTS, (revision,)).fetchall()
        objects, gone = {}, {}
        for kind, name, changed, generation in rows:
            key = Key(kind, name)
            if generation is not None:
                objects[key] = Stored(self._resource(key, revision), generation, changed)
            elif changed > revision - KEPT_REVISIONS:
                gone[key] = changed
        return State(revision, objects, gone)

    def prepare(self, old: State, new: State, summary: Iterable[str]) -> None:
        """Write what `new` changes; it does not count yet. Costs by what differs."""
        keys = [
            key
            for key in old.objects.keys() | new.objects.keys()
            if old.objects.get(key) is not new.objects.get(key)
        ]
        objects, parts = [], []
        for key in keys:
            before, after = old.objects.get(key), new.objects.get(key)
            rows = changed_rows(
                before.resource if before else None, after.resource if after else None
            )
            objects.append((*key, new.revision, after.generation if after else None))
            parts += [(*key, part, new.revision, body) for part, body in rows.items()]
        with self._writing():
            self._drop_prepared()
            self._db.executemany("INSERT INTO object VALUES (?, ?, ?, ?)", objects)
            self._db.executemany("INSERT INTO part VALUES (?, ?, ?, ?, ?)", parts)
            self._log(new.revision, summary)
            self._forget_before(new.revision - KEPT_REVISIONS)

    def commit(self, revision: int) -> None:
        """From now on, the revision that was prepared counts."""
        with self._writing():
            self._set_revision(revision)

    def clear(self) -> int:
        """Delete all resources, also those that cannot be read; the revision afterwards."""
        with self._writing():
            self._drop_prepared()
            revision = self._revision()
            rows = self._db.execute(_LATEST_OBJECTS, (revision,)).fetchall()
            keys = [Key(*row[:2]) for row in rows if row[3] is not None]
            if not keys:
                return revision
            for key in keys:
                self._bury(key, revision + 1)
            self._log(revision + 1, [f"{key} deleted" for key in keys])
            self._set_revision(revision + 1)
        return revision + 1

    # ---- what it was before ----

    def history(self) -> list[Entry]:
        """The last revisions, the newest first."""
        with self._explained():
            revision = self._revision()
            rows = self._db.execute(
                "SELECT revision, time, summary FROM revision WHERE revision BETWEEN ? AND ? "
                "ORDER BY revision DESC",
                (revision - KEPT_REVISIONS + 1, revision),
            ).fetchall()
        return [Entry(number, time_s, text.splitlines()) for number, time_s, text in rows]

    def changed_since(self, revision: int) -> dict[Key, AnyResource | None]:
        """What was changed after a revision, as it was then; None: it was not.

        Raises `NotFound` if the store does not go back so far.
        """
        kept = [entry.revision for entry in self.history()]
        present = self.load_revision()
        oldest = kept[-1] - 1 if kept else present
        if not oldest <= revision <= present:
            raise not_found(f"revision {revision} any more", range(oldest, present + 1))
        with self._explained():
            keys = self._db.execute(
                "SELECT DISTINCT kind, name FROM object WHERE revision > ? AND revision <= ?",
                (revision, present),
            ).fetchall()
            there = {
                Key(kind, name)
                for kind, name, _, generation in self._db.execute(_LATEST_OBJECTS, (revision,))
                if generation is not None
            }
        return {
            key: self._resource(key, revision) if key in there else None
            for key in (Key(*row) for row in keys)
        }

    def load_revision(self) -> int:
        with self._explained():
            return self._revision()

    # ---- what the machine was before ----

    def remember(self, key: str, value: str) -> None:
        """The first value wins."""
        with self._explained():
            self._db.execute("INSERT OR IGNORE INTO original VALUES (?, ?)", (key, value))

    def items(self) -> list[tuple[str, str]]:
        with self._explained():
            return self._db.execute("SELECT key, value FROM original ORDER BY key").fetchall()

    def forget(self, key: str) -> None:
        with self._explained():
            self._db.execute("DELETE FROM original WHERE key = ?", (key,))

    # ---- rows ----

    def _revision(self) -> int:
        row = self._db.execute("SELECT value FROM counter WHERE name = 'revision'").fetchone()
        return int(row[0])

    def _set_revision(self, revision: int) -> None:
        self._db.execute("UPDATE counter SET value = ? WHERE name = 'revision'", (revision,))

    def _resource(self, key: Key, revision: int) -> AnyResource:
        with self._explained():
            rows = self._db.execute(_LATEST_PARTS, (*key, revision)).fetchall()
        try:
            return parse_resource(data_of(dict(rows)), str(self._path))
        except (ConfigError, ValueError, KeyError, TypeError) as error:
            raise SixlaneError(
                f"{self._path} holds {key}, which this version does not take: {error}",
                "what is in force stays; sixlane teardown, then apply again",
            ) from error

    def _log(self, revision: int, summary: Iterable[str]) -> None:
        self._db.execute(
            "INSERT INTO revision VALUES (?, ?, ?)", (revision, time.time(), "\n".join(summary))
        )

    def _bury(self, key: Key, revision: int) -> None:
        parts = self._db.execute(_LATEST_PARTS, (*key, revision)).fetchall()
        self._db.execute("INSERT INTO object VALUES (?, ?, ?, NULL)", (*key, revision))
        self._db.executemany(
            "INSERT INTO part VALUES (?, ?, ?, ?, NULL)",
            [(*key, part, revision) for part, _ in parts],
        )

    def _drop_prepared(self) -> None:
        """What a transaction left that was not committed."""
        for table in ("object", "part", "revision"):
            self._db.execute(f"DELETE FROM {table} WHERE revision > ?", (self._revision(),))

    def _forget_before(self, floor: int) -> None:
        same = "later.kind = {0}.kind AND later.name = {0}.name"
        for table, value, more in (
            ("object", "generation", ""),
            ("part", "body", " AND later.part = part.part"),
        ):
            fill = {"table": table, "value": value, "same": same.format(table) + more}
            self._db.execute(_SUPERSEDED.format(**fill), {"floor": floor})
            self._db.execute(_BURIED.format(**fill), {"floor": floor})
        self._db.execute("DELETE FROM revision WHERE revision <= ?", (floor,))

    # ---- the file ----

    def _open(self) -> sqlite3.Connection:
        # SQLite gives its side files the mode of the main one.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")  # in WAL mode, NORMAL may lose the last ones
            self._prepare(db)
        except BaseException:
            db.close()
            raise
        return db

    def _copy(self) -> sqlite3.Connection:
        """The store in memory, for one that cannot be written."""
        db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        try:
            if self._path.exists():
                with contextlib.closing(self._open_to_read()) as file:
                    file.backup(db)
            self._prepare(db)
        except BaseException:
            db.close()
            raise
        return db

    def _open_to_read(self) -> sqlite3.Connection:
        # Without a log there is nothing to share, and SQLite must not try to.
        log = self._path.with_name(self._path.name + "-wal")
        mode = "mode=ro" if log.exists() else "immutable=1"
        return sqlite3.connect(f"{self._path.absolute().as_uri()}?{mode}", uri=True)

    def _open_again(self) -> None:
        """A store that could not be written, if it can be now. Raises the refusal if not."""
        try:
            db = self._open()
        except (OSError, sqlite3.Error) as error:
            self.refusal = self._error(error)
            raise self.refusal from error
        originals = self._db.execute("SELECT key, value FROM original").fetchall()
        db.executemany("INSERT OR IGNORE INTO original VALUES (?, ?)", originals)
        self._db.close()
        self._db, self.refusal = db, None

    def _prepare(self, db: sqlite3.Connection) -> None:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == schema.VERSION:
            return
        if version not in (0, 1):
            raise SixlaneError(
                f"{self._path} is of another version of sixlane (schema {version})",
                "what is in force stays; use the newer version",
            )
        with _transaction(db):
            schema.create(db) if version == 0 else schema.migrate_from_1(db)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction: all of it, or nothing."""
        with self._explained():
            if self.refusal is not None:
                self._open_again()
            with _transaction(self._db):
                yield

    @contextmanager
    def _explained(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except (OSError, sqlite3.Error) as error:
                raise self._error(error) from error

    def _error(self, error: OSError | sqlite3.Error) -> SixlaneError:
        if isinstance(error, OSError):
            return KernelError(error.errno or 0, f"open {self._path}")
        return SixlaneError(f"{self._path}: {error}", _hint(error))


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _is_unwritable(error: OSError | sqlite3.Error) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM)
    return _code(error) in _CANNOT_WRITE


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0: it is an error of Python's binding."""
    return error.sqlite_errorcode & 0xFF if hasattr(error, "sqlite_errorcode") else 0


def _hint(error: sqlite3.Error) -> str:
    match _code(error):
        case sqlite3.SQLITE_FULL:
            return "the disk is full; what is in force stays"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return "is the file system writable? what is in force stays"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return "the file is damaged; what is in force stays: move it away and apply again"
    return "what is in force stays"
