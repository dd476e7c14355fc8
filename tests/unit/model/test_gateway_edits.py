# SPDX-License-Identifier: Apache-2.0
"""One prefix or one mapping changed: what is new is checked, all else carried over as it is."""

from ipaddress import IPv4Network
from typing import Any

import pytest

from sixlane.model import Eam, Gateway, Prefix, ResourceError, parse_resource


def gateway(*prefixes: dict[str, Any]) -> Gateway:
    parsed = parse_resource(
        {
            "apiVersion": "sixlane.dev/v1alpha1",
            "kind": "Gateway",
            "metadata": {"name": "edge"},
            "spec": {"devices": [{"name": "wan0"}], "prefixes": list(prefixes)},
        }
    )
    assert isinstance(parsed, Gateway)
    return parsed


def prefix(name: str, number: int, **fields: Any) -> dict[str, Any]:
    return {"name": name, "prefix": f"2001:db8:{number:x}::/96", "ipv4": [], **fields}


PAIR = gateway(
    prefix("one", 1, ipv4=["192.0.2.0/25"]),
    prefix("two", 2, eam=[{"ipv4": "198.51.100.7", "ipv6": "2001:db8:a::7"}]),
)


def test_a_prefix_takes_the_place_of_that_of_its_name() -> None:
    new = Prefix.model_validate(prefix("one", 9, ipv4=["203.0.113.0/24"]))
    after = PAIR.with_prefix(new)
    assert after.spec.prefixes[0] is new
    assert after.spec.prefixes[1] is PAIR.spec.prefixes[1]
    assert after.spec.devices is PAIR.spec.devices
    assert PAIR.spec.prefixes[0].name == "one", "nothing was changed in place"
    assert parse_resource(after.as_data()) == after


def test_another_prefix_comes_behind() -> None:
    after = PAIR.with_prefix(Prefix.model_validate(prefix("three", 3)))
    assert [one.name for one in after.spec.prefixes] == ["one", "two", "three"]


def test_without_a_prefix() -> None:
    after = PAIR.without_prefix("one")
    assert after.spec.prefixes == PAIR.spec.prefixes[1:]
    with pytest.raises(KeyError):
        PAIR.without_prefix("three")
    with pytest.raises(ResourceError, match=r"prefixes is empty: spec\.prefixes"):
        after.without_prefix("two")


def test_no_more_than_64() -> None:
    full = gateway(*(prefix(f"p{number}", number) for number in range(64)))
    with pytest.raises(ResourceError, match="65 entries"):
        full.with_prefix(Prefix.model_validate(prefix("more", 64)))
    assert full.with_prefix(Prefix.model_validate(prefix("p7", 65)))


def test_a_new_prefix_must_not_serve_what_another_does() -> None:
    new = Prefix.model_validate(prefix("three", 3, ipv4=["192.0.2.64/26"]))
    with pytest.raises(ResourceError, match="served by another prefix too") as caught:
        PAIR.with_prefix(new)
    assert caught.value.path == ("spec", "prefixes", 2, "ipv4", 0)
    assert "prefixes[0].ipv4[0]" in caught.value.hint
    again = Prefix.model_validate(prefix("one", 3, ipv4=["192.0.2.64/26"]))
    assert PAIR.with_prefix(again).spec.prefixes[0] is again, "its own old ranges are gone"


@pytest.mark.conformance(72)
def test_a_new_prefix_must_not_map_what_another_does() -> None:
    eam = [{"ipv4": "203.0.113.7", "ipv6": "2001:db8:a::7", "remote": True}]
    with pytest.raises(ResourceError, match="is mapped twice") as caught:
        PAIR.with_prefix(Prefix.model_validate(prefix("three", 3, eam=eam)))
    assert caught.value.path == ("spec", "prefixes", 2, "eam", 0, "ipv6")


def test_one_mapping() -> None:
    two = PAIR.spec.prefixes[1]
    more = two.with_eam(Eam.model_validate({"ipv4": "198.51.100.8", "ipv6": "2001:db8:a::8"}))
    assert [str(eam.ipv4) for eam in more.eam] == ["198.51.100.7/32", "198.51.100.8/32"]
    other = more.with_eam(Eam.model_validate({"ipv4": "198.51.100.7", "ipv6": "2001:db8:a::9"}))
    assert [str(eam.ipv6) for eam in other.eam] == ["2001:db8:a::9/128", "2001:db8:a::8/128"]
    fewer = other.without_eam(IPv4Network("198.51.100.8"))
    assert [str(eam.ipv4) for eam in fewer.eam] == ["198.51.100.7/32"]
    with pytest.raises(KeyError):
        fewer.without_eam(IPv4Network("198.51.100.8"))
    assert fewer.ipv4 is two.ipv4


def test_a_mapping_is_checked_with_its_prefix() -> None:
    two = PAIR.spec.prefixes[1]
    eam = Eam.model_validate({"ipv4": "198.51.100.8", "ipv6": "2001:db8:a::7"})
    with pytest.raises(ResourceError, match="is mapped twice") as caught:
        PAIR.with_prefix(two.with_eam(eam))
    assert caught.value.path == ("spec", "prefixes", 1, "eam", 1, "ipv6")
