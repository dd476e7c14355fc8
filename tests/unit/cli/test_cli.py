# SPDX-License-Identifier: Apache-2.0
"""The command against an agent over a real socket: what it prints, and how it ends."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.unit.agent.fakes import DNS64, GATEWAY, World
from tests.unit.agent.serving import serving

FAILED, USAGE, UNREACHABLE, REFUSED = 1, 2, 3, 5


class Command:
    """Runs `sixlane` with the socket of one agent."""

    def __init__(self, socket: Path, directory: Path) -> None:
        self.socket = socket
        self.directory = directory
        self.world = World(directory)

    def __call__(self, *argv: str, stdin: str = "", code: int = 0) -> str:
        """What it prints on stdout, or on stderr if it fails."""
        done = subprocess.run(
            [sys.executable, "-m", "sixlane.cli.main", *argv],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=self.directory,
            env={**os.environ, "SIXLANE_SOCKET": str(self.socket)},
            timeout=30,
            check=False,
        )
        assert done.returncode == code, done.stderr
        if code in (FAILED, UNREACHABLE, REFUSED):
            assert done.stdout == ""
            assert done.stderr.startswith("sixlane: ")
            assert done.stderr.count("\n") == 1
        elif code == 0:
            assert done.stderr == ""
        return done.stderr if code else done.stdout

    def file(self, *resources: object, name: str = "edge.yaml") -> str:
        (self.directory / name).write_text(yaml.safe_dump_all(resources, sort_keys=False))
        return name


@pytest.fixture
def sixlane(tmp_path: Path) -> Iterator[Command]:
    command = Command(tmp_path / "api.sock", tmp_path)
    with serving(command.world.agent, command.socket):
        yield command
    command.world.close()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Command]:
    """No agent listens."""
    command = Command(tmp_path / "api.sock", tmp_path)
    yield command
    command.world.close()


def test_apply(sixlane: Command) -> None:
    file = sixlane.file(GATEWAY, DNS64)
    assert sixlane("apply", "-f", file, "--dry-run") == (
        "Gateway edge created (dry run)\nDns64 cluster created (dry run)\n  set edge\n"
        "  set cluster\n"
    )
    assert sixlane("apply", "-f", file) == "Gateway edge created\nDns64 cluster created\n"
    assert sixlane("apply", "-f", file) == "Gateway edge unchanged\nDns64 cluster unchanged\n"


def test_apply_from_many_places(sixlane: Command) -> None:
    file = sixlane.file(GATEWAY)
    assert "Dns64 cluster created" in sixlane(
        "apply", "-f", file, "-f", "-", stdin=json.dumps(DNS64)
    )


def test_apply_as_data(sixlane: Command) -> None:
    file = sixlane.file(GATEWAY)
    applied = json.loads(sixlane("apply", "-f", file, "-o", "json"))
    assert applied["revision"] == 1
    assert yaml.safe_load(sixlane("apply", "-f", file, "-o", "yaml"))["changes"] == []


def test_a_refusal_names_file_document_key_and_line(sixlane: Command) -> None:
    wrong = json.loads(json.dumps(GATEWAY).replace("/96", "/95"))
    file = sixlane.file(DNS64, wrong)
    assert sixlane("apply", "-f", file, code=REFUSED) == (
        "sixlane: 64:ff9b::/95 has length /95: edge.yaml:2:spec.prefixes[0].prefix, line 22 "
        "(RFC 6052 allows /32, /40, /48, /56, /64, /96)\n"
    )
    assert sixlane.world.agent.resources() == []


def test_a_refusal_of_a_document_without_its_key(sixlane: Command) -> None:
    file = sixlane.file({**GATEWAY, "kind": "Gatway"})
    assert sixlane("apply", "-f", file, code=REFUSED) == (
        "sixlane: unknown kind Gatway: edge.yaml:1:kind, line 2 (did you mean Gateway?)\n"
    )
    file = sixlane.file(["not a resource"])
    assert "a list is not a resource: edge.yaml:1, line 1" in sixlane(
        "apply", "-f", file, code=REFUSED
    )


def test_the_same_resource_twice(sixlane: Command) -> None:
    one, two = sixlane.file(GATEWAY, name="one.yaml"), sixlane.file(GATEWAY, name="two.yaml")
    said = sixlane("apply", "-f", one, "-f", two, code=REFUSED)
    assert "Gateway edge stands twice: two.yaml:1:metadata.name, line 4" in said


def test_files_that_cannot_be_read(sixlane: Command) -> None:
    assert "cannot read: none.yaml: No such file" in sixlane(
        "apply", "-f", "none.yaml", code=REFUSED
    )
    (sixlane.directory / "bad.yaml").write_text("a: b: c")
    said = sixlane("apply", "-f", "bad.yaml", code=REFUSED)
    assert said.startswith("sixlane: not valid YAML: bad.yaml, line 1: ")


def test_what_the_agent_cannot_do_is_a_failure(sixlane: Command) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError

    sixlane.world.gateway.fail["plan"] = fail
    said = sixlane("apply", "-f", sixlane.file(GATEWAY), code=FAILED)
    assert said.startswith("sixlane: ZeroDivisionError: a defect of sixlane (")


def test_status(sixlane: Command) -> None:
    assert "no resources: sixlane apply -f FILE" in sixlane("status")
    sixlane("apply", "-f", sixlane.file(GATEWAY))
    text = sixlane("status")
    assert text.startswith("sixlaned ")
    assert "revision 1" in text
    assert text.endswith("no problems\n")
    assert json.loads(sixlane("status", "-o", "json"))["problems"] == []


def test_counters(sixlane: Command) -> None:
    assert sixlane("counters") == (
        "COUNTER     PACKETS  BYTES\n"
        "forward_46        2     80\n"
        "\n"
        "PREFIX  DIRECTION  PACKETS  BYTES\n"
        "pods    46               2     80\n"
    )
    assert sixlane("counters", "--no-headers").splitlines()[0] == "forward_46  2  80"
    assert "\x1b" not in sixlane("counters")


def test_teardown(sixlane: Command) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sixlane.cli.main", "--socket", str(sixlane.socket), "teardown"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "torn down: nothing of sixlane is in force\n"
    assert "sixlane: not restored: gateway lost something\n" in done.stderr
    assert sixlane.world.gateway.removed


@pytest.mark.parametrize("argv", [["status"], ["counters"], ["apply", "-f", "edge.yaml"]])
def test_no_agent(alone: Command, argv: list[str]) -> None:
    alone.file(GATEWAY)
    said = alone(*argv, code=UNREACHABLE)
    assert said == (
        f"sixlane: the agent is not running: nobody listens on {alone.socket} "
        "(start sixlaned, or name its socket with --socket)\n"
    )


def test_a_wrong_file_is_told_before_the_agent_is_asked(alone: Command) -> None:
    alone("apply", "-f", "none.yaml", code=REFUSED)


@pytest.mark.parametrize("argv", [["aply"], ["apply"], ["status", "-o", "xml"], ["status", "-x"]])
def test_wrong_usage(alone: Command, argv: list[str]) -> None:
    assert "Usage:" in alone(*argv, code=USAGE)


def test_version_and_help(alone: Command) -> None:
    assert alone("--version").startswith("sixlane, version ")
    assert "Exit codes: 0 done" in alone("--help")


def test_nothing_slow_is_imported_to_start(alone: Command) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "sixlane.cli.main", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "click" in imported
    slow = {"pydantic", "fastapi", "rich", "yaml", "pyroute2", "cffi", "uvicorn", "sqlite3"}
    assert not imported & slow


def test_it_starts_in_150_ms(alone: Command) -> None:
    def cpu_seconds() -> float:
        before = os.times()
        alone("--version")
        after = os.times()
        return (
            after.children_user
            + after.children_system
            - (before.children_user + before.children_system)
        )

    assert min(cpu_seconds() for _ in range(3)) < 0.15
