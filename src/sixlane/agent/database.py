# SPDX-License-Identifier: Apache-2.0
"""The file of the store: opened, or read without being written, and its errors in one line each."""

import contextlib
import errno
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sixlane.agent import schema
from sixlane.errors import KernelError, SixlaneError

_CANNOT_WRITE = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
)
_NO_ROOM = (errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM)


class Database:
    """An SQLite file with our tables; what was committed is on the disk.

    One that cannot be written is copied to memory and read there; `refusal` then says why, and
    `writing` tries the file again. May be used by any thread. Raises `SixlaneError`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.refusal: SixlaneError | None = None
        self._lock = threading.RLock()
        try:
            try:
                self._db = self._open()
            except (OSError, sqlite3.Error) as error:
                if not _is_unwritable(error):
                    raise
                self._db = self._copy()
                self.refusal = self._error(error)
        except (OSError, sqlite3.Error) as error:
            raise self._error(error) from error

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Also for single statements that write, and that may be written to the copy."""
        with self._lock:
            try:
                yield self._db
            except (OSError, sqlite3.Error) as error:
                raise self._error(error) from error

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction in the file: all of it, or nothing."""
        with self._lock:
            if self.refusal is not None:
                self._open_again()
            with self.reading() as db, _transaction(db):
                yield db

    def _open(self) -> sqlite3.Connection:
        # SQLite gives its side files the mode of the main one.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")  # in WAL mode, NORMAL may lose the last ones
            self._bring_up_to_date(db)
        except BaseException:
            db.close()
            raise
        return db

    def _copy(self) -> sqlite3.Connection:
        db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        try:
            if self.path.exists():
                with contextlib.closing(self._open_to_read()) as file:
                    file.backup(db)
            self._bring_up_to_date(db)
        except BaseException:
            db.close()
            raise
        return db

    def _open_to_read(self) -> sqlite3.Connection:
        # With nothing in the log there is nothing to share with writers; SQLite must not try to.
        log = self.path.with_name(self.path.name + "-wal")
        mode = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
        return sqlite3.connect(f"{self.path.absolute().as_uri()}?{mode}", uri=True)

    def _open_again(self) -> None:
        """The file, if it can be written now, with the originals that were kept in memory."""
        try:
            db = self._open()
        except (OSError, sqlite3.Error) as error:
            self.refusal = self._error(error)
            raise self.refusal from error
        try:
            with _transaction(db):
                schema.copy_originals(self._db, db)
        except sqlite3.Error as error:
            db.close()
            self.refusal = self._error(error)
            raise self.refusal from error
        self._db.close()
        self._db, self.refusal = db, None

    def _bring_up_to_date(self, db: sqlite3.Connection) -> None:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == schema.VERSION:
            schema.index(db)
            return
        if version not in (0, 1):
            raise SixlaneError(
                f"{self.path} is of another version of sixlane (schema {version})",
                "what is in force stays; use the newer version",
            )
        with _transaction(db):
            schema.create(db) if version == 0 else schema.migrate_from_1(db)
            schema.index(db)

    def _error(self, error: OSError | sqlite3.Error) -> SixlaneError:
        if isinstance(error, OSError):
            return KernelError(error.errno or 0, f"open {self.path}")
        return SixlaneError(f"{self.path}: {error}", _hint(error))


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
        return error.errno in _NO_ROOM
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
