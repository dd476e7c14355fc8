# SPDX-License-Identifier: Apache-2.0
"""Who named may run as, and which processes are taken for ours."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sixlane.dns64 import process
from sixlane.errors import NotSupported
from tests import needs


@needs.root
@needs.command("named")
def test_an_unprivileged_user_must_be_able_to_enter(tmp_path: Path) -> None:
    assert process.unprivileged_user(Path("/var/lib")) == (process.USER, "")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    user, why = process.unprivileged_user(closed / "not" / "there")
    assert user is None
    assert why.startswith("user bind cannot enter ")


def test_no_such_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "USER", "nobody-has-this-name")
    assert process.unprivileged_user(Path("/")) == (None, "there is no user nobody-has-this-name")


def test_a_program_that_is_not_installed() -> None:
    with pytest.raises(NotSupported, match="apt install bind9"):
        process.program("named-of-nobody")


def test_another_program_with_the_file_on_its_command_line_is_not_ours(tmp_path: Path) -> None:
    configuration = tmp_path / "named.conf"
    code = "print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "-c", str(configuration)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert process.find(configuration, other.pid) is None
        other.communicate(b"\n")


def test_is_here() -> None:
    assert process.is_here(os.getpid())
    assert not process.is_here(2**22 + 1)
