# SPDX-License-Identifier: Apache-2.0
"""Networks and ADDs for tests."""

from ipaddress import ip_address
from typing import Any

from sixlane.model import Network, parse_resource
from sixlane.pods import Asked, Attachment, Usual

USUAL = Usual("veth", 1500)
SMALL = ("2001:db8:64:1::/120", "10.64.1.0/28")
EGRESS = {"prefix": "64:ff9b::/96", "ipv4": ["192.175.48.0/28"]}


def network(*ranges: str, **spec: Any) -> Network:
    pools = [{"name": "default", "ranges": list(ranges)}] if ranges else []
    made = parse_resource(
        {
            "apiVersion": "sixlane.dev/v1alpha1",
            "kind": "Network",
            "metadata": {"name": "pods"},
            "spec": {**spec, "pools": [*pools, *spec.get("pools", ())]},
        }
    )
    assert isinstance(made, Network)
    return made


def asked(name: object, *fixed: str, ifname: str = "eth0", **keys: Any) -> Asked:
    attachment = Attachment(f"container-{name}", ifname)
    addresses = tuple(map(ip_address, fixed))
    return Asked(attachment, f"/run/netns/{name}", fixed=addresses, **keys)


DUAL = network(*SMALL, statelessEgress=EGRESS)
DUAL_ROOM = 13  # pods: 10.64.1.0/28 without its first two and its last
