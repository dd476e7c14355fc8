# SPDX-License-Identifier: Apache-2.0
"""What the lab shows, step by step, with real programs. Each step checks what they print."""

from collections.abc import Callable
from dataclasses import dataclass

from sixlane.lab.session import Seen, Session
from sixlane.lab.steps import access, balance, inside, names, pods, pool4, reach, sizes, speed, web


@dataclass(frozen=True)
class Step:
    title: str
    take: Callable[[Session], Seen]


STEPS = (
    Step("No IPv4 address inside the cluster", inside.no_ipv4_address),
    Step("IPv4-only client, IPv6-only page", web.client_fetches_service),
    Step("IPv6-only pod, IPv4-only page by name", names.pod_fetches_by_name),
    Step("Pod to pod by IPv4 addresses: hairpin", web.pod_fetches_by_mapped_address),
    Step("Ping by pool4, ordinary IPv6 address", pool4.ping),
    Step("IPv4-only page by pool4", pool4.page),
    Step("Download by pool4, agent killed", pool4.download_outlives_agent),
    Step("Ping, IPv4 to IPv6", reach.ping_46),
    Step("Ping, IPv6 to IPv4", reach.ping_64),
    Step("Traceroute, IPv4 to IPv6", reach.traceroute_46),
    Step("Traceroute, IPv6 to IPv4", reach.traceroute_64),
    Step("Path-MTU discovery, IPv4 to IPv6", sizes.discovery_46),
    Step("Path-MTU discovery, IPv6 to IPv4", sizes.discovery_64),
    Step("Large datagram and back, IPv4 to IPv6", sizes.datagram_46),
    Step("Large datagram and back, IPv6 to IPv4", sizes.datagram_64),
    Step("Stranger refused, client served", access.stranger_refused),
    Step("TCP stream, IPv4 to IPv6", speed.stream_46),
    Step("TCP stream, IPv6 to IPv4", speed.stream_64),
    Step("BIG TCP, IPv6 to IPv4", speed.big_tcp_64),
)
"""The first act, in the lab of topology.py."""

BALANCED_STEPS = (
    Step("Three backends, weights 2:1:1, two gateways", balance.shares),
    Step("One backend drained under load", balance.drained),
    Step("One backend killed under load", balance.killed),
    Step("One backend killed, with health checks", balance.found_dead),
    Step("IPv4 VIP, two IPv6 clusters 3:1", balance.clusters),
    Step("One gateway of two killed under load", balance.gateway_killed),
)
"""The second, in that of balanced.py."""

POD_STEPS = (
    Step("Two pods by the CNI plugin", pods.attached),
    Step("Their devices, and BIG TCP", pods.devices),
    Step("Ping, pod to pod", pods.ping_pod),
    Step("Ping, pod to a server outside", pods.ping_site),
    Step("Page of another pod", pods.page_of_pod),
    Step("IPv4-only page, translated by the node", pods.page_by_translator),
)
"""The third, in that of cluster.py."""
