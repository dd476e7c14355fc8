# SPDX-License-Identifier: Apache-2.0
"""Every test runs apart from the machine, and fails if it leaves something behind.

Run as root, the session gets a mount namespace with a /run/netns and a /sys/fs/bpf of its own: it
neither sees nor leaves namespaces and pins on the machine, and whatever appears there is its doing.
"""

import gc
import os
import signal
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import world
from tests.apart import leave_the_machine
from tests.stock import is_stock

pytest_plugins = ["pytester"]  # for the test of this file's own checks

_PATIENCE_S = 2.0  # how long what is being closed may take to go
_STOCK = 8  # data paths that were loaded for a test and wait for another


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--skips-only",
        action="append",
        metavar="REASON",
        help="tests may skip for this reason, and fail if they skip for any other",
    )
    parser.addoption(
        "--one-of-each",
        action="store_true",
        help="of the cases of a test only one: another one of each next test",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is much the same on each machine, need not be seen in all its cases on a slow one."""
    if not config.getoption("--one-of-each"):
        return
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    kept = {found[number % len(found)] for number, found in enumerate(cases.values())}
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """On a machine that is known to have all that is needed, a skip hides a fault."""
    report = yield
    allowed = item.config.getoption("--skips-only")
    if allowed is not None and report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if reason not in allowed:
            report.outcome = "failed"
            report.longrepr = f"skipped, where that is a failure: {reason}"
    return report


def pytest_sessionstart(session: pytest.Session) -> None:
    """Leaves the machine's mounts, while there is but one thread to leave with.

    A shell starts what is in its background deaf to Ctrl-C, and programs pass that on; tests that
    interrupt others must not depend on where they run.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.geteuid() != 0 or session.config.option.collectonly:
        return
    leave_the_machine()
    world.stock.kept = _STOCK


@dataclass(frozen=True)
class _Traces:
    """What a test may leave behind."""

    descriptors: frozenset[str]
    children: frozenset[str]
    namespaces: frozenset[str]
    pins: frozenset[str]

    @classmethod
    def observe(cls) -> "_Traces":
        mounts = [
            line.split(" - ") for line in Path("/proc/self/mountinfo").read_text().splitlines()
        ]
        kinds = [(left.split()[4], right.split()[0]) for left, right in mounts]
        return cls(
            descriptors=frozenset(_descriptors()),
            children=frozenset(_children()),
            namespaces=frozenset(at for at, kind in kinds if kind == "nsfs")
            | frozenset(str(path) for path in Path("/run/netns").glob("*")),
            pins=frozenset(
                str(path)
                for at, kind in kinds
                if kind == "bpf"
                for path in Path(at).rglob("*")
                if not is_stock(path)
            ),
        )

    def beyond(self, before: "_Traces") -> list[str]:
        return [
            *(f"file descriptor {name}" for name in sorted(self.descriptors - before.descriptors)),
            *(f"process {name}" for name in sorted(self.children - before.children)),
            *(f"network namespace {name}" for name in sorted(self.namespaces - before.namespaces)),
            *(f"pin {name}" for name in sorted(self.pins - before.pins)),
        ]


def _descriptors() -> Iterator[str]:
    for number in os.listdir("/proc/self/fd"):
        try:
            yield f"{number} ({os.readlink(f'/proc/self/fd/{number}')})"
        except FileNotFoundError:  # the one that listed the directory
            continue


def _children() -> Iterator[str]:
    for task in Path("/proc/self/task").iterdir():
        try:
            children = (task / "children").read_text().split()
        except (FileNotFoundError, ProcessLookupError):  # a thread that has ended since
            continue
        for pid in children:
            try:
                yield f"{pid} ({Path('/proc', pid, 'comm').read_text().strip()})"
            except (FileNotFoundError, ProcessLookupError):  # ended since
                continue


@contextmanager
def _nothing_left_behind() -> Iterator[None]:
    before = _Traces.observe()
    yield
    deadline = time.monotonic() + _PATIENCE_S
    while left := _Traces.observe().beyond(before):
        if time.monotonic() > deadline:
            pytest.fail("left behind: " + ", ".join(left), pytrace=False)
        gc.collect()
        time.sleep(0.05)


@pytest.fixture(scope="session")
def leak_check() -> Callable[[], AbstractContextManager[None]]:
    """A context that fails if something is left after it that was not there before."""
    return _nothing_left_behind


@pytest.fixture(autouse=True)
def leaves_nothing_behind(
    leak_check: Callable[[], AbstractContextManager[None]],
) -> Iterator[None]:
    """Fails a test after which a descriptor, a process, a namespace or a pin is left.

    What fixtures of a wider scope hold is there before, and so is not counted. A module whose tests
    share what they change has a fixture of this name and its own scope.
    """
    with leak_check():
        yield
