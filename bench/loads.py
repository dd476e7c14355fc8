# SPDX-License-Identifier: Apache-2.0
"""What the client asks of the server: one TCP flow, many small datagrams, requests and answers."""

import json
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.network import SERVER_CPU, Network, on_cpu
from sixlane.net import netns

# Of both ends. Others, as BBR, may send by a clock rather than as fast as packets get through.
CONGESTION_CONTROL = "cubic"
PACED_PPS = 20_000
TRANSACTION_BYTES = 80_000
_IPERF_PORT, _NETPERF_PORT, _UDP_PORT = 5201, 12865, 5400
_SLACK_S = 20.0  # behind a program's own time; for faults, not for speed
_LATENCIES = ("min_latency", "p90_latency", "p99_latency")


@dataclass(frozen=True)
class Tools:
    """Paths of the programs that the machine does not have by itself."""

    netperf: Path
    netserver: Path
    udp: Path


def serve(network: Network, tools: Tools) -> None:
    """Starts what the loads ask for."""
    network.serve(_IPERF_PORT, "iperf3", "--server")
    network.serve(_NETPERF_PORT, str(tools.netserver), "-D", "-6")


def stream(network: Network, seconds: int, *, back: bool = False) -> float:
    """Gbit/s of one TCP flow to the server (or `back`), as they are received."""
    way = ("--reverse",) if back else ()
    options = ("--time", str(seconds), "--congestion", CONGESTION_CONTROL, *way)
    command = ("iperf3", "--json", *options)
    out = network.call(*command, "--client", network.addresses.called, timeout_s=seconds + _SLACK_S)
    return float(json.loads(out)["end"]["sum_received"]["bits_per_second"]) / 1e9


def transactions(network: Network, tools: Tools, seconds: int) -> dict[str, float]:
    """Transactions a second of TRANSACTION_BYTES there and back, one after another, and the
    latencies in microseconds: the least one and two percentiles."""
    wanted = ",".join((*_LATENCIES, "transaction_rate"))
    sizes = f"{TRANSACTION_BYTES},{TRANSACTION_BYTES}"
    command = (str(tools.netperf), "-P", "0", "-H", network.addresses.called, "-t", "TCP_RR")
    control = f"{CONGESTION_CONTROL},{CONGESTION_CONTROL}"
    options = ("-l", str(seconds), "--", "-r", sizes, "-K", control, "-o", wanted)
    out = network.call(*command, *options, timeout_s=seconds + _SLACK_S)
    return dict(zip((*_LATENCIES, "rate"), map(float, out.split(",")), strict=True))


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
    program, gateway_before = str(tools.udp), _cpu_seconds(network.gateway_pids)
    receiver = netns.popen(
        network.hosts.server,
        on_cpu(SERVER_CPU, program, "receive", str(_UDP_PORT)),
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
            where = (network.addresses.called, str(_UDP_PORT))
            command = (program, "send", *where, str(seconds), str(pps))
            sent = json.loads(network.call(*command, timeout_s=seconds + _SLACK_S))
        finally:
            receiver.send_signal(signal.SIGTERM)
        received = json.loads(receiver.communicate(timeout=_SLACK_S)[0])
    gateway = _cpu_seconds(network.gateway_pids) - gateway_before
    if not received["datagrams"]:
        raise RuntimeError(f"no datagrams arrive in {network.hosts.server}")
    return Datagrams(
        sent["datagrams"],
        received["datagrams"],
        received["datagrams"] / received["seconds"],
        sent["cpu_seconds"] + gateway,
    )


def _cpu_seconds(pids: list[int]) -> float:
    """The time that CPUs have run these processes."""
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9 for pid in pids)
