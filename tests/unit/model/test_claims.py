# SPDX-License-Identifier: Apache-2.0
"""What services may not share: with each other, with a Gateway, with a Dns64."""

from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixlane.model import AnyResource, ResourceError, check_together, is_alone, parse_resource
from sixlane.model.problem import path_text

Data = dict[str, Any]


def resource(kind: str, name: str, **spec: Any) -> AnyResource:
    return parse_resource(
        {
            "apiVersion": "sixlane.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name},
            "spec": spec,
        }
    )


def frontend(address: str, port: int = 80, **more: Any) -> Data:
    return {"address": address, "port": port, **more}


def service(name: str, *frontends: Data, pool: Sequence[str] = (), **spec: Any) -> AnyResource:
    if pool:
        spec = {"mode": "nat", "sourcePool": list(pool), **spec}
    return resource("Service", name, frontends=list(frontends), **spec)


def gateway(**spec: Any) -> AnyResource:
    usual: Data = {"devices": [{"name": "wan0"}], "prefixes": [], "loadBalancer": {}}
    return resource("Gateway", "edge", **(usual | spec))


PREFIX = {"name": "services", "prefix": "2001:db8:9::/96", "ipv4": ["192.0.2.0/25"]}
EAMS = [
    {"ipv4": "198.51.100.1", "ipv6": "2001:db8:1::1"},
    {"ipv4": "198.51.100.2", "ipv6": "2001:db8:1::2", "remote": True},
]
EDGE = gateway(
    prefixes=[PREFIX | {"eam": EAMS}, {"name": "all", "prefix": "2001:db8::/40", "ipv4": []}],
    pool4=[{"name": "pods", "ipv4": ["203.0.113.8/30"]}],
)
RESOLVER = resource(
    "Dns64",
    "cluster",
    listen=["2001:dba::53"],
    clients=["2001:db8::/32"],
    prefixes=[{"prefix": "64:ff9b::/96"}],
)
WEB = service("web", frontend("192.0.2.200"), frontend("2001:dba::200"))

GOOD = [
    [WEB, EDGE, RESOLVER],
    [EDGE, service("other", frontend("192.0.2.200", 443)), WEB],
    [WEB, service("other", frontend("192.0.2.200", protocol="UDP"))],
    # Next to what is taken.
    [EDGE, service("near", *map(frontend, ("192.0.2.128", "203.0.113.7", "203.0.113.12")))],
    [EDGE, service("near", *map(frontend, ("198.51.100.0", "198.51.100.2", "2001:db9::")))],
    [RESOLVER, service("near", frontend("2001:dba::53", 853), frontend("2001:dba::54", 53))],
    # The same source pool, in any order.
    [
        service("one", frontend("192.0.2.201"), pool=["10.0.0.0/30", "10.0.1.0/30"]),
        service("two", frontend("192.0.2.202"), pool=["10.0.1.0/30", "10.0.0.0/30"]),
        service("three", frontend("192.0.2.203", 8080), pool=["10.0.0.4/30"]),
    ],
]


@pytest.mark.parametrize("resources", GOOD)
def test_together(resources: list[AnyResource]) -> None:
    check_together(resources)
    check_together(resources[::-1])


BAD = [
    # others, the service, what, where, hint
    (
        [WEB],
        service("other", frontend("192.0.2.199"), frontend("2001:dba::200")),
        "Service web has TCP port 80 of 2001:dba::200 already",
        "spec.frontends[1]",
        "belongs to one service",
    ),
    (
        [RESOLVER],
        service("dns", frontend("2001:dba::53", 53, protocol="UDP")),
        "Dns64 cluster listens on UDP port 53 of 2001:dba::53",
        "spec.frontends[0]",
        "another address or port",
    ),
    *(
        (
            [EDGE],
            service("taken", frontend("8.8.8.8"), frontend(address)),
            f"{address} {what}",
            "spec.frontends[1].address",
            "address of its own",
        )
        for address, what in (
            ("203.0.113.8", "is in 203.0.113.8/30, pool4 of the Gateway"),
            ("203.0.113.11", "is in 203.0.113.8/30, pool4 of the Gateway"),
            ("192.0.2.0", "is served by prefix services of the Gateway"),
            ("192.0.2.127", "is served by prefix services of the Gateway"),
            ("198.51.100.1", "is served by prefix services of the Gateway"),
            ("2001:db8:9::1", "is in 2001:db8::/40, pool6 of the Gateway"),
            ("2001:db8:ff:ffff:ffff:ffff:ffff:ffff", "is in 2001:db8::/40, pool6 of the Gateway"),
        )
    ),
    (
        [WEB, service("nat", frontend("8.8.8.8"), pool=["10.0.0.0/30", "10.0.1.8/29"])],
        service("other", frontend("10.0.1.15")),
        "10.0.1.15 is in 10.0.1.8/29, sourcePool of Service nat",
        "spec.frontends[0].address",
        "address of its own",
    ),
    (
        [],
        service("own", frontend("10.0.0.3"), pool=["10.0.0.0/30"]),
        "10.0.0.3 is in 10.0.0.0/30, sourcePool of Service own",
        "spec.frontends[0].address",
        "",
    ),
    (
        [service("nat", frontend("8.8.8.8"), pool=["10.0.0.0/28", "2001:db8::/120"])],
        service("part", frontend("8.8.8.9"), pool=["10.0.1.0/30", "10.0.0.4/30"]),
        "10.0.0.4/30 overlaps 10.0.0.0/28, sourcePool of Service nat",
        "spec.sourcePool[1]",
        "the same list",
    ),
    (
        [service("nat", frontend("8.8.8.8"), pool=["10.0.0.0/28", "2001:db8::/120"])],
        service("part", frontend("8.8.8.9"), pool=["10.0.0.0/28"]),
        "10.0.0.0/28 overlaps 10.0.0.0/28, sourcePool of Service nat",
        "spec.sourcePool[0]",
        "the same list",
    ),
    (
        [service("nat", frontend("8.8.8.8"), pool=["10.0.0.4/30"])],
        service("whole", frontend("8.8.8.9"), pool=["10.0.0.0/28"]),
        "10.0.0.0/28 overlaps 10.0.0.4/30, sourcePool of Service nat",
        "spec.sourcePool[0]",
        "the same list",
    ),
    (
        [EDGE],
        service("nat", frontend("8.8.8.8"), pool=["10.0.0.0/30", "203.0.113.0/28"]),
        "203.0.113.0/28 overlaps 203.0.113.8/30, pool4 of the Gateway",
        "spec.sourcePool[1]",
        "addresses that nothing else has",
    ),
    (
        [EDGE],
        service("nat", frontend("8.8.8.8"), pool=["2001:db8:a::/120"]),
        "2001:db8:a::/120 overlaps 2001:db8::/40, pool6 of the Gateway",
        "spec.sourcePool[0]",
        "",
    ),
    (
        [EDGE],
        service("nat", frontend("8.8.8.8"), pool=["10.0.0.0/30", "198.51.100.0/30"]),
        "198.51.100.0/30 is served by prefix services of the Gateway",
        "spec.sourcePool[1]",
        "",
    ),
    (
        [gateway()],
        service("mapped", frontend("8.8.8.8"), mode="nat", source="mapped"),
        "Gateway edge has no prefix to map clients by",
        "spec.source",
        "source: pool",
    ),
    (
        [gateway(loadBalancer={"max": {"services": 1}}), WEB],
        service("more", frontend("8.8.8.8")),
        "with it there are 2 services",
        "spec",
        "1 at most: loadBalancer.max.services",
    ),
    (
        [gateway(loadBalancer={"max": {"backends": 1}}), WEB],
        service("more", frontend("8.8.8.8"), backends=[{"address": f"10.0.0.{n}"} for n in (1, 2)]),
        "with it there are 2 backends",
        "spec",
        "1 at most: loadBalancer.max.backends",
    ),
    # 251 entries of one without backends, and 131071: more than 1 << 17, which is 131072.
    (
        [gateway(loadBalancer={"max": {"ringEntries": 1 << 17}}), WEB],
        service("more", frontend("8.8.8.8"), tableSize=131071),
        "with it there are 131322 table entries",
        "spec",
        "131072 at most: loadBalancer.max.ringEntries",
    ),
]


@pytest.mark.parametrize(("others", "one", "what", "where", "hint"), BAD)
def test_refused(
    others: list[AnyResource], one: AnyResource, what: str, where: str, hint: str
) -> None:
    check_together(others)
    with pytest.raises(ResourceError) as caught:
        check_together([*others, one])
    error = caught.value
    assert "\n" not in str(error)
    assert what in error.what
    assert path_text(error.path) == where
    assert hint in error.hint
    assert error.where == str(one.key)
    with pytest.raises(ResourceError):
        check_together([one, *others])


def test_what_is_no_matter_for_others() -> None:
    node = {"address": "10.0.0.1"}
    before = service("web", frontend("192.0.2.200"), frontend("192.0.2.201"), backends=[node])
    two = [frontend("192.0.2.201"), frontend("192.0.2.200")]
    assert is_alone(before, None)
    assert is_alone(before, service("web", *two, backends=[node | {"weight": 7}]))
    assert is_alone(before, service("web", *two, backends=[{"address": "10.0.0.2"}]))
    assert not is_alone(None, before)
    assert not is_alone(before, service("web", two[0], backends=[node]))
    assert not is_alone(before, service("web", *two, backends=[]))
    assert not is_alone(before, service("web", *two, backends=[node], tableSize=509))
    assert not is_alone(before, service("web", *two, backends=[node], pool=["10.0.1.0/30"]))
    assert not is_alone(gateway(), None)
    assert not is_alone(gateway(), gateway(lowestIPv6MTU=1400))


_SMALL = st.tuples(st.integers(28, 32), st.integers(0, 15)).map(
    lambda one: f"10.0.0.{one[1] >> (32 - one[0]) << (32 - one[0])}/{one[0]}"
)
_SERVICES = st.lists(
    st.tuples(
        st.lists(st.integers(0, 31), min_size=1, max_size=2, unique=True),
        st.lists(_SMALL, max_size=2).filter(
            lambda pool: len(pool) < 2 or not ip_network(pool[0]).overlaps(ip_network(pool[1]))
        ),
    ),
    min_size=1,
    max_size=4,
)


@given(_SERVICES, st.lists(_SMALL, max_size=1), st.lists(_SMALL, max_size=1))
def test_the_same_as_by_sets_of_addresses(
    services: list[tuple[list[int], list[str]]], pool4: list[str], served: list[str]
) -> None:
    """Addresses from 10.0.0.0 on; each set is named by whose it is."""
    if pool4 and served and ip_network(pool4[0]).overlaps(ip_network(served[0])):
        return
    made = [
        service(f"s{at}", *(frontend(f"10.0.0.{n}") for n in numbers), pool=pool)
        for at, (numbers, pool) in enumerate(services)
    ]
    edge = gateway(
        prefixes=[{"name": "services", "prefix": "2001:db8:9::/96", "ipv4": served}],
        pool4=[{"name": "pods", "ipv4": pool4}] if pool4 else [],
    )
    frontends = [{ip_address(f"10.0.0.{n}") for n in numbers} for numbers, _ in services]
    pools = [
        {address for network in pool for address in ip_network(network)}
        for pool in {frozenset(pool) for _, pool in services}
    ]
    taken = [
        {address for network in ranges for address in ip_network(network)}
        for ranges in (pool4, served)
    ]
    every = [*frontends, *pools, *taken]
    apart = sum(map(len, every)) == len(set().union(*every))
    try:
        check_together([edge, *made])
    except ResourceError:
        assert not apart
    else:
        assert apart
