# SPDX-License-Identifier: Apache-2.0
"""Plants each fault of `planted.py` in the data path and runs the tests until one fails.

    python -m tests.mutants [--list] [--jobs N] [--seeds N] [NAME...]

NAME: a mutant, or shell patterns of names. First the data path as it is must pass. A mutant that
no test fails on has survived: a test is missing. Exits with 1 if one did, or could not be used.
"""

import argparse
import fnmatch
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.mutants.build import ROOT, Unusable, build, environment
from tests.mutants.planted import MUTANTS, Mutant

# Quick ones first.
_SUITES = (
    "tests/diff/test_edges.py",
    "tests/diff/test_fuzz.py",
    "tests/diff/test_datapath.py",
    "tests/prog",
)
# What hypothesis finds it may miss the next time. Binding and digests are not the data path's.
_NOT_THESE = (
    "--deselect=tests/diff/test_datapath.py::test_hypothesis",
    "--ignore=tests/prog/test_binding.py",
    "--ignore=tests/prog/test_digests.py",
)

_SEEDS = 400
"""Packets for each configuration and entry; `make test` runs more."""

_PASSED, _FAILED = 0, 1  # of pytest


@dataclass(frozen=True)
class Result:
    """`told`: the test that failed, or why the mutant is of no use."""

    outcome: Literal["caught", "SURVIVED", "UNUSABLE"]
    told: str
    seconds: float


def judge(mutant: Mutant | None, seeds: int) -> Result:
    """Builds one, and runs the tests until the first fails."""
    outcome: Literal["caught", "SURVIVED", "UNUSABLE"]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sixlane-mutant-") as directory:
        try:
            objects = build(mutant, Path(directory, "bpf"))
            first = mutant.first if mutant else ""
            failed = _failing(objects, Path(directory, "tests"), seeds, first)
            outcome, told = ("caught", failed) if failed else ("SURVIVED", "no test fails")
        except Unusable as why:
            outcome, told = "UNUSABLE", str(why)
    return Result(outcome, told, time.monotonic() - began)


def _failing(objects: Path, directory: Path, seeds: int, first: str) -> str | None:
    """The first test that fails, and fails again by itself: others were disturbed, not right."""
    failed = _first(objects, directory, seeds, first) if first else None
    if failed and _first(objects, directory, seeds, failed):
        return failed
    disturbed: list[str] = []
    while failed := _first(objects, directory, seeds, *_SUITES, *_NOT_THESE, *disturbed):
        if _first(objects, directory, seeds, failed):
            return failed
        disturbed.append(f"--deselect={failed}")
    return None


def _first(objects: Path, directory: Path, seeds: int, *arguments: str) -> str | None:
    command = [sys.executable, "-m", "pytest", "--exitfirst", "--quiet", "--tb=no"]
    ran = subprocess.run(
        [*command, "-p", "no:cacheprovider", f"--basetemp={directory}", *arguments],
        cwd=ROOT,
        env=environment(objects) | {"SEEDS": str(seeds)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ran.returncode == _PASSED:
        return None
    found = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", ran.stdout, re.MULTILINE)
    if ran.returncode != _FAILED or not found:
        raise Unusable(f"pytest gave up: {ran.stdout.strip().splitlines()[-1:]}")
    return found[1]


def _chosen(patterns: list[str]) -> list[Mutant]:
    chosen = [
        mutant
        for mutant in MUTANTS
        if not patterns or any(fnmatch.fnmatch(mutant.name, pattern) for pattern in patterns)
    ]
    if not chosen:
        sys.exit(f"no mutant is called {', '.join(patterns)}")
    return chosen


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--list", action="store_true", help="only tell of them")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=_SEEDS, help="packets a configuration")
    asked = parser.parse_args()
    chosen = _chosen(asked.names)
    if asked.list:
        for mutant in chosen:
            print(f"{mutant.name:24} {mutant.file:16} {mutant.breaks}")
        return 0

    sound = judge(None, asked.seeds)
    if sound.outcome != "SURVIVED":
        print(f"the data path without a fault: {sound.told}", file=sys.stderr)
        return 1
    print(f"without a fault all tests pass ({sound.seconds:.0f} s)", flush=True)

    outcomes: Counter[str] = Counter()
    with ThreadPoolExecutor(asked.jobs) as pool:
        waiting = {pool.submit(judge, mutant, asked.seeds): mutant for mutant in chosen}
        for number, done in enumerate(as_completed(waiting), 1):
            mutant, result = waiting[done], done.result()
            outcomes[result.outcome] += 1
            print(
                f"{number:3}/{len(chosen)} {result.outcome:8} {mutant.name:24}"
                f" {result.seconds:4.0f} s  {result.told}",
                flush=True,
            )
    print(", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())))
    return 0 if outcomes["caught"] == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
