# SPDX-License-Identifier: Apache-2.0
"""Real programs on the lab's hosts: run to their end, or kept running with a log."""

import contextlib
import os
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sixlane.errors import SixlaneError
from sixlane.lab.place import Place
from sixlane.net import netns

_POLL_SECONDS = 0.02
_LOG_TAIL_LINES = 12

# What this process has started and has to collect once it has ended.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Ran:
    """A program that has ended: what was typed, its exit status, its output."""

    command: str
    status: int
    out: str
    err: str
    seconds: float

    @property
    def text(self) -> str:
        """All that it printed, errors last."""
        return "\n".join(part for part in (self.out.rstrip(), self.err.rstrip()) if part)


def on_host(place: Place, host: str, argv: Sequence[str]) -> list[str]:
    """What a person types to run `argv` there: `ip netns exec` shows the host's resolv.conf too."""
    return ["ip", "netns", "exec", place.namespace(host), *argv]


def run(place: Place, host: str, argv: Sequence[str], timeout: float = 20.0) -> Ran:
    """Run a program on a host to its end, whatever its exit status.

    Raises `SixlaneError` if it has not ended after `timeout` seconds (it is killed then).
    """
    return run_here(on_host(place, host, argv), timeout)


def run_here(argv: Sequence[str], timeout: float = 20.0) -> Ran:
    """Run a program outside of the lab's hosts to its end."""
    start = time.monotonic()
    done = netns.run(None, argv, timeout=timeout, check=False)
    seconds = time.monotonic() - start
    return Ran(shlex.join(argv), done.returncode, done.stdout, done.stderr, seconds)


def start(
    place: Place, host: str, name: str, argv: Sequence[str], *, ready: str, timeout: float = 10.0
) -> int:
    """Start a program on a host, its output in the log `name`; its process id once it is ready.

    It is ready when its log says `ready`. Raises `SixlaneError` with the end of the log if it
    ends before, or does not say so within `timeout` seconds.
    """
    return launch(place, None, name, on_host(place, host, argv), ready=ready, timeout=timeout)


def launch(
    place: Place,
    namespace: str | None,
    name: str,
    argv: Sequence[str],
    *,
    ready: str,
    timeout: float = 10.0,
) -> int:
    """The same in a network namespace, with the mounts of here: /sys/fs/bpf stays in sight."""
    log = place.log(name)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = netns.popen(
            namespace, argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    _children[process.pid] = process
    deadline = time.monotonic() + timeout
    while ready not in log.read_text(errors="replace"):
        ended = process.poll()
        if ended is None and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
            continue
        end_all([process.pid])
        why = f"not ready after {timeout:g} s" if ended is None else f"exit status {ended}"
        raise SixlaneError(f"{shlex.join(argv)}: {why}", f"{log} ends with:\n{tail(place, name)}")
    return process.pid


def python(script: str | None) -> list[str]:
    """How to run a script of the lab that needs nothing but the standard library.

    -I makes it start fast, and read nothing from where it is started.
    """
    assert script is not None
    return [sys.executable, "-I", script]


def tail(place: Place, name: str) -> str:
    """The last lines of a log."""
    text = place.log(name).read_text(errors="replace")
    return "\n".join(text.splitlines()[-_LOG_TAIL_LINES:])


def kill(pid: int) -> None:
    """End a process without asking, as a crash does; it has ended when this returns."""
    os.kill(pid, signal.SIGKILL)
    end_all([pid])


def end_all(pids: Iterable[int], patience: float = 3.0) -> None:
    """End processes: ask first, kill those that are still there after `patience` seconds.

    Returns when all have ended.
    """
    watched = _pidfds(pids)
    try:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            for fd in watched.values():
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(fd, sign)
            _await_end(watched, patience)
    finally:
        for fd in watched.values():
            os.close(fd)
    for pid, child in list(_children.items()):
        if child.poll() is not None:
            del _children[pid]


def _pidfds(pids: Iterable[int]) -> dict[int, int]:
    opened = {}
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            opened[pid] = os.pidfd_open(pid)
    return opened


def _await_end(watched: dict[int, int], patience: float) -> None:
    """Wait until the processes have ended, and forget those that have."""
    deadline = time.monotonic() + patience
    while watched and (left := deadline - time.monotonic()) > 0:
        by_fd = {fd: pid for pid, fd in watched.items()}
        ended, _, _ = select.select(list(by_fd), [], [], left)
        for fd in ended:
            os.close(watched.pop(by_fd[fd]))
