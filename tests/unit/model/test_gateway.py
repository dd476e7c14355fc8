# SPDX-License-Identifier: Apache-2.0
"""Each wrong Gateway gets one line: what, where, how to mend."""

import copy
import time
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Any

import pytest

from sixlane.model import (
    Gateway,
    RangeList,
    ResourceError,
    check_together,
    parse_resource,
    parse_resources,
)

GOOD: dict[str, Any] = {
    "apiVersion": "sixlane.dev/v1alpha1",
    "kind": "Gateway",
    "metadata": {"name": "edge"},
    "spec": {
        "devices": [{"name": "wan0", "attach": "xdp"}, {"name": "lan0"}],
        "prefixes": [
            {
                "name": "services",
                "prefix": "64:ff9b::/96",
                "ipv4": ["192.175.48.0/25"],
                "loadBalancerSourceRanges": ["192.31.196.0/25"],
            },
            {
                "name": "pods",
                "prefix": "2001:db8:64::/48",
                "ipv4": ["10.0.0.0/8", "192.0.2.7"],
                "eam": [
                    {"ipv4": "198.51.100.0/24", "ipv6": "2001:db8:1::/120"},
                    {"ipv4": "203.0.113.9", "ipv6": "2001:db8:2::9", "remote": True},
                ],
            },
        ],
        "lowestIPv6MTU": 1400,
        "icmpErrors": {"rate": 0},
        "icmpSource": {"ipv4": "192.31.196.1", "ipv6": "2001:db8::1"},
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """GOOD with the value at `path` ("spec.devices.0.name") replaced; `...` removes it."""
    data = copy.deepcopy(GOOD)
    *way, last = (int(step) if step.isdigit() else step for step in path.split("."))
    place: Any = data
    for step in way:
        place = place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return data


def refused(data: object) -> ResourceError:
    with pytest.raises(ResourceError) as caught:
        parse_resource(data, "edge.yaml:1")
    assert "\n" not in str(caught.value)
    return caught.value


def test_what_a_planner_reads() -> None:
    gateway = parse_resource(GOOD)
    assert isinstance(gateway, Gateway)
    services, pods = gateway.spec.prefixes
    assert [device.attach for device in gateway.spec.devices] == ["xdp", "auto"]
    assert services.prefix == IPv6Network("64:ff9b::/96")
    assert services.load_balancer_source_ranges == RangeList.of([IPv4Network("192.31.196.0/25")])
    assert pods.load_balancer_source_ranges is None
    assert list(pods.ipv4) == [IPv4Network("10.0.0.0/8"), IPv4Network("192.0.2.7/32")]
    assert pods.eam[1].ipv6 == IPv6Network("2001:db8:2::9/128")
    assert (pods.eam[0].remote, pods.eam[1].remote) == (False, True)
    assert gateway.spec.lowest_ipv6_mtu == 1400
    assert gateway.spec.icmp_errors.rate == 0
    assert gateway.spec.icmp_source.ipv4 == IPv4Address("192.31.196.1")


def test_defaults() -> None:
    data = changed("spec.lowestIPv6MTU", ...)
    del data["spec"]["icmpErrors"], data["spec"]["icmpSource"]
    gateway = parse_resource(data)
    assert isinstance(gateway, Gateway)
    assert gateway.spec.lowest_ipv6_mtu == 1280
    assert gateway.spec.icmp_errors.rate == 1000
    assert gateway.spec.icmp_source.ipv4 is None


def test_as_data_is_what_parse_takes_and_invents_nothing() -> None:
    data = parse_resource(GOOD).as_data()
    assert parse_resource(data) == parse_resource(GOOD)
    assert "attach" not in data["spec"]["devices"][1]


def test_no_sources_is_not_all_sources() -> None:
    gateway = parse_resource(changed("spec.prefixes.0.loadBalancerSourceRanges", []))
    assert isinstance(gateway, Gateway)
    assert gateway.spec.prefixes[0].load_balancer_source_ranges == RangeList()


BAD = [
    # path to change, value, what, where, hint
    ("apiVersion", "sixlane.dev/v1", "unknown version sixlane.dev/v1", "apiVersion", "v1alpha1"),
    ("apiVersion", ..., "apiVersion is missing", "", "sixlane.dev/v1alpha1"),
    ("kind", "Gatway", "unknown kind Gatway", "kind", "did you mean Gateway?"),
    ("kind", 7, "unknown kind 7", "kind", "known: Dns64, Gateway"),
    ("kind", ..., "kind is missing", "", "known: Dns64, Gateway"),
    ("metadata", ..., "metadata is missing", "", ""),
    ("metadata.name", "../x", "../x is not a name", "metadata.name", "a-z"),
    ("metadata.name", "a" * 64, "is not a name", "metadata.name", "1 to 63"),
    ("metadata.name", 5, "5 is not text", "metadata.name", ""),
    ("spec", ..., "spec is missing", "", ""),
    ("spec", "x", "x is not a mapping", "spec", ""),
    ("spec.devices", [], "too short", "spec.devices", "at least 1"),
    ("spec.devices", [{"name": f"d{i}"} for i in range(17)], "17 entries", "spec.devices", "16"),
    ("spec.devices", "wan0", "wan0 is not a list", "spec.devices", "[wan0]"),
    ("spec.devices.0", "wan0", "wan0 is not a mapping", "spec.devices[0]", ""),
    ("spec.devices.0.name", "a" * 16, "not the name", "spec.devices[0].name", "15 bytes"),
    ("spec.devices.0.name", "a b", "not the name", "spec.devices[0].name", "ip link"),
    ("spec.devices.0.name", "..", "not the name", "spec.devices[0].name", "ip link"),
    ("spec.devices.1.name", "wan0", "wan0 stands twice", "spec.devices[1].name", "devices[0]"),
    ("spec.devices.0.attach", "xpd", "xpd is not", "spec.devices[0].attach", "did you mean xdp?"),
    ("spec.prefixs", [], "unknown key prefixs", "spec.prefixs", "did you mean prefixes?"),
    ("spec.lowestIpv6Mtu", 1, "unknown key", "spec.lowestIpv6Mtu", "mean lowestIPv6MTU?"),
    ("spec.zzz", 1, "unknown key zzz", "spec.zzz", "known: bindings, devices, hairpin, icmpErrors"),
    ("spec.prefixes.0.load_balancer_source_ranges", [], "unknown key", "", "loadBalancer"),
    ("spec.prefixes", [], "prefixes is empty", "spec.prefixes", "at least 1; or loadBalancer: {}"),
    ("spec.prefixes.0.name", ..., "name is missing", "spec.prefixes[0]", ""),
    ("spec.prefixes.0.name", "-a", "not a name", "spec.prefixes[0].name", "dash"),
    ("spec.prefixes.0.name", "a" * 32, "not a name", "spec.prefixes[0].name", "1 to 31"),
    ("spec.prefixes.1.name", "services", "stands twice", "spec.prefixes[1].name", "prefixes[0]"),
    ("spec.prefixes.0.ipv4", ..., "ipv4 is missing", "spec.prefixes[0]", "192.175.48.0/25"),
    ("spec.prefixes.0.ipv4", "10.0.0.0/8", "is not a list", "prefixes[0].ipv4", "[10.0.0.0/8]"),
    ("spec.prefixes.0.ipv4", [10], "10 is not an IPv4 range", "ipv4[0]", "quotes"),
    ("spec.prefixes.0.ipv4", ["0.0.0.0/0"], "all IPv4 addresses", "ipv4[0]", "what you own"),
    ("spec.prefixes.0.ipv4", ["192.175.48.1/25"], "bits set", "ipv4[0]", "192.175.48.0/25?"),
    ("spec.prefixes.0.ipv4", ["192.175.48.0/33"], "not an IPv4 range", "ipv4[0]", ""),
    ("spec.prefixes.0.ipv4", ["192.175.48.0/255.255.255.0"], "not an IPv4", "ipv4[0]", "/24"),
    ("spec.prefixes.0.ipv4", ["2001:db8::/32"], "not an IPv4", "ipv4[0]", "it is an IPv6 address"),
    ("spec.prefixes.0.ipv4", ["x\ny"], "x y is not an IPv4 range", "ipv4[0]", ""),
    ("spec.prefixes.1.ipv4", ["224.0.0.0/8"], "224.0.0.0/4, which no node has", "ipv4[0]", ""),
    ("spec.prefixes.1.ipv4", ["127.0.0.1"], "127.0.0.0/8, which no node has", "ipv4[0]", ""),
    ("spec.prefixes.0.loadBalancerSourceRanges", ["a"], "a is not", "SourceRanges[0]", ""),
    ("spec.lowestIPv6MTU", "1280", "not a whole number", "spec.lowestIPv6MTU", "without quotes"),
    ("spec.lowestIPv6MTU", "1280B", "not a whole number", "spec.lowestIPv6MTU", "unit"),
    ("spec.lowestIPv6MTU", 1279, "1279 is too small", "spec.lowestIPv6MTU", "at least 1280"),
    ("spec.lowestIPv6MTU", 65536, "65536 is too large", "spec.lowestIPv6MTU", "at most 65535"),
    ("spec.lowestIPv6MTU", True, "true is not a whole number", "spec.lowestIPv6MTU", ""),
    ("spec.icmpErrors.rate", -1, "-1 is too small", "spec.icmpErrors.rate", "at least 0"),
    ("spec.icmpSource.ipv4", "::1", "not an IPv4 address", "icmpSource.ipv4", "an IPv6 address"),
    ("spec.icmpSource.ipv4", "1.2.3.4/8", "not an IPv4 address", "icmpSource.ipv4", "length"),
    ("spec.icmpSource.ipv4", "224.0.0.1", "no address of a node", "icmpSource.ipv4", ""),
    ("spec.icmpSource.ipv6", "ff02::1", "no routed address", "icmpSource.ipv6", ""),
    ("spec.icmpSource.ipv6", "fe80::1%eth0", "has a zone", "icmpSource.ipv6", "%"),
    ("spec.prefixes.1.eam.0.ipv6", "2001:db8:1::/121", "does not fit", "eam[0].ipv6", "/120"),
    ("spec.prefixes.1.eam.0.ipv4", "0.0.0.0/0", "all ipv4", "eam[0].ipv4", "longer prefix"),
    ("spec.prefixes.1.eam.1.ipv4", "127.0.0.1", "no node has", "eam[1].ipv4", ""),
    ("spec.prefixes.1.eam.1.ipv4", "198.51.100.0/24", "does not fit", "eam[1].ipv6", "/120"),
    ("spec.prefixes.1.eam.1.ipv6", "2001:db8:1::/120", "mapped twice", "eam[1].ipv6", "eam[0]"),
    ("spec.prefixes.1.eam.1.remote", "yes", "not true or false", "eam[1].remote", "YAML 1.2"),
]


@pytest.mark.parametrize(("path", "value", "what", "where", "hint"), BAD)
def test_refused(path: str, value: Any, what: str, where: str, hint: str) -> None:
    error = refused(changed(path, value))
    assert what in error.message
    assert error.message.startswith(error.what)
    assert error.message.endswith(where)
    assert "edge.yaml:1" in error.message
    assert hint in error.hint


@pytest.mark.conformance(65)
@pytest.mark.parametrize("length", [0, 31, 33, 64 + 8, 95, 97, 128])
def test_pool6_has_a_length_of_rfc_6052(length: int) -> None:
    prefix = str(IPv6Network((0x2001 << 112 if length else 0, length)))
    error = refused(changed("spec.prefixes.1.prefix", prefix))
    assert f"length /{length}" in error.message
    assert error.hint == "RFC 6052 allows /32, /40, /48, /56, /64, /96"
    assert error.path == ("spec", "prefixes", 1, "prefix")


@pytest.mark.conformance(65)
@pytest.mark.parametrize("length", [32, 40, 48, 56, 64, 96])
def test_pool6_of_each_length(length: int) -> None:
    parse_resource(changed("spec.prefixes.1.prefix", f"2001:db8::/{length}"))


@pytest.mark.conformance(66)
def test_the_u_octet_of_a_96_is_zero() -> None:
    error = refused(changed("spec.prefixes.1.prefix", "2001:db8:0:0:100::/96"))
    assert "bits 64 to 71" in error.message
    parse_resource(changed("spec.prefixes.1.prefix", "2001:db8:0:0:ff::/96"))


@pytest.mark.parametrize("prefix", ["ff00::/32", "fe80::/64", "::/96", "::ffff:0:0/96"])
def test_pool6_is_routable(prefix: str) -> None:
    assert "which is not routed" in refused(changed("spec.prefixes.1.prefix", prefix)).message


# The rows of the registry that are not global, parts of them, and ranges that hold one.
NOT_GLOBAL = """
    10.0.0.0/8 10.1.2.3 100.64.0.0/10 100.127.255.255 169.254.0.0/16 172.16.0.0/12 172.31.0.0/16
    192.0.0.0/24 192.0.0.8 192.0.0.8/30 192.0.2.0/24 192.88.99.0/24 192.168.1.0/24 198.18.0.0/15
    198.51.100.0/24 203.0.113.0/25 10.0.0.0/7 192.0.0.0/16 203.0.0.0/8 8.0.0.0/6 192.0.0.8/31
"""
GLOBAL = """
    11.0.0.0/8 100.128.0.0/9 172.32.0.0/11 192.0.0.9 192.0.0.10/32 192.0.3.0/24 192.31.196.0/24
    192.52.193.0/24 192.175.48.128/25 8.0.0.0/7 223.255.255.255
"""


@pytest.mark.conformance(67)
@pytest.mark.parametrize("network", NOT_GLOBAL.split())
def test_no_part_of_a_range_under_the_well_known_prefix_may_be_private(network: str) -> None:
    error = refused(changed("spec.prefixes.0.ipv4", ["192.175.48.0/25", network]))
    assert "not global, so 64:ff9b::/96 cannot stand for it" in error.message
    assert "64:ff9b:1::/48" in error.hint
    assert error.path == ("spec", "prefixes", 0, "ipv4", 1)


@pytest.mark.conformance(67)
@pytest.mark.parametrize("network", GLOBAL.split())
def test_global_ranges_under_the_well_known_prefix(network: str) -> None:
    parse_resource(changed("spec.prefixes.0.ipv4", [network]))


@pytest.mark.conformance(68)
@pytest.mark.parametrize("prefix", ["64:ff9b:1::/48", "64:ff9b:1:fffe::/96", "64:ff9b:1:1::/64"])
def test_local_use_prefix_takes_private_addresses(prefix: str) -> None:
    data = changed("spec.prefixes.0.ipv4", ["192.168.0.0/16"])
    data["spec"]["prefixes"][0]["prefix"] = prefix
    parse_resource(data)


@pytest.mark.parametrize(
    ("mine", "where"),
    [
        ({"ipv4": ["10.1.0.0/16"]}, "ipv4[0]"),
        ({"ipv4": ["192.0.3.0/24", "192.0.2.0/24"]}, "ipv4[1]"),
        ({"eam": [{"ipv4": "10.9.9.9", "ipv6": "2001:db8::9"}]}, "eam[0].ipv4"),
        ({"ipv4": ["198.51.100.8/29"]}, "ipv4[0]"),
    ],
)
def test_an_ipv4_address_is_served_once(mine: dict[str, Any], where: str) -> None:
    third = {"name": "third", "prefix": "2001:db8:65::/96", **mine}
    data = changed("spec.prefixes", [*GOOD["spec"]["prefixes"], third])
    error = refused(data)
    assert "is served by another prefix too" in error.message
    places = error.message + error.hint
    assert f"spec.prefixes[2].{where}" in places.replace("in prefixes", "in spec.prefixes")
    assert "prefixes[1]" in places


def test_two_entries_share_a_prefix_and_a_remote_mapping_serves_nothing() -> None:
    third = {
        "name": "third",
        "prefix": "64:ff9b::/96",
        "ipv4": ["192.175.48.128/25"],
        "eam": [{"ipv4": "10.1.1.1", "ipv6": "2001:db8::1", "remote": True}],
    }
    parse_resource(changed("spec.prefixes", [*GOOD["spec"]["prefixes"], third]))


def test_ranges_of_one_entry_may_overlap() -> None:
    parse_resource(changed("spec.prefixes.1.ipv4", ["10.0.0.0/8", "10.1.0.0/16"]))


@pytest.mark.conformance(69)
def test_a_mapping_is_of_single_addresses_by_default() -> None:
    data = changed("spec.prefixes.1.eam", [{"ipv4": "192.0.2.200", "ipv6": "2001:db8::c8"}])
    gateway = parse_resource(data)
    assert isinstance(gateway, Gateway)
    (eam,) = gateway.spec.prefixes[1].eam
    assert (eam.ipv4.prefixlen, eam.ipv6.prefixlen) == (32, 128)


@pytest.mark.parametrize("data", [None, [], "text", 5])
def test_not_a_resource(data: object) -> None:
    assert "is not a resource" in refused(data).message


def test_more_than_one_problem_is_counted() -> None:
    data = changed("spec.devices.0.name", "")
    data["spec"]["lowestIPv6MTU"] = 1
    assert "and 1 more after this one" in refused(data).hint


def test_each_resource_is_named_once() -> None:
    with pytest.raises(ResourceError) as caught:
        parse_resources([GOOD, GOOD], ["a.yaml:1", "b.yaml:1"])
    assert str(caught.value) == (
        "Gateway edge stands twice: b.yaml:1:metadata.name (already in a.yaml:1)"
    )
    assert caught.value.index == 1


def test_one_gateway_a_machine() -> None:
    both = parse_resources([GOOD, changed("metadata.name", "core")])
    with pytest.raises(ResourceError, match="one Gateway, and here are edge and core"):
        check_together(both)


def test_100_000_ranges_take_about_a_second() -> None:
    many = [f"{11 + (i >> 16)}.{i >> 8 & 255}.{i & 255}.0/24" for i in range(100_000)]
    data = changed("spec.prefixes.0.loadBalancerSourceRanges", many)
    start = time.process_time()
    gateway = parse_resource(data)
    assert time.process_time() - start < 3  # 0.3 s on a quiet machine
    assert isinstance(gateway, Gateway)
    assert len(gateway.spec.prefixes[0].load_balancer_source_ranges or ()) == 100_000
    many[99_999] = "11.0.0.0/40"
    assert refused(data).path[-1] == 99_999


# ---- choices of the RFCs ----


def _spec(**spec: Any) -> dict[str, Any]:
    default = {
        "devices": [{"name": "wan0"}],
        "prefixes": [{"name": "p", "prefix": "2001:db8::/96", "ipv4": ["192.175.48.0/24"]}],
    }
    return {
        "apiVersion": "sixlane.dev/v1alpha1",
        "kind": "Gateway",
        "metadata": {"name": "edge"},
        "spec": default | spec,
    }


def _parsed(**spec: Any) -> Gateway:
    parsed = parse_resource(_spec(**spec))
    assert isinstance(parsed, Gateway)
    return parsed


def test_defaults_are_those_of_the_rfcs() -> None:
    """What was stored before there were these keys means what it meant."""
    spec = _parsed().spec
    assert (spec.tos, spec.traffic_class) == ("copy", "copy")
    assert (spec.udp_zero_checksum, spec.hairpin) == ("drop", "simple")
    assert (spec.icmp_errors.rate, spec.icmp_pool.ranges, spec.icmp_pool.origin) == (1000, [], True)
    assert spec.prefixes[0].max_segment_size is None


@pytest.mark.conformance(57)
@pytest.mark.parametrize("rate", [0, 1, 1_000_000, "unlimited"])
def test_rates_of_errors(rate: int | str) -> None:
    assert _parsed(icmpErrors={"rate": rate}).spec.icmp_errors.rate == rate


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ({"tos": 256}, "256 is too large"),
        ({"tos": -1}, "-1 is too small"),
        ({"tos": "lowdelay"}, "neither a number nor copy"),
        ({"trafficClass": True}, "neither a number nor copy"),
        ({"icmpErrors": {"rate": 1_000_001}}, "1000001 is too large"),
        ({"icmpErrors": {"rate": "on"}}, "neither a number nor unlimited"),
        ({"icmpPool": {"ipv4": ["10.0.0.0/24"]}}, "10.0.0.0/24 overlaps 10.0.0.0/8"),
        ({"icmpPool": {"ipv4": ["100.127.0.0/16"]}}, "overlaps 100.64.0.0/10"),
        ({"icmpPool": {"ipv4": ["127.0.0.1"]}}, "which no node has"),
        ({"icmpPool": {"ipv4": [f"8.8.{n}.0/32" for n in range(17)]}}, "17 ranges"),
        ({"hairpin": "on"}, "known: intrinsic, off, simple"),
        ({"udpZeroChecksum": "pass"}, "known: compute, drop"),
    ],
)
def test_choices_that_there_are_not(spec: dict[str, Any], what: str) -> None:
    with pytest.raises(ResourceError) as raised:
        _parsed(**spec)
    assert what in str(raised.value)


@pytest.mark.parametrize(
    ("size", "right"), [(87, False), (88, True), (65495, True), (65496, False)]
)
def test_segment_sizes(size: int, right: bool) -> None:
    prefix = {"name": "p", "prefix": "2001:db8::/96", "ipv4": [], "maxSegmentSize": size}
    if right:
        assert _parsed(prefixes=[prefix]).spec.prefixes[0].max_segment_size == size
    else:
        with pytest.raises(ResourceError):
            _parsed(prefixes=[prefix])


def test_ranges_of_a_pool_that_touch_are_one() -> None:
    pool = _parsed(icmpPool={"ipv4": ["8.8.8.0/31", "8.8.8.2/32", "9.9.9.9/32"]}).spec.icmp_pool
    assert pool.ranges == [(IPv4Address("8.8.8.0"), 3), (IPv4Address("9.9.9.9"), 1)]
