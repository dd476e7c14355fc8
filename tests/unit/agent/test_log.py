# SPDX-License-Identifier: Apache-2.0
"""Lines of the log: one a record, key=value, nothing forged."""

import io
import logging
import os
import sys
from pathlib import Path

import pytest

from sixlane.agent.log import Formatter, fields, is_journal, logfmt


def line(level: int, message: str, *, journal: bool = True, **values: object) -> str:
    record = logging.LogRecord("sixlane", level, "", 0, message, (), None)
    record.__dict__.update(fields(**values))
    return Formatter(journal=journal).format(record)


def test_fields_follow_the_message() -> None:
    told = line(logging.INFO, "applied", revision=7, kind="Gateway", name="edge", who=None)
    assert told == "<6>level=info msg=applied revision=7 kind=Gateway name=edge"


@pytest.mark.parametrize(
    ("level", "priority"),
    [
        (logging.CRITICAL, "<2>"),
        (logging.ERROR, "<3>"),
        (logging.WARNING, "<4>"),
        (logging.INFO, "<6>"),
        (logging.DEBUG, "<7>"),
    ],
)
def test_priorities_of_the_journal(level: int, priority: str) -> None:
    assert line(level, "it").startswith(f"{priority}level=")


def test_people_see_the_time_and_no_priority() -> None:
    told = line(logging.INFO, "ready", journal=False)
    assert told.startswith("time=20") and told.endswith(" level=info msg=ready")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain-word/1.2:3", "plain-word/1.2:3"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "no"', r'"say \"no\""'),
        ("back\\slash", r'"back\\slash"'),
        ("a\nlevel=error", r'"a\nlevel=error"'),
        ("\x1b[31mred", r'"\u001b[31mred"'),
        ("\u2028", r'"\u2028"'),
        (True, "true"),
        (0.5, "0.5"),
    ],
)
def test_values(value: object, written: str) -> None:
    assert logfmt({"key": value}) == f"key={written}"


def test_a_traceback_is_one_value() -> None:
    try:
        raise ZeroDivisionError("it")
    except ZeroDivisionError:
        record = logging.LogRecord("sixlane", logging.ERROR, "", 0, "defect", (), sys.exc_info())
    told = Formatter(journal=True).format(record)
    assert "\n" not in told
    assert told.endswith(r'\nZeroDivisionError: it"')


def test_the_journal_is_known_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "journal").open("w") as ours, (tmp_path / "other").open("w") as other:
        found = os.fstat(ours.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        assert is_journal(ours)
        assert not is_journal(other)
        monkeypatch.delenv("JOURNAL_STREAM")
        assert not is_journal(ours)
    assert not is_journal(io.StringIO())
