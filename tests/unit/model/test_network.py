# SPDX-License-Identifier: Apache-2.0
"""Each wrong Network gets one line: what, where, how to mend; and what it may not share."""

import copy
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

import pytest

from sixlane.model import (
    AnyResource,
    Network,
    ResourceError,
    check_together,
    is_alone,
    node_address,
    parse_resource,
)
from sixlane.model.problem import path_text

POOL = {"name": "default", "ranges": ["2001:db8:64:1::/64"]}
GOOD: dict[str, Any] = {
    "apiVersion": "sixlane.dev/v1alpha1",
    "kind": "Network",
    "metadata": {"name": "pods"},
    "spec": {
        "device": "netkit-l2",
        "mtu": 9000,
        "uplinks": [{"name": "eth0"}, {"name": "eth1"}],
        "pools": [
            POOL,
            {"name": "dual", "ranges": ["2001:db8:64:9::/120", "10.64.1.0/24", "10.64.3.0/30"]},
        ],
        "statelessEgress": {"prefix": "64:ff9b::/96", "ipv4": ["192.175.48.0/25"]},
        "routes": [
            {"to": "2001:db8:64:2::/64", "via": "2001:db8::2"},
            {"to": "10.64.2.0/24", "via": "2001:db8::2"},
            {"to": "10.64.4.0/24", "via": "192.31.196.4"},
        ],
        "bigTcp": {"ipv6": 196608, "ipv4": 65536},
    },
}


def changed(**spec: Any) -> dict[str, Any]:
    data = copy.deepcopy(GOOD)
    data["spec"].update(spec)
    return {**data, "spec": {key: value for key, value in data["spec"].items() if value != ...}}


def parsed(**spec: Any) -> Network:
    resource = parse_resource(changed(**spec))
    assert isinstance(resource, Network)
    assert parse_resource(resource.as_data()) == resource
    return resource


def ranges(*texts: str) -> list[dict[str, Any]]:
    return [{"name": "default", "ranges": list(texts)}]


def test_what_is_given() -> None:
    spec = parsed().spec
    assert (spec.device, spec.mtu) == ("netkit-l2", 9000)
    assert [uplink.name for uplink in spec.uplinks] == ["eth0", "eth1"]
    dual = spec.pool("dual")
    assert dual is spec.pools[1] and dual is not None and spec.pool("none") is None
    assert dual.of_family(4) == (IPv4Network("10.64.1.0/24"), IPv4Network("10.64.3.0/30"))
    assert dual.of_family(6) == (IPv6Network("2001:db8:64:9::/120"),)
    assert spec.stateless_egress is not None
    assert list(spec.stateless_egress.ipv4) == [IPv4Network("192.175.48.0/25")]
    assert (spec.big_tcp.ipv6, spec.big_tcp.ipv4) == (196608, 65536)
    assert parsed().as_data() == GOOD


def test_defaults() -> None:
    data = {**GOOD, "spec": {"pools": [POOL]}}
    network = parse_resource(data)
    assert isinstance(network, Network)
    spec = network.spec
    assert (spec.device, spec.mtu, spec.uplinks, spec.routes) == ("auto", None, (), ())
    assert spec.stateless_egress is None
    assert (spec.big_tcp.ipv6, spec.big_tcp.ipv4) == (None, None)
    egress = parsed(statelessEgress={"ipv4": ["192.175.48.9"]}).spec.stateless_egress
    assert egress is not None and egress.prefix == IPv6Network("64:ff9b::/96")


def test_a_null_is_what_is_left_out() -> None:
    spec = parsed(mtu=None, statelessEgress=None, bigTcp={"ipv6": None, "ipv4": None}).spec
    assert (spec.mtu, spec.stateless_egress, spec.big_tcp.ipv6) == (None, None, None)


@pytest.mark.parametrize(
    "given",
    [
        # The ends of what is allowed.
        {"pools": ranges("2001:db8:1::/64", "2001:db8:2::/120", "10.0.0.0/16", "10.1.0.0/30")},
        {"mtu": 1280},
        {"mtu": 65535},
        {"bigTcp": {"ipv6": 65536, "ipv4": 524288}},
        {"statelessEgress": {"prefix": "2001:db8:ff::/48", "ipv4": ["10.9.0.0/24"]}},
        {"statelessEgress": {"prefix": "2001:db8:100::/40", "ipv4": ["11.0.0.0/8"]}},
        # Next to each other.
        {"pools": ranges("2001:db8:64::/120", "2001:db8:64::100/120")},
        {"pools": ranges("2001:db8:64::/64", "10.0.0.0/30", "10.0.0.4/30")},
        {"pools": ranges("2001:db8:64:1::/64"), "routes": []},
        {"routes": [{"to": "2001:db8:64::/64", "via": "2001:db8:64:2::"}]},
        {"routes": [{"to": "2001:db8:64:2::/63", "via": "2001:db8::2"}]},
        # A longer route goes before a shorter one.
        {
            "routes": [
                {"to": "2001:db8:70::/48", "via": "2001:db8::2"},
                {"to": "2001:db8:70:1::/64", "via": "2001:db8::3"},
            ]
        },
        {"statelessEgress": {"ipv4": ["192.175.48.0/25", "192.175.48.128/25"]}},
    ],
)
def test_allowed(given: dict[str, Any]) -> None:
    parsed(**given)


EGRESS = {"prefix": "64:ff9b::/96", "ipv4": ["192.175.48.0/25"]}
BAD = [
    ({"device": "dummy"}, "dummy is not known here", "spec.device", "auto, netkit"),
    ({"device": "netkit-l3"}, "netkit-l3 is not known here", "spec.device", "netkit-l2?"),
    ({"mtu": 1279}, "1279 is too small", "spec.mtu", "at least 1280"),
    ({"mtu": 65536}, "65536 is too large", "spec.mtu", "at most 65535"),
    ({"uplinks": [{"name": "eth0"}] * 2}, "device eth0 stands twice", "uplinks[1].name", "[0]"),
    ({"uplinks": ["eth0"]}, "eth0 is not a mapping", "spec.uplinks[0]", ""),
    ({"uplinks": [{"name": "a/b"}]}, "not the name of a device", "uplinks[0].name", "ip link"),
    ({"uplinks": [{"name": "eth0", "attach": "tc"}]}, "unknown key attach", "uplinks[0]", "name"),
    ({"pools": ...}, "pools is missing", "spec", ""),
    ({"pools": []}, "too short", "spec.pools", "at least 1"),
    ({"pools": [POOL, POOL]}, "name default stands twice", "spec.pools[1].name", "pools[0]"),
    ({"pools": [{"name": "Default", "ranges": []}]}, "is not a name", "pools[0].name", "a-z"),
    ({"pools": ranges()}, "no IPv6 range", "spec.pools[0].ranges", "IPv6-only or dual"),
    ({"pools": ranges("10.0.0.0/24")}, "no IPv6 range", "spec.pools[0].ranges", "dual-stack"),
    ({"pools": ranges("2001:db8::/63")}, "2001:db8::/63 is too large", "ranges[0]", "/64 to /120"),
    ({"pools": ranges("2001:db8::/121")}, "2001:db8::/121 is too small", "ranges[0]", "/120"),
    ({"pools": ranges("2001:db8::/64", "10.0.0.0/15")}, "too large", "ranges[1]", "/16 to /30"),
    ({"pools": ranges("2001:db8::/64", "10.0.0.0/31")}, "too small", "ranges[1]", "/16 to /30"),
    ({"pools": ranges("2001:db8::1/64")}, "bits set behind", "ranges[0]", "did you mean"),
    ({"pools": ranges("fe80::/64")}, "overlaps fe80::/10, which is not routed", "ranges[0]", ""),
    ({"pools": ranges("ff0e::/64")}, "overlaps ff00::/8, which is not routed", "ranges[0]", ""),
    (
        {"pools": ranges("2001:db8::/64", "169.254.0.0/24")},
        "overlaps 169.254.0.0/16, which is not routed",
        "ranges[1]",
        "",
    ),
    (
        {"pools": ranges("2001:db8:5::/120", "2001:db8:5::/64")},
        "2001:db8:5::/120 overlaps 2001:db8:5::/64",
        "spec.pools[0].ranges[0]",
        "2001:db8:5::/64 in pools[0].ranges[1]",
    ),
    (
        {"pools": [POOL, {"name": "b", "ranges": ["2001:db8:5::/64", "2001:db8:64:1::100/120"]}]},
        "2001:db8:64:1::100/120 overlaps 2001:db8:64:1::/64",
        "spec.pools[1].ranges[1]",
        "2001:db8:64:1::/64 in pools[0].ranges[0]",
    ),
    (
        {"pools": ranges("2001:db8:5::/64", "10.0.0.0/24", "10.0.0.0/24")},
        "10.0.0.0/24 overlaps 10.0.0.0/24",
        "spec.pools[0].ranges[2]",
        "pools[0].ranges[1]",
    ),
    (
        {"statelessEgress": {"prefix": "64:ff9b::/97", "ipv4": ["192.175.48.0/25"]}},
        "64:ff9b::/97 has length /97",
        "spec.statelessEgress.prefix",
        "RFC 6052 allows /32, /40, /48, /56, /64, /96",
    ),
    (
        {"statelessEgress": {"prefix": "2001:db8:1:2:100::/96", "ipv4": ["192.175.48.0/25"]}},
        "has bits set among bits 64 to 71",
        "spec.statelessEgress.prefix",
        "RFC 6052",
    ),
    ({"statelessEgress": {}}, "ipv4 is missing", "spec.statelessEgress", ""),
    ({"statelessEgress": {"ipv4": []}}, "no addresses", "statelessEgress.ipv4", "192.175.48.0/25"),
    (
        {"statelessEgress": {"ipv4": ["192.175.48.0/25", "10.0.0.0/24"]}},
        "10.0.0.0/24 is not global, so 64:ff9b::/96 cannot stand for it",
        "statelessEgress.ipv4[1]",
        "RFC 6052 section 3.1",
    ),
    ({"statelessEgress": {"ipv4": ["127.0.0.0/24"]}}, "no node has", "ipv4[0]", ""),
    (
        {"statelessEgress": {"ipv4": ["192.175.48.64/26", "192.175.48.0/25"]}},
        "192.175.48.64/26 stands twice",
        "statelessEgress.ipv4[0]",
        "192.175.48.0/25 in ipv4[1]",
    ),
    (
        {"pools": ranges("64:ff9b::/96")},
        "64:ff9b::/96 overlaps 64:ff9b::/96",
        "spec.pools[0].ranges[0]",
        "stands for IPv4 addresses",
    ),
    (
        {"pools": ranges("2001:db8::/64", "64:ff9b::c0af:3000/120")},
        "64:ff9b::c0af:3000/120 overlaps 64:ff9b::/96",
        "spec.pools[0].ranges[1]",
        "stands for IPv4 addresses",
    ),
    (
        {
            "pools": ranges("2001:db8::/64", "10.9.0.0/24"),
            "statelessEgress": {
                "prefix": "2001:db8:ff::/48",
                "ipv4": ["10.8.0.0/24", "10.9.0.0/28"],
            },
        },
        "10.9.0.0/28 is a pool's as well",
        "spec.statelessEgress.ipv4[1]",
        "10.9.0.0/24 in pools[0].ranges[1]",
    ),
    (
        {"routes": [{"to": "2001:db8:64:1::/64", "via": "2001:db8::2"}]},
        "2001:db8:64:1::/64 overlaps a pool of this node",
        "spec.routes[0].to",
        "2001:db8:64:1::/64 in pools[0].ranges[0]",
    ),
    (
        {"routes": [{"to": "2001:db8:64:1:5::/80", "via": "2001:db8::2"}]},
        "2001:db8:64:1:5::/80 overlaps a pool of this node",
        "spec.routes[0].to",
        "another node",
    ),
    (
        {"routes": [{"to": "2001:db8:64::/56", "via": "2001:db8::2"}]},
        "2001:db8:64::/56 overlaps a pool of this node",
        "spec.routes[0].to",
        "another node",
    ),
    (
        {"routes": [{"to": "2001:db8:70::/64", "via": "2001:db8:64:1::7"}]},
        "2001:db8:64:1::7 is in a pool of this node",
        "spec.routes[0].via",
        "an address of another node",
    ),
    (
        {"routes": [{"to": "2001:db8:70::/64", "via": "2001:db8:70::1"}]},
        "2001:db8:70::1 is in 2001:db8:70::/64 itself",
        "spec.routes[0].via",
        "without this route",
    ),
    (
        {"routes": [{"to": "2001:db8:70::/64", "via": "192.31.196.4"}]},
        "192.31.196.4 cannot lead to 2001:db8:70::/64",
        "spec.routes[0].via",
        "an IPv6 address",
    ),
    (
        {"routes": [{"to": "2001:db8:70::/64", "via": "fe80::1"}]},
        "fe80::1 is in fe80::/10, which is not routed",
        "spec.routes[0].via",
        "",
    ),
    (
        {"routes": [{"to": "2001:db8:70::/64", "via": "2001:db8::2"}] * 2},
        "2001:db8:70::/64 stands twice",
        "spec.routes[1].to",
        "already in routes[0]",
    ),
    ({"routes": [{"to": "::/0", "via": "2001:db8::2"}]}, "::/0 overlaps", "routes[0].to", ""),
    ({"bigTcp": {"ipv6": 65535}}, "65535 is too small", "spec.bigTcp.ipv6", "at least 65536"),
    ({"bigTcp": {"ipv4": 524289}}, "524289 is too large", "spec.bigTcp.ipv4", "at most 524288"),
    ({"bigTcp": {"ipv6": "192k"}}, "192k is not a whole number", "spec.bigTcp.ipv6", "quotes"),
    ({"bigTcp": None}, "nothing is not a mapping", "spec.bigTcp", ""),
]


@pytest.mark.parametrize(("spec", "what", "where", "hint"), BAD)
def test_wrong(spec: dict[str, Any], what: str, where: str, hint: str) -> None:
    with pytest.raises(ResourceError) as caught:
        parsed(**spec)
    assert what in caught.value.what
    assert where in path_text(caught.value.path)
    assert hint in caught.value.hint
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ({"pools": [{"name": f"p{n}", "ranges": [f"2001:db8:{n:x}::/64"]} for n in range(17)]}, 17),
        ({"pools": ranges(*(f"2001:db8:{n:x}::/64" for n in range(17)))}, 17),
        ({"uplinks": [{"name": f"eth{n}"} for n in range(17)]}, 17),
        ({"statelessEgress": {"ipv4": [f"11.0.{n}.0/24" for n in range(256)] + ["12.0.0.1"]}}, 257),
    ],
)
def test_too_many(spec: dict[str, Any], what: int) -> None:
    with pytest.raises(ResourceError, match=f"the list has {what} entries"):
        parsed(**spec)


@pytest.mark.parametrize(
    ("network", "address"),
    [("2001:db8:64:1::/64", "2001:db8:64:1::1"), ("10.64.1.128/25", "10.64.1.129")],
)
def test_the_nodes_own(network: str, address: str) -> None:
    assert node_address(ip_network(network)) == ip_address(address)


# ---- beside others ----


def resource(kind: str, name: str, **spec: Any) -> AnyResource:
    return parse_resource({**GOOD, "kind": kind, "metadata": {"name": name}, "spec": spec})


def gateway(**spec: Any) -> AnyResource:
    usual: dict[str, Any] = {"devices": [{"name": "eth0"}], "prefixes": [], "loadBalancer": {}}
    return resource("Gateway", "edge", **(usual | spec))


def service(*frontends: str, pool: tuple[str, ...] = ()) -> AnyResource:
    nat = {"mode": "nat", "sourcePool": list(pool)} if pool else {}
    named = [{"address": one, "port": 80} for one in frontends]
    return resource("Service", "web", frontends=named, **nat)


def resolver(*listen: str) -> AnyResource:
    made = {"clients": ["2001:db8::/32"], "prefixes": [{"prefix": "64:ff9b::/96"}]}
    return resource("Dns64", "cluster", listen=list(listen), **made)


SERVED = {"name": "pods", "prefix": "64:ff9b::/96", "ipv4": ["192.175.48.0/24"]}
NAT = [{"name": "nat", "ipv4": ["192.31.197.8/30"]}]
PODS = parsed()

TOGETHER = [
    # What stands for pods is served by the same prefix.
    gateway(prefixes=[SERVED], pool4=NAT),
    gateway(
        prefixes=[{**SERVED, "ipv4": [], "eam": [{"ipv4": "192.175.49.1", "ipv6": "2001:db8:9::"}]}]
    ),
    # Next to what pods may get.
    gateway(prefixes=[{**SERVED, "prefix": "2001:db8:5::/96", "ipv4": ["192.175.48.128/25"]}]),
    gateway(
        prefixes=[{**SERVED, "prefix": "2001:db8:5::/96", "ipv4": ["10.64.2.0/24"]}],
        pool4=[{"name": "nat", "ipv4": ["10.64.3.4/30"]}],
    ),
    service("2001:db8:64:2::1", "10.64.2.0", "192.175.48.128", pool=("10.64.2.8/30",)),
    # The node's own address, and others.
    resolver("2001:db8:64:1::1", "10.64.1.1", "2001:db8:64:2::53"),
]


@pytest.mark.parametrize("other", TOGETHER)
def test_together(other: AnyResource) -> None:
    check_together([PODS, other])
    check_together([other, PODS])


def test_pods_with_addresses_of_a_prefix() -> None:
    """A whole range may lie in pool6, and stays out of the way of what else is there."""
    edge = gateway(prefixes=[{**SERVED, "prefix": "2001:db8:64::/96"}])
    inside = parsed(pools=ranges("2001:db8:64::c0af:3000/120"), statelessEgress=None)
    check_together([edge, inside])
    with pytest.raises(ResourceError, match="2001:db8:64::d000:1 is in 2001:db8:64::/96, pool6"):
        check_together([edge, inside, service("2001:db8:64::d000:1")])
    with pytest.raises(ResourceError, match="2001:db8:64::c0af:3001 is in 2001:db8:64::/96, pool6"):
        check_together([edge, inside, service("2001:db8:64::c0af:3001")])


APART = [
    (
        gateway(prefixes=[{**SERVED, "prefix": "2001:db8:64:1::/96", "ipv4": []}]),
        "2001:db8:64:1::/64 holds 2001:db8:64:1::/96, prefix pods of the Gateway",
        "spec.pools[0].ranges[0]",
    ),
    (
        gateway(prefixes=[{**SERVED, "prefix": "2001:db8:64:1::/64", "ipv4": []}]),
        "2001:db8:64:1::/64 holds 2001:db8:64:1::/64, prefix pods of the Gateway",
        "spec.pools[0].ranges[0]",
    ),
    (
        gateway(prefixes=[SERVED], pool4=[{"name": "nat", "ipv4": ["10.64.3.2/32"]}]),
        "10.64.3.0/30 overlaps pool4 nat of the Gateway",
        "spec.pools[1].ranges[2]",
    ),
    (
        gateway(prefixes=[{**SERVED, "prefix": "2001:db8:5::/96", "ipv4": ["10.64.0.0/16"]}]),
        "10.64.1.0/24 is served by prefix pods of the Gateway",
        "spec.pools[1].ranges[1]",
    ),
    (
        gateway(prefixes=[{**SERVED, "eam": [{"ipv4": "10.64.1.9", "ipv6": "2001:db8:9::1"}]}]),
        "10.64.1.0/24 is served by prefix pods of the Gateway",
        "spec.pools[1].ranges[1]",
    ),
    (
        gateway(
            prefixes=[{**SERVED, "ipv4": []}], pool4=[{"name": "nat", "ipv4": ["192.175.48.8/30"]}]
        ),
        "192.175.48.0/25 overlaps pool4 nat of the Gateway",
        "spec.statelessEgress.ipv4[0]",
    ),
    (
        gateway(
            prefixes=[{**SERVED, "eam": [{"ipv4": "192.175.48.9", "ipv6": "2001:db8:9::1"}]}],
        ),
        "192.175.48.0/25 has addresses that eam of prefix pods maps to others",
        "spec.statelessEgress.ipv4[0]",
    ),
    (
        gateway(prefixes=[{**SERVED, "prefix": "2001:db8:5::/96"}]),
        "192.175.48.0/25 is served by prefix pods of the Gateway",
        "spec.statelessEgress.ipv4[0]",
    ),
    (
        resolver("2001:db8:64:1::53"),
        "Dns64 cluster listens on 2001:db8:64:1::53 in 2001:db8:64:1::/64",
        "spec.pools[0].ranges[0]",
    ),
]


@pytest.mark.parametrize(("other", "what", "where"), APART)
def test_not_together(other: AnyResource, what: str, where: str) -> None:
    for resources in ([PODS, other], [other, PODS]):
        with pytest.raises(ResourceError) as caught:
            check_together(resources)
        assert caught.value.what == what
        assert caught.value.where == "Network pods"
        assert path_text(caught.value.path) == where
        assert caught.value.hint


@pytest.mark.parametrize(
    ("other", "what", "where"),
    [
        (
            service("8.8.8.8", "2001:db8:64:1::80"),
            "2001:db8:64:1::80 is in 2001:db8:64:1::/64, pool default of Network pods",
            "spec.frontends[1].address",
        ),
        (
            service("10.64.1.0"),
            "10.64.1.0 is in 10.64.1.0/24, pool dual of Network pods",
            "spec.frontends[0].address",
        ),
        (
            service("192.175.48.127"),
            "192.175.48.127 is in 192.175.48.0/25, statelessEgress of Network pods",
            "spec.frontends[0].address",
        ),
        (
            service("8.8.8.8", pool=("10.64.1.8/30",)),
            "10.64.1.8/30 overlaps 10.64.1.0/24, pool dual of Network pods",
            "spec.sourcePool[0]",
        ),
    ],
)
def test_services_beside_pods(other: AnyResource, what: str, where: str) -> None:
    with pytest.raises(ResourceError) as caught:
        check_together([PODS, other])
    assert (caught.value.what, path_text(caught.value.path)) == (what, where)
    assert caught.value.where == "Service web"


def test_one_network() -> None:
    other = resource("Network", "more", pools=ranges("2001:db8:77::/64"))
    with pytest.raises(ResourceError) as caught:
        check_together([PODS, other])
    assert caught.value.what == "a machine has one Network, and here are pods and more"
    assert caught.value.where == "Network more"
    assert "sixlane delete network pods" in caught.value.hint


def test_a_change_of_a_network_is_a_matter_for_others() -> None:
    assert not is_alone(PODS, parsed(pools=ranges("2001:db8:77::/64")))
    assert not is_alone(None, PODS)
