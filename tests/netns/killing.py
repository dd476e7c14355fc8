# SPDX-License-Identifier: Apache-2.0
"""kill -9 before each system call with which the agent changes anything, by strace's injection.

First the steps are recorded: the thread at work is traced through one change. A later change of the
same kind is then killed on entry to one of them, so that the states between any two steps are seen.
"""

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.netns.agents import Agent

_PATIENCE_S = 10.0

# System calls that change something, by what strace prints of their arguments.
_CHANGES = {
    "bpf": re.compile(
        r"BPF_(MAP_CREATE|MAP_UPDATE_ELEM|MAP_UPDATE_BATCH|MAP_DELETE_ELEM|OBJ_PIN|PROG_LOAD"
        r"|LINK_CREATE|LINK_UPDATE|LINK_DETACH|0x1[bc]\b)"
    ),
    # Requests of netlink, and that the answer is ready, to the thread that sends it.
    "sendto": re.compile(
        r'RTM_(NEW|SET|DEL)|nlmsg_type=ethtool|nlmsg_flags=[^,]*NLM_F_ACK|^\d+, "\\0", 1,'
    ),
    "write": re.compile(r""),
    "pwrite64": re.compile(r""),
    "fdatasync": re.compile(r""),
    "rename": re.compile(r""),
    "unlink": re.compile(r""),
    "unlinkat": re.compile(r""),
    "mkdir": re.compile(r""),
    "rmdir": re.compile(r""),
    "mount": re.compile(r""),
    "umount2": re.compile(r""),
    "setns": re.compile(r""),
    "clone": re.compile(r""),
    "unshare": re.compile(r""),
    "kill": re.compile(r""),
}
_CALL = re.compile(r"(\w+)\((.*)")


class Step(NamedTuple):
    """The `number`th (from 1) call of `call` in the thread."""

    call: str
    number: int


def applier(agent: Agent) -> int:
    """The thread of the agent that applies: the first that it started behind Python's own."""
    return min(
        int(task.name)
        for task in Path(f"/proc/{agent.pid}/task").iterdir()
        if (task / "comm").read_text() == "applier\n"
    )


def server(agent: Agent, ask: Callable[[], object]) -> int:
    """The thread of the agent that serves whoever asks next: all that ask one after the other.

    It starts when the first one asks, which is to be `ask`, behind `agent.start`.
    """

    def unnamed() -> set[int]:
        tasks = Path(f"/proc/{agent.pid}/task").iterdir()
        return {int(one.name) for one in tasks if (one / "comm").read_text().startswith("python")}

    before = unnamed()
    ask()
    (thread,) = unnamed() - before
    return thread


def some(steps: list[Step], stride: int, start: int = 0) -> list[Step]:
    """Hundreds of steps are for `make test-kills`; a run of all tests takes some of them."""
    return steps if os.environ.get("KILLS") == "all" else steps[start::stride]


def steps(thread: int, change: Callable[[], object], scratch: Path) -> list[Step]:
    """The steps of a change, in order."""
    with _strace(thread, scratch, "-e", f"trace={','.join(_CHANGES)}"):
        change()
    counts = dict.fromkeys(_CHANGES, 0)
    found = []
    for line in scratch.read_text().splitlines():
        call = _CALL.match(line)
        if call is None or call[1] not in counts:
            continue
        counts[call[1]] += 1
        if _CHANGES[call[1]].search(call[2]):
            found.append(Step(call[1], counts[call[1]]))
    return found


@contextlib.contextmanager
def killed_at(thread: int, step: Step, scratch: Path) -> Iterator[None]:
    """Whatever the block has the agent do, it is killed when its thread comes to `step`."""
    inject = f"inject={step.call}:signal=KILL:when={step.number}"
    with _strace(thread, scratch, "-e", f"trace={step.call}", "-e", inject):
        yield


@contextlib.contextmanager
def _strace(thread: int, output: Path, *options: str) -> Iterator[None]:
    argv = ["strace", "-qq", "-o", str(output), "-p", str(thread), *options]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as strace:
        for task in Path(f"/proc/{thread}/task").iterdir() if "-f" in options else [thread]:
            _await_tracer(int(task.name) if isinstance(task, Path) else task)
        try:
            yield
        finally:
            strace.terminate()
            strace.communicate(timeout=_PATIENCE_S)


def _await_tracer(thread: int) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    status = Path(f"/proc/{thread}/status")
    while "TracerPid:\t0\n" in status.read_text():
        assert time.monotonic() < deadline, "strace does not attach"
        time.sleep(0.01)
