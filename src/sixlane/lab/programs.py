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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sixlane.errors import SixlaneError
from sixlane.lab.place import Place
from sixlane.net import netns

# Administration programs are found by whoever is root, and all speak the language that is parsed.
PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
_ENVIRONMENT = {**os.environ, "PATH": PATH, "LC_ALL": "C.UTF-8"}

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
    done = netns.run(None, argv, timeout=timeout, check=False, env=_ENVIRONMENT)
    seconds = time.monotonic() - start
    return Ran(shlex.join(argv), done.returncode, done.stdout, done.stderr, seconds)


def start(
    argv: Sequence[str],
    *,
    log: Path,
    ready: str,
    namespace: str | None = None,
    timeout: float = 30.0,
) -> int:
    """Start a program that goes on; its process id once its log says `ready`.

    `namespace` is only that of the network: the mounts are those of here, so that /sys/fs/bpf
    stays in sight. Raises `SixlaneError` with the end of the log if the program ends before it is
    ready, or is not after `timeout` seconds.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = netns.popen(
            namespace,
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_ENVIRONMENT,
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
        raise SixlaneError(f"{shlex.join(argv)}: {why}", f"{log} ends with:\n{_tail(log)}")
    return process.pid


@contextlib.contextmanager
def running(argv: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A program that runs beside the block; it is killed if it has not ended by then."""
    with netns.popen(
        None,
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_ENVIRONMENT,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def python(script: str | None) -> list[str]:
    """How to run a script of the lab that needs nothing but the standard library.

    -I makes it start fast, and read nothing from where it is started.
    """
    assert script is not None
    return [sys.executable, "-I", script]


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


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])


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
