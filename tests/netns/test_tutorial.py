# SPDX-License-Identifier: Apache-2.0
"""The tutorial says what happens: each of its shell blocks is run, in order, in one shell.

A `text` block behind a `sh` block is what that one prints; "..." stands for anything.
"""

import contextlib
import fnmatch
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sixlane.net import netns
from tests import needs

pytestmark = [
    pytest.mark.netns,
    needs.root,
    needs.bpf,
    *(needs.command(program) for program in ("bash", "ip", "nsenter", "curl", "ping", "dig")),
]

ROOT = Path(__file__).parent.parent.parent
TUTORIAL = ROOT / "docs" / "tutorial.md"
_BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = "@@ block "
_SECONDS = 120


def blocks() -> list[tuple[str, str | None]]:
    """Each shell block with what it is said to print, if anything is."""
    found: list[tuple[str, str | None]] = []
    for kind, text in _BLOCK.findall(TUTORIAL.read_text()):
        if kind == "sh":
            found.append((text, None))
        else:
            found[-1] = (found[-1][0], text)
    return found


@contextlib.contextmanager
def tidy() -> Iterator[None]:
    """Whatever the tutorial has made, should it stop half-way."""
    before = set(netns.names())
    try:
        yield
    finally:
        for name in set(netns.names()) - before:
            netns.remove(name, missing_ok=True)


def run(script: str, directory: Path) -> str:
    """What a shell prints for the script, errors and all; its background jobs are ended."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    output = directory / "output"  # no pipe: background jobs would keep it open
    with (
        output.open("w") as stream,
        subprocess.Popen(
            ["bash", "-eu", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            cwd=directory,
            env={**os.environ, "PATH": path},
            start_new_session=True,
        ) as shell,
    ):
        try:
            code = shell.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            pytest.fail(f"too slow:\n{output.read_text()}")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
    assert code == 0, output.read_text()
    return output.read_text()


def test_every_block(tmp_path: Path) -> None:
    told = blocks()
    assert len(told) > 10
    script = "".join(f"echo '{_MARK}{number}'\n{text}" for number, (text, _) in enumerate(told))
    with tidy():
        printed = run(script, tmp_path)
    outputs = re.split(rf"^{_MARK}\d+\n", printed, flags=re.MULTILINE)[1:]
    for (text, expected), output in zip(told, outputs, strict=True):
        if expected is not None:
            pattern = expected.replace("[", "[[]").replace("...", "*")
            assert fnmatch.fnmatchcase(output, pattern), f"{text}\nprints:\n{output}"
