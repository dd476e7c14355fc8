# SPDX-License-Identifier: Apache-2.0
"""named.conf as named-checkconf and people read it."""

import re
import subprocess
from typing import Any

import pytest

from sixlane.dns64.conf import checkable, listeners, named_conf, server_id
from sixlane.dns64.process import program
from sixlane.model import Dns64, parse_resource
from tests import needs


def resolver(name: str = "cluster", **spec: Any) -> Dns64:
    resource = parse_resource(
        {
            "apiVersion": "sixlane.dev/v1alpha1",
            "kind": "Dns64",
            "metadata": {"name": name},
            "spec": {
                "listen": ["2001:db8:64::1"],
                "clients": ["2001:db8:64::/48"],
                "prefixes": [{"prefix": "64:ff9b::/96"}],
                **spec,
            },
        }
    )
    assert isinstance(resource, Dns64)
    return resource


def conf(**spec: Any) -> str:
    return named_conf(resolver(**spec), "/var/lib/x", "/var/lib/x/named.log")


def clause(text: str, name: str) -> list[str]:
    """The items between the braces behind `name`."""
    found = re.search(rf"^\s*{re.escape(name)} \{{ (.*?) \}};$", text, re.MULTILINE)
    assert found, f"no {name} in {text}"
    return [item for item in found.group(1).split("; ") if item] if found else []


def items(text: str, name: str) -> list[str]:
    return [item.rstrip(";") for item in clause(text, name)]


def test_only_the_clients_may_ask() -> None:
    text = conf(clients=["2001:db8:64::/48", "10.0.0.0/8"])
    for what in ("allow-query", "allow-query-cache", "allow-recursion", "clients"):
        assert items(text, what) == ["2001:db8:64::/48", "10.0.0.0/8"]


def test_listens_where_it_is_told_and_nowhere_else() -> None:
    text = conf(listen=["2001:db8:64::1", "192.31.196.1"], port=5353)
    assert items(text, "listen-on-v6 port 5353") == ["2001:db8:64::1"]
    assert items(text, "listen-on port 5353") == ["192.31.196.1"]
    assert listeners(text) == {("2001:db8:64::1", 5353), ("192.31.196.1", 5353)}
    text = conf()
    assert items(text, "listen-on port 53") == ["none"]
    assert listeners(text) == {("2001:db8:64::1", 53)}


def test_no_control_channel_and_no_files_elsewhere() -> None:
    text = conf()
    assert "controls { };" in text
    assert "pid-file none;" in text
    assert "session-keyfile none;" in text
    paths = {path for path in re.findall(r'"(/.*?)"', text)}
    assert paths == {"/var/lib/x", "/var/lib/x/named.log"}


def test_forwarders() -> None:
    assert "forward" not in conf()
    text = conf(forwarders=["192.31.196.53", "2001:db8::53"])
    assert items(text, "forwarders") == ["192.31.196.53", "2001:db8::53"]
    assert "forward only;" in text
    assert 'zone "ipv4only.arpa" { type forward; forwarders { }; };' in text


def test_validation() -> None:
    assert "dnssec-validation auto;" in conf()
    assert "dnssec-validation no;" in conf(dnssecValidation="no")


@pytest.mark.conformance(111)
def test_the_well_known_prefix_stands_for_global_addresses_only() -> None:
    mapped = items(conf(), "mapped")
    assert mapped[-1] == "any"
    assert {"!10.0.0.0/8", "!192.168.0.0/16", "!192.0.2.0/24"} <= set(mapped)
    assert mapped.index("192.0.0.9") < mapped.index("!192.0.0.0/24")


@pytest.mark.conformance(117)
def test_the_addresses_of_ipv4only_arpa_are_mapped_under_every_prefix_for_all() -> None:
    prefixes = [
        {"prefix": "64:ff9b::/96"},
        {"prefix": "2001:db8:1::/96", "mapped": ["10.0.0.0/8"], "clients": ["2001:db8:64:1::/64"]},
    ]
    first, second = conf(prefixes=prefixes).split("    dns64 ")[1:]
    assert items(first, "mapped")[:2] == ["192.0.0.170", "192.0.0.171"]
    assert items(second, "mapped") == ["10.0.0.0/8"]
    assert items(second, "clients") == ["2001:db8:64:1::/64"]
    alone = conf(prefixes=prefixes[1:])
    assert items(alone, "mapped") == ["192.0.0.170", "192.0.0.171", "10.0.0.0/8"]


@pytest.mark.conformance(110)
def test_a_prefix_of_ones_own_stands_for_private_addresses_too() -> None:
    mapped = items(conf(prefixes=[{"prefix": "2001:db8:1::/96"}]), "mapped")
    assert mapped == ["192.0.0.170", "192.0.0.171", "any"]


@pytest.mark.conformance(105)
def test_excluded() -> None:
    assert items(conf(), "exclude") == ["::ffff:0:0/96"]
    prefix = {"prefix": "64:ff9b::/96", "exclude": ["2001:db8:bad::/48"]}
    assert items(conf(prefixes=[prefix]), "exclude") == ["2001:db8:bad::/48"]
    assert items(conf(prefixes=[{**prefix, "exclude": []}]), "exclude") == ["none"]


def test_the_server_id_tells_one_text_from_another() -> None:
    assert server_id(conf()) == server_id(conf())
    assert server_id(conf()) != server_id(conf(dnssecValidation="no"))
    assert server_id("") == ""


@needs.command("named-checkconf")
@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"listen": ["192.31.196.1"], "forwarders": ["192.31.196.53"], "dnssecValidation": "no"},
        {
            "prefixes": [
                {"prefix": f"2001:db8:{length}00::/{length}", "exclude": [], "clients": []}
                for length in (40, 48, 56, 64, 96)
            ]
        },
        {"prefixes": [{"prefix": "2001:db8::/32", "mapped": ["192.0.2.0/24", "198.51.100.7"]}]},
    ],
)
def test_bind_takes_it(spec: dict[str, Any]) -> None:
    done = subprocess.run(
        [program("named-checkconf"), "/dev/stdin"],
        input=checkable(conf(**spec)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
