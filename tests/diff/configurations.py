# SPDX-License-Identifier: Apache-2.0
"""Translators that together use all that a configuration can say."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Any

from sixlane.rfc.rfc7915 import Eam, Prefix, Translator


def _prefix(
    name: str,
    network: str,
    *ipv4: str,
    sources: Sequence[str] | None = None,
    eam: Sequence[Eam] = (),
    max_segment: int | None = None,
) -> Prefix:
    return Prefix(
        name=name,
        network=IPv6Network(network),
        ipv4=tuple(map(IPv4Network, ipv4)),
        sources=None if sources is None else tuple(map(IPv4Network, sources)),
        eam=tuple(eam),
        max_segment=max_segment,
    )


def _eam(ipv4: str, ipv6: str, *, remote: bool = False) -> Eam:
    return Eam(IPv4Network(ipv4), IPv6Network(ipv6), remote)


def _translator(*prefixes: Prefix, lowest_ipv6_mtu: int = 1280, **policy: Any) -> Translator:
    return Translator(
        prefixes,
        IPv4Address("192.31.196.1"),
        IPv6Address("2001:db8::1"),
        lowest_ipv6_mtu,
        **policy,
    )


WELL_KNOWN = _translator(
    _prefix("services", "64:ff9b::/96", "192.175.48.0/25", sources=["192.31.196.0/25"]),
    _prefix("nodes", "64:ff9b::/96", "192.175.48.128/25", "192.0.0.9/32"),
)
NETWORK_SPECIFIC = _translator(
    _prefix("n32", "3fff:32::/32", "198.51.100.0/27"),
    _prefix("n40", "3fff:40:4000::/40", "198.51.100.32/27", "10.40.0.0/16"),
    _prefix("n48", "3fff:48:4848::/48", "198.51.100.64/27"),
    _prefix("n56", "3fff:56:5656:5600::/56", "198.51.100.96/27", sources=[]),
    _prefix("n64", "3fff:64:6464:6464::/64", "198.51.100.128/27", sources=["192.52.193.0/24"]),
    _prefix("n96", "3fff:96:9696:9696:96:9696::/96", "198.51.100.160/27"),
)
EXPLICIT = _translator(
    _prefix(
        "embedded",
        "2001:db8:64::/96",
        "203.0.113.0/25",
        eam=[
            _eam("203.0.113.9/32", "2001:db8:1::9/128"),
            _eam("198.18.24.0/24", "2001:db8:24::/120"),
            _eam("198.18.24.128/28", "2001:db8:28::/120"),
            _eam("198.18.26.64/26", "2001:db8:26:26::/64"),
            _eam("198.18.24.130/31", "2001:db8:24::fe/127"),
        ],
    ),
    _prefix(
        "remote",
        "2001:db8:46:4600::/56",
        "203.0.113.128/26",
        sources=["192.0.2.64/26", "192.31.196.0/24"],
        eam=[
            _eam("192.0.2.64/26", "2001:db8:ffff::/122", remote=True),
            _eam("192.0.2.7/32", "2001:db8:fffe::7/128", remote=True),
            _eam("203.0.113.144/28", "2001:db8:28:1::/100"),
        ],
    ),
)
MIXED = _translator(
    _prefix(
        "wide",
        "64:ff9b::/96",
        "192.175.48.0/24",
        eam=[
            _eam("10.64.0.0/24", "2001:db8:64:64::/120"),
            _eam("172.16.3.0/24", "2001:db8:64:3::/96", remote=True),
        ],
    ),
    _prefix("outer", "2001:db8:100:100::/64", "100.64.1.0/24"),
    _prefix("nested", "2001:db8:100:100:64::/96", "100.64.2.0/24", sources=["192.168.0.0/16"]),
    lowest_ipv6_mtu=1400,
)

SETTINGS = _translator(
    _prefix(
        "mapped",
        "64:ff9b::/96",
        "192.175.48.0/25",
        max_segment=1300,
        eam=[
            _eam("192.175.48.64/26", "2001:db8:a::/64"),
            _eam("192.175.48.80/28", "2001:db8:b::/124"),
            _eam("192.175.48.81/32", "2001:db8:c::81/128"),
            _eam("192.52.193.0/26", "2001:db8:fff::/122", remote=True),
        ],
    ),
    _prefix(
        "listed",
        "64:ff9b::/96",
        "192.175.48.128/25",
        sources=["192.31.196.0/25", "192.175.48.64/26"],
        max_segment=536,
    ),
    _prefix(
        "local",
        "64:ff9b:1:40::/96",
        "10.1.0.0/24",
        eam=[_eam("10.2.0.0/28", "2001:db8:d::/112")],
    ),
    tos=0x48,
    traffic_class=0xB9,
    udp_compute=True,
    hairpin="simple",
    icmp_pool=(IPv4Network("192.175.48.0/30"), IPv4Network("192.52.193.200/31")),
)
INTRINSIC = _translator(
    *SETTINGS.prefixes,
    hairpin="intrinsic",
    icmp_pool=(IPv4Network("192.175.48.254/32"),),
    icmp_origin=False,
)
OFF = _translator(*SETTINGS.prefixes, hairpin=None, udp_compute=True)

LOCAL_USE = _translator(
    _prefix(
        "local",
        "64:ff9b:1::/48",  # all of RFC 8215's
        "10.8.0.0/16",
        max_segment=88,
        eam=[
            _eam("10.9.0.0/25", "2001:db8:e:1::/64"),
            _eam("10.9.0.64/26", "2001:db8:e:1:8000::/90"),
            _eam("10.9.0.80/28", "2001:db8:e:2::/100"),
            _eam("10.9.0.81/32", "2001:db8:e:2:0:0:1000::/104"),
            _eam("172.20.0.0/16", "2001:db8:e:4::/96", remote=True),
            _eam("172.20.3.0/24", "2001:db8:e:4:0:0:300::/104", remote=True),
        ],
    ),
    _prefix("global", "64:ff9b::/96", "192.175.48.0/24", max_segment=65495),
    tos=0,
    traffic_class=0xFF,
    udp_compute=True,
    icmp_pool=tuple(
        map(IPv4Network, ("192.52.193.0/30", "192.175.48.7/32", "10.8.1.0/31", "172.20.9.0/28"))
    ),
    icmp_origin=False,
)
LENGTHS = _translator(
    _prefix("l32", "3fff:32::/32", "198.51.100.0/27", max_segment=1460),
    _prefix("l40", "3fff:40:4000::/40", "198.51.100.32/27", sources=["198.51.100.0/24"]),
    _prefix(
        "l48",
        "3fff:48:4848::/48",
        "198.51.100.64/27",
        max_segment=1220,
        eam=[_eam("198.51.100.72/29", "2001:db8:48::/120")],
    ),
    _prefix(
        "l56",
        "3fff:56:5656:5600::/56",
        "198.51.100.96/27",
        eam=[_eam("203.0.113.0/28", "3fff:56:5656:5600:ff::/80")],  # inside its own prefix
    ),
    _prefix("l64", "3fff:64:6464:6464::/64", "198.51.100.128/27"),
    _prefix(
        "l96",
        "3fff:96:9696:9696:96:9696::/96",
        "198.51.100.160/27",
        eam=[_eam("192.52.193.0/26", "2001:db8:96::/122", remote=True)],
    ),
    lowest_ipv6_mtu=1500,
    traffic_class=0,
    icmp_pool=(IPv4Network("198.51.100.240/28"), IPv4Network("203.0.113.200/32")),
)

NATIVE = _translator(
    _prefix(
        "services",
        "64:ff9b::/96",
        "192.175.48.0/24",
        "192.175.48.144/28",
        eam=[
            _eam("192.175.48.64/28", "2001:db8:a::/64"),
            _eam("192.175.48.72/32", "2001:db8:b::72/128"),
            _eam("192.52.193.0/26", "2001:db8:fff::/112", remote=True),
            _eam("192.52.193.32/29", "2001:db8:fff::8000/115", remote=True),
        ],
    ),
    _prefix("again", "64:ff9b::/96", "192.31.196.64/26", "192.175.49.9/32"),
    _prefix("wide", "3fff:32::/32", "198.51.100.0/24"),
    _prefix("narrow", "3fff:32:c633:6440::/64", "203.0.113.0/24"),
    native=tuple(
        map(
            ip_network,
            (
                "192.175.48.0/24",  # as long as the range: translated
                "192.175.48.32/27",
                "192.175.48.40/32",
                "192.175.48.64/28",  # as long as the mapping
                "192.175.48.72/29",
                "192.175.48.128/26",
                "203.0.113.128/25",
                "64:ff9b::192.175.48.64/123",  # longer than the /28's form, not than the /32's
                "64:ff9b::192.175.48.160/125",  # of what IPv4 has a route for, too
                "64:ff9b::192.52.193.0/122",
                "64:ff9b::192.52.193.33/128",
                "64:ff9b::192.31.196.0/121",
                "2001:db8:fff::4000/114",
                "2001:db8:fff::8000/116",
                "2001:db8:fff::9002/127",
                "3fff:32:c633:6400::/56",
                "3fff:32:c633:6440::/64",  # the narrow prefix itself
                "3fff:32:c633:6410:8000::/66",  # no address is like that
                "3fff:32:c633:6420::/128",  # a host, its suffix with it
                "3fff:32:c633:6440:80::/73",
                "3fff:32:c633:6440:cb:71:8000::/97",
                "3fff:32:c034:c121::/64",  # all of a host's bits, and no suffix
                "3fff:32:8000::/33",
            ),
        )
    ),
)

CONFIGURATIONS: list[Translator] = [
    WELL_KNOWN,
    NETWORK_SPECIFIC,
    EXPLICIT,
    MIXED,
    SETTINGS,
    INTRINSIC,
    OFF,
    LOCAL_USE,
    LENGTHS,
    NATIVE,
]
