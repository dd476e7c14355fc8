# SPDX-License-Identifier: Apache-2.0
"""A gateway with its agent, `sixlane-health` beside it, and two backends that tunnels lead to."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sixlane.client import Client
from sixlane.datapath import layout
from sixlane.datapath.layout import BackendState
from sixlane.net import netns
from tests.netns import spaces
from tests.netns.agents import GATEWAY, Agent, eventually, world

_numbers = itertools.count()
_PATIENCE_S = 30.0

VIP4, VIP6 = "192.31.197.200", "2001:db8:6::200"
BACKEND4, BACKEND6 = "192.31.196.53", "2001:db8:64::2"
CHECK = {"type": "tcp", "intervalSeconds": 1, "timeoutSeconds": 1, "rise": 1, "fall": 2}

_SERVER = """
import http.server, socket, sys
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True
    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super(http.server.HTTPServer, self).server_bind()
        self.server_name, self.server_port = "test", self.server_address[1]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(self.path[1:]) if self.path[1:].isdigit() else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, format, *args):
        print(self.client_address[0], self.connection.getsockname()[0], flush=True)
Server(("::", int(sys.argv[1])), Handler).serve_forever()
"""


def service(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "sixlane.dev/v1alpha1",
        "kind": "Service",
        "metadata": {"name": spec.pop("name", "web")},
        "spec": {
            "frontends": [{"address": VIP4, "port": 80}],
            "backends": [{"address": BACKEND4}],
            "healthCheck": CHECK,
            **spec,
        },
    }


def start_health(agent: Agent, privileges: str = "+net_raw") -> subprocess.Popen[bytes]:
    """`sixlane-health` beside this agent, with the one privilege that its unit leaves it."""
    with (agent.directory / "health.log").open("ab") as log:
        health = netns.popen(
            agent.namespace,
            [
                *("setpriv", f"--bounding-set=-all,{privileges}", "--inh-caps=-all"),
                *(sys.executable, "-m", "sixlane.health.main"),
                *("--socket", str(agent.socket)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    comm = Path(f"/proc/{health.pid}/comm")
    assert eventually(lambda: comm.read_text().strip() != "setpriv"), "it is no other process"
    return health


@dataclass
class Checked:
    """`internet` and `pod` are backends: they take VIPs out of tunnels and serve them."""

    agent: Agent
    _health: subprocess.Popen[bytes] | None = None
    _servers: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    @property
    def client(self) -> Client:
        return Client(str(self.agent.socket))

    def start_health(self, privileges: str = "+net_raw") -> None:
        self._health = start_health(self.agent, privileges)

    def end_health(self, sign: signal.Signals = signal.SIGTERM) -> int:
        assert self._health is not None
        self._health.send_signal(sign)
        status, self._health = self._health.wait(_PATIENCE_S), None
        return status

    def serve(self, namespace: str, port: int = 80) -> None:
        """HTTP; the status that is answered is what the path says."""
        argv = [sys.executable, "-c", _SERVER, str(port)]
        self._servers[namespace] = netns.popen(
            namespace, argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def asked(self, namespace: str) -> tuple[str, str]:
        """Client and address of the next request there."""
        stdout = self._servers[namespace].stdout
        assert stdout is not None
        client, address = stdout.readline().split()
        return client.removeprefix("::ffff:"), address.removeprefix("::ffff:")

    def end_server(self, namespace: str) -> None:
        process = self._servers.pop(namespace)
        process.kill()
        process.wait(_PATIENCE_S)
        assert process.stdout is not None
        process.stdout.close()

    def states(self) -> dict[str, str]:
        """Of backends in the tables, as packets see them; by id."""
        with netns.inside(self.agent.namespace):
            from sixlane.bpf import Map

            (pin,) = (self.agent.bpffs / "maps").glob("backends-*")
            with Map.from_pin(pin) as backends:
                found = {}
                for key, value in backends.items():
                    one = layout.Backend.from_buffer_copy(value)
                    if one.state:
                        name = BackendState(one.state).name.removeprefix("BACKEND_").lower()
                        found[str(int.from_bytes(key, "little"))] = name
                return found

    def are(self, *states: str) -> bool:
        """Whether backends come to have these states, in any order."""
        return eventually(lambda: sorted(self.states().values()) == sorted(states))

    def diagnosed(self, name: str) -> tuple[str, str]:
        """Status and text of a check of the doctor's."""
        found = [one for one in self.client.doctor()["checks"] if one["name"] == name]
        (one,) = found
        return one["status"], one["what"]

    def told(self) -> dict[str, str]:
        """Samples of the metrics that are about checks, by name and labels."""
        lines = self.client.metrics().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {
            name: value
            for name, value in pairs
            if name.startswith(("sixlane_health", "sixlane_backend"))
        }

    def generation(self) -> int:
        return int(self.agent.status()["gateway"]["generation"])

    def conditions(self, name: str = "web") -> Mapping[str, str]:
        """Reasons by types."""
        view = self.client.get("Service", name)
        return {one["type"]: one["reason"] for one in view["status"]["conditions"]}

    def clean(self) -> None:
        if self._health is not None:
            self.end_health(signal.SIGKILL)
        for namespace in list(self._servers):
            self.end_server(namespace)

    def forget(self) -> None:
        """Without services, servers and `sixlane-health`."""
        self.clean()
        for view in self.client.resources("Service")["items"]:
            self.client.delete("Service", view["metadata"]["name"])


@contextlib.contextmanager
def raise_checked(tmp_path: Path, *, decap: bool = True) -> Iterator[Checked]:
    with world(tmp_path) as (agent, internet, pod), contextlib.ExitStack() as stack:
        for namespace in (internet, pod) if decap else ():
            stack.enter_context(_decapsulating(namespace))
        checked = Checked(agent)
        stack.callback(checked.clean)
        agent.start()
        agent.apply(GATEWAY)
        yield checked


@contextlib.contextmanager
def _decapsulating(namespace: str) -> Iterator[None]:
    pins = f"/sys/fs/bpf/sixlane-decap-{os.getpid()}-{next(_numbers)}"
    command = [sys.executable, "-m", "sixlane.cli.main", "decap"]
    up = ["up", "--device", "up0", "--vip", VIP4, "--vip", VIP6, "--bpffs", pins]
    netns.run(namespace, [*command, *up])
    try:
        yield
    finally:
        netns.run(namespace, [*command, "down", "--bpffs", pins])


def shown(namespace: str) -> dict[str, Any]:
    """What there is of the way of checks, by iproute2."""
    with netns.inside(namespace):
        return {
            "devices": [one["ifname"] for one in spaces.ip("link") if "sixlane-" in one["ifname"]],
            "rules": [
                rule
                for version in ("-4", "-6")
                for rule in json.loads(spaces.command("ip", version, "-j", "rule"))
                if "fwmark" in rule
            ],
            "routes": [
                line.strip() for version in ("-4", "-6") for line in _routes(version).splitlines()
            ],
        }


def _routes(version: str) -> str:
    return spaces.command("ip", version, "route", "show", "table", "64640", check=False)
