# SPDX-License-Identifier: Apache-2.0
"""What the user asked for, and what the machine was before, kept through crashes and power cuts."""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sixlane.errors import ConfigError, KernelError, SixlaneError
from sixlane.model import AnyResource, Key, parse_resource

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE object (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    generation INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;
CREATE TABLE original (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counter VALUES ('generation', 0);
"""


@dataclass(frozen=True)
class Stored:
    """A resource, and the generation of the whole in which it last changed."""

    resource: AnyResource
    generation: int


Objects = Mapping[Key, Stored]


class Store:
    """An SQLite file; what a method returned from is on the disk.

    For one thread at a time. All methods raise `SixlaneError` if the file is damaged, the disk full
    or the file system read-only. Also the `Originals` of nat64.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._explained():
            # SQLite gives its side files the mode of the main one.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- what the user asked for ----

    def load(self) -> tuple[int, dict[Key, Stored]]:
        """The generation and all resources."""
        with self._explained():
            rows = self._db.execute("SELECT kind, name, generation, body FROM object").fetchall()
            generation = self._db.execute(
                "SELECT value FROM counter WHERE name = 'generation'"
            ).fetchone()[0]
        objects = {}
        for kind, name, changed, body in rows:
            try:
                resource = parse_resource(json.loads(body), str(self._path))
            except (ConfigError, ValueError) as error:
                raise SixlaneError(
                    f"{self._path} holds {kind} {name}, which this version does not take: {error}",
                    "what is in force stays; sixlane teardown, then apply again",
                ) from error
            objects[Key(kind, name)] = Stored(resource, changed)
        return generation, objects

    def save(self, generation: int, put: Iterable[AnyResource], delete: Iterable[Key] = ()) -> None:
        """One transaction: all of it, or nothing."""
        rows = [
            (one.kind, one.name, generation, json.dumps(one.as_data(), separators=(",", ":")))
            for one in put
        ]
        with self._explained(), self._transaction():
            self._db.executemany("DELETE FROM object WHERE kind = ? AND name = ?", list(delete))
            self._db.executemany("INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?)", rows)
            self._db.execute(
                "UPDATE counter SET value = ? WHERE name = 'generation'", (generation,)
            )

    def clear(self) -> int:
        """Forget all resources, also those that cannot be read; the new generation."""
        with self._explained(), self._transaction():
            self._db.execute("DELETE FROM object")
            row = self._db.execute(
                "UPDATE counter SET value = value + 1 WHERE name = 'generation' RETURNING value"
            ).fetchone()
        return int(row[0])

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

    # ---- below ----

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")  # in WAL mode, NORMAL may lose the last ones
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version == _SCHEMA_VERSION:
            return
        if version != 0:
            raise SixlaneError(
                f"{self._path} is of another version of sixlane (schema {version})",
                "what is in force stays; use the newer version",
            )
        with self._transaction():
            for statement in filter(str.strip, _SCHEMA.split(";")):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise KernelError(error.errno or 0, f"open {self._path}") from error
        except sqlite3.Error as error:
            raise SixlaneError(f"{self._path}: {error}", _hint(error)) from error


def _hint(error: sqlite3.Error) -> str:
    match error.sqlite_errorcode & 0xFF if hasattr(error, "sqlite_errorcode") else 0:
        case sqlite3.SQLITE_FULL:
            return "the disk is full; what is in force stays"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return "is the file system writable? what is in force stays"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return "the file is damaged; what is in force stays: move it away and apply again"
    return "what is in force stays"
