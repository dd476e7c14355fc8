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
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from bench.apart import go_apart
from sixlane.client import Client, Unreachable

RANGES = 100_000
MAPPINGS = 10_000
SERVICES = 10_000
BACKENDS = 10  # of each
_START_S = 30.0

Data = dict[str, Any]


@dataclass(frozen=True)
class _Agent:
    directory: Path
    socket: Path
    pid: int

    @property
    def client(self) -> Client:
        return Client(str(self.socket))

    def apply(self, file: Path) -> None:
        """By the command."""
        options = ("--socket", str(self.socket), "apply", "-f", str(file))
        command = [sys.executable, "-m", "sixlane.cli.main", *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def most_bytes(self) -> int:
        """That it has had in memory at once."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
        raise ProcessLookupError(self.pid)


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--rounds", type=int, default=7)
    given = options.parse_args()
    go_apart("bench.apply")
    _prepare()
    print(f"{'milliseconds':54} {'median':>8} {'min':>8} {'max':>8}")
    with _agent() as agent:
        _measure(agent, given.rounds)
    with _agent() as agent:
        _measure_services(agent, given.rounds)
        print(f"most memory of the agent of services: {agent.most_bytes() >> 20} MiB")


def _measure(agent: _Agent, rounds: int) -> None:
    client = agent.client

    def put(*others: Data) -> None:
        client.put(_gateway(_small(0), *others))

    def small(number: int) -> None:
        client.put_prefix("edge", _small(number))

    def file(name: str, prefix: Data) -> Callable[[], None]:
        path = agent.directory / name
        path.write_text(yaml.safe_dump(_gateway(_small(0), prefix)))
        return partial(agent.apply, path)

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


def _measure_services(agent: _Agent, rounds: int) -> None:
    """All of them are new each time."""
    client = agent.client
    room = {"services": SERVICES, "backends": SERVICES * BACKENDS, "ringEntries": 1 << 24}
    gateway = _gateway(_small(0))
    gateway["spec"]["loadBalancer"] = {"max": room}
    client.put(gateway)
    services = _services()
    file = agent.directory / "services.yaml"
    file.write_text(yaml.safe_dump_all(services))
    everything = f"{SERVICES:,} services of {BACKENDS} backends"

    def gone() -> None:
        client.transaction([gateway], prune=True)

    def weight(number: int) -> None:
        client.patch_backend("s5000", _backend(5000, 0), {"weight": 2 + number})

    _told(f"transaction, {everything}", [partial(client.transaction, services)] * rounds, gone)
    agent.apply(file)
    _told("  one weight changed among them", [partial(weight, n) for n in range(rounds)])
    gone()
    _told(f"sixlane apply -f, {everything}", [partial(agent.apply, file)] * rounds, gone)


def _told(
    what: str, changes: Sequence[Callable[[], object]], undo: Callable[[], None] = lambda: None
) -> None:
    times_ms = []
    for change in changes:
        start = time.perf_counter()
        change()
        times_ms.append((time.perf_counter() - start) * 1000)
        undo()
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


def _services() -> list[Data]:
    return [
        {
            "apiVersion": "sixlane.dev/v1alpha1",
            "kind": "Service",
            "metadata": {"name": f"s{number}"},
            "spec": {
                "frontends": [{"address": f"10.{number >> 8}.{number & 255}.1", "port": 80}],
                "backends": [{"address": _backend(number, at)} for at in range(BACKENDS)],
            },
        }
        for number in range(SERVICES)
    ]


def _backend(service: int, at: int) -> str:
    return f"2001:db8:5:{service:x}::{at + 1:x}"


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
def _agent() -> Iterator[_Agent]:
    """One that answers. What it leaves in force is adopted by the next."""
    with ExitStack() as stack:
        directory = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(dir="/var/tmp", prefix="sixlane-bench-")
            )
        )
        socket, log = directory / "api.sock", directory / "log"
        options = (
            f"--socket={socket}",
            "--bpffs=/sys/fs/bpf/sixlane",
            f"--state-dir={directory}/state",
            f"--run-dir={directory}/run",
        )
        argv = [sys.executable, "-m", "sixlane.api.main", *options]
        with log.open("wb") as output:
            process = stack.enter_context(subprocess.Popen(argv, stdout=output, stderr=output))
        stack.callback(process.terminate)
        deadline = time.monotonic() + _START_S
        while not _answers(socket):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(log.read_text())
            time.sleep(0.05)
        yield _Agent(directory, socket, process.pid)


def _answers(socket: Path) -> bool:
    try:
        Client(str(socket)).status()
    except Unreachable:
        return False
    return True


if __name__ == "__main__":
    main()
