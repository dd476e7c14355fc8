# SPDX-License-Identifier: Apache-2.0
"""A process that makes and removes leases, killed with SIGKILL: whatever it told is so, nothing is
given twice, and nothing leaks."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sixlane.pods import Lease
from sixlane.pods.ipam import NothingFree
from sixlane.pods.leases import Leases
from tests import needs
from tests.netns import killing
from tests.unit.pods.networks import DUAL, DUAL_ROOM, USUAL, asked

# It forks for each line, as Python takes half a second to start. A line is a path and what a child
# is to do with the leases there: "add NAME", "ready NAME", "remove NAME", in a row; or "any SEED":
# such as long as it lives.
WRITER = """
import os, random, signal, sys
from pathlib import Path
from sixlane.pods.ipam import NothingFree
from sixlane.pods.leases import Leases
from tests.unit.pods.networks import DUAL, USUAL, asked

def tell(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def do(leases, verb, name):
    tell("begin", verb, name)
    told = []
    if verb == "add":
        try:
            lease = leases.add(asked(name), DUAL, USUAL)
            told = [*lease.addresses, lease.egress]
        except NothingFree:
            pass
    elif verb == "remove":
        leases.remove(asked(name).attachment)
    elif leases.of(asked(name).attachment):
        leases.ready(asked(name).attachment)
    tell("done", verb, name, *told)

def work(path, *orders):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    tell("child", os.getpid())
    signal.sigwait([signal.SIGUSR1])
    leases = Leases(Path(path))
    leases._database._db.execute("PRAGMA wal_autocheckpoint = 8")  # the log starts over often
    if orders[0] == "any":
        rng = random.Random(int(orders[1]))
        while True:
            do(leases, rng.choice(("add", "add", "ready", "remove")), rng.randrange(16))
    for verb, name in zip(orders[::2], orders[1::2]):
        do(leases, verb, name)

for line in sys.stdin:
    if os.fork() == 0:
        work(*line.split())
        os._exit(0)
    os.wait()
    tell("ended")
"""


@dataclass
class Told:
    """What writers told of one file, over all rounds. `begun`: the last, if it was not done."""

    there: dict[str, list[str]] = field(default_factory=dict)
    begun: tuple[str, str] = ("", "")

    def hear(self, line: str) -> None:
        match line.split():
            case ["begin", verb, name]:
                self.begun = verb, name
            case ["done", verb, name, *addresses]:
                if addresses:
                    assert self.there.setdefault(name, addresses) == addresses, "one lease each"
                if verb == "remove":
                    self.there.pop(name, None)
                self.begun = "", ""

    def compare(self, path: Path) -> None:
        """What is in the file is what was told, but for what was not told to its end."""
        with reopened(path) as leases:
            every = leases.all()
        found = {lease.netns.removeprefix("/run/netns/"): shown(lease) for lease in every}
        verb, name = self.begun
        if verb == "add" and name in found:
            self.there.setdefault(name, found[name])
        if verb == "remove" and name not in found:
            self.there.pop(name, None)
        assert found == self.there
        given = [address for addresses in found.values() for address in addresses]
        assert len(set(given)) == len(given)
        self.begun = "", ""


def shown(lease: Lease) -> list[str]:
    return [*map(str, lease.addresses), str(lease.egress)]


@contextmanager
def reopened(path: Path) -> Iterator[Leases]:
    leases = Leases(path)
    try:
        yield leases
    finally:
        leases.close()


def check_that_nothing_leaked(path: Path) -> None:
    """Each place that nobody has can be had."""
    with reopened(path) as leases:
        room = DUAL_ROOM - len(leases.all())
        for name in range(room):
            leases.add(asked(f"probe-{name}"), DUAL, USUAL)
        with pytest.raises(NothingFree):
            leases.add(asked("one too many"), DUAL, USUAL)
        for name in range(room):
            leases.remove(asked(f"probe-{name}").attachment)


class Writer:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    @contextmanager
    def child(self, told: Told, path: Path, *orders: object) -> Iterator[int]:
        """One that waits until `go`; in the end it is dead, and `told` has heard it out."""
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        print(path, *orders, file=process.stdin, flush=True)
        word, pid = process.stdout.readline().split()
        assert word == "child"
        try:
            yield int(pid)
        finally:
            for line in iter(process.stdout.readline, "ended\n"):
                assert line, "the writer itself has ended"
                told.hear(line)


def go(child: int) -> None:
    os.kill(child, signal.SIGUSR1)


def go_to_its_end(child: int) -> None:
    go(child)
    while Path(f"/proc/{child}").exists():
        time.sleep(0.005)


@pytest.fixture
def writer() -> Iterator[Writer]:
    argv = [sys.executable, "-c", WRITER]
    with subprocess.Popen(argv, stdin=-1, stdout=-1, text=True) as process:
        yield Writer(process)


def test_killed_at_any_time(writer: Writer, tmp_path: Path) -> None:
    path, told, rng = tmp_path / "leases.db", Told(), random.Random(64)
    for seed in range(60):
        with writer.child(told, path, "any", seed) as child:
            go(child)
            time.sleep(rng.uniform(0, 0.04))
            os.kill(child, signal.SIGKILL)
        told.compare(path)
        if seed % 10 == 9:
            check_that_nothing_leaked(path)
    assert told.there


ORDERS = "add 1 add 2 add 3 remove 2 ready 3 add 4 remove 1 add 5 remove 5 add 2"


def kill_at_steps(writer: Writer, tmp_path: Path, every: int) -> None:
    """At each step, or each second one and so on."""
    recorded, scratch = tmp_path / "recorded.db", tmp_path / "strace"
    with writer.child(Told(), recorded, ORDERS) as child:
        steps = killing.steps(child, lambda: go_to_its_end(child), scratch)
    assert len(steps) > 60
    for number, step in enumerate(steps[::every]):
        path, told = tmp_path / f"leases-{number}.db", Told()
        with writer.child(told, path, ORDERS) as child, killing.killed_at(child, step, scratch):
            go_to_its_end(child)
        told.compare(path)
        check_that_nothing_leaked(path)


@needs.command("strace")
def test_killed_at_some_steps(writer: Writer, tmp_path: Path) -> None:
    kill_at_steps(writer, tmp_path, 8)


@pytest.mark.sweep
@needs.command("strace")
def test_killed_at_each_step(writer: Writer, tmp_path: Path) -> None:
    kill_at_steps(writer, tmp_path, 1)
