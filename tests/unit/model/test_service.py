# SPDX-License-Identifier: Apache-2.0
"""Kind Service: what is read, and what is refused, in one line."""

import copy
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sixlane.model import (
    Backend,
    BackendList,
    Frontend,
    FrontendList,
    ResourceError,
    Service,
    parse_resource,
)
from sixlane.model.addresses import parse_routed
from sixlane.model.packed import read_routed, unpacked_address
from sixlane.model.primes import is_prime, prime_from, usual_size
from sixlane.model.problem import path_text

WEB4: dict[str, Any] = {"address": "192.175.48.200", "port": 80}
WEB6: dict[str, Any] = {"address": "2001:db8:64::200", "port": 80}
NODE: dict[str, Any] = {"address": "2001:db8:64:1::7"}
POOL = ["10.1.0.8/30", "2001:db8:64:f::/120"]
NAT: dict[str, Any] = {"mode": "nat", "sourcePool": POOL}
GOOD: dict[str, Any] = {
    "apiVersion": "sixlane.dev/v1alpha1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"frontends": [WEB4, WEB6], "backends": [NODE]},
}


def with_spec(**spec: Any) -> dict[str, Any]:
    data = copy.deepcopy(GOOD)
    data["spec"] |= spec
    return data


def parse(**spec: Any) -> Service:
    service = parse_resource(with_spec(**spec))
    assert isinstance(service, Service)
    return service


def nodes(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"address": f"2001:db8:64:1::{n:x}", **more} for n in range(1, count + 1)]


def test_defaults() -> None:
    spec = parse().spec
    assert spec.mode == "dsr"
    assert list(spec.frontends) == [
        Frontend(address=IPv4Address("192.175.48.200"), port=80, protocol="TCP"),
        Frontend(address=IPv6Address("2001:db8:64::200"), port=80, protocol="TCP"),
    ]
    (node,) = spec.backends
    assert node.address == IPv6Address("2001:db8:64:1::7")
    assert (node.port, node.weight, node.state, node.drain_until) == (None, 1, "active", None)
    assert (spec.table_size, spec.ring_size) == (None, 251)
    assert (spec.session_affinity, spec.session_affinity_timeout_seconds) == ("None", 10800)
    assert spec.load_balancer_source_ranges is None
    assert (spec.when_all_down, spec.source, spec.source_pool) == ("refuse", "pool", ())
    assert (spec.max_segment_size, spec.health_check) == (None, None)
    assert spec.announce == "none"


def test_what_is_given() -> None:
    spec = parse(
        **NAT,
        frontends=[WEB4 | {"protocol": "UDP"}],
        backends=[NODE | {"port": 8080, "weight": 0, "state": "maintenance"}],
        tableSize=1021,
        sessionAffinity="ClientIP",
        sessionAffinityTimeoutSeconds=60,
        loadBalancerSourceRanges=["10.0.0.0/8", "2001:db8::/32"],
        whenAllDown="terminating",
        maxSegmentSize=1360,
        announce="route",
    ).spec
    assert spec.mode == "nat"
    assert [one.protocol for one in spec.frontends] == ["UDP"]
    (node,) = spec.backends
    assert (node.port, node.weight, node.state) == (8080, 0, "maintenance")
    assert spec.ring_size == 1021
    assert (spec.session_affinity, spec.session_affinity_timeout_seconds) == ("ClientIP", 60)
    assert spec.load_balancer_source_ranges == (
        IPv4Network("10.0.0.0/8"),
        IPv6Network("2001:db8::/32"),
    )
    assert spec.source_pool == (IPv4Network("10.1.0.8/30"), IPv6Network("2001:db8:64:f::/120"))
    assert (spec.when_all_down, spec.max_segment_size) == ("terminating", 1360)
    assert spec.announce == "route"


@pytest.mark.parametrize("size", [None, "auto", 88, 65495])
def test_segment_sizes(size: object) -> None:
    assert parse(**NAT, maxSegmentSize=size).spec.max_segment_size == size


def test_a_backend_that_ends() -> None:
    """Noon in Berlin in summer is 10:00 UTC."""
    ends = [NODE | {"state": "terminating", "drainUntil": "2026-07-01T12:00:00.25+02:00"}]
    service = parse(backends=ends)
    (node,) = service.spec.backends
    assert node.drain_until == datetime(2026, 7, 1, 10, 0, 0, 250_000, tzinfo=UTC)
    data = service.as_data()
    assert data["spec"]["backends"][0]["drainUntil"] == "2026-07-01T10:00:00.250000Z"
    assert parse_resource(data) == service
    utc = [NODE | {"state": "terminating", "drainUntil": "2026-07-01T10:00:00.25Z"}]
    assert parse(backends=utc) == service
    assert parse(backends=[NODE | {"state": "terminating"}]) != service
    for early in ("1970-01-01T00:00:00Z", "1960-01-01T00:00:00Z"):
        (node,) = parse(backends=[ends[0] | {"drainUntil": early}]).spec.backends
        assert node.drain_until is not None and node.drain_until.year == int(early[:4])


def test_rows() -> None:
    """As the tables are made of them: IPv4 is ::ffff:a.b.c.d; no port is 0."""
    spec = parse(**NAT, backends=[NODE, {"address": "10.0.0.1", "port": 258, "weight": 3}]).spec
    assert spec.frontends.rows == (
        bytes.fromhex("00000000000000000000ffff" + "c0af30c8" + "0050" + "06"),
        bytes.fromhex("20010db8006400000000000000000200" + "0050" + "06"),
    )
    never = "7fffffffffffffff"
    assert spec.backends.rows == (
        bytes.fromhex("20010db8006400010000000000000007" + "0000" + "0001" + "00" + never),
        bytes.fromhex("00000000000000000000ffff" + "0a000001" + "0102" + "0003" + "00" + never),
    )
    assert spec.backends.families == {4, 6}


def test_order_means_nothing() -> None:
    one, two = parse(**NAT, backends=nodes(3)), parse(**NAT, backends=nodes(3)[::-1])
    assert one == two and hash(one.spec.backends) == hash(two.spec.backends)
    assert one.spec.backends.canonical == two.spec.backends.canonical
    assert two.as_data()["spec"]["backends"] == nodes(3)[::-1], "it is shown as it was written"
    assert parse(frontends=[WEB4, WEB6]) == parse(frontends=[WEB6, WEB4])
    assert parse(backends=nodes(3)) != parse(backends=nodes(2))
    heavy = [NODE | {"weight": 2}]
    assert parse(backends=[NODE]) != parse(backends=heavy)


def test_nobody_answers_yet() -> None:
    data = with_spec()
    del data["spec"]["backends"]
    service = parse_resource(data)
    assert service == parse(backends=[]) and service.spec.ring_size == 251  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("backends", "size"),
    # 100 entries each: 251 does for 2, 509 for 5, 1021 for 10, 65537 for 655, 131071 for 1310.
    [
        (0, 251),
        (2, 251),
        (3, 509),
        (5, 509),
        (6, 1021),
        (10, 1021),
        (11, 2039),
        (655, 65537),
        (656, 131071),
        (1000, 131071),
    ],
)
def test_table_sizes(backends: int, size: int) -> None:
    assert usual_size(backends) == size
    assert parse(backends=nodes(backends)).spec.ring_size == size
    assert all(size % part for part in range(2, size))


def test_primes() -> None:
    assert [n for n in range(30) if is_prime(n)] == [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]
    assert prime_from(1000) == 1009 and prime_from(1009) == 1009


def test_ports_tell_backends_of_one_address_apart() -> None:
    two = [NODE | {"port": 8080}, NODE | {"port": 8081}, NODE]
    assert [one.port for one in parse(**NAT, backends=two).spec.backends] == [8080, 8081, None]
    both = [WEB4, WEB4 | {"protocol": "UDP"}, WEB4 | {"port": 443}]
    assert len(parse(frontends=both).spec.frontends) == 3


def test_clients_that_are_mapped() -> None:
    spec = parse(mode="nat", source="mapped", frontends=[WEB4]).spec
    assert (spec.source, spec.source_pool) == ("mapped", ())


TERMINATING = NODE | {"state": "terminating"}
BAD = [
    # spec, what, where, hint
    ({"frontends": []}, "too short", "spec.frontends", "at least 1"),
    ({"frontends": None}, "nothing is not a list", "spec.frontends", ""),
    ({"frontends": WEB4}, "a mapping is not a list", "spec.frontends", ""),
    ({"frontends": ["x"]}, "x is not a mapping", "spec.frontends[0]", ""),
    (
        {"frontends": [{"address": "192.0.2.1", "port": n} for n in range(1, 66)]},
        "65 entries",
        "spec.frontends",
        "at most 64",
    ),
    ({"frontends": [{"port": 80}]}, "address is missing", "spec.frontends[0]", ""),
    ({"frontends": [{"address": "192.0.2.1"}]}, "port is missing", "spec.frontends[0]", ""),
    ({"frontends": [WEB4 | {"port": 0}]}, "0 is too small", "spec.frontends[0].port", "1"),
    ({"frontends": [WEB4 | {"port": 65536}]}, "too large", "spec.frontends[0].port", "65535"),
    ({"frontends": [WEB4 | {"port": True}]}, "not a whole number", "spec.frontends[0].port", ""),
    ({"frontends": [WEB4 | {"port": "80"}]}, "not a whole", "spec.frontends[0].port", "quotes"),
    (
        {"frontends": [WEB4 | {"protocol": "tcp"}]},
        "tcp is not known here",
        "spec.frontends[0].protocol",
        "did you mean TCP?",
    ),
    (
        {"frontends": [WEB4 | {"protocol": ["TCP"]}]},
        "a list is not known here",
        "spec.frontends[0].protocol",
        "",
    ),
    ({"frontends": [WEB4 | {"adress": 1}]}, "unknown key adress", ".adress", "mean address?"),
    *(
        (
            {"frontends": [{"address": address, "port": 80}]},
            f"{address} is in {block}, which is not routed",
            "spec.frontends[0].address",
            "",
        )
        for address, block in (
            ("0.0.0.0", "0.0.0.0/8"),
            ("127.0.0.1", "127.0.0.0/8"),
            ("169.254.1.1", "169.254.0.0/16"),
            ("224.0.0.1", "224.0.0.0/4"),
            ("255.255.255.255", "240.0.0.0/4"),
            ("::", "::/96"),
            ("::1", "::/96"),
            ("fe80::1", "fe80::/10"),
            ("febf::1", "fe80::/10"),
            ("ff02::1", "ff00::/8"),
            ("::ffff:c0a8:1", "::ffff:0:0/96"),
        )
    ),
    ({"frontends": [WEB4 | {"address": "192.0.2.0/24"}]}, "not an IPv4 address", ".address", "len"),
    ({"frontends": [WEB4 | {"address": 7}]}, "7 is not an IPv4 address", ".address", "in quotes"),
    (
        {"frontends": [WEB4, WEB6, WEB4 | {"protocol": "TCP"}]},
        "TCP port 80 of 192.175.48.200 stands twice",
        "spec.frontends[2]",
        "already in [0]",
    ),
    (
        {"backends": [NODE, {"address": "2001:DB8:64:1:0::7", "weight": 9}]},
        "2001:db8:64:1::7 stands twice",
        "spec.backends[1]",
        "already in [0]",
    ),
    (
        {**NAT, "backends": [NODE | {"port": 8080}, NODE, NODE | {"port": 8080}]},
        "2001:db8:64:1::7 port 8080 stands twice",
        "spec.backends[2]",
        "already in [0]",
    ),
    (
        {"backends": [*nodes(1), {"address": "fe80::1"}]},
        "fe80::1 is in fe80::/10",
        "spec.backends[1].address",
        "",
    ),
    ({"backends": [NODE | {"weight": 1001}]}, "1001 is too large", "backends[0].weight", "1000"),
    ({"backends": [NODE | {"weight": -1}]}, "-1 is too small", "backends[0].weight", "0"),
    ({"backends": [NODE | {"weight": 1.0}]}, "1.0", "backends[0].weight", ""),
    (
        {"backends": [NODE | {"state": "quarantined"}]},
        "quarantined is not known here",
        "backends[0].state",
        "active, maintenance, terminating",
    ),
    (
        {"backends": [NODE | {"drainUntil": "2026-07-01T12:00:00Z"}]},
        "drainUntil, and the state is active",
        "backends[0].drainUntil",
        "terminating",
    ),
    *(
        (
            {"backends": [TERMINATING | {"drainUntil": text}]},
            "is no time",
            "backends[0].drainUntil",
            "2026-05-04T12:00:00Z",
        )
        for text in (
            "2026-07-01",
            "2026-07-01T12:00:00",
            "2026-02-30T12:00:00Z",
            "0001-01-01T00:00:00+01:00",
            "tomorrow",
            7,
        )
    ),
    ({"backends": nodes(1001)}, "1001 entries", "spec.backends", "at most 1000"),
    (
        {"backends": [{"address": WEB6["address"]}]},
        "2001:db8:64::200 is a frontend as well",
        "backends[0].address",
        "another address",
    ),
    (
        {"backends": [NODE, {"address": "10.0.0.1", "port": 8080}]},
        "no port of its own with mode dsr",
        "spec.backends[1].port",
        "mode: nat",
    ),
    ({"mode": "DSR"}, "DSR is not known here", "spec.mode", "did you mean dsr?"),
    ({"tableSize": 250}, "250 is too small", "spec.tableSize", "at least 251"),
    ({"tableSize": 131072}, "131072 is too large", "spec.tableSize", "at most 131071"),
    # 1000 = 8 x 125; the next prime is 1009. 3 backends need 300; 307 is the first prime.
    ({"tableSize": 1000}, "1000 is not a prime", "spec.tableSize", "the next one is 1009"),
    (
        {"tableSize": 251, "backends": nodes(3)},
        "251 is too small for 3 backends",
        "spec.tableSize",
        "at least 307",
    ),
    ({"sessionAffinity": "clientip"}, "not known", "spec.sessionAffinity", "mean ClientIP?"),
    (
        {"sessionAffinityTimeoutSeconds": 60},
        "a timeout of nothing",
        "spec.sessionAffinityTimeoutSeconds",
        "ClientIP",
    ),
    (
        {"sessionAffinity": "ClientIP", "sessionAffinityTimeoutSeconds": 14401},
        "14401 is too large",
        "spec.sessionAffinityTimeoutSeconds",
        "at most 14400",
    ),
    (
        {"loadBalancerSourceRanges": ["10.0.0.1/8"]},
        "bits set behind its length",
        "spec.loadBalancerSourceRanges[0]",
        "10.0.0.0/8",
    ),
    (
        {"loadBalancerSourceRanges": ["10.0.0.0/8"] * 1001},
        "1001 entries",
        "spec.loadBalancerSourceRanges",
        "at most 1000",
    ),
    *(
        ({key: value}, f"{key} has no meaning with mode dsr", f"spec.{key}", "mode: nat")
        for key, value in (
            ("source", "pool"),
            ("sourcePool", POOL),
            ("maxSegmentSize", 1360),
            ("maxSegmentSize", "auto"),
        )
    ),
    (
        {"mode": "nat"},
        "there are IPv6 backends, and no IPv6 address in sourcePool",
        "spec.sourcePool",
        '"2001:db8:64:f::/120"',
    ),
    (
        {"mode": "nat", "sourcePool": POOL[1:], "backends": [NODE, {"address": "10.0.0.1"}]},
        "there are IPv4 backends, and no IPv4 address in sourcePool",
        "spec.sourcePool",
        "[10.1.0.8/30]",
    ),
    (
        {"mode": "nat", "sourcePool": ["2001:db8:64:f::/119"]},
        "512 IPv6 addresses",
        "spec.sourcePool",
        "at most 256",
    ),
    (
        {"mode": "nat", "sourcePool": [*POOL, "10.2.0.0/24"]},
        "260 IPv4 addresses",
        "spec.sourcePool",
        "at most 256",
    ),
    (
        {"mode": "nat", "sourcePool": ["10.1.0.9", *POOL]},
        "10.1.0.9/32 stands twice",
        "spec.sourcePool[0]",
        "10.1.0.8/30 in sourcePool[1]",
    ),
    (
        {"mode": "nat", "sourcePool": [*POOL, "fe80::/128"]},
        "fe80::/128 overlaps fe80::/10, which is not routed",
        "spec.sourcePool[2]",
        "",
    ),
    (
        {"mode": "nat", "source": "mapped", "frontends": [WEB4], "sourcePool": POOL},
        "sourcePool has no meaning with source mapped",
        "spec.sourcePool",
        "source: pool",
    ),
    (
        {"mode": "nat", "source": "mapped"},
        "2001:db8:64::200 is IPv6",
        "spec.frontends[1].address",
        "source: pool",
    ),
    (
        {
            "mode": "nat",
            "source": "mapped",
            "frontends": [WEB4],
            "backends": [NODE, {"address": "10.0.0.1"}],
        },
        "10.0.0.1 is IPv4",
        "spec.backends[1].address",
        "source: pool",
    ),
    ({**NAT, "maxSegmentSize": "big"}, "neither a number nor auto", "spec.maxSegmentSize", "88"),
    ({**NAT, "maxSegmentSize": 87}, "87 is too small", "spec.maxSegmentSize", "at least 88"),
    ({"whenAllDown": "drop"}, "drop is not known here", "spec.whenAllDown", ""),
    ({"announce": "L2"}, "L2 is not known here", "spec.announce", "l2"),
    ({"announce": ["l2"]}, "", "spec.announce", ""),
    ({"announce": None}, "", "spec.announce", ""),
    ({"backend": []}, "unknown key backend", "spec.backend", "did you mean backends?"),
]


@pytest.mark.parametrize(("spec", "what", "where", "hint"), BAD)
def test_refused(spec: dict[str, Any], what: str, where: str, hint: str) -> None:
    with pytest.raises(ResourceError) as caught:
        parse_resource(with_spec(**spec), "web.yaml:1")
    error = caught.value
    assert "\n" not in str(error)
    assert what in error.what
    assert where in path_text(error.path)
    assert hint in error.hint


def test_the_service_of_the_reference() -> None:
    page = Path(__file__).parents[3] / "docs" / "reference" / "service.md"
    _, _, rest = page.read_text().partition("```yaml\n")
    service = parse_resource(yaml.safe_load(rest.partition("```")[0]))
    assert isinstance(service, Service)
    assert [one.weight for one in service.spec.backends] == [2, 1, 1]


_IPV4 = st.integers(0, (1 << 32) - 1).map(lambda n: str(IPv4Address(n)))
_IPV6 = st.integers(0, (1 << 128) - 1).map(lambda n: str(IPv6Address(n)))
_GROUPS = st.lists(st.sampled_from([0, 0, 1, 0xFFFF]), min_size=8, max_size=8).map(
    lambda groups: ":".join(f"{group:x}" for group in groups)
)
_EDGES = st.sampled_from(
    [
        "0.0.0.0",
        "1.0.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "223.255.255.255",
        "::1:0:0",
        "::1:0:0:0",
        "::1:1:0:0:0",
        "64:ff9b::1",
        "fe7f::1",
        "fec0::1",
        "feff::1",
        "::ffff:1.2.3.4",
        "::1.2.3.4",
        "64:ff9b::1.2.3.4",
        "192.0.2.01",
        "1.2.3",
        "2001:db8::1%eth0",
        "2001:DB8::0:1",
        "x",
    ]
)
_ADDRESSES = st.one_of(_IPV4, _IPV6, _GROUPS, _EDGES)


@given(_ADDRESSES)
def test_the_quick_way_to_read_an_address(text: str) -> None:
    """It takes nothing that the careful way refuses, and understands the same."""
    try:
        canonical, packed = read_routed(text)
    except (ValueError, OSError):
        return
    address = parse_routed(text)
    assert (canonical, unpacked_address(packed)) == (str(address), address)


def test_the_quick_way_is_taken() -> None:
    """Else 10,000 services would take three times as long."""
    for text in ("192.0.2.1", "2001:db8::1", "64:ff9b::1", "fd00::1", "223.255.255.255"):
        assert read_routed(text)[0] == text


_ROUTED = st.one_of(
    st.integers(1, 99).map(lambda n: f"10.0.0.{n}"),
    st.integers(1, 99).map(lambda n: f"2001:db8::{n:x}"),
)
_BACKENDS = st.lists(
    st.fixed_dictionaries(
        {"address": _ROUTED},
        optional={
            "port": st.none() | st.integers(1, 65535),
            "weight": st.integers(0, 1000),
            "state": st.sampled_from(["active", "terminating", "maintenance"]),
        },
    ),
    max_size=8,
    unique_by=lambda one: (one["address"], one.get("port")),
)
_FRONTENDS = st.lists(
    st.fixed_dictionaries(
        {"address": st.integers(1, 9).map(lambda n: f"192.0.2.{n}"), "port": st.integers(1, 9)},
        optional={"protocol": st.sampled_from(["TCP", "UDP"])},
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda one: (one["address"], one["port"], one.get("protocol", "TCP")),
)


@given(_FRONTENDS, _BACKENDS, st.randoms())
def test_as_data_is_what_parse_takes(
    frontends: list[dict[str, Any]], backends: list[dict[str, Any]], random: Any
) -> None:
    service = parse(**NAT, frontends=frontends, backends=backends)
    assert parse_resource(service.as_data()) == service
    assert service.as_data()["spec"]["frontends"] == frontends
    random.shuffle(frontends)
    random.shuffle(backends)
    assert parse(**NAT, frontends=frontends, backends=backends) == service


@given(_FRONTENDS, _BACKENDS)
def test_lists_are_the_same_one_by_one(
    frontends: list[dict[str, Any]], backends: list[dict[str, Any]]
) -> None:
    spec = parse(**NAT, frontends=frontends, backends=backends).spec
    one_by_one = [Backend.model_validate(one) for one in backends]
    assert list(spec.backends) == one_by_one
    assert BackendList.of(one_by_one).packed == spec.backends.packed
    assert [one.as_data() for one in spec.backends] == backends
    assert list(spec.backends[1:]) == one_by_one[1:]
    each = [Frontend.model_validate(one) for one in frontends]
    assert list(spec.frontends) == each
    assert FrontendList.of(each).packed == spec.frontends.packed
