# SPDX-License-Identifier: Apache-2.0
"""An SQLite file that survives a power cut, and that is read where it cannot be written; its errors
in one line each."""

import contextlib
import errno
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

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
    """An SQLite file; what was committed is on the disk.

    `prepare` gives a connection the tables that we know, or raises. `stays` and `mend` are for
    hints: what goes on if the file fails, and what to do about a damaged one.

    A file that cannot be written is copied to memory and read there; `refusal` then says why, and
    `writing` tries the file again: `carry` takes over to it what was written to the copy. May be
    used by any thread. Raises `SixlaneError`.
    """

    def __init__(
        self,
        path: Path,
        prepare: Callable[[sqlite3.Connection], None],
        stays: str,
        mend: str,
        carry: Callable[[sqlite3.Connection, sqlite3.Connection], None] = lambda copy, file: None,
    ) -> None:
        self.path = path
        self._prepare = prepare
        self._carry = carry
        self._stays = stays
        self._mend = mend
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
            with self.reading() as db, transaction(db):
                yield db

    def _open(self) -> sqlite3.Connection:
        # SQLite gives its side files the mode of the main one.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")  # in WAL mode, NORMAL may lose the last ones
            self._prepare(db)
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
            self._prepare(db)
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
        """The file, if it can be written now, with what was written to the copy."""
        try:
            db = self._open()
        except (OSError, sqlite3.Error) as error:
            self.refusal = self._error(error)
            raise self.refusal from error
        try:
            with transaction(db):
                self._carry(self._db, db)
        except sqlite3.Error as error:
            db.close()
            self.refusal = self._error(error)
            raise self.refusal from error
        self._db.close()
        self._db, self.refusal = db, None

    def _error(self, error: OSError | sqlite3.Error) -> SixlaneError:
        if isinstance(error, OSError):
            return KernelError(error.errno or 0, f"open {self.path}")
        return SixlaneError(f"{self.path}: {error}", self._hint(error))

    def _hint(self, error: sqlite3.Error) -> str:
        match _code(error):
            case sqlite3.SQLITE_FULL:
                return f"the disk is full; {self._stays}"
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
                return f"is the file system writable? {self._stays}"
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                return f"the file is damaged; {self._stays}: {self._mend}"
        return self._stays


def of_another_version(path: Path, version: int, stays: str) -> SixlaneError:
    """What a `prepare` raises about tables that it does not know."""
    return SixlaneError(
        f"{path} is of another version of sixlane (schema {version})",
        f"{stays}; use the newer version",
    )


def execute(db: sqlite3.Connection, statements: str) -> None:
    """All of them; the `executescript` of Python would commit before. No other ; is in them."""
    for statement in filter(str.strip, statements.split(";")):
        db.execute(statement)


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of it, or nothing."""
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
