# SPDX-License-Identifier: Apache-2.0
"""Completion in the shells themselves: words of the command, and names that the agent knows."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.agent.fakes import DNS64, GATEWAY, SERVICE
from tests.unit.cli.running import Sixlane

LINES = [
    ("sixlane sta", ["status"]),
    ("sixlane gateway ", ["add", "delete", "get", "list", "set"]),
    ("sixlane get gat", ["gateway"]),
    ("sixlane get -o nd", ["ndjson"]),
    ("sixlane apply --pr", ["--prune"]),
    ("sixlane completion ", ["bash", "fish", "zsh"]),
    ("sixlane get gateway ", ["edge"]),
    ("sixlane describe dns64 c", ["cluster"]),
    ("sixlane delete gateway x", []),
    ("sixlane dns64 set ", ["cluster"]),
    ("sixlane prefix get p", ["pods"]),
    ("sixlane prefix add new 2001:db8::/96 --gateway ", ["edge"]),
    ("sixlane backend drain ", ["web"]),
    ("sixlane backend weight web 10", ["10.0.0.8"]),
    ("sixlane service show w", ["web"]),
    ("sixlane rollback --to ", ["1"]),
    ("sixlane sysdump nothing like it ", []),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A directory with the command."""
    program = tmp_path / "bin" / "sixlane"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m sixlane.cli.main "$@"\n')
    program.chmod(0o755)
    return program.parent


@pytest.fixture
def filled(sixlane: Sixlane) -> Sixlane:
    """Their names are known."""
    sixlane("apply", "-f", sixlane.file(GATEWAY, DNS64, SERVICE))
    return sixlane


def answers(path: Path, socket: Path, line: str, shell: str = "bash") -> list[str]:
    """What the shell offers for a line that ends where the cursor is; it must say nothing else."""
    done = subprocess.run(
        [shell, *_SHELLS[shell](line)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        cwd=path,
        env={
            **os.environ,
            "PATH": f"{path}:{os.environ['PATH']}",
            "SIXLANE_SOCKET": str(socket),
            "HOME": str(path),
        },
    )
    assert done.stderr == ""
    return sorted(word.split("\t")[0].strip() for word in done.stdout.splitlines() if word)


def _in_bash(line: str) -> list[str]:
    """As readline calls it."""
    script = f"""
        eval "$(sixlane completion bash)"
        COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)}
        _sixlane sixlane
        ((${{#COMPREPLY[@]}})) && printf '%s\\n' "${{COMPREPLY[@]}}"
        complete -p sixlane >/dev/null
    """
    return ["--norc", "-c", script]


def _in_fish(line: str) -> list[str]:
    script = f"sixlane completion fish | source; complete -C {shlex.quote(line)}"
    return ["--no-config", "-c", script]


def _in_zsh(line: str) -> list[str]:
    """With the two functions of the completion system that the script calls."""
    words = " ".join(shlex.quote(word) for word in line.split(" "))
    script = f"""
        compdef() {{ }}
        _describe() {{ print -l -- "${{(@P)argv[-1]}}" | sed 's/:.*//' }}
        eval "$(sixlane completion zsh)"
        words=({words}) CURRENT=$#words
        _sixlane
        true
    """
    return ["-f", "-c", script]


_SHELLS = {"bash": _in_bash, "fish": _in_fish, "zsh": _in_zsh}


@pytest.mark.parametrize("shell", _SHELLS)
def test_completion(filled: Sixlane, path: Path, shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"needs {shell}")
    for line, words in LINES:
        assert answers(path, filled.socket, line, shell) == words, line


def test_bash_breaks_words_at_colons(filled: Sixlane, path: Path) -> None:
    """What is offered takes the place of what stands behind the last one."""
    for line, word in (
        ("", "2001:db8:64:1::7"),
        ("2001:db8:6", "64:1::7"),
        ("2001:db8:64:1:", ":7"),
    ):
        line = f"sixlane backend drain web {line}"
        assert word in answers(path, filled.socket, line)


@pytest.mark.parametrize("line", ["sixlane get gateway ", "sixlane prefix get ", "sixlane delete "])
def test_it_is_silent_without_an_agent(alone: Sixlane, path: Path, line: str) -> None:
    words = ["dns64", "gateway", "network", "service"] if line == "sixlane delete " else []
    assert answers(path, alone.socket, line) == words


def test_an_unfinished_quote(alone: Sixlane, path: Path) -> None:
    assert answers(path, alone.socket, "sixlane 'sta") == ["status"]
