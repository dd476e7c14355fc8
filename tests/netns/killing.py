# SPDX-License-Identifier: Apache-2.0
"""kill -9 before each system call with which an apply changes anything, by strace's injection.

First the steps are recorded: the applier's thread is traced through one apply. A later apply of the
same kind is then killed on entry to one of them, so that the states between any two steps are seen.
"""

import contextlib
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
    "sendto": re.compile(r"RTM_(NEW|SET|DEL)|nlmsg_type=ethtool|nlmsg_flags=[^,]*NLM_F_ACK"),
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
    """The `number`th (from 1) call of `call` in the applier's thread."""

    call: str
    number: int


def applier(agent: Agent) -> int:
    """The thread of the agent that applies: the first that it started behind Python's own."""
    return min(
        int(task.name)
        for task in Path(f"/proc/{agent.pid}/task").iterdir()
        if (task / "comm").read_text() == "applier\n"
    )


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
    """Whatever the block has the agent do, it is killed when its applier comes to `step`."""
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
