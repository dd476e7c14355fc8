# SPDX-License-Identifier: Apache-2.0
"""What Prometheus is told: the numbers of the data path and of the agent, read when it asks.

Nothing is counted here. Packets are counted by the programs in the kernel, per CPU; a scrape adds
those up and holds nothing that a packet waits for.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

import sixlane
from sixlane.agent.log import fields

_log = logging.getLogger("sixlane.metrics")

CONTENT_TYPE = CONTENT_TYPE_LATEST

_REASONS = {
    "forward_": ("sixlane_forwards", "Packets sent on, by reason."),
    "pass_": ("sixlane_passes", "Packets left to the host untouched, by reason."),
    "drop_": ("sixlane_drops", "Packets dropped, by reason."),
    "icmp_error_": ("sixlane_icmp_errors", "ICMP errors that were due for dropped packets."),
}
"""The family of each reason, by the beginning of its name."""


class Source(Protocol):
    """What is asked of an agent."""

    def counters(self) -> dict[str, Any]: ...
    def status(self) -> dict[str, Any]: ...


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
        counters, status = self._agent.counters(), self._agent.status()
        yield _build_info()
        yield from _of_prefixes(counters["prefixes"])
        yield from _of_reasons(counters["reasons"])
        yield from _of_status(status)


def _build_info() -> Metric:
    family = GaugeMetricFamily(
        "sixlane_build_info", "Always 1; the version is a label.", labels=["version"]
    )
    family.add_metric([sixlane.__version__], 1)
    return family


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


def _of_reasons(reasons: dict[str, dict[str, int]]) -> Iterator[Metric]:
    for beginning, (name, what) in _REASONS.items():
        family = CounterMetricFamily(name, what, labels=["reason"])
        for reason, count in reasons.items():
            if reason.startswith(beginning):
                family.add_metric([reason], count["packets"])
        yield family


def _of_status(status: dict[str, Any]) -> Iterator[Metric]:
    gateway = status["gateway"] or {}
    yield GaugeMetricFamily(
        "sixlane_revision", "Number of the desired configuration.", value=status["revision"]
    )
    if "generation" in gateway:
        yield GaugeMetricFamily(
            "sixlane_generation", "Flips of the data path's tables.", value=gateway["generation"]
        )
    up = GaugeMetricFamily(
        "sixlane_device_up",
        "Whether a device of the Gateway is up and has a program attached.",
        labels=["device"],
    )
    for device in gateway.get("devices", ()):
        up.add_metric([device["name"]], device["up"] and device["attached"] != "no")
    yield up
    answers = GaugeMetricFamily(
        "sixlane_dns64_up",
        "Whether a resolver answers on all its addresses with its present configuration.",
        labels=["dns64"],
    )
    for resolver in status["dns64"]:
        answers.add_metric([resolver["name"]], resolver["state"] == "running")
    yield answers
