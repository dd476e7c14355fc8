# SPDX-License-Identifier: Apache-2.0
"""pool4 and sessions of a Gateway: what is read, and what is refused, in one line."""

import copy
from ipaddress import IPv4Address, IPv6Network
from pathlib import Path
from typing import Any

import pytest
import yaml

from sixlane.model import Gateway, Prefix, ResourceError, parse_resource

POOL: dict[str, Any] = {"name": "pods", "ipv4": ["192.31.197.8/30"]}
BOUND: dict[str, Any] = {
    "protocol": "tcp",
    "inside": "2001:db8:64::7",
    "insidePort": 8443,
    "pool": "192.31.197.8",
    "poolPort": 443,
}
GOOD: dict[str, Any] = {
    "apiVersion": "sixlane.dev/v1alpha1",
    "kind": "Gateway",
    "metadata": {"name": "edge"},
    "spec": {
        "devices": [{"name": "wan0"}],
        "prefixes": [
            {
                "name": "services",
                "prefix": "64:ff9b::/96",
                "ipv4": ["192.175.48.0/25"],
                "eam": [{"ipv4": "192.31.196.225", "ipv6": "2001:db8::225"}],
            }
        ],
        "pool4": [POOL],
    },
}


def with_spec(**spec: Any) -> dict[str, Any]:
    data = copy.deepcopy(GOOD)
    data["spec"] |= spec
    return data


def parse(**spec: Any) -> Gateway:
    gateway = parse_resource(with_spec(**spec))
    assert isinstance(gateway, Gateway)
    return gateway


def pools(*others: dict[str, Any]) -> list[dict[str, Any]]:
    return [POOL, *others]


def test_defaults() -> None:
    spec = parse().spec
    (pool,) = spec.pool4
    assert pool.clients == (IPv6Network("::/0"),)
    assert (pool.ports.tcp, pool.ports.udp) == ((1024, 65535), (1024, 65535))
    assert pool.ports.icmp == (0, 65535)
    assert (pool.port_blocks.size, pool.port_blocks.per_client) == (256, 8)
    assert pool.sessions_per_client == 0
    sessions = spec.sessions
    assert (sessions.filtering, sessions.tcp_from_outside) == ("endpoint-independent", "accept")
    assert sessions.client_prefix_length == 64
    lasting = sessions.lifetimes
    assert (lasting.udp, lasting.icmp) == (300, 60)
    assert (lasting.tcp_established, lasting.tcp_transitory) == (7440, 240)
    assert lasting.tcp_incoming_syn == 6
    most = sessions.max
    assert (most.sessions, most.bindings, most.clients) == (262144, 131072, 16384)
    log = sessions.log
    assert (log.blocks, log.sessions, log.to, log.is_on) == (False, False, "journal", False)


@pytest.mark.parametrize(
    "to", ["journal", "/var/log/sixlane/log", "/with a blank", "/" + 4094 * "x"]
)
def test_where_the_log_goes(to: str) -> None:
    gateway = parse(sessions={"log": {"blocks": True, "to": to}})
    assert gateway.spec.sessions.log.to == to and gateway.spec.sessions.log.is_on
    assert gateway.as_data()["spec"]["sessions"] == {"log": {"blocks": True, "to": to}}


def test_no_pool4_is_the_default() -> None:
    data = copy.deepcopy(GOOD)
    del data["spec"]["pool4"]
    gateway = parse_resource(data)
    assert isinstance(gateway, Gateway)
    assert gateway.spec.pool4 == ()


def test_what_is_given() -> None:
    one = POOL | {
        "clients": ["2001:db8:1::/48", "2001:db8:2::/48"],
        "ports": {"tcp": "2048-4095", "icmp": "7-7"},
        "portBlocks": {"size": 64, "perClient": 1},
        "sessionsPerClient": 100,
    }
    (pool,) = parse(pool4=[one]).spec.pool4
    assert list(map(str, pool.clients)) == ["2001:db8:1::/48", "2001:db8:2::/48"]
    assert (pool.ports.tcp, pool.ports.udp, pool.ports.icmp) == (
        (2048, 4095),
        (1024, 65535),
        (7, 7),
    )
    assert pool.ranges == [(IPv4Address("192.31.197.8"), 4)]
    (pool,) = parse(pool4=[POOL | {"clients": "2001:db8::/32"}]).spec.pool4
    assert pool.clients == (IPv6Network("2001:db8::/32"),)


def test_ranges_that_touch_are_one() -> None:
    (pool,) = parse(pool4=[POOL | {"ipv4": ["192.31.197.8/30", "192.31.197.12"]}]).spec.pool4
    assert pool.ranges == [(IPv4Address("192.31.197.8"), 5)]


@pytest.mark.filterwarnings("error")
def test_as_data_is_what_parse_takes() -> None:
    one = POOL | {"clients": "2001:db8::/32", "ports": {"tcp": "2048-4095"}}
    gateway = parse(pool4=[one], sessions={"lifetimes": {"udp": 120}})
    data = gateway.as_data()
    assert data["spec"]["pool4"][0]["clients"] == ["2001:db8::/32"]
    assert data["spec"]["pool4"][0]["ports"] == {"tcp": "2048-4095"}
    assert data["spec"]["sessions"] == {"lifetimes": {"udp": 120}}
    assert parse_resource(data) == gateway


def test_a_prefix_need_not_serve_anybody() -> None:
    bare = {"name": "services", "prefix": "64:ff9b::/96"}
    assert not parse(prefixes=[bare]).spec.prefixes[0].ipv4
    assert not parse(prefixes=[bare | {"ipv4": []}]).spec.prefixes[0].ipv4
    parse().with_prefix(Prefix.model_validate({"name": "more", "prefix": "2001:db8:9::/96"}))


def test_prefixes_that_are_put_later_are_checked_as_well() -> None:
    shared = Prefix.model_validate(
        {"name": "more", "prefix": "2001:db8:9::/96", "ipv4": ["192.31.197.0/24"]}
    )
    with pytest.raises(ResourceError) as caught:
        parse().with_prefix(shared)
    assert caught.value.what == "192.31.197.8/30 is served by prefix more"
    bare = Prefix.model_validate({"name": "more", "prefix": "2001:db8:9::/96"})
    with pytest.raises(ResourceError, match=r"ipv4 is missing: spec.prefixes\[1\]"):
        parse(pool4=[]).with_prefix(bare)


def test_bindings() -> None:
    """Protocols have ports of their own, and identifiers begin at 0."""
    same = [BOUND | {"protocol": name} for name in ("tcp", "udp")]
    zero = BOUND | {"protocol": "icmp", "insidePort": 0, "poolPort": 0, "prefix": "services"}
    gateway = parse(bindings=[*same, zero])
    assert [one.pool_port for one in gateway.spec.bindings] == [443, 443, 0]
    more = Prefix.model_validate({"name": "more", "prefix": "2001:db8:9::/96", "ipv4": []})
    with pytest.raises(ResourceError, match="there is no prefix services"):
        gateway.with_prefix(more).without_prefix("services")


def other(**more: Any) -> dict[str, Any]:
    return {"name": "more", "ipv4": ["192.31.197.16"], "clients": "2001:db8::/32"} | more


BAD = [
    # spec, what, where, hint
    ({"pool4": [POOL | {"ipv4": []}]}, "no addresses", "spec.pool4[0].ipv4", "192.31.196.8/30"),
    (
        {"pool4": [POOL | {"ipv4": ["127.0.0.8/30"]}]},
        "127.0.0.8/30 overlaps 127.0.0.0/8",
        "spec.pool4[0].ipv4[0]",
        "",
    ),
    (
        {"pool4": pools(other(ipv4=["192.31.197.11"]))},
        "192.31.197.8/30 is in two entries",
        "spec.pool4[0].ipv4[0]",
        "pool4[1]",
    ),
    (
        {"pool4": [POOL | {"ipv4": ["192.31.197.8", "192.175.48.127"]}]},
        "192.175.48.127/32 is served by prefix services",
        "spec.pool4[0].ipv4[1]",
        "not both",
    ),
    (
        {"pool4": [POOL | {"ipv4": ["192.31.196.225"]}]},
        "192.31.196.225/32 is served by prefix services",
        "spec.pool4[0].ipv4[0]",
        "",
    ),
    ({"pool4": pools(other(name="pods"))}, "name pods stands twice", "spec.pool4[1].name", ""),
    (
        {"pool4": pools({"name": "more", "ipv4": ["192.31.197.16"]})},
        "::/0 uses two entries",
        "spec.pool4[1]",
        "already in pool4[0]",
    ),
    (
        {"pool4": [POOL | {"clients": ["::/0", "::/0"]}]},
        "::/0 uses two entries",
        "spec.pool4[0].clients[1]",
        "already in pool4[0].clients[0]",
    ),
    (
        {"pool4": [POOL | {"clients": []}]},
        "nobody would use it",
        "spec.pool4[0].clients",
        "::/0",
    ),
    (
        {"pool4": [POOL | {"clients": "10.0.0.0/8"}]},
        "10.0.0.0/8 is not an IPv6 range",
        "spec.pool4[0].clients[0]",
        "",
    ),
    (
        {"pool4": [POOL | {"clients": "2001:db8::7/128"}]},
        "2001:db8::7/128 is a part of a client, which is a /64",
        "spec.pool4[0].clients[0]",
        "clientPrefixLength",
    ),
    (
        {"pool4": [POOL | {"ipv4": ["192.31.197.0/24", "192.31.198.0"]}]},
        "pool4 has 257 addresses",
        "spec.pool4",
        "256 at most",
    ),
    (
        {"pool4": [POOL | {"ipv4": [f"192.31.197.{2 * n}" for n in range(33)]}]},
        "pool4 has 33 ranges that do not touch",
        "spec.pool4",
        "32 at most",
    ),
    (
        {"pool4": [POOL | {"clients": [f"2001:db8:{n}::/48" for n in range(17)]}]},
        "pool4 has 17 networks of clients",
        "spec.pool4",
        "16 at most",
    ),
    (
        {"pool4": [POOL | {"name": f"n{n}"} for n in range(17)]},
        "the list has 17 entries",
        "spec.pool4",
        "at most 16",
    ),
    (
        {"pool4": [POOL | {"ports": {"tcp": "4095-2048"}}]},
        "4095-2048 begins behind its end",
        "spec.pool4[0].ports.tcp",
        "did you mean 2048-4095?",
    ),
    (
        {"pool4": [POOL | {"ports": {"udp": "0-65535"}}]},
        "0-65535 has ports that there are not",
        "spec.pool4[0].ports.udp",
        "1 to 65535",
    ),
    (
        {"pool4": [POOL | {"ports": {"icmp": "0-65536"}}]},
        "0-65536 has ports that there are not",
        "spec.pool4[0].ports.icmp",
        "0 to 65535",
    ),
    (
        {"pool4": [POOL | {"ports": {"tcp": 80}}]},
        "80 is not a range of ports",
        "spec.pool4[0].ports.tcp",
        "1024-65535",
    ),
    (
        {"pool4": [POOL | {"portBlocks": {"size": 100}}]},
        "100 is not a power of two",
        "spec.pool4[0].portBlocks.size",
        "64, 128",
    ),
    (
        {"pool4": [POOL | {"portBlocks": {"size": 32}}]},
        "32 is too small",
        "spec.pool4[0].portBlocks.size",
        "at least 64",
    ),
    (
        {"pool4": [POOL | {"portBlocks": {"perClient": 9}}]},
        "9 is too large",
        "spec.pool4[0].portBlocks.perClient",
        "at most 8",
    ),
    (
        {"sessions": {"filtering": "adress-dependent"}},
        "adress-dependent is not known here",
        "spec.sessions.filtering",
        "did you mean address-dependent?",
    ),
    (
        {"sessions": {"lifetimes": {"udp": 119}}},
        "119 is too small",
        "spec.sessions.lifetimes.udp",
        "at least 120",
    ),
    (
        {"sessions": {"lifetimes": {"icmp": 59}}},
        "59 is too small",
        "spec.sessions.lifetimes.icmp",
        "at least 60",
    ),
    (
        {"sessions": {"lifetimes": {"tcpEstablished": 7199}}},
        "7199 is too small",
        "spec.sessions.lifetimes.tcpEstablished",
        "at least 7200",
    ),
    (
        {"sessions": {"lifetimes": {"tcpTransitory": 239}}},
        "239 is too small",
        "spec.sessions.lifetimes.tcpTransitory",
        "at least 240",
    ),
    (
        {"sessions": {"lifetimes": {"tcpIncomingSyn": 5}}},
        "5 is too small",
        "spec.sessions.lifetimes.tcpIncomingSyn",
        "at least 6",
    ),
    (
        {"sessions": {"clientPrefixLength": 129}},
        "129 is too large",
        "spec.sessions.clientPrefixLength",
        "at most 128",
    ),
    (
        {"pool4": [POOL | {"announce": "arp"}]},
        "arp is not known here",
        "spec.pool4[0].announce",
        "l2, none, route",
    ),
    (
        {"bindings": [BOUND | {"pool": "192.31.197.16"}]},
        "192.31.197.16 is no address of pool4",
        "spec.bindings[0].pool",
        "pool4[].ipv4",
    ),
    (
        {"pool4": [POOL | {"clients": "2001:db8:65::/48"}], "bindings": [BOUND]},
        "2001:db8:64::7 is no client of pool4",
        "spec.bindings[0].inside",
        "pool4[].clients",
    ),
    (
        {"bindings": [BOUND | {"inside": "64:ff9b::192.175.48.7"}]},
        "64:ff9b::c0af:3007 is under prefix services",
        "spec.bindings[0].inside",
        "the node itself",
    ),
    (
        {"bindings": [BOUND | {"prefix": "service"}]},
        "there is no prefix service",
        "spec.bindings[0].prefix",
        "did you mean services?",
    ),
    (
        {"bindings": [BOUND, BOUND | {"insidePort": 8444}]},
        "tcp port 443 of 192.31.197.8 is bound twice",
        "spec.bindings[1].poolPort",
        "already in bindings[0]",
    ),
    (
        {"bindings": [BOUND, BOUND | {"poolPort": 444}]},
        "tcp port 8443 of 2001:db8:64::7 is bound twice",
        "spec.bindings[1].insidePort",
        "already in bindings[0]",
    ),
    ({"bindings": [BOUND | {"poolPort": 0}]}, "tcp has no port 0", "spec.bindings[0].poolPort", ""),
    (
        {"bindings": [BOUND | {"protocol": "sctp"}]},
        "sctp is not known here",
        "spec.bindings[0].protocol",
        "tcp",
    ),
    (
        {"sessions": {"log": {"to": "log/sessions"}}},
        "log/sessions is no absolute path",
        "spec.sessions.log.to",
        "/var/log",
    ),
    *(
        (
            {"sessions": {"log": {"to": path}}},
            "is not the path of a file",
            "spec.sessions.log.to",
            "/var/log",
        )
        for path in ("/var/log/", "/", "/var/\nlog", "/" + 4095 * "x")
    ),
    (
        {"sessions": {"log": {"block": True}}},
        "unknown key block",
        "spec.sessions.log.block",
        "did you mean blocks?",
    ),
    (
        {"sessions": {"log": {"blocks": "yes"}}},
        "yes is not true or false",
        "spec.sessions.log.blocks",
        "",
    ),
    ({"pool5": []}, "unknown key pool5", "spec.pool5", "did you mean pool4?"),
]


@pytest.mark.parametrize(("spec", "what", "where", "hint"), BAD)
def test_refused(spec: dict[str, Any], what: str, where: str, hint: str) -> None:
    with pytest.raises(ResourceError) as caught:
        parse_resource(with_spec(**spec), "edge.yaml:1")
    error = caught.value
    assert "\n" not in str(error)
    assert what in error.what
    assert where in str(error)
    assert hint in error.hint


def test_minima_of_the_rfc_are_let_in() -> None:
    least = {
        "udp": 120,
        "icmp": 60,
        "tcpEstablished": 7200,
        "tcpTransitory": 240,
        "tcpIncomingSyn": 6,
    }
    assert parse(sessions={"lifetimes": least}).as_data()["spec"]["sessions"] == {
        "lifetimes": least
    }


def test_the_gateway_of_the_howto() -> None:
    page = Path(__file__).parents[3] / "docs" / "howto" / "pool4.md"
    _, _, rest = page.read_text().partition("```yaml\n")
    gateway = parse_resource(yaml.safe_load(rest.partition("```")[0]))
    assert isinstance(gateway, Gateway)
    assert [pool.name for pool in gateway.spec.pool4] == ["pods", "build-farm"]
