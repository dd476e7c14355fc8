# SPDX-License-Identifier: Apache-2.0
"""Two network namespaces of which one asks the other, and the programs in them."""

import subprocess
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_interface
from pathlib import Path

from sixlane.lab import programs
from sixlane.net import address as net_address
from sixlane.net import link, netns, sysctl

SERVER_CPU, CLIENT_CPU = 0, 1
_LISTEN = "0A"
_PATIENCE_S = 10.0


@dataclass
class Ends:
    """The namespaces of client and server. `called`: the server's address, as the client knows it.
    Programs that are kept running in them end with `stack`."""

    client: str
    server: str
    called: str
    stack: ExitStack

    def keep(self, namespace: str, *argv: str, ready: str = "") -> int:
        """Starts a program that goes on; its process id once it has printed `ready`."""
        log = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="sixlane-bench-")))
        pid = programs.start(argv, log=log / "log", ready=ready, namespace=namespace)
        self.stack.callback(programs.end_all, [pid])
        return pid

    def serve(self, port: int, *argv: str) -> None:
        """Keeps a program on the server until the end; returns when it listens to that port."""
        self.keep(self.server, *on_cpu(SERVER_CPU, *argv))
        deadline = time.monotonic() + _PATIENCE_S
        with netns.inside(self.server):
            while not _listens(port):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{argv[0]} does not listen at port {port}")
                time.sleep(0.02)

    def call(self, *argv: str, timeout_s: float) -> str:
        """What a program prints that the client runs to its end."""
        return netns.run(self.client, on_cpu(CLIENT_CPU, *argv), timeout=timeout_s).stdout


def on_cpu(cpu: int, *argv: str) -> tuple[str, ...]:
    """The command that runs another one on that CPU alone, with the same process id."""
    return ("taskset", "--cpu-list", str(cpu), *argv)


def raise_namespace(stack: ExitStack, name: str) -> None:
    """One that goes with `stack`, for flows that are all alike."""
    netns.create(name)
    stack.callback(netns.remove, name, missing_ok=True)
    with netns.inside(name):
        sysctl.set("net.ipv6.conf.default.accept_dad", "0")
        sysctl.set("net.ipv4.tcp_no_metrics_save", "1")  # each flow begins as the first one
        link.set_up("lo")


def forward(namespace: str) -> None:
    """Makes it a router."""
    with netns.inside(namespace):
        sysctl.set("net.ipv4.ip_forward", "1")
        sysctl.set("net.ipv6.conf.all.forwarding", "1")


def add_addresses(namespace: str, device: str, *addresses: str) -> None:
    with netns.inside(namespace):
        for address in addresses:
            net_address.add(device, ip_interface(address))


def compile_c(source: Path, directory: Path) -> Path:
    """The program, made in `directory`."""
    compiled = directory / source.stem
    subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-o", compiled, source], check=True)
    return compiled


def _listens(port: int) -> bool:
    for name in ("tcp", "tcp6"):
        for line in Path("/proc/thread-self/net", name).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if state == _LISTEN and int(local.rpartition(":")[2], 16) == port:
                return True
    return False
