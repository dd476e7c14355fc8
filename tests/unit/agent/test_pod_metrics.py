# SPDX-License-Identifier: Apache-2.0
"""What is counted of pods and of what runtimes asked for."""

from ipaddress import IPv4Address, IPv6Address
from typing import Any

from sixlane.agent.cni_requests import Requests
from sixlane.agent.pod_metrics import EGRESS, AddressUse, big_tcp_use, pool_use
from sixlane.model import Network, parse_resource
from sixlane.net.gso import Sizes
from sixlane.pods.big_tcp import End, SizesAsked, plan_big_tcp
from sixlane.pods.pod import Attachment, Lease


def network(**spec: Any) -> Network:
    found = parse_resource(
        {
            "apiVersion": "sixlane.dev/v1alpha1",
            "kind": "Network",
            "metadata": {"name": "pods"},
            "spec": {
                "pools": [
                    {"name": "default", "ranges": ["2001:db8:64:1::/120"]},
                    {"name": "dual", "ranges": ["2001:db8:64:2::/64", "10.64.1.0/24"]},
                ],
                "statelessEgress": {"ipv4": ["192.175.48.0/25"]},
                **spec,
            },
        }
    )
    assert isinstance(found, Network)
    return found


def lease(number: int, *addresses: str, egress: str | None = None) -> Lease:
    own = tuple(IPv6Address(one) if ":" in one else IPv4Address(one) for one in addresses)
    return Lease(
        Attachment(f"c{number}", "eth0"),
        f"/run/netns/c{number}",
        None,
        "default",
        own,
        IPv6Address(egress) if egress else None,
        "veth",
        f"sl{number:011x}",
        1500,
        True,
    )


def test_addresses_of_pools() -> None:
    leases = [
        lease(1, "2001:db8:64:1::7", egress="64:ff9b::192.175.48.1"),
        lease(2, "2001:db8:64:2::7", "10.64.1.7", egress="64:ff9b::192.175.48.200"),
        lease(3, "2001:db8:64:3::7"),
    ]
    assert pool_use(network(), leases) == {
        ("default", 6): AddressUse(1, 254),
        ("dual", 6): AddressUse(1, (1 << 64) - 2 - (1 << 24) - 128),
        ("dual", 4): AddressUse(1, 253),
        (EGRESS, 4): AddressUse(1, 128),
    }, "what is in no range any more is in none of them"
    assert (EGRESS, 4) not in pool_use(network(statelessEgress=None), leases)


def test_devices_of_big_tcp() -> None:
    spec = network(bigTcp={"ipv6": 196608, "ipv4": 131072}).spec
    large = Sizes(65536, 65536, 65536, 65536, 524280)
    ends = [
        End("uplink", "eth0", 2, large),
        End("uplink", "eth1", 3, Sizes(65536, 65536, None, None, 131072)),
        End("former", "eth2", 4, large),
    ]
    assert big_tcp_use(plan_big_tcp(SizesAsked(spec.big_tcp), ends)) == {
        ("ipv6", "as_asked"): 1,
        ("ipv6", "limited"): 1,
        ("ipv4", "as_asked"): 1,
        ("ipv4", "lacking"): 1,
    }
    assert big_tcp_use(
        plan_big_tcp(SizesAsked(network(bigTcp={"ipv6": 65536}).spec.big_tcp), ends[:1])
    ) == {("ipv6", "as_asked"): 1}


def test_requests() -> None:
    requests = Requests()
    requests.note("ADD", "ok", 0.02)
    requests.note("ADD", "ok", 0.2)
    requests.note("DEL", "defect", 0.002)
    assert requests.results() == {("ADD", "ok"): 2, ("DEL", "defect"): 1}
    assert requests.took()["ADD"].counts[-1] == 2
    assert requests.took()["DEL"].counts == (1,) * 9
