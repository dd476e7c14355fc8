# SPDX-License-Identifier: Apache-2.0
"""loadBalancer of a Gateway, and a Gateway that balances only."""

from ipaddress import IPv4Network, IPv6Network
from typing import Any

import pytest

from sixlane.model import Gateway, LoadBalancer, Prefix, ResourceError, parse_resource
from sixlane.model.problem import path_text


def with_spec(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "sixlane.dev/v1alpha1",
        "kind": "Gateway",
        "metadata": {"name": "edge"},
        "spec": {"devices": [{"name": "wan0"}], "prefixes": [], "loadBalancer": {}} | spec,
    }


def parse(**spec: Any) -> Gateway:
    gateway = parse_resource(with_spec(**spec))
    assert isinstance(gateway, Gateway)
    assert parse_resource(gateway.as_data()) == gateway
    return gateway


def balancer(**keys: Any) -> LoadBalancer:
    made = parse(loadBalancer=keys).spec.load_balancer
    assert made is not None
    return made


def test_defaults() -> None:
    made = balancer()
    assert made.tunnel_source(4) == IPv4Network("198.18.0.0/15")
    assert made.tunnel_source(6) == IPv6Network("100::/64")
    assert made.hash_seed == "sixlane"
    assert (made.max.services, made.max.backends) == (16384, 131072)
    assert (made.max.ring_entries, made.max.flows, made.max.nat_flows) == (
        1 << 24,
        1 << 20,
        1 << 18,
    )


def test_what_is_given() -> None:
    made = balancer(
        tunnelSources=["2001:db8:ff::/96"],
        hashSeed="x" * 64,
        max={"services": 1, "backends": (1 << 20) - 1, "flows": 1024},
    )
    assert made.tunnel_source(6) == IPv6Network("2001:db8:ff::/96")
    assert made.tunnel_source(4) == IPv4Network("198.18.0.0/15"), "that family has its default"
    assert (made.max.services, made.max.backends, made.max.flows) == (1, 1048575, 1024)


PREFIX = {"name": "services", "prefix": "64:ff9b::/96", "ipv4": ["192.175.48.0/25"]}
POOL = {"name": "pods", "ipv4": ["192.31.197.8/30"]}


def test_a_gateway_that_balances_only() -> None:
    gateway = parse()
    assert gateway.spec.prefixes == () and gateway.warnings == ()
    both = gateway.with_prefix(Prefix.model_validate(PREFIX))
    assert [one.name for one in both.spec.prefixes] == ["services"]
    assert both.without_prefix("services") == gateway


def test_what_needs_a_prefix_keeps_the_last_one() -> None:
    translating = parse(prefixes=[PREFIX], loadBalancer=None)
    with pytest.raises(ResourceError, match=r"prefixes is empty: spec\.prefixes"):
        translating.without_prefix("services")
    stateful = parse(prefixes=[PREFIX], pool4=[POOL])
    with pytest.raises(ResourceError, match=r"prefixes is empty: spec\.prefixes"):
        stateful.without_prefix("services")


BAD = [
    # spec, what, where, hint
    ({"loadBalancer": None}, "prefixes is empty", "spec.prefixes", "loadBalancer: {}"),
    ({"pool4": [POOL]}, "prefixes is empty", "spec.prefixes", "pool4 needs one"),
    ({"prefixes": None}, "nothing is not a list", "spec.prefixes", ""),
    ({"loadBalancer": []}, "a list is not a mapping", "spec.loadBalancer", ""),
    (
        {"loadBalancer": {"hashseed": "x"}},
        "unknown key hashseed",
        "spec.loadBalancer.hashseed",
        "did you mean hashSeed?",
    ),
    *(
        ({"loadBalancer": {"hashSeed": seed}}, "is no seed", "spec.loadBalancer.hashSeed", "64")
        for seed in ("", 65 * "x", 33 * "\u00e9", "a\nb", "\0")
    ),
    ({"loadBalancer": {"hashSeed": 7}}, "7 is not text", "spec.loadBalancer.hashSeed", ""),
    (
        {"loadBalancer": {"tunnelSources": ["198.18.0.0/16", "198.19.0.0/16"]}},
        "198.19.0.0/16 is a second IPv4 range",
        "spec.loadBalancer.tunnelSources[1]",
        "tunnelSources[0]",
    ),
    *(
        (
            {"loadBalancer": {"tunnelSources": ["100::/64", network]}},
            f"{network} overlaps {block}, which is not routed",
            "spec.loadBalancer.tunnelSources[1]",
            "",
        )
        for network, block in (
            ("0.0.0.0/0", "0.0.0.0/8"),
            ("168.0.0.0/6", "169.254.0.0/16"),
            ("127.0.0.1/32", "127.0.0.0/8"),
            ("::/0", "::/96"),
            ("fe80::/64", "fe80::/10"),
        )
    ),
    ({"loadBalancer": {"max": {"services": 0}}}, "too small", "spec.loadBalancer.max.services", ""),
    (
        {"loadBalancer": {"max": {"backends": 1 << 20}}},
        "1048576 is too large",
        "spec.loadBalancer.max.backends",
        "at most 1048575",
    ),
]


@pytest.mark.parametrize(("spec", "what", "where", "hint"), BAD)
def test_refused(spec: dict[str, Any], what: str, where: str, hint: str) -> None:
    with pytest.raises(ResourceError) as caught:
        parse_resource(with_spec(**spec))
    error = caught.value
    assert "\n" not in str(error)
    assert what in error.what
    assert path_text(error.path) == where
    assert hint in error.hint
