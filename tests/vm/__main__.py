# SPDX-License-Identifier: Apache-2.0
"""Tests on Debian's kernels, under QEMU: `make test-vm`.

    python -m tests.vm [test] [--kernel SERIES] [-- PYTEST...]
    python -m tests.vm load [--kernel SERIES]

`test` runs what PLAN says, or with arguments for pytest those alone. `load` only loads the programs
and tells their sizes. Each with the objects of either compiler; a test that skips has failed.
"""

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.vm import guest, kernels
from tests.vm.errors import Failed

ROOT = Path(__file__).resolve().parents[2]
COMPILERS = ("clang", "clang-19")
"""Debian 12's own, and the newest that it has."""

_LOAD = ("-m", "sixlane.datapath.sizes")
_PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=600")
_LIMIT_S = 1800

PROGRAMS = ("tests/prog", "--ignore=tests/prog/test_digests.py")
"""One packet at a time. What changes a map's digest is asked of the compiler, not of a kernel."""
TRAFFIC = (
    "tests/netns/test_big_tcp.py",
    "tests/netns/test_offloads.py",
    "tests/netns/test_order.py",
    "tests/netns/test_small_links.py",
)
PLAN = {
    "6.12": {"clang": (*PROGRAMS, *TRAFFIC), "clang-19": ("tests/prog/test_pipeline.py",)},
    "6.1": {"clang": PROGRAMS, "clang-19": ("tests/prog/test_pipeline.py",)},
}
"""What pytest is given, for each kernel and compiler; all of them load."""


@dataclass(frozen=True)
class Job:
    """Commands for one guest, each with the objects that it uses."""

    series: str
    commands: tuple[tuple[str, Path, tuple[str, ...]], ...]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.vm", description=__doc__.split("\n")[0])
    parser.add_argument("what", nargs="?", choices=("test", "load"), default="test")
    parser.add_argument("--kernel", choices=kernels.SERIES, action="append")
    parser.add_argument("pytest", nargs="*", metavar="PYTEST", help="tests and options instead")
    asked = parser.parse_args()
    try:
        objects = {compiler: _built(compiler) for compiler in COMPILERS}
        jobs = [
            _job(series, asked.what, objects, asked.pytest)
            for series in asked.kernel or kernels.SERIES
        ]
        return asyncio.run(_all(jobs))
    except Failed as error:
        print(f"vm: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("vm: interrupted", file=sys.stderr)
        return 130


def _built(compiler: str) -> Path:
    """The objects of one compiler, in a directory of their own."""
    if shutil.which(compiler) is None:
        raise Failed(f"{compiler} is missing (packaging/install-deps vm)")
    directory = ROOT / "build" / compiler
    command = ["make", "--silent", "-C", f"{ROOT}/bpf", f"CLANG={compiler}", f"BUILD={directory}"]
    if subprocess.run(command, check=False).returncode != 0:
        raise Failed(f"{compiler} does not build the data path")
    return directory


def _job(series: str, what: str, objects: dict[str, Path], asked: Sequence[str]) -> Job:
    commands = []
    for compiler, directory in objects.items():
        commands.append((compiler, directory, _LOAD))
        if what == "test":
            chosen = tuple(asked) or PLAN[series][compiler]
            commands.append((compiler, directory, (*_PYTEST, *chosen)))
    return Job(series, tuple(commands))


async def _all(jobs: list[Job]) -> int:
    """All guests at once, a core each; 0 if all of them succeeded."""
    cpus = max(1, (os.cpu_count() or 1) // len(jobs))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_one(job, cpus)) for job in jobs]
    return max(task.result() for task in tasks)


async def _one(job: Job, cpus: int) -> int:
    def say(line: str) -> None:
        print(f"{job.series}: {line}", flush=True)

    kernel = kernels.get(job.series)
    worst = 0
    try:
        async with guest.started(kernel, cpus, say) as machine:
            for compiler, directory, command in job.commands:
                started = time.monotonic()
                argv = ["env", f"SIXLANE_OBJECTS={directory}", "SIXLANE_NO_SKIPS=1"]
                argv += [f"PYTHONPATH={ROOT / 'src'}", sys.executable, *command]
                status = await machine.run(argv, cwd=ROOT, timeout_s=_LIMIT_S)
                took = time.monotonic() - started
                say(f"Linux {kernel.release}, {compiler}: {command[1]}: {status} ({took:.0f} s)")
                worst = max(worst, status)
    except Failed as error:
        say(str(error))
        return 1
    return worst


if __name__ == "__main__":
    sys.exit(main())
