# SPDX-License-Identifier: Apache-2.0
"""The log: key=value (logfmt), for the journal with its priorities, for people with the time.

    _log.info("applied", extra=fields(revision=7, kind="Gateway", name="edge", outcome="changed"))

is `level=info msg=applied revision=7 kind=Gateway name=edge outcome=changed`. Fields are names and
numbers, never specs of resources, so that nothing gets into the log that was not meant for it.
"""

import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TextIO

who: ContextVar[str] = ContextVar("who", default="")
"""The user on whose behalf the present thread or task works; "": nobody's."""

_PRIORITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)
"""Levels and those of syslog(3); what is below the last is 7."""

_NEEDS_NO_QUOTES = re.compile(r"[^\s\"=\\\x00-\x20\x7f]+")
_ESCAPES = {ord("\\"): "\\\\", ord('"'): '\\"', ord("\n"): "\\n", ord("\t"): "\\t"}


def fields(**values: object) -> dict[str, dict[str, object]]:
    """For `extra` of a log call: they follow the message, in this order; None is left out."""
    return {"fields": values}


def logfmt(values: Mapping[str, object]) -> str:
    """key=value, one line; values in quotes where it would not be clear without."""
    return " ".join(f"{key}={_value(value)}" for key, value in values.items() if value is not None)


class Formatter(logging.Formatter):
    """One line a record. `journal`: with a priority in front, and without the time."""

    def __init__(self, *, journal: bool) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {} if self._journal else {"time": _time(record)}
        line |= {"level": record.levelname.lower(), "msg": record.getMessage()}
        line |= getattr(record, "fields", {})
        line["who"] = who.get() or None
        if record.exc_info and record.exc_info[0] is not None:
            line["traceback"] = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        return (f"<{_priority(record.levelno)}>" if self._journal else "") + logfmt(line)


def set_up(level: str, stream: TextIO = sys.stderr) -> None:
    """Log what is at least as important as `level` to `stream`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Formatter(journal=is_journal(stream)))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def is_journal(stream: TextIO) -> bool:
    """Whether journald reads the stream: systemd says which file it opened (systemd.exec(5))."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def _time(record: logging.LogRecord) -> str:
    seconds = time.localtime(record.created)
    return f"{time.strftime('%FT%T', seconds)}.{int(record.msecs):03}{time.strftime('%z', seconds)}"


def _priority(level: int) -> int:
    return next((priority for least, priority in _PRIORITIES if level >= least), 7)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    if _NEEDS_NO_QUOTES.fullmatch(text):
        return text
    return '"' + "".join(map(_visible, text.translate(_ESCAPES))) + '"'


def _visible(character: str) -> str:
    """Controls would let a value forge lines, or colours on a terminal."""
    return character if character.isprintable() else f"\\u{ord(character):04x}"
