# SPDX-License-Identifier: Apache-2.0
"""Compares data path and reference on very many packets, on each CPU one process.

    python -m tests.fuzz [--packets N] [--minutes N] [--seed N] [--jobs N]
    python -m tests.fuzz --collect

Ends at the first difference: the packet is printed, made smaller and kept among the failures in
tests/diff/corpus, which tests/diff and later runs try again. --collect makes the corpus anew. One
batch of five is of packets to a service's frontends (called.py), or to and from one that is
translated (turning.py), of which none is kept.
"""

import argparse
import multiprocessing
import os
import sys
import time
from multiprocessing.queues import Queue

from tests.fuzz import corpus
from tests.fuzz.batches import BATCH, configuration_of
from tests.fuzz.working import Found, Told, work

_PACKETS = 10_000_000
_PROGRESS_S = 10


def _report(seed: int, found: Found) -> None:
    number, difference = configuration_of(found.batch), found.difference
    print(f"seed {seed}, batch {found.batch}, configuration {number}, {difference.entry}:")
    print(difference.told)
    remark = f"seed {seed}, batch {found.batch}, {difference.entry}"
    for packet in found.packets:
        path = corpus.keep_failure(corpus.Kept(number, packet), remark)
        print(f"smaller: {number} {packet.hex()}\nkept in {path}")


def _run(seed: int, packets: int, minutes: float, cpus: list[int]) -> int:
    context = multiprocessing.get_context("spawn")
    told: Queue[Told] = context.Queue()
    batches = -(-packets // BATCH)
    workers = [
        context.Process(target=work, args=(seed, first, len(cpus), batches, cpu, told))
        for first, cpu in enumerate(cpus)
    ]
    for worker in workers:
        worker.start()
    try:
        return _listen(seed, packets, time.monotonic() + minutes * 60, len(workers), told)
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()


def _listen(seed: int, packets: int, deadline: float, working: int, told: "Queue[Told]") -> int:
    began = shown = time.monotonic()
    done = 0
    while working and time.monotonic() < deadline:
        heard = told.get()
        if isinstance(heard, Found):
            _report(seed, heard)
            return 1
        if isinstance(heard, str):
            print(f"a worker gave up: {heard}", file=sys.stderr)
            return 1
        done += heard
        working -= heard == 0
        now = time.monotonic()
        if now - shown >= _PROGRESS_S:
            shown = now
            print(f"{done:,} of {packets:,} packets, {done / (now - began):,.0f}/s", flush=True)
    rate = done / (time.monotonic() - began)
    print(f"{done:,} packets through both entries agree, {rate:,.0f}/s, seed {seed}")
    return 0


def main() -> int:
    cpus = sorted(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--packets", type=int, default=_PACKETS)
    parser.add_argument("--minutes", type=float, default=24 * 60, help="end then at the latest")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=len(cpus))
    parser.add_argument("--collect", action="store_true", help="make the corpus anew, and no more")
    asked = parser.parse_args()
    if asked.collect:
        corpus.write(corpus.collect())
        return 0
    return _run(asked.seed, asked.packets, asked.minutes, cpus[: asked.jobs])


if __name__ == "__main__":
    sys.exit(main())
