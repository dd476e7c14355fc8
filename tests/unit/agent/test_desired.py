# SPDX-License-Identifier: Apache-2.0
"""What transactions make of what is desired; pure, and costing by what they name."""

from typing import Any

import pytest

from sixlane.agent.desired import KEPT_REVISIONS, Merged, State, merged
from sixlane.agent.edits import delete, merge_patch, put, put_prefix
from sixlane.agent.problems import Conflict, NotFound
from sixlane.agent.transaction import Edit, Transaction
from sixlane.model import AnyResource, Gateway, Key, ResourceError, parse_resource
from tests.unit.agent.fakes import DNS64, GATEWAY, dns64, gateway

EDGE, CLUSTER = Key("Gateway", "edge"), Key("Dns64", "cluster")
PODS, NODES = (
    {"name": "pods", "prefix": "64:ff9b::/96", "ipv4": ["192.175.48.0/24"]},
    {"name": "nodes", "prefix": "64:ff9b::/96", "ipv4": ["192.31.196.0/24"]},
)


def after(state: State, *edits: Edit, prune: bool = False) -> Merged:
    return merged(state, Transaction(edits, prune))


def made(*edits: Edit) -> State:
    return after(State(), *edits).state


def with_version(data: dict[str, Any], version: str) -> AnyResource:
    return parse_resource({**data, "metadata": {**data["metadata"], "resourceVersion": version}})


def test_generations_and_versions() -> None:
    one = after(State(), put(gateway()), put(dns64()))
    assert one.outcomes == {EDGE: "created", CLUSTER: "created"}
    assert one.versions == {EDGE: (1, "1"), CLUSTER: (1, "1")}
    two = after(one.state, put(gateway(lowestIPv6MTU=1400)), put(dns64()))
    assert two.outcomes == {EDGE: "changed", CLUSTER: "unchanged"}
    assert two.versions == {EDGE: (2, "2"), CLUSTER: (1, "1")}
    assert two.state.objects[CLUSTER] is one.state.objects[CLUSTER]
    assert two.summary() == ["Gateway edge changed"]
    three = after(two.state, delete(EDGE))
    assert (three.outcomes, three.versions) == ({EDGE: "deleted"}, {})
    assert three.state.gone == {EDGE: 3}
    four = after(three.state, put(gateway()))
    assert four.versions == {EDGE: (1, "4")}
    assert four.state.gone == {}


def test_nothing_new_is_no_revision() -> None:
    state = made(put(gateway()))
    same = after(state, put(gateway()), delete(CLUSTER, missing_ok=True))
    assert same.state is state
    assert same.outcomes == {EDGE: "unchanged", CLUSTER: "unchanged"}


def test_prune_deletes_what_is_not_named() -> None:
    state = made(put(gateway()), put(dns64()))
    pruned = after(state, put(gateway()), prune=True)
    assert pruned.outcomes == {EDGE: "unchanged", CLUSTER: "deleted"}
    assert list(pruned.state.objects) == [EDGE]


def test_edits_of_one_resource_follow_each_other() -> None:
    result = after(
        State(), put(gateway()), put_prefix("edge", NODES), merge_patch(EDGE, {"spec": {}})
    )
    assert result.outcomes == {EDGE: "created"}
    made = result.state.objects[EDGE].resource
    assert [prefix["name"] for prefix in made.as_data()["spec"]["prefixes"]] == ["pods", "nodes"]
    assert after(result.state, delete(EDGE), put(made)).state is result.state


def test_who_changed_an_older_version_is_told_so() -> None:
    state = after(made(put(gateway())), put(gateway(lowestIPv6MTU=1400))).state
    changed = with_version(GATEWAY, "1")
    with pytest.raises(Conflict, match="at resourceVersion 2, and 1 was expected") as caught:
        after(state, put(changed))
    assert caught.value.resource_version == "2"
    with pytest.raises(Conflict):
        after(state, delete(EDGE, "1"))
    assert after(state, put(with_version(GATEWAY, "2"))).outcomes == {EDGE: "changed"}
    assert after(state, delete(EDGE, "2")).outcomes == {EDGE: "deleted"}


def test_a_conflict_with_what_is_not_there_or_must_not_be() -> None:
    with pytest.raises(Conflict, match="is not there") as caught:
        after(State(), put(gateway(), "1"))
    assert caught.value.resource_version is None
    with pytest.raises(Conflict, match="is there already") as caught:
        after(made(put(gateway())), put(gateway(), ""))
    assert caught.value.resource_version == "1"
    assert after(State(), put(gateway(), "")).outcomes == {EDGE: "created"}


def test_each_edit_is_held_against_what_was_there_before_the_transaction() -> None:
    state = made(put(gateway()))
    result = after(state, put_prefix("edge", NODES, "1"), put_prefix("edge", PODS, "1"))
    assert result.versions == {EDGE: (2, "2")}


def test_prefixes_that_did_not_change_are_carried_over() -> None:
    state = made(put(gateway(prefixes=[PODS, NODES])))
    new = gateway(prefixes=[{**PODS, "ipv4": []}, NODES])
    result = after(state, put(new))
    before, now = state.objects[EDGE].resource, result.state.objects[EDGE].resource
    assert isinstance(before, Gateway) and isinstance(now, Gateway)
    assert now.spec.prefixes[1] is before.spec.prefixes[1]
    assert now.spec.prefixes[0] is not before.spec.prefixes[0]
    assert now == new


def test_a_refused_edit_says_which_one_it_was() -> None:
    wrong = merge_patch(EDGE, {"spec": {"lowestIPv6MTU": 1}})
    with pytest.raises(ResourceError, match="1 is too small") as caught:
        after(State(), put(dns64()), put(gateway()), wrong)
    assert (caught.value.index, caught.value.path) == (2, ("spec", "lowestIPv6MTU"))


def test_all_together_are_checked() -> None:
    other = parse_resource({**DNS64, "metadata": {"name": "other"}})
    with pytest.raises(ResourceError, match="listens on"):
        after(made(put(dns64())), put(other))


def test_what_is_not_there_cannot_be_deleted() -> None:
    with pytest.raises(NotFound, match="no Gateway edge"):
        after(State(), delete(EDGE))


def test_what_was_deleted_long_ago_is_forgotten() -> None:
    state = after(made(put(dns64()), put(gateway())), delete(CLUSTER)).state
    for turn in range(KEPT_REVISIONS - 1):
        assert CLUSTER in state.gone
        state = after(state, put(gateway(lowestIPv6MTU=1400 + turn))).state
    assert CLUSTER in state.gone
    assert CLUSTER not in after(state, put(gateway())).state.gone


def balanced(name: str, port: int, weight: int = 1) -> AnyResource:
    return parse_resource(
        {
            "apiVersion": "sixlane.dev/v1alpha1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {
                "frontends": [{"address": "192.0.2.200", "port": port}],
                "backends": [{"address": "2001:db8::7", "weight": weight}],
            },
        }
    )


def test_services_take_nothing_from_each_other() -> None:
    state = made(put(balanced("one", 80)), put(balanced("two", 81)))
    heavier = after(state, put(balanced("one", 80, 2)))
    assert heavier.outcomes == {Key("Service", "one"): "changed"}
    with pytest.raises(ResourceError, match="Service one has TCP port 80 of"):
        after(heavier.state, put(balanced("one", 80, 3)), put(balanced("two", 80)))
    gone = after(state, delete(Key("Service", "one")))
    assert after(gone.state, put(balanced("two", 80))).outcomes == {
        Key("Service", "two"): "changed"
    }


def test_what_many_services_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of weights does not have all of them looked at."""
    state = made(put(balanced("one", 80)), put(balanced("two", 81)))
    looked: list[object] = []
    monkeypatch.setattr("sixlane.agent.desired.check_together", lambda all: looked.append(all))
    after(state, put(balanced("one", 80, 2)), delete(Key("Service", "two")))
    assert not looked
    after(state, put(balanced("one", 80, 2)), put(balanced("two", 82)))
    assert looked
