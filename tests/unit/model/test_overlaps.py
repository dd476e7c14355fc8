# SPDX-License-Identifier: Apache-2.0
"""Mappings that overlap are allowed, and told (RFC 7757 section 5)."""

from ipaddress import IPv4Network, IPv6Network
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixlane.model import EamList, Gateway, ResourceError, parse_resource
from sixlane.model.overlaps import overlap_warnings

pytestmark = pytest.mark.conformance(72)


def mapping(ipv4: str, ipv6: str) -> dict[str, str]:
    return {"ipv4": ipv4, "ipv6": ipv6}


def warnings(*lists: list[dict[str, str]]) -> tuple[str, ...]:
    return overlap_warnings(tuple(EamList.of_data(one) for one in lists))


WIDE = mapping("198.51.100.0/24", "2001:db8:1::/120")
SAME_IPV4 = mapping("198.51.100.128/25", "2001:db8:2::/121")
SAME_IPV6 = mapping("203.0.113.0/29", "2001:db8:1::f8/125")
APART = mapping("198.51.101.0/24", "2001:db8:1::100/120")


def test_neighbours_do_not_overlap() -> None:
    assert warnings() == warnings([]) == warnings([WIDE, APART]) == warnings([APART], [WIDE]) == ()


def test_each_family_is_looked_at_by_itself() -> None:
    assert warnings([WIDE, SAME_IPV4]) == (
        "198.51.100.128/25 in spec.prefixes[0].eam[1] is a part of 198.51.100.0/24 in "
        "spec.prefixes[0].eam[0], and goes before it: addresses there may not map back",
    )
    assert warnings([APART], [SAME_IPV6], [WIDE]) == (
        "2001:db8:1::f8/125 in spec.prefixes[1].eam[0] is a part of 2001:db8:1::/120 in "
        "spec.prefixes[2].eam[0], and goes before it: addresses there may not map back",
    )
    assert len(warnings([WIDE, SAME_IPV4, SAME_IPV6])) == 2


def test_in_any_order() -> None:
    for order in permutations([WIDE, SAME_IPV4, APART]):
        (line,) = warnings(list(order))
        assert line.startswith("198.51.100.128/25 in"), order


def test_the_others_are_counted() -> None:
    nested = [mapping(f"198.51.100.0/{24 + n}", f"2001:db8:{n + 1}::/120") for n in range(4)]
    (line,) = warnings(nested)
    assert line.startswith("198.51.100.0/25 in spec.prefixes[0].eam[1] is a part of")
    assert line.endswith("; 2 more like it"), "nothing is inside the last one"


def test_the_gateway_tells_and_takes_it() -> None:
    data: dict[str, Any] = {
        "apiVersion": "sixlane.dev/v1alpha1",
        "kind": "Gateway",
        "metadata": {"name": "edge"},
        "spec": {
            "devices": [{"name": "wan0"}],
            "prefixes": [{"name": "one", "prefix": "64:ff9b::/96", "eam": [WIDE, SAME_IPV4]}],
        },
    }
    gateway = parse_resource(data)
    assert isinstance(gateway, Gateway)
    assert gateway.warnings == warnings([WIDE, SAME_IPV4])
    apart = gateway.spec.prefixes[0].without_eam(IPv4Network(SAME_IPV4["ipv4"]))
    assert gateway.with_prefix(apart).warnings == (), "nothing is remembered of the one before"
    data["spec"]["prefixes"][0]["eam"] = [WIDE, {**APART, "ipv6": WIDE["ipv6"]}]
    with pytest.raises(ResourceError, match="2001:db8:1::/120 is mapped twice"):
        parse_resource(data)


def _prefixes(base: int, width: int, shortest: int) -> st.SearchStrategy[tuple[int, int]]:
    """Near each other, so that many overlap: address and length."""

    def aligned(length: int, offset: int) -> tuple[int, int]:
        return base + (offset >> width - length << width - length), length

    return st.builds(aligned, st.integers(shortest, width), st.integers(0, 255))


@given(
    st.lists(
        st.tuples(
            _prefixes(int(IPv4Network("198.51.100.0")[0]), 32, 24),
            _prefixes(int(IPv6Network("2001:db8::")[0]), 128, 120),
        ).filter(lambda pair: 128 - pair[1][1] >= 32 - pair[0][1]),
        max_size=12,
        unique_by=(lambda pair: pair[0], lambda pair: pair[1]),
    )
)
def test_the_same_as_each_with_each(
    pairs: list[tuple[tuple[int, int], tuple[int, int]]],
) -> None:
    ipv4 = [IPv4Network(pair[0]) for pair in pairs]
    ipv6 = [IPv6Network(pair[1]) for pair in pairs]
    found = warnings([mapping(str(a), str(b)) for a, b in zip(ipv4, ipv6, strict=True)])
    divided4 = [sum(a.supernet_of(b) for b in ipv4) - 1 for a in ipv4]
    divided6 = [sum(a.supernet_of(b) for b in ipv6) - 1 for a in ipv6]
    wanted = [sum(map(bool, divided)) for divided in (divided4, divided6) if any(divided)]
    assert [1 + int(line.partition("; ")[2].partition(" ")[0] or 0) for line in found] == wanted
