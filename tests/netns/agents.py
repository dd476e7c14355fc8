# SPDX-License-Identifier: Apache-2.0
"""A real sixlaned in a namespace of its own, and the `sixlane` command to talk to it."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from sixlane.client import Client
from sixlane.dns64 import Place, process
from sixlane.net import netns
from tests.netns import spaces
from tests.patience import patience
from tests.stock import Kind
from tests.world import stock

_numbers = itertools.count()
_PATIENCE_S = patience(60)

GATEWAY: dict[str, Any] = {
    "apiVersion": "sixlane.dev/v1alpha1",
    "kind": "Gateway",
    "metadata": {"name": "edge"},
    "spec": {
        "devices": [{"name": "wan0"}, {"name": "lan0"}],
        "prefixes": [
            {
                "name": "pods",
                "prefix": "64:ff9b::/96",
                "ipv4": ["192.175.48.0/24"],
                "loadBalancerSourceRanges": ["192.31.196.0/24"],
            }
        ],
    },
}
DNS64: dict[str, Any] = {
    "apiVersion": "sixlane.dev/v1alpha1",
    "kind": "Dns64",
    "metadata": {"name": "cluster"},
    "spec": {
        "listen": ["2001:db8:64::1"],
        "clients": ["2001:db8:64::/64"],
        "prefixes": [{"prefix": "64:ff9b::/96"}],
        "forwarders": ["192.31.196.53"],
        "dnssecValidation": "no",
    },
}


def changed(resource: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """The resource with other values in its spec."""
    return {**resource, "spec": {**resource["spec"], **spec}}


class Agent:
    """Directories and pins for one agent, which may run or not."""

    def __init__(self, namespace: str, directory: Path, *, internet: str, pod: str) -> None:
        self.namespace = namespace
        self.internet, self.pod = internet, pod  # the namespaces at its two ends
        self.directory = directory
        self.bpffs = Path(f"/sys/fs/bpf/sixlane-test-{os.getpid()}-{next(_numbers)}")
        self.place = Place(directory / "run", directory / "state")
        self.log = directory / "log"
        self.version: Path | None = None
        """The src directory of the version to run, if it is not this one."""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.place.run_dir / "api.sock"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return not self._has_ended()

    def start(self) -> None:
        """Returns when the API answers."""
        with self.log.open("wb") as log:
            self._process = netns.popen(
                self.namespace,
                [sys.executable, "-m", "sixlane.api.main", *self.options()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment(),
            )
        is_ready = eventually(lambda: b"ready: " in self.log.read_bytes() or self._has_ended())
        assert is_ready, self.log.read_text()
        assert not self._has_ended(), self.log.read_text()

    def start_and_kill(self, seconds: float) -> None:
        """An agent that lives so long, however far it comes in that time."""
        argv = [sys.executable, "-m", "sixlane.api.main", *self.options()]
        started = netns.popen(
            self.namespace,
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self._environment(),
        )
        try:
            time.sleep(seconds)
        finally:
            started.kill()
            started.wait()

    def end(self, sign: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status."""
        assert self._process is not None
        self._process.send_signal(sign)
        status = self._process.wait(_PATIENCE_S)
        self._process = None
        return status

    def await_kill(self) -> None:
        """Somebody has killed it, or does so now."""
        assert self._process is not None
        assert self._process.wait(_PATIENCE_S) == -signal.SIGKILL
        self._process = None

    def daemon(self, *options: str) -> subprocess.CompletedProcess[str]:
        """A sixlaned that is not expected to run for long."""
        argv = [sys.executable, "-m", "sixlane.api.main", *self.options(), *options]
        return netns.run(self.namespace, argv, check=False, env=self._environment())

    def sixlane(self, *argv: str, stdin: str = "", code: int = 0) -> str:
        """What `sixlane` prints, run from outside of the agent's namespace."""
        done = self.run(*argv, stdin=stdin)
        assert done.returncode == code, done.stderr + self.log.read_text()
        return done.stdout + done.stderr

    def run(self, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """`sixlane` as above, however it ends."""
        options = ["--socket", str(self.socket)]
        if argv[0] in ("teardown", "doctor", "sysdump"):
            argv = (*argv, "--bpffs", str(self.bpffs), "--state-dir", str(self.place.state_dir))
        return subprocess.run(
            [sys.executable, "-m", "sixlane.cli.main", *options, *argv],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )

    def apply(self, *resources: object, code: int = 0) -> str:
        return self.sixlane("apply", "-f", "-", stdin=yaml.safe_dump_all(resources), code=code)

    def teardown(self) -> None:
        self.sixlane("teardown")

    def status(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.sixlane("status", "-o", "json"))
        return told

    def resources(self) -> Sequence[Any]:
        """All views, with their conditions."""
        return Client(str(self.place.run_dir / "api.sock")).resources()["items"]

    def metrics(self) -> str:
        """As Prometheus gets them."""
        return Client(str(self.socket)).metrics()

    def named(self, name: str = "cluster") -> int | None:
        """The pid of the named of a Dns64 resource."""
        return process.find(self.place.configuration(name))

    def clean(self) -> None:
        """Leave nothing, whatever the test did."""
        if self._process is not None:
            self.end(signal.SIGKILL)
        self.sixlane("teardown")

    def options(self) -> list[str]:
        return [
            f"--socket={self.socket}",
            f"--bpffs={self.bpffs}",
            f"--state-dir={self.place.state_dir}",
            f"--run-dir={self.place.run_dir}",
        ]

    def _environment(self) -> dict[str, str]:
        return os.environ | ({"PYTHONPATH": str(self.version)} if self.version else {})

    def _has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None


def route_both_ways(agent: Agent) -> None:
    """The pod is 192.175.48.2 to the internet, and gets what is sent there."""
    for place, route in (
        (agent.namespace, "64:ff9b::192.175.48.0/120 via 2001:db8:64::2"),
        (agent.pod, "64:ff9b::/96 via 2001:db8:64::1"),
        (agent.internet, "192.175.48.0/24 via 192.31.196.1"),
    ):
        netns.run(place, ["ip", "route", "add", *route.split()])
    netns.run(agent.pod, ["ip", "address", "add", "64:ff9b::192.175.48.2/128", "dev", "lo"])


@contextlib.contextmanager
def world(tmp_path: Path, kind: Kind = (None, None)) -> Iterator[tuple[Agent, str, str]]:
    """A gateway with an agent that is not started yet, and the namespaces at its two ends.

    `kind`: how large the tables are that it finds there.

    gateway: wan0 192.31.196.1/24, lan0 2001:db8:64::1/64
    internet: up0 192.31.196.53/24            pod: up0 2001:db8:64::2/64 and 2001:db8:65::2/64
    """
    for directory in (tmp_path, *tmp_path.parents):  # pytest's are closed to BIND's user
        if directory.owner() == "root" and directory.stat().st_mode & 0o777 == 0o700:
            directory.chmod(0o711)
    with spaces.new() as gateway, spaces.new() as internet, spaces.new() as pod:
        link_hosts(gateway, "wan0", ["192.31.196.1/24"], internet, ["192.31.196.53/24"])
        link_hosts(
            gateway, "lan0", ["2001:db8:64::1/64"], pod, ["2001:db8:64::2/64", "2001:db8:65::2/64"]
        )
        with netns.inside(gateway):
            spaces.command("ip", "route", "add", "2001:db8:65::/64", "dev", "lan0")
        agent = Agent(gateway, tmp_path, internet=internet, pod=pod)
        with stock.lent(agent.bpffs, kind):
            try:
                yield agent, internet, pod
            finally:
                agent.clean()


@contextlib.contextmanager
def another(agent: Agent, directory: Path) -> Iterator[Agent]:
    """A second gateway between the same ends, which no route there leads to yet.

    gateway: wan0 192.31.198.1/24, lan0 2001:db8:66::1/64
    internet: up1 192.31.198.53/24            pod: up1 2001:db8:66::2/64
    """
    directory.mkdir()
    directory.chmod(0o711)
    with spaces.new() as gateway:
        for name, own, there, far in (
            ("wan0", "192.31.198.1/24", agent.internet, "192.31.198.53/24"),
            ("lan0", "2001:db8:66::1/64", agent.pod, "2001:db8:66::2/64"),
        ):
            link_hosts(gateway, name, [own], there, [far], "up1")
        with netns.inside(gateway):
            spaces.command("ip", "route", "add", "192.31.196.0/24", "via", "192.31.198.53")
            spaces.command("ip", "route", "add", "2001:db8:64::/64", "via", "2001:db8:66::2")
        second = Agent(gateway, directory, internet=agent.internet, pod=agent.pod)
        with stock.lent(second.bpffs):
            try:
                yield second
            finally:
                second.clean()


def eventually(condition: Callable[[], bool], seconds: float = _PATIENCE_S) -> bool:
    deadline = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return holds


def link_hosts(
    here: str, name: str, own: list[str], there: str, others: list[str], far: str = "up0"
) -> None:
    with netns.inside(here):
        spaces.command(
            "ip", "link", "add", name, "type", "veth", "peer", "name", far, "netns", there
        )
    for namespace, device, addresses in ((here, name, own), (there, far, others)):
        with netns.inside(namespace):
            spaces.command("ip", "link", "set", "lo", "up")
            for address in addresses:
                duplicates = ["nodad"] if ":" in address else []
                spaces.command("ip", "address", "add", address, "dev", device, *duplicates)
            spaces.command("ip", "link", "set", device, "up")
