# SPDX-License-Identifier: Apache-2.0
"""What Prometheus is told: the numbers of the data path and of the agent, read when it asks.

Nothing is counted here. Packets are counted by the programs in the kernel, per CPU; a scrape adds
those up and holds nothing that a packet waits for.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

import sixlane
from sixlane.agent.backend_edits import label
from sixlane.agent.health import HealthMetrics
from sixlane.agent.log import fields
from sixlane.agent.metrics import BOUNDS_S, Histogram, Metrics
from sixlane.agent.pod_metrics import PodMetrics
from sixlane.errors import SixlaneError
from sixlane.lb import ServiceUse

_log = logging.getLogger("sixlane.metrics")

CONTENT_TYPE = CONTENT_TYPE_LATEST

_REASONS = {
    "forward_": ("sixlane_forwards", "Packets sent on, by reason."),
    "pass_": ("sixlane_passes", "Packets left to the host untouched, by reason."),
    "drop_": ("sixlane_drops", "Packets dropped, by reason."),
    "syn_": ("sixlane_syns", "SYNs from outside that were kept, by what became of them."),
    "icmp_error_": ("sixlane_icmp_errors", "ICMP errors that were due for dropped packets."),
}
"""The family of each reason, by the beginning of its name."""

_COUNTABLE = 1 << 53
"""Of more addresses, not each number is one of Prometheus' own."""

_VERDICTS = {"well": 1, "quarantined": 0, "unknown": -1}
_TRUTH = {"True": 1, "False": 0, "Unknown": -1}


class Source(Protocol):
    """What is asked of an agent."""

    def counters(self) -> dict[str, Any]: ...
    def metrics(self) -> Metrics: ...
    def resources(self, kind: str | None = None) -> list[dict[str, Any]]: ...


def metrics_text(agent: Source) -> bytes:
    """All metrics in Prometheus' text format, for `CONTENT_TYPE`."""
    return generate_latest(registry_of(agent))


def registry_of(agent: Source) -> CollectorRegistry:
    """A registry with nothing but the metrics of this agent."""
    registry = CollectorRegistry()
    registry.register(AgentCollector(agent))
    return registry


@contextmanager
def serving_metrics(agent: Source, address: tuple[str, int] | None) -> Iterator[None]:
    """Answer Prometheus at host and port for the block.

    Forwarding does not need metrics: where they cannot be served, the log says so and all else
    goes on.
    """
    if address is None:
        yield
        return
    host, port = address
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        server, thread = start_http_server(port, host, registry_of(agent))
    except OSError as error:
        _log.error("no metrics", extra=fields(address=where, error=error))
        yield
        return
    _log.info("metrics", extra=fields(url=f"http://{where}/metrics"))
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class AgentCollector(Collector):
    """Asks the agent at each scrape."""

    def __init__(self, agent: Source) -> None:
        self._agent = agent

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering asks the agent for nothing."""
        return ()

    def collect(self) -> Iterator[Metric]:
        version = {"version": sixlane.__version__}
        yield _gauge("build_info", "Always 1; the version is a label.", version, 1)
        try:
            families = list(_families(self._agent))
        except SixlaneError as error:
            _log.error("not all metrics", extra=fields(error=error))
            families = []
        yield _gauge(
            "scrape_success",
            "Whether what follows could be read from the kernel.",
            {},
            bool(families),
        )
        yield from families


def _families(agent: Source) -> Iterator[Metric]:
    counters = agent.counters()
    yield from _of_prefixes(counters["prefixes"])
    yield from _of_reasons(counters["reasons"])
    yield from _of_traffic(counters["traffic"])
    metrics = agent.metrics()
    yield from _of_agent(metrics)
    yield from _of_sessions(metrics)
    yield _of_session_log(counters["reasons"], metrics)
    yield from _of_services(metrics.services)
    yield from _of_health(metrics.health)
    yield from _of_pods(metrics.pods)
    yield from _of_requests(metrics)
    yield from _of_resources(agent.resources())


def _of_prefixes(prefixes: dict[str, dict[str, dict[str, int]]]) -> Iterator[Metric]:
    labels = ["prefix", "direction"]
    packets = CounterMetricFamily(
        "sixlane_packets", "Packets translated, by prefix and direction (46, 64).", labels=labels
    )
    sizes = CounterMetricFamily(
        "sixlane_bytes", "Bytes of layer 3 of the same, as received.", labels=labels
    )
    for name, directions in prefixes.items():
        for direction, count in directions.items():
            packets.add_metric([name, direction], count["packets"])
            sizes.add_metric([name, direction], count["bytes"])
    yield packets
    yield sizes


def _of_traffic(traffic: list[dict[str, Any]]) -> Iterator[Metric]:
    labels = ["prefix", "direction", "protocol", "reason"]
    packets = CounterMetricFamily(
        "sixlane_traffic_packets",
        "Packets by the prefix that serves them (empty: not known), family that they came in as "
        "(46: IPv4, 64: IPv6), protocol, and why they left.",
        labels=labels,
    )
    sizes = CounterMetricFamily(
        "sixlane_traffic_bytes", "Bytes of layer 3 of the same, as received.", labels=labels
    )
    for kind in traffic:
        values = [kind["prefix"] or "", *(kind[name] for name in labels[1:])]
        packets.add_metric(values, kind["packets"])
        sizes.add_metric(values, kind["bytes"])
    yield packets
    yield sizes


def _of_reasons(reasons: dict[str, dict[str, int]]) -> Iterator[Metric]:
    for beginning, (name, what) in _REASONS.items():
        family = CounterMetricFamily(name, what, labels=["reason"])
        for reason, count in reasons.items():
            if reason.startswith(beginning):
                family.add_metric([reason], count["packets"])
        yield family


def _of_agent(metrics: Metrics) -> Iterator[Metric]:
    yield _gauge("revision", "Number of the desired configuration.", {}, metrics.revision)
    if metrics.generation is not None:
        what = "How often the data path's tables were flipped."
        yield _gauge("generation", what, {}, metrics.generation)
    up = GaugeMetricFamily(
        "sixlane_device_up",
        "Whether a device of the Gateway is up and has a program attached.",
        labels=["device"],
    )
    for device, is_up in metrics.devices.items():
        up.add_metric([device], is_up)
    yield up
    applies = CounterMetricFamily(
        "sixlane_applies", "Transactions since the agent started, by outcome.", labels=["outcome"]
    )
    applies.add_metric(["ok"], metrics.applies_ok)
    applies.add_metric(["failed"], metrics.applies_failed)
    yield applies
    yield HistogramMetricFamily(
        "sixlane_apply_duration_seconds",
        "How long transactions took that succeeded, from their turn to being in force and stored.",
        buckets=_buckets(metrics.apply_s),
        sum_value=metrics.apply_s.sum_s,
    )
    taken = GaugeMetricFamily(
        "sixlane_map_entries", "Entries taken in a table of the data path.", labels=["map"]
    )
    room = GaugeMetricFamily(
        "sixlane_map_max_entries", "Entries that the table has room for.", labels=["map"]
    )
    for name, (entries, most) in metrics.fill.items():
        taken.add_metric([name], entries)
        room.add_metric([name], most)
    yield taken
    yield room


def _of_sessions(metrics: Metrics) -> Iterator[Metric]:
    sessions = GaugeMetricFamily(
        "sixlane_sessions",
        "Sessions of stateful NAT64 that live, by protocol and state (RFC 6146 3.5.2.2).",
        labels=["protocol", "state"],
    )
    for (protocol, state), number in metrics.sessions.items():
        sessions.add_metric([protocol, state], number)
    yield sessions
    labels = ["address", "protocol"]
    ports = GaugeMetricFamily(
        "sixlane_pool4_ports", "Ports of an address of pool4 that are taken.", labels=labels
    )
    ports_room = GaugeMetricFamily(
        "sixlane_pool4_max_ports", "Ports of the address that there are.", labels=labels
    )
    blocks = GaugeMetricFamily(
        "sixlane_pool4_blocks",
        "Port blocks of an address of pool4 that clients have.",
        labels=labels[:1],
    )
    blocks_room = GaugeMetricFamily(
        "sixlane_pool4_max_blocks", "Port blocks of the address that there are.", labels=labels[:1]
    )
    for one in metrics.pools:
        address = str(one.address)
        for protocol, use in one.ports.items():
            ports.add_metric([address, protocol], use.used)
            ports_room.add_metric([address, protocol], use.room)
        blocks.add_metric([address], one.blocks.used)
        blocks_room.add_metric([address], one.blocks.room)
    yield from (ports, ports_room, blocks, blocks_room)


def _of_session_log(reasons: dict[str, dict[str, int]], metrics: Metrics) -> Metric:
    lost = CounterMetricFamily(
        "sixlane_session_log_lost",
        "Lines that the session log does not have: not read in time (ring), not written (agent).",
        labels=["at"],
    )
    unread = reasons.get("session_log_lost")
    lost.add_metric(["ring"], unread["packets"] if unread else 0)
    lost.add_metric(["agent"], metrics.log_lost)
    return lost


def _of_services(services: Sequence[ServiceUse]) -> Iterator[Metric]:
    if not services:
        return
    yield from _of_frontends(services)
    yield from _of_backends(services)


def _of_frontends(services: Sequence[ServiceUse]) -> Iterator[Metric]:
    labels = ["service", "address", "port", "protocol"]
    packets, sizes, flows, drops = (
        CounterMetricFamily(f"sixlane_frontend_{name}", what, labels=[*labels, *more])
        for name, what, more in (
            ("packets", "Packets to a frontend of a service that were sent to a backend.", []),
            ("bytes", "Bytes of layer 3 of the same, as received.", []),
            ("flows", "Flows to a frontend that were new.", []),
            ("drops", "Packets to a frontend that went nowhere, by reason.", ["reason"]),
        )
    )
    for service in services:
        for one in service.frontends:
            values = [service.name, str(one.address), str(one.port), one.protocol.lower()]
            packets.add_metric(values, one.count.forwarded.packets)
            sizes.add_metric(values, one.count.forwarded.bytes)
            flows.add_metric(values, one.count.flows)
            for reason, count in one.count.drops.items():
                drops.add_metric([*values, reason], count.packets)
    yield from (packets, sizes, flows, drops)


def _of_backends(services: Sequence[ServiceUse]) -> Iterator[Metric]:
    labels = ["service", "backend"]
    packets, sizes, flows = (
        CounterMetricFamily(f"sixlane_backend_{name}", what, labels=labels)
        for name, what in (
            ("packets", "Packets sent to a backend."),
            ("bytes", "Bytes of layer 3 of the same, as received."),
            ("flows", "New flows that a backend got."),
        )
    )
    active = GaugeMetricFamily(
        "sixlane_backend_active_flows", "Flows of a backend that go on.", labels=labels
    )
    weight = GaugeMetricFamily(
        "sixlane_backend_weight", "A backend's weight beside the others.", labels=labels
    )
    state = GaugeMetricFamily(
        "sixlane_backend_state",
        "1 for the state that a backend is in: active, terminating, maintenance or quarantined.",
        labels=[*labels, "state"],
    )
    for service in services:
        for one in service.backends:
            values = [service.name, label(one.naming)]
            packets.add_metric(values, one.count.forwarded.packets)
            sizes.add_metric(values, one.count.forwarded.bytes)
            flows.add_metric(values, one.count.flows)
            active.add_metric(values, one.active_flows)
            weight.add_metric(values, one.weight)
            state.add_metric([*values, one.state], 1)
    yield from (packets, sizes, flows, active, weight, state)


def _of_health(health: HealthMetrics) -> Iterator[Metric]:
    if health.running is None:
        return
    what = "Whether sixlane-health has been heard of lately."
    yield _gauge("health_running", what, {}, health.running)
    labels = ["service", "backend"]
    well = GaugeMetricFamily(
        "sixlane_backend_well",
        "What checks say of a backend: 1 well, 0 quarantined, -1 not known yet.",
        labels=labels,
    )
    damped = GaugeMetricFamily(
        "sixlane_backend_damped",
        "Whether a backend stays quarantined for a time, as it flapped.",
        labels=labels,
    )
    latency = GaugeMetricFamily(
        "sixlane_backend_check_seconds",
        "How long the last answer to a check took; none: there was no answer.",
        labels=labels,
    )
    for service, backends in health.backends.items():
        for backend, one in backends.items():
            well.add_metric([service, backend], _VERDICTS[one.verdict])
            damped.add_metric([service, backend], one.damped)
            if one.latency_s is not None:
                latency.add_metric([service, backend], one.latency_s)
    checks = CounterMetricFamily(
        "sixlane_health_checks",
        "Checks of a service's backends by outcome; not_made: this machine lacked something.",
        labels=["service", "outcome"],
    )
    took = SummaryMetricFamily(
        "sixlane_health_check_seconds",
        "How long answers to checks took that were well.",
        labels=["service"],
    )
    for service, counts in health.counts.items():
        outcomes = {
            "well": counts.done - counts.failed,
            "failed": counts.failed,
            "not_made": counts.not_made,
        }
        for outcome, number in outcomes.items():
            checks.add_metric([service, outcome], number)
        took.add_metric([service], outcomes["well"], counts.seconds)
    yield from (well, damped, latency, checks, took)


def _of_pods(pods: PodMetrics | None) -> Iterator[Metric]:
    if pods is None:
        return
    yield _gauge("pods", "Pods of this node.", {}, pods.pods)
    yield _gauge("pods_pending", "Pods that are being made.", {}, pods.pending)
    labels = ["pool", "family"]
    leased = GaugeMetricFamily(
        "sixlane_pod_addresses", "Addresses of a pool that pods have.", labels=labels
    )
    room = GaugeMetricFamily(
        "sixlane_pod_max_addresses",
        "Addresses of the pool that pods may have; not of those that are too many to count.",
        labels=labels,
    )
    for (pool, version), use in pods.pools.items():
        leased.add_metric([pool, f"ipv{version}"], use.leased)
        if use.room <= _COUNTABLE:
            room.add_metric([pool, f"ipv{version}"], use.room)
    packets = CounterMetricFamily(
        "sixlane_pod_packets", "Packets from and to pods, by what came of them.", labels=["reason"]
    )
    sizes = CounterMetricFamily(
        "sixlane_pod_bytes", "Bytes of layer 3 of the same, as received.", labels=["reason"]
    )
    for reason, count in pods.counters.items():
        packets.add_metric([reason], count.packets)
        sizes.add_metric([reason], count.bytes)
    devices = GaugeMetricFamily(
        "sixlane_big_tcp_devices",
        "Devices on the node that are to do BIG TCP, by family and by how much of it they have.",
        labels=["family", "state"],
    )
    for (family, state), number in pods.big_tcp.items():
        devices.add_metric([family, state], number)
    yield from (leased, room, packets, sizes, devices)


def _of_requests(metrics: Metrics) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "sixlane_cni_requests",
        "What container runtimes asked for, by command and result.",
        labels=["command", "result"],
    )
    for (command, result), number in metrics.requests.items():
        requests.add_metric([command, result], number)
    took = HistogramMetricFamily(
        "sixlane_cni_request_duration_seconds",
        "How long those took, whatever came of them.",
        labels=["command"],
    )
    for command, histogram in metrics.requests_s.items():
        took.add_metric([command], _buckets(histogram), histogram.sum_s)
    yield from (requests, took)


def _buckets(histogram: Histogram) -> list[tuple[str, int]]:
    bounds = [str(bound) for bound in BOUNDS_S] + ["+Inf"]
    return list(zip(bounds, histogram.counts, strict=True))


def _of_resources(views: Iterable[dict[str, Any]]) -> Iterator[Metric]:
    conditions = GaugeMetricFamily(
        "sixlane_condition",
        "Conditions of each resource: 1 if True, 0 if False, -1 if Unknown.",
        labels=["kind", "name", "type"],
    )
    up = GaugeMetricFamily(
        "sixlane_dns64_up",
        "Whether a resolver answered on all its addresses when it was last asked.",
        labels=["dns64"],
    )
    for view in views:
        kind, name = view["kind"], view["metadata"]["name"]
        for condition in view["status"]["conditions"]:
            conditions.add_metric([kind, name, condition["type"]], _TRUTH[condition["status"]])
            if (kind, condition["type"]) == ("Dns64", "Answering"):
                up.add_metric([name], condition["status"] == "True")
    yield conditions
    yield up


def _gauge(name: str, what: str, labels: dict[str, str], value: float) -> Metric:
    family = GaugeMetricFamily(f"sixlane_{name}", what, labels=list(labels))
    family.add_metric(list(labels.values()), value)
    return family
