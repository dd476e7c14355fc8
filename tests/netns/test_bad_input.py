# SPDX-License-Identifier: Apache-2.0
"""Each case of docs/reference/bad-input.md: one line as the page has it, and nothing changed."""

import fnmatch
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sixlane.net import netns
from tests import needs
from tests.netns import agents, spaces
from tests.netns.agents import GATEWAY, Agent

pytestmark = [
    pytest.mark.netns,
    needs.root,
    needs.bpf,
    *(needs.command(program) for program in ("bash", "ip", "named", "setpriv")),
]

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "bad-input.md"
ELSEWHERE = Path(f"/sys/fs/bpf/sixlane-elsewhere-{os.getpid()}")
_CASE = re.compile(r"^### (.*?)\n\n```(yaml|sh)\n(.*?)```\n```text\n(.*?)```$", re.M | re.S)
_CODE = re.compile(r"\(exit code (\d)\)\n\Z")


@dataclass(frozen=True)
class Case:
    """`kind`: yaml, a file to apply; sh, commands. `message` may hold "..."."""

    title: str
    kind: str
    text: str
    message: str


CASES = [Case(*groups) for groups in _CASE.findall(PAGE.read_text())]


def test_the_page_is_read_whole() -> None:
    assert len(CASES) == PAGE.read_text().count("\n### ")
    assert len(CASES) > 40


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """With a gateway in force that no case may touch."""
    with ExitStack() as stack:
        agent, _, _ = stack.enter_context(agents.world(tmp_path_factory.mktemp("bad")))
        with netns.inside(agent.namespace):
            spaces.command("ip", "link", "add", "br0", "type", "bridge")
            spaces.command("ip", "link", "add", "port0", "type", "veth", "peer", "name", "port1")
            spaces.command("ip", "link", "set", "port0", "master", "br0")
            taken = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
            taken.bind(("2001:db8:64::1", 5300))
        agent.start()
        agent.socket.chmod(0o660)
        agent.apply(GATEWAY)
        yield agent


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_one_line_and_nothing_changed(agent: Agent, case: Case, tmp_path: Path) -> None:
    before = state(agent)
    script = case.text
    if case.kind == "yaml":
        (tmp_path / "edge.yaml").write_text(case.text)
        script = "sixlane apply -f edge.yaml"
    try:
        done = shell(agent, script, tmp_path)
    finally:
        shutil.rmtree(ELSEWHERE, ignore_errors=True)
    errors = [line for line in done.stdout.splitlines() if not line.startswith("time=")]
    printed = "".join(f"{line}\n" for line in (*errors, f"(exit code {done.returncode})"))
    assert len(errors) == 1, done.stdout
    assert len(errors[0]) < 300, "a line that nobody reads"
    pattern = case.message.replace("[", "[[]").replace("...", "*")
    assert fnmatch.fnmatchcase(printed, pattern), printed
    assert state(agent) == before


def state(agent: Agent) -> Any:
    """What must not change: what is desired, and what is in force."""
    status = agent.status()
    return (
        agent.sixlane("export"),
        status["gateway"]["generation"],
        status["gateway"]["devices"],
        status["problems"],
        sorted(path.name for path in (agent.bpffs / "links").iterdir()),
    )


def shell(agent: Agent, script: str, directory: Path) -> "subprocess.CompletedProcess[str]":
    """What the script prints, stderr too, in the agent's namespace with its socket."""
    elsewhere = directory / "elsewhere"
    options = [f"--{name}={elsewhere / name}" for name in ("state-dir", "run-dir")]
    options.append(f"--bpffs={ELSEWHERE}")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SIXLANE_SOCKET": str(agent.socket),
        "OPTIONS": " ".join(agent.options()),
        "ELSEWHERE": " ".join([*options, f"--socket={elsewhere / 'api.sock'}"]),
    }
    return netns.run(
        agent.namespace,
        ["bash", "-c", f"exec 2>&1; cd {directory}\n{script}"],
        check=False,
        env=environment,
    )
