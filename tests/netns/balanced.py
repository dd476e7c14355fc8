# SPDX-License-Identifier: Apache-2.0
"""A client, a gateway with an agent that balances, and two backends that serve pages and echo.

                  wan0 [gateway] lan0
                       |       |
    client ---------- core ---------- b1, b2

Everything goes through core, which knows only routes: answers of DSR straight to the client.
"""

import contextlib
import hashlib
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from sixlane.lab import echo, load, pages, programs
from sixlane.lab.pages import content
from sixlane.net import ethtool, netns
from tests.netns import spaces
from tests.netns.agents import Agent, eventually, link_hosts

CLIENT4, CLIENT6 = "192.31.196.10", "2001:db8:c::10"
VIP4, VIP6 = "192.175.48.200", "2001:db8:48::200"
POOL4, POOL6 = "10.2.0.0/30", "2001:db8:f::/120"
NAMES = ("b1", "b2")
BACKENDS4 = {"b1": "10.1.1.7", "b2": "10.1.2.7"}
BACKENDS6 = {"b1": "2001:db8:64:1::7", "b2": "2001:db8:64:2::7"}
UPLOAD_BYTES = 5_000_000
_CLIENT = {VIP4: CLIENT4, VIP6: CLIENT6}
_IN_URL = {VIP4: VIP4, VIP6: f"[{VIP6}]"}
_LINKS = (
    (
        "client",
        "c0",
        ["192.31.196.1/24", "2001:db8:c::1/64"],
        "eth0",
        [f"{CLIENT4}/24", f"{CLIENT6}/64"],
    ),
    (
        "gateway",
        "w0",
        ["10.0.0.1/24", "2001:db8:a::1/64"],
        "wan0",
        ["10.0.0.2/24", "2001:db8:a::2/64"],
    ),
    (
        "gateway",
        "l0",
        ["10.0.1.1/24", "2001:db8:b::1/64"],
        "lan0",
        ["10.0.1.2/24", "2001:db8:b::2/64"],
    ),
    (
        "b1",
        "b1",
        ["10.1.1.1/24", "2001:db8:64:1::1/64"],
        "eth0",
        [f"{BACKENDS4['b1']}/24", f"{BACKENDS6['b1']}/64"],
    ),
    (
        "b2",
        "b2",
        ["10.1.2.1/24", "2001:db8:64:2::1/64"],
        "eth0",
        [f"{BACKENDS4['b2']}/24", f"{BACKENDS6['b2']}/64"],
    ),
)
"""At core: to whom, by which device, with which addresses; and at the other end."""
_SMALL = {"services": 16, "backends": 64, "ringEntries": 131072, "flows": 4096, "natFlows": 4096}


@dataclass
class Balanced:
    """`hosts`: namespaces by name: client, core, gateway, b1, b2."""

    agent: Agent
    hosts: dict[str, str]
    servers: contextlib.ExitStack
    attach: str

    def pins(self, name: str) -> Path:
        return self.agent.bpffs.with_name(f"{self.agent.bpffs.name}-{name}")

    def run(self, host: str, *argv: str, check: bool = True) -> str:
        """What a program prints there."""
        done = netns.run(self.hosts[host], argv, check=False, timeout=30)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return str(done.stdout + done.stderr)

    def curl(self, url: str, *options: str, code: int = 0) -> str:
        argv = ["curl", "-sS", "--connect-timeout", "3", "--max-time", "15", *options, url]
        done = netns.run(self.hosts["client"], argv, check=False, timeout=20)
        assert done.returncode == code, f"{done.stdout}{done.stderr}\n{self.told()}"
        return str(done.stdout)

    def decap_up(self, *vips: str) -> None:
        for name in NAMES:
            self.decap(name, "up", "--device", "eth0", *(f"--vip={vip}" for vip in vips))

    def serve_echo(self, *vips: str) -> None:
        for name in NAMES:
            for number, vip in enumerate(vips):
                log = self.agent.directory / f"{name}-echo{number}"
                _serve(self.servers, self.hosts[name], [echo.__file__, "serve", vip], log)

    def decap(self, name: str, *argv: str) -> str:
        command = [sys.executable, "-m", "sixlane.cli.main", "decap", *argv]
        done = netns.run(
            self.hosts[name], [*command, "--bpffs", str(self.pins(name))], check=False, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return str(done.stdout)

    @contextlib.contextmanager
    def downloading(self, url: str) -> Iterator["Download"]:
        """The block begins when something has come, and ends when all has."""
        with tempfile.NamedTemporaryFile(prefix="sixlane-test-") as file:
            argv = ["curl", "-sS", "--max-time", "40", "-o", file.name, url]
            with netns.popen(
                self.hosts["client"], argv, stderr=subprocess.PIPE, text=True
            ) as process:
                try:
                    arrived = Path(file.name)
                    assert eventually(lambda: arrived.stat().st_size > 0), self.told()
                    download = Download(process)
                    yield download
                    errors = process.communicate(timeout=45)[1]
                    assert process.returncode == 0, errors + self.told()
                    download.received = arrived.read_bytes()
                finally:
                    process.kill()

    @contextlib.contextmanager
    def loaded(self, vip: str, *, new: int, kept: int, seconds: int = 30) -> Iterator["Loaded"]:
        """Requests for as long as the block lasts."""
        argv = [*programs.python(load.__file__), vip, str(seconds), str(new), str(kept)]
        with netns.popen(self.hosts["client"], argv, stdout=subprocess.PIPE, text=True) as process:
            loaded = Loaded({}, {})
            try:
                assert process.stdout is not None and load.READY in process.stdout.readline()
                yield loaded
                process.send_signal(signal.SIGTERM)
                counted = json.loads(process.communicate(timeout=10)[0])
                loaded.new, loaded.kept = counted["new"], counted["kept"]
            finally:
                process.kill()

    def told(self) -> str:
        """For whoever looks for the cause of a failure."""
        return self.agent.sixlane("counters") + "".join(
            self.decap(name, "status") for name in NAMES if self.pins(name).exists()
        )


@dataclass
class Download:
    process: subprocess.Popen[str]
    received: bytes = b""

    @property
    def goes_on(self) -> bool:
        return self.process.poll() is None


@dataclass
class Loaded:
    """What was counted, once the block has ended; as sixlane.lab.load prints it."""

    new: dict[str, Any]
    kept: dict[str, Any]


def url(vip: str, path: str = "/") -> str:
    return f"http://{_IN_URL[vip]}{path}"


def need_pages(lab: Balanced, vip: str, seen: set[str] | None = None) -> None:
    """By both backends, which see the client under one of these addresses; None: as it is."""
    pages = [lab.curl(url(vip)) for _ in range(12)]
    assert {page.splitlines()[0] for page in pages} == set(NAMES)  # but once in 2,000 times
    assert {_source_seen(page) for page in pages} <= (seen or {_CLIENT[vip]})


def need_upload(lab: Balanced, vip: str, directory: Path, size: int = UPLOAD_BYTES) -> None:
    """So many bytes arrive as they were sent."""
    sent = content(size)
    file = directory / "upload"
    file.write_bytes(sent)
    assert lab.curl(url(vip), "-T", str(file)).strip() == hashlib.sha256(sent).hexdigest()


def _source_seen(page: str) -> str:
    """As IPv4 if it is."""
    seen = ip_address(page.splitlines()[1].removeprefix("You come from "))
    return str(getattr(seen, "ipv4_mapped", None) or seen)


def service(
    name: str,
    backends: Sequence[dict[str, Any]],
    frontends: Sequence[dict[str, Any]] = ({"address": VIP4, "port": 80},),
    **spec: Any,
) -> dict[str, Any]:
    return {
        "apiVersion": "sixlane.dev/v1alpha1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"frontends": list(frontends), "backends": list(backends), **spec},
    }


def at(addresses: dict[str, str], **of: dict[str, Any]) -> list[dict[str, Any]]:
    """Backends, with more for those named."""
    return [{"address": addresses[name], **of.get(name, {})} for name in NAMES]


def gateway(attach: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "sixlane.dev/v1alpha1",
        "kind": "Gateway",
        "metadata": {"name": "edge"},
        "spec": {
            "devices": [{"name": name, "attach": attach} for name in ("wan0", "lan0")],
            "prefixes": [],
            "loadBalancer": {"max": _SMALL},
            **spec,
        },
    }


@contextlib.contextmanager
def raise_balanced(tmp_path: Path, attach: str) -> Iterator[Balanced]:
    """Hosts with servers, and the agent, which is told of no Gateway yet."""
    with contextlib.ExitStack() as stack:
        hosts = {
            name: stack.enter_context(spaces.new())
            for name in ("client", "core", "gateway", *NAMES)
        }
        _wire(hosts, complete_checksums=attach != "tc")
        agent = Agent(hosts["gateway"], tmp_path, internet=hosts["client"], pod=hosts["core"])
        lab = Balanced(agent, hosts, stack, attach)
        stack.callback(_take_down, lab)
        for name in NAMES:
            _serve(stack, hosts[name], [pages.__file__, "::", name], tmp_path / f"{name}-pages")
        agent.start()
        yield lab


def _serve(stack: contextlib.ExitStack, namespace: str, script: list[str], log: Path) -> None:
    with log.open("wb") as output:
        server = netns.popen(
            namespace, [*programs.python(script[0]), *script[1:]], stdout=output, stderr=output
        )
    stack.callback(server.wait)
    stack.callback(server.kill)
    assert eventually(lambda: b" on " in log.read_bytes() or server.poll() is not None)
    assert server.poll() is None, log.read_text()


def _take_down(lab: Balanced) -> None:
    for name in NAMES:
        if lab.pins(name).exists():
            lab.decap(name, "down")
    lab.agent.clean()


def _wire(hosts: dict[str, str], *, complete_checksums: bool) -> None:
    for name, namespace in hosts.items():
        with netns.inside(namespace):
            forwarding = str(int(name in ("core", "gateway")))
            for family in ("ipv4.ip_forward", "ipv6.conf.all.forwarding"):
                spaces.command("sysctl", "-qw", f"net.{family}={forwarding}")
            spaces.command("sysctl", "-qw", "net.ipv4.icmp_ratelimit=0")
            spaces.command("sysctl", "-qw", "net.ipv6.icmp.ratelimit=0")
    for other, device, own, far_device, far in _LINKS:
        link_hosts(hosts["core"], device, own, hosts[other], far, far_device)
        if complete_checksums:
            _complete(hosts["core"], device)
            if other != "gateway":
                _complete(hosts[other], far_device)
    for name, routes in {
        "client": ["default via 192.31.196.1", "default via 2001:db8:c::1"],
        "b1": ["default via 10.1.1.1", "default via 2001:db8:64:1::1"],
        "b2": ["default via 10.1.2.1", "default via 2001:db8:64:2::1"],
        "gateway": [
            "default via 10.0.0.1",
            "default via 2001:db8:a::1",
            "10.1.0.0/16 via 10.0.1.1",
            "2001:db8:64::/48 via 2001:db8:b::1",
        ],
        "core": [
            "192.175.48.0/24 via 10.0.0.2",
            "2001:db8:48::/48 via 2001:db8:a::2",
            f"{POOL4} via 10.0.1.2",
            f"{POOL6} via 2001:db8:b::2",
            "64:ff9b::/96 via 2001:db8:b::2",
        ],
    }.items():
        for route in routes:
            netns.run(hosts[name], ["ip", "route", "add", *route.split()])


def _complete(namespace: str, device: str) -> None:
    """As XDP at the other end needs it; see sixlane.lab.offloads."""
    with netns.inside(namespace):
        ethtool.set_features(device, {"tx-checksum-ip-generic": False, "rx-gro": True})
