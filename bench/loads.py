# SPDX-License-Identifier: Apache-2.0
"""What the client asks of the server: one TCP flow, many small datagrams, requests and answers."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.ends import CLIENT_CPU, SERVER_CPU, Ends, on_cpu
from bench.network import Network
from sixlane.net import netns

# Of both ends. Others, as BBR, may send by a clock rather than as fast as packets get through.
CONGESTION_CONTROL = "cubic"
# Of a stream's sockets, at both ends. Left to themselves they grow until what is on its way fits
# into no cache of a CPU, or does not, from one flow to the next: that is then what is measured.
WINDOW = "512K"
PACED_PPS = 20_000
NEW_FLOWS = 20_032  # a multiple of what is sent at once
_MOST = 0.9
TRANSACTION_BYTES = 80_000
_IPERF_PORT, _NETPERF_PORT, _UDP_PORT, _CONNECT_PORT = 5201, 12865, 5400, 5500
_SLACK_S = 20.0  # behind a program's own time; for faults, not for speed
_LATENCIES = ("min_latency", "p90_latency", "p99_latency")


@dataclass(frozen=True)
class Tools:
    """Paths of the programs that the machine does not have by itself."""

    netperf: Path
    netserver: Path
    udp: Path
    flows: Path


def serve(network: Network, tools: Tools) -> None:
    """Starts what the loads ask for."""
    serve_flows(network, tools.netserver)
    network.serve(_CONNECT_PORT, str(tools.flows), "accept", str(_CONNECT_PORT))


def serve_flows(ends: Ends, netserver: Path) -> None:
    """Starts what `stream` and `transactions` ask for."""
    ends.serve(_IPERF_PORT, "iperf3", "--server")
    ends.serve(_NETPERF_PORT, str(netserver), "-D", "-6")


def stream(ends: Ends, seconds: int, *, back: bool = False) -> float:
    """Gbit/s of one TCP flow to the server (or `back`), as they are received."""
    way = ("--reverse",) if back else ()
    sockets = ("--congestion", CONGESTION_CONTROL, "--window", WINDOW)
    command = ("iperf3", "--json", "--time", str(seconds), *sockets, *way)
    out = ends.call(*command, "--client", ends.called, timeout_s=seconds + _SLACK_S)
    return float(json.loads(out)["end"]["sum_received"]["bits_per_second"]) / 1e9


def transactions(
    ends: Ends,
    netperf: Path,
    seconds: int,
    size: int = TRANSACTION_BYTES,
    cpus: tuple[int, int] = (CLIENT_CPU, SERVER_CPU),
) -> dict[str, float]:
    """Transactions a second of `size` bytes there and back, one after another, and the latencies in
    microseconds: the least one and two percentiles. `cpus`: of client and server."""
    wanted = ",".join((*_LATENCIES, "transaction_rate"))
    where = ("-H", ends.called, "-T", f"{cpus[0]},{cpus[1]}")
    command = (str(netperf), "-P", "0", *where, "-t", "TCP_RR", "-l", str(seconds))
    control = f"{CONGESTION_CONTROL},{CONGESTION_CONTROL}"
    options = ("-r", f"{size},{size}", "-K", control, "-o", wanted)
    out = ends.call(*command, "--", *options, timeout_s=seconds + _SLACK_S)
    return dict(zip((*_LATENCIES, "rate"), map(float, out.split(",")), strict=True))


def connections(network: Network, tools: Tools, seconds: int) -> float:
    """TCP connections a second that are made and ended, none from where one was before."""
    return _flows(network, tools, "connections", _CONNECT_PORT, seconds, seconds + _SLACK_S)


def first_datagrams(network: Network, tools: Tools) -> float:
    """Datagrams of 64 bytes a second that are sent, each of a flow of its own; they all arrive, but
    for few that the server's socket has no room for."""
    with _receiving(network, tools) as received:
        way = ("eth0", network.gateway_mac())
        rate = _flows(network, tools, "datagrams", _UDP_PORT, NEW_FLOWS, _SLACK_S, *way)
    if received["datagrams"] < _MOST * NEW_FLOWS:
        arrived = f"{received['datagrams']} of {NEW_FLOWS} datagrams arrive"
        raise RuntimeError(f"{arrived} in {network.hosts.server}")
    return rate


def _flows(
    network: Network, tools: Tools, kind: str, port: int, much: int, timeout_s: float, *way: str
) -> float:
    assert network.addresses.many is not None
    where = (network.addresses.called, str(port), network.addresses.many[1])
    command = (str(tools.flows), kind, *where, str(network.flows), str(much), *way)
    found = json.loads(network.call(*command, timeout_s=timeout_s))
    network.flows = found["first"]
    return float(found["flows"] / found["seconds"])


@contextmanager
def _receiving(network: Network, tools: Tools) -> Iterator[dict[str, float]]:
    """Counts the datagrams that arrive meanwhile; what is given has the figures afterwards."""
    found: dict[str, float] = {}
    receiver = netns.popen(
        network.hosts.server,
        on_cpu(SERVER_CPU, str(tools.udp), "receive", str(_UDP_PORT)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with receiver:
        try:
            assert receiver.stderr is not None
            if receiver.stderr.readline() != "ready\n":
                raise RuntimeError("the receiver of datagrams does not start")
            yield found
        finally:
            receiver.send_signal(signal.SIGTERM)
        found.update(json.loads(receiver.communicate(timeout=_SLACK_S)[0]))


@dataclass(frozen=True)
class Datagrams:
    """What became of datagrams: how many were sent and received, and how many of them a second
    arrived; `cpu_seconds` of the sender and of the gateway's programs."""

    sent: int
    received: int
    received_pps: float
    cpu_seconds: float


def datagrams(network: Network, tools: Tools, seconds: int, pps: int = 0) -> Datagrams:
    """Sends datagrams of 64 bytes at that rate; 0: as fast as the client can."""
    gateway_before = _cpu_seconds(network.gateway_pids)
    with _receiving(network, tools) as received:
        where = (network.addresses.called, str(_UDP_PORT))
        command = (str(tools.udp), "send", *where, str(seconds), str(pps))
        sent = json.loads(network.call(*command, timeout_s=seconds + _SLACK_S))
    gateway = _cpu_seconds(network.gateway_pids) - gateway_before
    if not received["datagrams"]:
        raise RuntimeError(f"no datagrams arrive in {network.hosts.server}")
    return Datagrams(
        sent["datagrams"],
        int(received["datagrams"]),
        received["datagrams"] / received["seconds"],
        sent["cpu_seconds"] + gateway,
    )


def _cpu_seconds(pids: list[int]) -> float:
    """The time that CPUs have run these processes."""
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9 for pid in pids)
