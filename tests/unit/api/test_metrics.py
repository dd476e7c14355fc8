# SPDX-License-Identifier: Apache-2.0
"""Metrics as Prometheus' own parser reads them."""

import re
import socket
import urllib.request
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sixlane.agent.health import BackendHealth, HealthMetrics, ServiceCounts
from sixlane.agent.metrics import Durations, Metrics
from sixlane.agent.pod_metrics import AddressUse, PodMetrics
from sixlane.api.metrics import metrics_text, serving_metrics
from sixlane.datapath.counters import Counter
from sixlane.datapath.sessions import PoolUse, ProtocolName, StateName, Use
from sixlane.errors import KernelError
from tests.unit.agent.fakes import used

HEALTH = HealthMetrics(
    True,
    {
        "web": {
            "10.0.0.1": BackendHealth("well", 1.0, "tunnel", "HTTP 200", True, 0.25),
            "10.0.0.2": BackendHealth("quarantined", 1.0, "tunnel", damped=True),
            "10.0.0.3": BackendHealth("unknown", 1.0, "direct"),
        }
    },
    {"web": ServiceCounts(done=10, failed=4, not_made=1, seconds=1.5)},
)

PODS = PodMetrics(
    5,
    1,
    {("default", 6): AddressUse(5, (1 << 64) - 200), ("default", 4): AddressUse(4, 253)},
    {"local": Counter(7, 700), "drop_source": Counter(2, 120)},
    {("ipv6", "as_asked"): 6, ("ipv4", "limited"): 2},
)


class Numbers:
    """An agent that only has numbers."""

    def __init__(self) -> None:
        self.asked = 0

    def counters(self) -> dict[str, Any]:
        self.asked += 1
        count = {"packets": 3, "bytes": 180}
        reasons = (
            "forward_46",
            "pass_not_ours",
            "drop_ttl_expired",
            "icmp_error_sent",
            "syn_expired",
            "session_log_lost",
        )
        return {
            "reasons": dict.fromkeys(reasons, count),
            "prefixes": {"pods": {"46": count, "64": {"packets": 1, "bytes": 60}}},
            "traffic": [
                {"prefix": "pods", "direction": "46", "protocol": "udp", "reason": "forward_46"}
                | count,
                {"prefix": None, "direction": "64", "protocol": "tcp", "reason": "pass_not_ours"}
                | count,
            ],
        }

    def metrics(self) -> Metrics:
        durations = Durations()
        for seconds in (0.005, 0.2, 0.25, 60):
            durations.note(seconds)
        devices = {"wan0": True, "lan0": False}
        fill = {"prefixes": (3, 64), "sessions": (900, 1000)}
        sessions: dict[tuple[ProtocolName, StateName], int] = {
            ("tcp", "V4 FIN + V6 FIN RCV"): 5,
            ("udp", "OPEN"): 6,
        }
        ports: dict[ProtocolName, Use] = {"tcp": Use(10, 64512), "icmp": Use(2, 65536)}
        pools = [PoolUse(IPv4Address("192.31.197.8"), ports, Use(3, 1024))]
        return Metrics(
            7,
            9,
            devices,
            4,
            1,
            durations.seen(),
            2,
            1,
            fill,
            sessions=sessions,
            pools=pools,
            log_lost=17,
            health=HEALTH,
            pods=PODS,
            requests={("ADD", "ok"): 9, ("ADD", "try_again_later"): 1, ("DEL", "ok"): 4},
            requests_s={"ADD": durations.seen()},
            services=[used(eight=replace(used().backends[1], state="quarantined"))],
        )

    def resources(self, kind: str | None = None) -> list[dict[str, Any]]:
        return [
            view("Gateway", "edge", DevicesAttached="False", SlowPathReady="Unknown"),
            view("Dns64", "cluster", Ready="True", Answering="True"),
            view("Dns64", "other", Answering="False"),
        ]


def view(kind: str, name: str, **conditions: str) -> dict[str, Any]:
    told = [{"type": type, "status": status} for type, status in conditions.items()]
    return {"kind": kind, "metadata": {"name": name}, "status": {"conditions": told}}


def samples(text: bytes) -> dict[tuple[str, ...], float]:
    """By name and the values of its labels, which come sorted by their names."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_every_number_is_told() -> None:
    told = samples(metrics_text(Numbers()))
    assert told[("sixlane_packets_total", "46", "pods")] == 3
    assert told[("sixlane_bytes_total", "46", "pods")] == 180
    assert told[("sixlane_packets_total", "64", "pods")] == 1
    assert told[("sixlane_forwards_total", "forward_46")] == 3
    assert told[("sixlane_passes_total", "pass_not_ours")] == 3
    assert told[("sixlane_drops_total", "drop_ttl_expired")] == 3
    assert told[("sixlane_icmp_errors_total", "icmp_error_sent")] == 3
    kind = ("46", "pods", "udp", "forward_46")
    assert told[("sixlane_traffic_packets_total", *kind)] == 3
    assert told[("sixlane_traffic_bytes_total", *kind)] == 180
    assert told[("sixlane_traffic_packets_total", "64", "", "tcp", "pass_not_ours")] == 3
    assert told[("sixlane_revision",)] == 7
    assert told[("sixlane_generation",)] == 9
    assert [told[("sixlane_device_up", name)] for name in ("wan0", "lan0")] == [1, 0]
    assert told[("sixlane_condition", "Gateway", "edge", "DevicesAttached")] == 0
    assert told[("sixlane_condition", "Gateway", "edge", "SlowPathReady")] == -1
    assert told[("sixlane_condition", "Dns64", "cluster", "Ready")] == 1
    assert told[("sixlane_applies_total", "ok")] == 4
    assert told[("sixlane_applies_total", "failed")] == 1
    assert told[("sixlane_map_entries", "prefixes")] == 3
    assert told[("sixlane_map_max_entries", "prefixes")] == 64
    assert told[("sixlane_map_entries", "sessions")] == 900
    assert told[("sixlane_sessions", "tcp", "V4 FIN + V6 FIN RCV")] == 5
    assert told[("sixlane_sessions", "udp", "OPEN")] == 6
    assert told[("sixlane_session_log_lost_total", "ring")] == 3
    assert told[("sixlane_session_log_lost_total", "agent")] == 17
    assert told[("sixlane_pool4_ports", "192.31.197.8", "tcp")] == 10
    assert told[("sixlane_pool4_max_ports", "192.31.197.8", "icmp")] == 65536
    assert told[("sixlane_pool4_blocks", "192.31.197.8")] == 3
    assert told[("sixlane_pool4_max_blocks", "192.31.197.8")] == 1024


def test_services() -> None:
    told = samples(metrics_text(Numbers()))
    frontend = ("192.175.50.1", "80", "tcp", "web")
    seven, eight = ("2001:db8:64:1::7", "web"), ("10.0.0.8", "web")
    assert told["sixlane_frontend_packets_total", *frontend] == 100
    assert told["sixlane_frontend_bytes_total", *frontend] == 10000
    assert told["sixlane_frontend_flows_total", *frontend] == 40
    drops = {
        key[-2]: value for key, value in told.items() if key[0] == "sixlane_frontend_drops_total"
    }
    assert drops == {"drop_no_backend": 3, "drop_ttl_expired": 1}
    assert told["sixlane_backend_packets_total", *seven] == 90
    assert told["sixlane_backend_bytes_total", *eight] == 1000
    assert told["sixlane_backend_flows_total", *seven] == 30
    assert told["sixlane_backend_active_flows", *seven] == 12
    assert told["sixlane_backend_weight", *seven] == 2
    assert told["sixlane_backend_state", *seven, "active"] == 1
    assert told["sixlane_backend_state", *eight, "quarantined"] == 1
    assert len([key for key in told if key[0] == "sixlane_backend_state"]) == 2


def test_pods() -> None:
    told = samples(metrics_text(Numbers()))
    assert (told["sixlane_pods",], told["sixlane_pods_pending",]) == (5, 1)
    assert told["sixlane_pod_addresses", "ipv6", "default"] == 5
    assert told["sixlane_pod_addresses", "ipv4", "default"] == 4
    assert told["sixlane_pod_max_addresses", "ipv4", "default"] == 253
    assert ("sixlane_pod_max_addresses", "ipv6", "default") not in told, "too many to count"
    assert told["sixlane_pod_packets_total", "local"] == 7
    assert told["sixlane_pod_bytes_total", "drop_source"] == 120
    assert told["sixlane_big_tcp_devices", "ipv6", "as_asked"] == 6
    assert told["sixlane_big_tcp_devices", "ipv4", "limited"] == 2
    assert told["sixlane_cni_requests_total", "ADD", "try_again_later"] == 1
    assert told["sixlane_cni_request_duration_seconds_count", "ADD"] == 4
    assert told["sixlane_cni_request_duration_seconds_bucket", "ADD", "0.3"] == 3


def test_a_node_without_pods() -> None:
    class Gateway(Numbers):
        def metrics(self) -> Metrics:
            return replace(super().metrics(), pods=None)

    told = {name for name, *_ in samples(metrics_text(Gateway()))}
    assert not {name for name in told if name.startswith("sixlane_pod")}


def test_durations_are_cumulative() -> None:
    told = samples(metrics_text(Numbers()))
    buckets = [told[("sixlane_apply_duration_seconds_bucket", le)] for le in ("0.01", "0.1", "0.3")]
    assert buckets == [1, 1, 3]
    assert told[("sixlane_apply_duration_seconds_bucket", "+Inf")] == 4
    assert told[("sixlane_apply_duration_seconds_count",)] == 4
    assert told[("sixlane_apply_duration_seconds_sum",)] == pytest.approx(60.455)


def test_what_the_kernel_refuses_is_said() -> None:
    class Refused(Numbers):
        def counters(self) -> dict[str, Any]:
            raise KernelError(1, "read counters")

    told = samples(metrics_text(Refused()))
    assert set(told.values()) == {0, 1}
    assert told[("sixlane_scrape_success",)] == 0
    assert samples(metrics_text(Numbers()))[("sixlane_scrape_success",)] == 1


def test_resolvers() -> None:
    told = samples(metrics_text(Numbers()))
    assert [told[("sixlane_dns64_up", name)] for name in ("cluster", "other")] == [1, 0]


def test_checks_of_backends() -> None:
    told = samples(metrics_text(Numbers()))
    backends = ("10.0.0.1", "10.0.0.2", "10.0.0.3")
    assert told[("sixlane_health_running",)] == 1
    well = [told[("sixlane_backend_well", one, "web")] for one in backends]
    damped = [told[("sixlane_backend_damped", one, "web")] for one in backends]
    assert (well, damped) == ([1, 0, -1], [0, 1, 0])
    took = [told.get(("sixlane_backend_check_seconds", one, "web")) for one in backends]
    assert took == [0.25, None, None]
    outcomes = ("well", "failed", "not_made")
    made = [told[("sixlane_health_checks_total", one, "web")] for one in outcomes]
    assert made == [6, 4, 1]
    assert told[("sixlane_health_check_seconds_sum", "web")] == 1.5
    assert told[("sixlane_health_check_seconds_count", "web")] == 6


def test_one_scrape_asks_once() -> None:
    numbers = Numbers()
    with serving_metrics(numbers, ("127.0.0.1", port := free_port())):
        assert numbers.asked == 0
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            told = samples(answer.read())
    assert told[("sixlane_revision",)] == 7
    assert numbers.asked == 1


def test_a_port_that_is_taken_ends_nothing(caplog: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = ("127.0.0.1", taken.getsockname()[1])
        with serving_metrics(Numbers(), address):
            assert "no metrics" in caplog.text


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


_DOCS = Path(__file__).parents[3] / "docs"
_ROW = re.compile(r"^\| `(sixlane_\w+)` \| (\w+) \| (.*?) \|", re.MULTILINE)


def test_the_reference_has_what_is_told() -> None:
    told = {
        (family.name + "_total" * (family.type == "counter"), family.type): {
            label for sample in family.samples for label in sample.labels if label != "le"
        }
        for family in text_string_to_metric_families(metrics_text(Numbers()).decode())
    }
    text = (_DOCS / "reference" / "metrics.md").read_text()
    written = {
        (name, kind): set(re.findall(r"`(\w+)`", labels))
        for name, kind, labels in _ROW.findall(text)
    }
    assert written == told


@pytest.mark.parametrize("page", ["howto/monitor.md", "howto/gateway.md", "howto/operate.md"])
def test_the_guides_name_metrics_that_exist(page: str) -> None:
    text = (_DOCS / page).read_text()
    reference = (_DOCS / "reference" / "metrics.md").read_text()
    known = {name for name, _, _ in _ROW.findall(reference)}
    assert set(re.findall(r"\bsixlane_[a-z0-9_]+\b", text)) <= known
