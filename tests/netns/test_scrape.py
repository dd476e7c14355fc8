# SPDX-License-Identifier: Apache-2.0
"""Metrics of a gateway that forwards: the kernel's numbers, and no packet lost for them."""

from prometheus_client.parser import text_string_to_metric_families

from sixlane.client import Client
from sixlane.lab import lab
from sixlane.lab.place import Place
from tests.netns.labs import needs_lab, pinging

pytestmark = needs_lab
SCRAPES = 50


def test_scrapes_disturb_nothing(place: Place) -> None:
    lab.raise_lab(place)
    client = Client(str(place.socket))
    with pinging(place):
        seen = [numbers(client.metrics()) for _ in range(SCRAPES)]
    packets = [one[("sixlane_packets_total", "46", "services")] for one in seen]
    assert packets == sorted(packets) and packets[-1] > packets[0]
    counters = client.counters()
    last = numbers(client.metrics())
    for reason in ("drop_ttl_expired", "drop_no_route"):
        assert last[("sixlane_drops_total", reason)] == counters["reasons"][reason]["packets"]
    assert last[("sixlane_device_up", "wan0")] == last[("sixlane_device_up", "lan0")] == 1
    assert last[("sixlane_scrape_success",)] == 1


def numbers(text: str) -> dict[tuple[str, ...], float]:
    """By name and the values of its labels, which come sorted by their names."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
