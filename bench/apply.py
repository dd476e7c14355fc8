# SPDX-License-Identifier: Apache-2.0
"""How long an apply takes: from the request to the answer, when it is in force and on the disk.

    python -m bench.apply [--rounds N]

A real agent, in namespaces that end with this program and take all of it along; its state lies on
the disk below /var/tmp. Each round asks for something else, so that each is a change. Needs root.
"""

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from bench.apart import go_apart
from sixlane.client import Client, Unreachable

RANGES = 100_000
MAPPINGS = 10_000
_START_S = 30.0

Data = dict[str, Any]


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--rounds", type=int, default=7)
    given = options.parse_args()
    go_apart("bench.apply")
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="sixlane-bench-") as directory:
        _prepare()
        with _agent(Path(directory)) as socket:
            _measure(Client(str(socket)), socket, Path(directory), given.rounds)


def _measure(client: Client, socket: Path, directory: Path, rounds: int) -> None:
    print(f"{'milliseconds':54} {'median':>8} {'min':>8} {'max':>8}")

    def put(*others: Data) -> None:
        client.put(_gateway(_small(0), *others))

    def small(number: int) -> None:
        client.put_prefix("edge", _small(number))

    def file(name: str, prefix: Data) -> Callable[[], None]:
        path = directory / name
        path.write_text(yaml.safe_dump(_gateway(_small(0), prefix)))
        return lambda: _sixlane(socket, "apply", "-f", str(path))

    many_ranges = [_with_ranges(seed) for seed in range(rounds)]
    many_mappings = [_with_mappings(seed) for seed in range(rounds)]
    put()
    _told("one small prefix changed", [partial(small, n + 1) for n in range(rounds)])
    _told(f"PUT, {RANGES:,} source ranges", [partial(put, one) for one in many_ranges])
    _told("  one small prefix changed beside them", [partial(small, n + 1) for n in range(rounds)])
    _told(f"PUT, {MAPPINGS:,} mappings", [partial(put, one) for one in many_mappings])
    _told("  one small prefix changed beside them", [partial(small, n + 1) for n in range(rounds)])
    _told(
        "  one mapping added to them",
        [partial(client.put_eam, "edge", "large", _mapping(1 << 20 | n)) for n in range(rounds)],
    )
    _told(
        f"sixlane apply -f, {RANGES:,} source ranges",
        [file(f"ranges{n}.yaml", one) for n, one in enumerate(many_ranges)],
    )
    _told(
        f"sixlane apply -f, {MAPPINGS:,} mappings",
        [file(f"mappings{n}.yaml", one) for n, one in enumerate(many_mappings)],
    )


def _told(what: str, changes: Sequence[Callable[[], object]]) -> None:
    times_ms = []
    for change in changes:
        start = time.perf_counter()
        change()
        times_ms.append((time.perf_counter() - start) * 1000)
    print(
        f"{what:54} {statistics.median(times_ms):8.0f} {min(times_ms):8.0f} {max(times_ms):8.0f}",
        flush=True,
    )


# ---- what is asked for ----


def _gateway(*prefixes: Data) -> Data:
    return {
        "apiVersion": "sixlane.dev/v1alpha1",
        "kind": "Gateway",
        "metadata": {"name": "edge"},
        "spec": {"devices": [{"name": "wan0"}, {"name": "lan0"}], "prefixes": list(prefixes)},
    }


def _small(number: int) -> Data:
    """A prefix whose sources and served addresses differ by `number`."""
    return {
        "name": "small",
        "prefix": "2001:db8:1::/96",
        "ipv4": [f"192.175.48.{number}/32"],
        "loadBalancerSourceRanges": [f"192.31.196.{number}/32"],
    }


def _with_ranges(seed: int) -> Data:
    """Anywhere, of any length from /16 to /32: hardly two share a node of the trie."""
    rng = random.Random(seed)
    ranges = []
    for _ in range(RANGES):
        bits = rng.randrange(17)
        a = rng.getrandbits(32) >> bits << bits
        ranges.append(f"{a >> 24}.{a >> 16 & 255}.{a >> 8 & 255}.{a & 255}/{32 - bits}")
    return {
        "name": "large",
        "prefix": "2001:db8:2::/96",
        "ipv4": ["192.175.49.0/24"],
        "loadBalancerSourceRanges": ranges,
    }


def _with_mappings(seed: int) -> Data:
    rng = random.Random(seed)
    numbers = rng.sample(range(1 << 20), MAPPINGS)
    return {
        "name": "large",
        "prefix": "2001:db8:2::/96",
        "eam": [_mapping(number) for number in numbers],
    }


def _mapping(number: int) -> Data:
    ipv4 = f"100.{number >> 16}.{number >> 8 & 255}.{number & 255}"
    return {"ipv4": f"{ipv4}/32", "ipv6": f"2001:db8:3::{number >> 16:x}:{number & 0xFFFF:x}/128"}


# ---- where it happens ----


def _prepare() -> None:
    """Devices, in the namespaces that are this program's alone."""
    for command in (
        "ip link set lo up",
        "ip link add wan0 type veth peer name wan1",
        "ip link add lan0 type veth peer name lan1",
        "ip address add 192.31.196.1/24 dev wan0",
        "ip address add 2001:db8:64::1/64 dev lan0 nodad",
        *(f"ip link set {name} up" for name in ("wan0", "wan1", "lan0", "lan1")),
    ):
        subprocess.run(command.split(), check=True)


@contextmanager
def _agent(directory: Path) -> Iterator[Path]:
    """The path of its socket, once it answers."""
    socket = directory / "api.sock"
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "sixlane.api.main",
                f"--socket={socket}",
                "--bpffs=/sys/fs/bpf/sixlane",
                f"--state-dir={directory}/state",
                f"--run-dir={directory}/run",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + _START_S
        while not _answers(socket):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit((directory / "log").read_text())
            time.sleep(0.05)
        yield socket
    finally:
        process.terminate()
        process.wait()


def _answers(socket: Path) -> bool:
    try:
        Client(str(socket)).status()
    except Unreachable:
        return False
    return True


def _sixlane(socket: Path, *argv: str) -> None:
    command = [sys.executable, "-m", "sixlane.cli.main", "--socket", str(socket), *argv]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
