# SPDX-License-Identifier: Apache-2.0
"""Each wrong Dns64 gets one line: what, where, how to mend."""

import copy
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import pytest

from sixlane.model import Dns64, ResourceError, check_together, parse_resource, parse_resources

GOOD: dict[str, Any] = {
    "apiVersion": "sixlane.dev/v1alpha1",
    "kind": "Dns64",
    "metadata": {"name": "cluster"},
    "spec": {
        "listen": ["2001:db8:64::1", "192.31.196.1"],
        "clients": ["2001:db8::/32", "192.31.196.0/24"],
        "prefixes": [{"prefix": "64:ff9b::/96"}],
        "forwarders": ["192.31.196.53"],
        "dnssecValidation": "no",
    },
}


def changed(**spec: Any) -> dict[str, Any]:
    data = copy.deepcopy(GOOD)
    data["spec"].update(spec)
    return {**data, "spec": {key: value for key, value in data["spec"].items() if value != ...}}


def parsed(**spec: Any) -> Dns64:
    resource = parse_resource(changed(**spec))
    assert isinstance(resource, Dns64)
    return resource


def test_defaults() -> None:
    spec = parsed(forwarders=..., dnssecValidation=...).spec
    assert spec.port == 53
    assert spec.forwarders == ()
    assert spec.dnssec_validation == "auto"
    (prefix,) = spec.prefixes
    assert prefix.exclude == (IPv6Network("::ffff:0:0/96"),)
    assert prefix.mapped == (IPv4Network("0.0.0.0/0"),)
    assert prefix.clients is None


def test_as_data_is_what_parse_takes() -> None:
    prefix = {
        "prefix": "2001:db8:64::/96",
        "exclude": ["2001:db8:9::/48"],
        "mapped": ["any"],
        "clients": ["2001:db8:1::/48"],
    }
    resource = parsed(prefixes=[prefix, {"prefix": "64:ff9b::/96", "mapped": ["192.0.3.0/24"]}])
    assert parse_resource(resource.as_data()) == resource
    assert resource.as_data()["spec"]["prefixes"][0]["mapped"] == ["any"]


@pytest.mark.parametrize(
    ("spec", "what", "where", "hint"),
    [
        ({"listen": ...}, "listen is missing", "spec", ""),
        ({"listen": []}, "no address to listen on", "spec.listen", ""),
        ({"listen": ["::"]}, "does not name one place", "spec.listen[0]", "name each"),
        ({"listen": ["0.0.0.0"]}, "does not name one place", "spec.listen[0]", "name each"),
        ({"listen": ["fe80::1"]}, "does not name one place", "spec.listen[0]", "route to"),
        ({"listen": ["::1", "::1"]}, "::1 stands twice", "spec.listen[1]", ""),
        ({"listen": ["lan0"]}, "lan0 is not an IPv4 address", "spec.listen[0]", ""),
        ({"listen": ["2001:db8::1/64"]}, "not an IPv6 address", "spec.listen[0]", "length"),
        ({"port": 0}, "0 is too small", "spec.port", "at least 1"),
        ({"port": "53"}, "53 is not a whole number", "spec.port", "quotes"),
        ({"clients": ...}, "clients is missing", "spec", ""),
        ({"clients": []}, "no clients", "spec.clients", "may ask"),
        ({"clients": ["any"]}, "any is not an IPv4 range", "spec.clients[0]", ""),
        ({"prefixes": []}, "too short", "spec.prefixes", "at least 1"),
        ({"prefixes": [{"prefix": "64:ff9b::/95"}]}, "length /95", "prefixes[0].prefix", "/96"),
        ({"prefixes": [{"prefix": "64:ff9b::/96"}] * 2}, "twice", "prefixes[1].prefix", "[0]"),
        (
            {"prefixes": [{"prefix": "64:ff9b::/96", "mapped": []}]},
            "no IPv4 address is mapped",
            "prefixes[0].mapped",
            "[any]",
        ),
        (
            {"prefixes": [{"prefix": "64:ff9b::/96", "mapped": ["any", "10.0.0.0/8"]}]},
            "any, and more beside it",
            "prefixes[0].mapped",
            "[any]",
        ),
        (
            {"prefixes": [{"prefix": "64:ff9b::/96", "exclude": ["10.0.0.0/8"]}]},
            "not an IPv6 range",
            "prefixes[0].exclude[0]",
            "it is an IPv4 address",
        ),
        ({"forwarders": ["192.31.196.1"]}, "would ask itself", "spec.forwarders[0]", ""),
        ({"dnssecValidation": "off"}, "off is not known", "spec.dnssecValidation", "auto, no"),
        ({"dnssecvalidation": "no"}, "unknown key", "spec.dnssecvalidation", "dnssecValidation?"),
    ],
)
def test_refused(spec: dict[str, Any], what: str, where: str, hint: str) -> None:
    with pytest.raises(ResourceError) as caught:
        parse_resource(changed(**spec), "dns.yaml:1")
    error = caught.value
    assert "\n" not in str(error)
    assert what in error.message
    assert error.message.endswith(where)
    assert hint in error.hint


def test_two_resolvers_on_one_address() -> None:
    other = changed()
    other["metadata"] = {"name": "other"}
    with pytest.raises(ResourceError, match="Dns64 cluster listens on 2001:db8:64::1 port 53"):
        check_together(parse_resources([GOOD, other]))
    other["spec"]["port"] = 5353
    check_together(parse_resources([GOOD, other]))
