# SPDX-License-Identifier: Apache-2.0
"""Metrics as Prometheus' own parser reads them."""

import socket
import urllib.request
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from sixlane.api.metrics import metrics_text, serving_metrics


class Numbers:
    """An agent that only has numbers."""

    def __init__(self) -> None:
        self.asked = 0

    def counters(self) -> dict[str, Any]:
        self.asked += 1
        count = {"packets": 3, "bytes": 180}
        reasons = ("forward_46", "pass_not_ours", "drop_ttl_expired", "icmp_error_sent")
        return {
            "reasons": dict.fromkeys(reasons, count),
            "prefixes": {"pods": {"46": count, "64": {"packets": 1, "bytes": 60}}},
        }

    def status(self) -> dict[str, Any]:
        return {
            "revision": 7,
            "gateway": {
                "generation": 9,
                "devices": [
                    {"name": "wan0", "up": True, "attached": "xdp"},
                    {"name": "lan0", "up": True, "attached": "no"},
                    {"name": "lan1", "up": False, "attached": "xdp"},
                ],
            },
            "dns64": [
                {"name": "cluster", "state": "running"},
                {"name": "other", "state": "silent"},
            ],
        }


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
    assert told[("sixlane_revision",)] == 7
    assert told[("sixlane_generation",)] == 9
    assert [told[("sixlane_device_up", name)] for name in ("wan0", "lan0", "lan1")] == [1, 0, 0]
    assert [told[("sixlane_dns64_up", name)] for name in ("cluster", "other")] == [1, 0]


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
