# SPDX-License-Identifier: Apache-2.0
"""How it is asked, how it says no, and what it needs to start."""

import subprocess
import sys

import click
import pytest

from sixlane.cli.command import walk
from sixlane.cli.main import cli
from tests.unit.agent.fakes import GATEWAY
from tests.unit.cli.running import REFUSED, UNREACHABLE, USAGE, Sixlane

_COMMANDS = [path[1:] for path, command in walk(cli, ("sixlane",))]

_MISTYPED = [
    (["aply"], "sixlane: no such command: aply, did you mean apply? (see sixlane --help)\n"),
    (["Status"], "sixlane: no such command: Status, did you mean status? (see sixlane --help)\n"),
    (["nonsense"], "sixlane: no such command: nonsense (see sixlane --help)\n"),
    (
        ["gateway", "lst"],
        "sixlane gateway: no such command: lst, did you mean list? (see sixlane gateway --help)\n",
    ),
    (
        ["get", "gatway"],
        "sixlane get: invalid value for '[KIND]': unknown kind gatway, did you mean gateway? "
        "(see sixlane get --help)\n",
    ),
    (
        ["get", "pod"],
        "sixlane get: invalid value for '[KIND]': unknown kind pod, known: gateway, dns64, "
        "service, network (see sixlane get --help)\n",
    ),
]


def test_a_name_twice(alone: Sixlane) -> None:
    for argv in (["get", "gateway/edge", "edge"], ["delete", "gateway/edge", "edge"]):
        assert "give either KIND/NAME, or KIND and NAME" in alone(*argv, code=USAGE)


@pytest.mark.parametrize(("argv", "said"), _MISTYPED)
def test_a_mistyped_word(alone: Sixlane, argv: list[str], said: str) -> None:
    assert alone(*argv, code=USAGE) == said


@pytest.mark.parametrize(
    "argv",
    [
        ["apply"],
        ["status", "-o", "xml"],
        ["status", "-x"],
        ["status", "more"],
        ["delete"],
        ["delete", "gateway"],
        ["delete", "gateway", "edge", "-f", "edge.yaml"],
        ["describe", "gateway"],
        ["monitor"],
        ["rollback", "--to", "yesterday"],
        ["completion", "csh"],
        ["prefix", "add", "one"],
        ["gateway", "set", "edge"],
        ["prefix", "set", "one"],
        ["eam", "set", "192.0.2.80"],
        ["dns64", "add", "cluster"],
    ],
)
def test_wrong_usage_is_one_line_before_the_agent_is_asked(alone: Sixlane, argv: list[str]) -> None:
    assert "--help)" in alone(*argv, code=USAGE)


def test_no_word_is_asking_for_help(alone: Sixlane) -> None:
    done = _run("-m", "sixlane.cli.main")
    assert done.returncode == USAGE
    assert done.stderr.startswith("Usage: sixlane [OPTIONS] COMMAND")


@pytest.mark.parametrize("words", _COMMANDS, ids=" ".join)
def test_help_needs_no_agent(alone: Sixlane, words: tuple[str, ...]) -> None:
    text = alone(*words, "--help")
    assert text.startswith(f"Usage: {' '.join(('sixlane', *words))} ")
    assert max(map(len, text.splitlines())) < 200


def test_exit_codes_are_in_the_help(alone: Sixlane) -> None:
    assert "Exit codes: 0 done, 1 failed" in alone("--help")


def test_version(alone: Sixlane) -> None:
    assert alone("--version") == alone("version")
    assert alone("version").startswith("sixlane ")


@pytest.mark.parametrize(
    "argv",
    [
        ["apply", "-f", "edge.yaml"],
        ["diff", "-f", "edge.yaml"],
        ["delete", "gateway", "edge"],
        ["get"],
        ["get", "--watch"],
        ["describe", "gateway", "edge"],
        ["export"],
        ["history"],
        ["rollback"],
        ["status"],
        ["status", "--wait", "--timeout", "0.3"],
        ["counters"],
        ["monitor", "--drops"],
        ["gateway", "list"],
        ["prefix", "list"],
        ["eam", "list"],
        ["dns64", "list"],
    ],
    ids=" ".join,
)
def test_no_agent(alone: Sixlane, argv: list[str]) -> None:
    alone.file(GATEWAY)
    assert alone(*argv, code=UNREACHABLE) == (
        f"sixlane: the agent is not running: nobody listens on {alone.socket} "
        "(start sixlaned, or name its socket with --socket)\n"
    )


def test_a_wrong_file_is_told_before_the_agent_is_asked(alone: Sixlane) -> None:
    assert "cannot read: none.yaml: No such file" in alone("apply", "-f", "none.yaml", code=REFUSED)


def test_every_command_is_asked_for_in_one_way() -> None:
    """-o, -f and -g mean the same everywhere, and no flag has two meanings; but for -w of capture,
    which is tcpdump's."""
    meanings: dict[str, set[str]] = {}
    for path, command in walk(cli, ("sixlane",)):
        for option in command.params:
            if isinstance(option, click.Option) and path[1:] not in (("sysdump",), ("capture",)):
                for flag in option.opts:
                    if len(flag) == 2:
                        meanings.setdefault(flag, set()).add(str(option.name))
    assert all(len(names) == 1 for names in meanings.values()), meanings


SLOW = {
    "cffi",
    "fastapi",
    "httpx",
    "numpy",
    "prometheus_client",
    "pydantic",
    "pyroute2",
    "rich",
    "sqlite3",
    "uvicorn",
    "yaml",
}


@pytest.mark.parametrize(
    ("word", "modules"),
    [("--help", 80), ("--version", 75), ("status", 118), ("get", 118), ("counters", 118)],
)
def test_nothing_slow_is_imported_to_start(alone: Sixlane, word: str, modules: int) -> None:
    """It starts in 0.15 s because of what it does not import; `modules`: beside click's."""
    imported = _imported("-m", "sixlane.cli.main", "--socket", str(alone.socket), word)
    assert "click" in imported
    assert not imported & SLOW
    assert not {name for name in imported if name.startswith(_SLOW_PARTS)}
    assert len(imported - _imported("-c", "import click")) < modules


_SLOW_PARTS = ("sixlane.agent", "sixlane.model", "sixlane.net", "sixlane.sources", "sixlane.bpf")


def _imported(*argv: str) -> set[str]:
    done = _run("-X", "importtime", *argv)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


def _run(*argv: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, *argv], capture_output=True, text=True, check=False)
