# SPDX-License-Identifier: Apache-2.0
"""Changes of resources and of parts of them."""

from typing import Any

import pytest

from sixlane.agent import edits
from sixlane.agent.problems import NotFound
from sixlane.agent.transaction import Edit
from sixlane.model import AnyResource, Gateway, Key, ResourceError, parse_resource
from tests.unit.agent.fakes import GATEWAY, dns64, gateway

EDGE = Key("Gateway", "edge")
MAPPING = {"ipv4": "192.31.196.7/32", "ipv6": "2001:db8::7/128"}


def made(edit: Edit, present: AnyResource | None) -> Gateway:
    changed = edit.change(present)
    assert isinstance(changed, Gateway)
    return changed


def spec(resource: Gateway) -> dict[str, Any]:
    data: dict[str, Any] = resource.as_data()["spec"]
    return data


# The examples of RFC 7396, appendix A.
@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch(target: object, patch: object, result: object) -> None:
    assert edits.merged_patch(target, patch) == result


def test_a_patch_changes_what_it_holds_and_nothing_else() -> None:
    present = gateway(lowestIPv6MTU=1400, icmpErrors={"rate": 7})
    patch = {"spec": {"lowestIPv6MTU": None, "icmpErrors": {"rate": 9}}}
    assert spec(made(edits.merge_patch(EDGE, patch), present)) == {
        **GATEWAY["spec"],
        "icmpErrors": {"rate": 9},
    }


def test_a_patch_may_name_the_version_that_it_was_made_for() -> None:
    patch = {"metadata": {"resourceVersion": "7", "generation": 3}, "status": {"conditions": []}}
    edit = edits.merge_patch(EDGE, patch)
    assert edit.expected == "7"
    assert edits.merge_patch(EDGE, patch, "8").expected == "8"
    assert made(edit, gateway()) == gateway()


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"metadata": {"name": "core"}}, "makes Gateway core of Gateway edge"),
        ({"metadata": None}, "metadata is missing"),
        ({"spec": {"devics": []}}, "unknown key devics"),
        ({"kind": "Dns64"}, "unknown key devices"),
        ({"metadata": {"resourceVersion": 7}}, "7 is not text"),
    ],
)
def test_a_patch_is_checked(patch: dict[str, Any], message: str) -> None:
    with pytest.raises(ResourceError, match=message):
        edits.merge_patch(EDGE, patch).change(gateway())


def test_putting_takes_the_version_along() -> None:
    data = {**GATEWAY, "metadata": {"name": "edge", "resourceVersion": "7"}}
    assert edits.put(parse_resource(data)).expected == "7"
    assert edits.put(parse_resource(data), "").expected == ""
    assert edits.put(gateway()).expected is None


def test_prefixes_one_by_one() -> None:
    nodes = {"name": "nodes", "prefix": "64:ff9b::/96", "ipv4": ["192.31.196.0/24"]}
    pods = GATEWAY["spec"]["prefixes"][0]
    two = made(edits.put_prefix("edge", nodes), gateway())
    assert spec(two)["prefixes"] == [pods, nodes]
    patched = made(edits.patch_prefix("edge", "pods", {"loadBalancerSourceRanges": []}), two)
    assert spec(patched)["prefixes"] == [{**pods, "loadBalancerSourceRanges": []}, nodes]
    one = made(edits.delete_prefix("edge", "pods"), patched)
    assert spec(one)["prefixes"] == [nodes]


def test_mappings_one_by_one() -> None:
    with_one = made(edits.put_eam("edge", "pods", MAPPING), gateway())
    assert spec(with_one)["prefixes"][0]["eam"] == [MAPPING]
    other = {**MAPPING, "ipv6": "2001:db8::8/128"}
    with_other = made(edits.put_eam("edge", "pods", other), with_one)
    assert spec(with_other)["prefixes"][0]["eam"] == [other]
    without = made(edits.delete_eam("edge", "pods", "192.31.196.7"), with_other)
    assert spec(without)["prefixes"][0]["eam"] == []


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (edits.merge_patch(EDGE, {}), "no Gateway edge"),
        (edits.put_prefix("edge", GATEWAY["spec"]["prefixes"][0]), "no Gateway edge"),
    ],
)
def test_there_is_nothing_to_change(edit: Edit, message: str) -> None:
    with pytest.raises(NotFound, match=message):
        edit.change(None)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (edits.patch_prefix("edge", "nodes", {}), r"prefix nodes in Gateway edge \(there are: po"),
        (edits.delete_prefix("edge", "nodes"), "no prefix nodes"),
        (edits.put_eam("edge", "nodes", MAPPING), "no prefix nodes"),
        (edits.delete_eam("edge", "nodes", "192.31.196.7"), "no prefix nodes"),
        (edits.delete_eam("edge", "pods", "192.31.196.7"), "no mapping of 192.31.196.7/32"),
    ],
)
def test_there_is_no_such_part(edit: Edit, message: str) -> None:
    with pytest.raises(NotFound, match=message):
        edit.change(gateway())


def test_parts_are_checked_like_wholes() -> None:
    with pytest.raises(ResourceError, match="length /95") as caught:
        edits.put_prefix("edge", {"name": "a", "prefix": "64:ff9b::/95", "ipv4": []})
    assert caught.value.path == ("prefix",)
    with pytest.raises(ResourceError, match="is not an IPv6 range"):
        edits.put_eam("edge", "pods", {**MAPPING, "ipv6": "192.0.2.1"})
    with pytest.raises(ResourceError, match="prefix other of pods"):
        edits.patch_prefix("edge", "pods", {"name": "other"}).change(gateway())
    with pytest.raises(ResourceError, match="is not an IPv4 range"):
        edits.delete_eam("edge", "pods", "no").change(gateway())


def test_parts_of_what_has_none() -> None:
    with pytest.raises(NotFound):
        edits.put_eam("edge", "pods", MAPPING).change(dns64())
