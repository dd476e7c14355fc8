# SPDX-License-Identifier: Apache-2.0
"""Everything that is measured, in one run and one file.

    python -m bench [--rounds N] [--seconds S] [--out FILE] [--quick]

Nanoseconds a packet (bench.packet, bench.crowds, bench.services), tables of services (bench.rings),
packets a second (bench.live), traffic through three namespaces beside plain forwarding and others
(bench.forward), requests to a service beside nftables (bench.requests), and pod to pod beside the
reference plugins (bench.pods). Needs root.
"""

import argparse
import os
from contextlib import ExitStack
from pathlib import Path

from bench import alone, crowds, forward, live, netperf, packet, pods, requests, rings, services
from bench.apart import go_apart
from bench.report import about, write
from bench.rows import table

_LEAST_ROUNDS = 15


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--rounds", type=int, default=_LEAST_ROUNDS)
    options.add_argument("--seconds", type=int, default=2, help="for each single run of traffic")
    options.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)))
    options.add_argument("--out", type=Path, default=Path("bench.json"), help="the file")
    options.add_argument(
        "--quick", action="store_true", help="3 rounds of 1 s: to see that it runs"
    )
    given = options.parse_args()
    netperf.get()  # while there is a network to get it from
    go_apart("bench")
    rounds, seconds = (3, 1) if given.quick else (given.rounds, given.seconds)
    everywhere = os.sched_getaffinity(0)
    measured = []
    for part in (packet, crowds, services, rings, live):
        with ExitStack() as stack:
            measured += part.rows(stack, rounds, given.cpu)
    os.sched_setaffinity(0, everywhere)
    with ExitStack() as stack:
        measured += forward.rows(stack, rounds, seconds)
    with ExitStack() as stack:
        measured += requests.rows(stack, rounds, seconds)
    with ExitStack() as stack:
        measured += pods.rows(stack, rounds, pods.SECONDS)
    settings = {**alone.settings(rounds, seconds), "CPU of single packets": str(given.cpu)}
    write(given.out, measured, settings)
    for name, value in {**about(), **settings}.items():
        print(f"{name}: {value}")
    for line in table(measured):
        print(line)
    print(f"written to {given.out}: sixlane bench compare takes two of those")


if __name__ == "__main__":
    main()
