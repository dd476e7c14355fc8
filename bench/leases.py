# SPDX-License-Identifier: Apache-2.0
"""How long it takes to lease an address, with none and with 10,000 leases: what of an ADD is ours.

    python -m bench.leases [--directory DIRECTORY] [--rounds N]

The directory is on the disk that is to be measured; left out: where the state of sixlane is.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sixlane.model import Network, parse_resource
from sixlane.pods import Asked, Attachment, Usual
from sixlane.pods.leases import Leases

MANY = 10_000
_USUAL = Usual("veth", 1500)
_POOL = ["2001:db8:64:1::/64", "10.64.0.0/16"]
_EGRESS = {"ipv4": ["11.64.0.0/16"]}


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--directory", type=Path, default=Path("/var/lib"))
    options.add_argument("--rounds", type=int, default=500)
    given = options.parse_args()
    print(f"{'milliseconds':44} {'median':>8} {'90 %':>8} {'max':>8}")
    for what, network in (("/64", _network(_POOL[:1])), ("/64, IPv4 and egress", _dual())):
        with tempfile.TemporaryDirectory(dir=given.directory) as directory:
            leases = Leases(Path(directory) / "leases.db")
            _measure(f"{what}, no leases", leases, network, given.rounds)
            _fill(leases, network)
            _measure(f"{what}, {MANY:,} leases", leases, network, given.rounds)
            leases.close()
    with tempfile.TemporaryDirectory(dir=given.directory) as directory:
        _measure_sync(Path(directory) / "file", given.rounds)


def _network(ranges: list[str], **spec: object) -> Network:
    pools = [{"name": "default", "ranges": ranges}]
    made = parse_resource(
        {
            "apiVersion": "sixlane.dev/v1alpha1",
            "kind": "Network",
            "metadata": {"name": "pods"},
            "spec": {"pools": pools, **spec},
        }
    )
    assert isinstance(made, Network)
    return made


def _dual() -> Network:
    return _network(_POOL, statelessEgress=_EGRESS)


def _measure(what: str, leases: Leases, network: Network, rounds: int) -> None:
    def attachment(at: int) -> Attachment:
        return Attachment(f"{what}-{at}", "eth0")

    def add(at: int) -> object:
        return leases.add(Asked(attachment(at), "/run/netns/pod"), network, _USUAL)

    _time(f"{what}: add", add, rounds)
    _time(f"{what}: add again", add, rounds)
    _time(f"{what}: ready", lambda at: leases.ready(attachment(at)), rounds)
    _time(f"{what}: remove", lambda at: leases.remove(attachment(at)), rounds)


def _measure_sync(path: Path, rounds: int) -> None:
    """What the disk takes for the least that is written at all."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def write(at: int) -> None:
        os.pwrite(descriptor, b"\xa5" * 4096, 4096 * at)
        os.fdatasync(descriptor)

    _time("a page and fdatasync alone", write, rounds)
    os.close(descriptor)


def _time(what: str, work: Callable[[int], object], rounds: int) -> None:
    took = []
    for at in range(rounds):
        before = time.perf_counter()
        work(at)
        took.append(1000 * (time.perf_counter() - before))
    ninety = statistics.quantiles(took, n=10)[-1]
    print(f"{what:44} {statistics.median(took):8.2f} {ninety:8.2f} {max(took):8.2f}")


def _fill(leases: Leases, network: Network) -> None:
    """Without waiting for the disk each time."""
    db = leases._database._db
    db.execute("PRAGMA synchronous = OFF")
    for at in range(MANY):
        leases.add(Asked(Attachment(f"many-{at}", "eth0"), "/run/netns/pod"), network, _USUAL)
    db.execute("PRAGMA synchronous = FULL")


if __name__ == "__main__":
    main()
