# SPDX-License-Identifier: Apache-2.0
"""What the user asked for, and what the machine was before, kept through crashes and power cuts."""

import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sixlane.agent.database import Database
from sixlane.agent.desired import KEPT_REVISIONS, State, Stored
from sixlane.agent.problems import not_found
from sixlane.agent.rows import OWN, changed_rows, data_of
from sixlane.errors import ConfigError, SixlaneError
from sixlane.model import AnyResource, Key, parse_resource

_OBJECTS_AT = """
SELECT kind, name, revision, generation FROM object AS this
WHERE revision = (SELECT max(revision) FROM object AS that WHERE that.kind = this.kind
    AND that.name = this.name AND revision <= ?)
"""
_PIECES_AT = """
SELECT piece, revision FROM piece AS this WHERE kind = ? AND name = ? AND body IS NOT NULL
AND revision = (SELECT max(revision) FROM piece AS that WHERE that.kind = this.kind
    AND that.name = this.name AND that.piece = this.piece AND revision <= ?)
"""
_BODY = "SELECT body FROM piece WHERE kind = ? AND name = ? AND piece = ? AND revision = ?"
# What no revision from :floor on can need.
_SUPERSEDED = """
DELETE FROM {table} WHERE (kind, name) IN (SELECT kind, name FROM {table} AS last WHERE {lately})
    AND revision < :floor AND EXISTS (SELECT 1 FROM {table} AS later WHERE {same}
    AND later.revision > {table}.revision AND later.revision <= :floor)
"""
_BURIED = "DELETE FROM {table} WHERE {lately} AND {value} IS NULL"
# Each revision takes out what it makes superfluous, but for that of a teardown.
_LATELY = "revision BETWEEN :floor - 1 AND :floor"


@dataclass(frozen=True)
class Entry:
    """One line of the history: a revision, its time since 1970 in seconds, what it changed."""

    revision: int
    time_s: float
    summary: list[str]


class Store:
    """What a method returned from is on the disk. Also the `Originals` of nat64.

    A revision is written by `prepare` and counts from `commit` on: what fails for want of space or
    permission fails in `prepare`, before anything is changed in the kernel. A store that cannot be
    written is read all the same; `refusal` then says why, writing raises it and tries again, and
    what the machine was before is kept in memory meanwhile.

    May be used by any thread. All methods raise `SixlaneError` if the file is damaged, the disk
    full or the file system read-only.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database = Database(path)

    @property
    def refusal(self) -> SixlaneError | None:
        return self._database.refusal

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- what the user asked for ----

    def load(self) -> State:
        """All that is desired."""
        objects, gone = {}, {}
        with self._database.reading() as db:
            revision = _revision(db)
            for kind, name, changed, generation in db.execute(_OBJECTS_AT, (revision,)).fetchall():
                key = Key(kind, name)
                if generation is not None:
                    resource = self._resource(db, key, revision)
                    objects[key] = Stored(resource, generation, changed)
                elif changed > revision - KEPT_REVISIONS:
                    gone[key] = changed
        return State(revision, objects, gone)

    def prepare(
        self,
        old: State,
        new: State,
        summary: Iterable[str],
        named: Iterable[Key] | None = None,
    ) -> None:
        """Write what `new` changes; it does not count yet. Costs by what differs, and to find that
        by all there is, unless it is `named`."""
        objects, pieces = [], []
        for key in old.objects.keys() | new.objects.keys() if named is None else named:
            before, after = old.objects.get(key), new.objects.get(key)
            if before is after:
                continue
            rows = changed_rows(
                before.resource if before else None, after.resource if after else None
            )
            objects.append((*key, new.revision, after.generation if after else None))
            pieces += [(*key, piece, new.revision, body) for piece, body in rows.items()]
        with self._database.writing() as db:
            _drop_prepared(db)
            db.executemany("INSERT INTO object VALUES (?, ?, ?, ?)", objects)
            db.executemany("INSERT INTO piece VALUES (?, ?, ?, ?, ?)", pieces)
            _log(db, new.revision, summary)
            _forget_before(db, new.revision - KEPT_REVISIONS)

    def commit(self, revision: int) -> None:
        """From now on, the revision that was prepared counts."""
        with self._database.writing() as db:
            _set_revision(db, revision)

    def clear(self) -> None:
        """Delete all resources, also those that cannot be read; a revision if there were any."""
        with self._database.writing() as db:
            _drop_prepared(db)
            revision = _revision(db)
            rows = db.execute(_OBJECTS_AT, (revision,)).fetchall()
            keys = [Key(*row[:2]) for row in rows if row[3] is not None]
            if keys:
                for key in keys:
                    _bury(db, key, revision + 1)
                _log(db, revision + 1, [f"{key} deleted" for key in keys])
                _set_revision(db, revision + 1)

    # ---- what it was before ----

    def history(self) -> list[Entry]:
        """The last revisions, the newest first."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT revision, time, summary FROM revision WHERE revision BETWEEN ? AND ? "
                "ORDER BY revision DESC",
                (_revision(db) - KEPT_REVISIONS + 1, _revision(db)),
            ).fetchall()
        return [Entry(number, time_s, text.splitlines()) for number, time_s, text in rows]

    def earlier(self, revision: int, present: State) -> dict[Key, AnyResource | None]:
        """What was changed after a revision, as it was then; None: it was not.

        What did not change since is carried over from `present`, which is what `load` would give.
        Raises `NotFound` if the store does not go back so far.
        """
        history = self.history()
        oldest = history[-1].revision - 1 if history else present.revision
        if not oldest <= revision <= present.revision:
            raise not_found(f"revision {revision}", [f"{oldest} to {present.revision}"])
        earlier: dict[Key, AnyResource | None] = {}
        with self._database.reading() as db:
            changed = db.execute(
                "SELECT DISTINCT kind, name FROM object WHERE revision > ? AND revision <= ?",
                (revision, present.revision),
            ).fetchall()
            there = {
                Key(kind, name)
                for kind, name, _, generation in db.execute(_OBJECTS_AT, (revision,)).fetchall()
                if generation is not None
            }
            for key in (Key(*row) for row in changed):
                now = present.objects.get(key)
                earlier[key] = (
                    self._resource(db, key, revision, now.resource if now else None)
                    if key in there
                    else None
                )
        return earlier

    # ---- what the machine was before ----

    def remember(self, key: str, value: str) -> None:
        """The first value wins."""
        with self._database.reading() as db:
            db.execute("INSERT OR IGNORE INTO original VALUES (?, ?)", (key, value))

    def items(self) -> list[tuple[str, str]]:
        with self._database.reading() as db:
            return db.execute("SELECT key, value FROM original ORDER BY key").fetchall()

    def forget(self, key: str) -> None:
        with self._database.reading() as db:
            db.execute("DELETE FROM original WHERE key = ?", (key,))

    # ---- below ----

    def _resource(
        self,
        db: sqlite3.Connection,
        key: Key,
        revision: int,
        present: AnyResource | None = None,
    ) -> AnyResource:
        """As it was in a revision; pieces that are the same in `present` are taken from there."""
        since = "SELECT DISTINCT piece FROM piece WHERE kind = ? AND name = ? AND revision > ?"
        changed = {piece for (piece,) in db.execute(since, (*key, revision))}
        rows: dict[str, str | None] = {
            piece: None
            if present is not None and piece != OWN and piece not in changed
            else db.execute(_BODY, (*key, piece, at)).fetchone()[0]
            for piece, at in db.execute(_PIECES_AT, (*key, revision)).fetchall()
        }
        try:
            return parse_resource(data_of(rows, present), str(self._path))
        except (ConfigError, ValueError, KeyError, TypeError) as error:
            raise SixlaneError(
                f"{self._path} holds {key}, which this version does not take: {error}",
                "what is in force stays; sixlane teardown, then apply again",
            ) from error


def _revision(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT value FROM counter WHERE name = 'revision'").fetchone()
    return int(row[0])


def _set_revision(db: sqlite3.Connection, revision: int) -> None:
    db.execute("UPDATE counter SET value = ? WHERE name = 'revision'", (revision,))


def _log(db: sqlite3.Connection, revision: int, summary: Iterable[str]) -> None:
    row = (revision, time.time(), "\n".join(summary))
    db.execute("INSERT INTO revision VALUES (?, ?, ?)", row)


def _bury(db: sqlite3.Connection, key: Key, revision: int) -> None:
    pieces = db.execute(_PIECES_AT, (*key, revision)).fetchall()
    db.execute("INSERT INTO object VALUES (?, ?, ?, NULL)", (*key, revision))
    db.executemany(
        "INSERT INTO piece VALUES (?, ?, ?, ?, NULL)",
        [(*key, piece, revision) for piece, _ in pieces],
    )


def _drop_prepared(db: sqlite3.Connection) -> None:
    """What was prepared and never committed."""
    for table in ("object", "piece", "revision"):
        db.execute(f"DELETE FROM {table} WHERE revision > ?", (_revision(db),))


def _forget_before(db: sqlite3.Connection, floor: int) -> None:
    """What no revision from `floor` on can need."""
    same = "later.kind = {0}.kind AND later.name = {0}.name"
    for table, value, more in (
        ("object", "generation", ""),
        ("piece", "body", " AND later.piece = piece.piece"),
    ):
        fill = {
            "table": table,
            "value": value,
            "same": same.format(table) + more,
            "lately": _LATELY,
        }
        db.execute(_SUPERSEDED.format(**fill), {"floor": floor})
        db.execute(_BURIED.format(**fill), {"floor": floor})
    db.execute("DELETE FROM revision WHERE revision <= ?", (floor,))
