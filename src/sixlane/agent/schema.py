# SPDX-License-Identifier: Apache-2.0
"""The tables of the store, and how a store of an earlier version is taken over.

Rows are never overwritten: each has the revision that wrote it, and the latest one that is not
above the store's revision counts. So a revision can be written before it is in force, and an
earlier one can be read again.
"""

import json
import sqlite3

from sixlane.agent.rows import OWN
from sixlane.database import execute

VERSION = 2

_TABLES = """
CREATE TABLE object (  -- generation: NULL where the object was deleted
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    revision INTEGER NOT NULL,
    generation INTEGER,
    PRIMARY KEY (kind, name, revision)
) WITHOUT ROWID;
CREATE TABLE piece (  -- body: JSON, NULL where the piece was deleted
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    piece TEXT NOT NULL,
    revision INTEGER NOT NULL,
    body TEXT,
    PRIMARY KEY (kind, name, piece, revision)
);
CREATE TABLE revision (revision INTEGER PRIMARY KEY, time REAL NOT NULL, summary TEXT NOT NULL);
"""
_INDICES = """
CREATE INDEX IF NOT EXISTS object_revision ON object (revision);
CREATE INDEX IF NOT EXISTS piece_revision ON piece (revision);
"""
_KEPT_TABLES = """
CREATE TABLE original (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""


def create(db: sqlite3.Connection) -> None:
    """Inside a transaction of the caller's, as all here."""
    execute(db, _TABLES + _KEPT_TABLES)
    db.execute("INSERT INTO counter VALUES ('revision', 0)")
    _stamp(db)


def index(db: sqlite3.Connection) -> None:
    """What changed lately is found without a look at all there is. Not in every store of before."""
    execute(db, _INDICES)


def migrate_from_1(db: sqlite3.Connection) -> None:
    """Schema 1: one row an object, its generation that of the whole, and no history."""
    db.execute("ALTER TABLE object RENAME TO old")
    execute(db, _TABLES)
    rows = db.execute("SELECT kind, name, generation, body FROM old").fetchall()
    for kind, name, revision, body in rows:
        db.execute("INSERT INTO object VALUES (?, ?, ?, 1)", (kind, name, revision))
        for piece, text in _split(json.loads(body)).items():
            db.execute(
                "INSERT INTO piece VALUES (?, ?, ?, ?, ?)", (kind, name, piece, revision, text)
            )
    db.execute("DROP TABLE old")
    db.execute("UPDATE counter SET name = 'revision' WHERE name = 'generation'")
    _stamp(db)


def copy_originals(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """What the machine was before, as `source` has it."""
    target.execute("DELETE FROM original")
    rows = source.execute("SELECT key, value FROM original").fetchall()
    target.executemany("INSERT INTO original VALUES (?, ?)", rows)


def _split(data: dict[str, object]) -> dict[str, str]:
    """As sixlane.agent.rows splits resources, for data that may no longer be parsed."""
    pieces = {}
    spec = data["spec"]
    if data["kind"] == "Gateway" and isinstance(spec, dict):
        pieces = {prefix["name"]: json.dumps(prefix) for prefix in spec["prefixes"]}
        data = {**data, "spec": {**spec, "prefixes": list(pieces)}}
    return {OWN: json.dumps(data), **pieces}


def _stamp(db: sqlite3.Connection) -> None:
    db.execute(f"PRAGMA user_version = {VERSION}")
