# SPDX-License-Identifier: Apache-2.0
"""A benchmark of network namespaces by itself: its options, and what becomes of its figures."""

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from bench import loads
from bench.apart import go_apart
from bench.ends import CLIENT_CPU, SERVER_CPU
from bench.report import write
from bench.rows import Row, table
from sixlane.errors import SixlaneError
from tests.vm.errors import Failed


def options(document: str | None, rounds: int, seconds: int) -> argparse.ArgumentParser:
    """`document`: the module's, whose first line says what it measures; the others: the usual."""
    parser = argparse.ArgumentParser(description=(document or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--seconds", type=int, default=seconds, help="for each single run")
    parser.add_argument("--out", type=Path, help="a file for all values")
    return parser


def run(
    name: str,
    given: argparse.Namespace,
    measure: Callable[[ExitStack], list[Row]],
    fetch: Callable[[], object] = lambda: None,
) -> None:
    """Prints what is measured apart from the machine, and writes it if that is asked for. `fetch`:
    gets what it needs, while there is a network to get it from."""
    try:
        fetch()
        go_apart(name)
        with ExitStack() as stack:
            measured = measure(stack)
    except (Failed, SixlaneError) as error:
        sys.exit(f"{name}: {error}")
    behind = settings(given.rounds, given.seconds)
    for line in (*(f"{key}: {value}" for key, value in behind.items()), *table(measured)):
        print(line)
    if given.out is not None:
        write(given.out, measured, behind)


def settings(rounds: int, seconds: int) -> dict[str, str]:
    """What the figures depend on."""
    return {
        "kernel": os.uname().release,
        "rounds": f"{rounds}, of {seconds} s for each run",
        "CPUs": f"server {SERVER_CPU}, client {CLIENT_CPU}, of {os.cpu_count()}",
        "TCP": loads.CONGESTION_CONTROL,
        "window of a stream": loads.WINDOW,
    }
