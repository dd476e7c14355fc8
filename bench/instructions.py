# SPDX-License-Identifier: Apache-2.0
"""How many instructions a transaction of one byte takes from a pod to another host: by veth, by
netkit, and from the node itself.

    python -m bench.instructions [--rounds N]

In an emulated machine whose clock counts instructions (tests/vm, by a kernel that has netkit),
so these are no times: caches, interrupts and other CPUs are not in them. One CPU has both ends.
They repeat within a percent, wherever they are taken. Needs root and `packaging/install-deps vm`.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from ipaddress import ip_address
from pathlib import Path

from bench import netperf
from bench.ends import add_addresses, forward, raise_namespace
from bench.rounds import measure
from bench.rows import Row, table
from sixlane.datapath.pods import Place, Pods
from sixlane.net import link, netns
from sixlane.pods import devices
from sixlane.pods.devices import Device
from sixlane.pods.pod import DeviceKind
from tests.netns import spaces
from tests.vm import guest, kernels, objects
from tests.vm.errors import Failed

HOST = "host"
KINDS: tuple[DeviceKind, ...] = ("veth", "netkit", "netkit-l2")
_KERNEL = "6.12"
_TRANSACTIONS = 2000
_LIMIT_S = 540
_FOREVER_S = 1e6  # by a clock that is none
_NODE, _FAR = "2001:db8::1", "2001:db8::2"
_PODS = "2001:db8:64::/64"


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.here:
        _measure(given.rounds)
        return
    try:
        netperf.get()  # while there is a network to get it from
        sys.exit(asyncio.run(_in_guest(given.rounds)))
    except Failed as error:
        sys.exit(f"bench.instructions: {error}")


async def _in_guest(rounds: int) -> int:
    say = partial(print, flush=True)
    async with guest.started(kernels.get(_KERNEL), 1, say, counts=True) as machine:
        print(f"Linux {machine.kernel.release}, emulated: instructions, not time", flush=True)
        path = f"PYTHONPATH={objects.ROOT}/src:{objects.ROOT}"
        home = f"HOME={Path.home()}"  # where netperf is kept
        argv = ["env", path, home, sys.executable, "-m", "bench.instructions", "--here"]
        return await machine.run(
            [*argv, f"--rounds={rounds}"], cwd=objects.ROOT, timeout_s=_LIMIT_S
        )


def _measure(rounds: int) -> None:
    program = str(netperf.get()["netperf"])
    with ExitStack() as stack:
        clients = stack.enter_context(_raised())
        stack.enter_context(_serving())
        found = measure(
            {name: partial(_instructions, space, program) for name, space in clients.items()},
            rounds,
        )
    rows = [
        Row(name, "instr.", "lower", None if name == HOST else HOST, found[name].values)
        for name in clients
    ]
    for line in table(rows):
        print(line)
    for name in clients:
        rate = found[HOST].median / found[name].median
        print(f"transactions by instructions, {name} to {HOST}: {rate:.3f}")


def _instructions(space: str, program: str) -> float:
    """The guest's clock goes on by a nanosecond with each."""
    where = ("-H", _FAR, "-t", "TCP_RR", "-l", f"-{_TRANSACTIONS}")
    argv = (program, "-P", "0", *where, "--", "-o", "transaction_rate")
    return 1e9 / float(netns.run(space, argv, timeout=_FOREVER_S).stdout)


@contextmanager
def _serving() -> Iterator[None]:
    server = netns.popen("far", (str(netperf.get()["netserver"]), "-D", "-6"))
    try:
        for _ in range(100):
            if netns.run("far", ("ss", "-Hltn", "sport", "=", "12865")).stdout:
                break
        yield
    finally:
        server.kill()
        server.wait()


@contextmanager
def _raised() -> Iterator[dict[str, str]]:
    """The node with a pod of each kind, and the other host; the clients' namespaces."""
    root = Path(f"/sys/fs/bpf/sixlane-bench-{os.getpid()}")
    with ExitStack() as stack:
        for name in ("node", "far", *KINDS):
            raise_namespace(stack, name)
        link.create_veth("up0", "up0", netns_a="node", netns_b="far", up=True)
        add_addresses("node", "up0", f"{_NODE}/64")
        add_addresses("far", "up0", f"{_FAR}/64")
        forward("node")
        with netns.inside("far"):
            spaces.command("ip", "route", "add", _PODS, "via", _NODE)
        with netns.inside("node"):
            pods = stack.enter_context(Pods.open(root))
            uplink = link.index("up0")
            pods.set_up(netns.cookie())
            pods.set_uplinks([uplink])
            pods.attach_uplink(uplink)
            for number, kind in enumerate(KINDS, 16):
                _add(pods, number, kind)
        yield {HOST: "node"} | {kind: kind for kind in KINDS}


def _add(pods: Pods, number: int, kind: DeviceKind) -> None:
    device = Device(
        f"sl{number:011x}",
        kind,
        str(netns.DIRECTORY / kind),
        "eth0",
        1500,
        (ip_address(f"2001:db8:64::{number:x}"),),
    )

    def attach(place: Place) -> None:
        pods.attach_pod(place.ifindex, netkit=kind != "veth")
        pods.put(device.all_addresses, place)

    devices.add(device, attach)


if __name__ == "__main__":
    main()
