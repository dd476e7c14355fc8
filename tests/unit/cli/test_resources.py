# SPDX-License-Identifier: Apache-2.0
"""Resources by files and by name: apply, diff, get, describe, delete, export, history, rollback."""

import json
from typing import Any

import pytest
import yaml

from tests.unit.agent.fakes import DNS64, GATEWAY, World
from tests.unit.cli.running import FAILED, NOT_FOUND, REFUSED, Sixlane


def changed(resource: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {**resource, "spec": {**resource["spec"], **spec}}


def names(world: World) -> list[str]:
    return [f"{view['kind']} {view['metadata']['name']}" for view in world.agent.resources()]


# ---- apply ----


def test_apply(sixlane: Sixlane, world: World) -> None:
    file = sixlane.file(GATEWAY, DNS64)
    assert sixlane("apply", "-f", file, "--dry-run") == (
        "Gateway edge created (dry run)\nDns64 cluster created (dry run)\n"
        "  set edge\n  set cluster\n"
    )
    assert names(world) == []
    assert sixlane("apply", "-f", file) == "Gateway edge created\nDns64 cluster created\n"
    assert sixlane("apply", "-f", file) == "Gateway edge unchanged\nDns64 cluster unchanged\n"


def test_apply_from_a_directory_and_standard_input(sixlane: Sixlane) -> None:
    (sixlane.directory / "conf").mkdir()
    sixlane.file(GATEWAY, name="conf/edge.yml")
    sixlane.file("not a resource", name="conf/notes.txt")
    said = sixlane("apply", "-f", "conf", "-f", "-", stdin=json.dumps(DNS64))
    assert said == "Gateway edge created\nDns64 cluster created\n"


def test_apply_prunes_what_is_not_named(sixlane: Sixlane, world: World) -> None:
    sixlane("apply", "-f", sixlane.file(GATEWAY, DNS64))
    file = sixlane.file(GATEWAY)
    assert sixlane("apply", "-f", file) == "Gateway edge unchanged\n"
    assert names(world) == ["Dns64 cluster", "Gateway edge"]
    assert "Dns64 cluster deleted\n" in sixlane("apply", "-f", file, "--prune")
    assert names(world) == ["Gateway edge"]


def test_apply_waits_until_it_is_ready(sixlane: Sixlane) -> None:
    said = sixlane("apply", "-f", sixlane.file(GATEWAY), "--wait", "--timeout", "5")
    assert said == "Gateway edge created\n"


def test_apply_as_data(sixlane: Sixlane) -> None:
    file = sixlane.file(GATEWAY, DNS64)
    told = json.loads(sixlane("apply", "-f", file, "-o", "json", "--dry-run"))
    assert told["changes"] == ["set edge", "set cluster"]
    lines = sixlane("apply", "-f", file, "-o", "ndjson").splitlines()
    assert [json.loads(line)["outcome"] for line in lines] == ["created", "created"]
    documents = list(yaml.safe_load_all(sixlane("apply", "-f", file, "-o", "yaml")))
    assert [one["outcome"] for one in documents] == ["unchanged", "unchanged"]


@pytest.mark.conformance(72)
def test_what_may_surprise_is_told_beside_the_result(sixlane: Sixlane) -> None:
    wide = {"ipv4": "198.51.100.0/24", "ipv6": "2001:db8:1::/120"}
    narrow = {"ipv4": "198.51.100.7", "ipv6": "2001:db8:2::7"}
    prefix = {**GATEWAY["spec"]["prefixes"][0], "eam": [wide, narrow]}
    file = sixlane.file(changed(GATEWAY, prefixes=[prefix]))
    assert sixlane("diff", "-f", file, code=FAILED).startswith("sixlane: warning: Gateway edge: ")
    said = sixlane("apply", "-f", file, "-o", "ndjson")
    assert json.loads(said)["outcome"] == "created"
    assert sixlane.stderr.startswith("sixlane: warning: Gateway edge: 198.51.100.7/32 in ")
    sixlane("prefix", "set", "pods", "--source-range", "none")
    assert "198.51.100.7/32" in sixlane.stderr
    sixlane("eam", "delete", "198.51.100.7")
    assert sixlane.stderr == ""


def test_a_refusal_names_file_document_key_and_line(sixlane: Sixlane, world: World) -> None:
    wrong = json.loads(json.dumps(GATEWAY).replace("/96", "/95"))
    sixlane.file(DNS64, wrong)
    assert sixlane("apply", "-f", "edge.yaml", code=REFUSED) == (
        "sixlane: 64:ff9b::/95 has length /95: edge.yaml:2:spec.prefixes[0].prefix, line 22 "
        "(RFC 6052 allows /32, /40, /48, /56, /64, /96)\n"
    )
    assert names(world) == []


def test_a_refusal_of_a_document_without_its_key(sixlane: Sixlane) -> None:
    sixlane.file({**GATEWAY, "kind": "Gatway"})
    assert sixlane("apply", "-f", "edge.yaml", code=REFUSED) == (
        "sixlane: unknown kind Gatway: edge.yaml:1:kind, line 2 (did you mean Gateway?)\n"
    )
    sixlane.file(["not a resource"])
    said = sixlane("apply", "-f", "edge.yaml", code=REFUSED)
    assert "a list is not a resource: edge.yaml:1, line 1" in said


def test_the_same_resource_twice(sixlane: Sixlane) -> None:
    sixlane.file(GATEWAY, name="one.yaml")
    sixlane.file(GATEWAY, name="two.yaml")
    said = sixlane("apply", "-f", "one.yaml", "-f", "two.yaml", code=REFUSED)
    assert "Gateway edge stands twice: two.yaml:1:metadata.name, line 4" in said


def test_a_conflict_between_documents_is_placed(sixlane: Sixlane) -> None:
    """It is found when all are looked at together."""
    other = {**changed(DNS64), "metadata": {"name": "other"}}
    sixlane.file(DNS64, name="one.yaml")
    sixlane.file(other, name="two.yaml")
    said = sixlane("apply", "-f", "one.yaml", "-f", "two.yaml", code=REFUSED)
    assert "Dns64 cluster listens on 2001:db8:64::1 port 53 already" in said
    assert ": two.yaml:1:spec.listen[0], line 7 (" in said


def test_a_version_that_is_not_the_present_one(sixlane: Sixlane) -> None:
    sixlane("apply", "-f", sixlane.file(GATEWAY))
    view = yaml.safe_load(sixlane("get", "gateway", "edge", "-o", "yaml"))
    sixlane("apply", "-f", sixlane.file(changed(GATEWAY, lowestIPv6MTU=1400)))
    said = sixlane("apply", "-f", sixlane.file(view), code=REFUSED)
    assert "resourceVersion" in said
    assert ": edge.yaml:1" in said or f"{sixlane.directory}/edge.yaml:1" in said


def test_files_that_cannot_be_read(sixlane: Sixlane) -> None:
    (sixlane.directory / "bad.yaml").write_text("a: b: c")
    said = sixlane("apply", "-f", "bad.yaml", code=REFUSED)
    assert said.startswith("sixlane: not valid YAML: bad.yaml, line 1: ")


def test_what_the_agent_cannot_do_is_a_failure(sixlane: Sixlane, world: World) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError

    world.gateway.fail["plan"] = fail
    said = sixlane("apply", "-f", sixlane.file(GATEWAY), code=FAILED)
    assert said.startswith("sixlane: ZeroDivisionError: a defect of sixlane (")


# ---- diff ----


def test_diff(sixlane: Sixlane, world: World) -> None:
    sixlane("apply", "-f", sixlane.file(GATEWAY, DNS64))
    file = sixlane.file(changed(GATEWAY, lowestIPv6MTU=1400))
    revision = world.agent.revision()
    assert sixlane("diff", "-f", file, code=FAILED) == (
        "--- Gateway edge, now\n"
        "+++ Gateway edge, changed\n"
        "@@ -10,3 +10,4 @@\n"
        "     prefix: 64:ff9b::/96\n"
        "     ipv4:\n"
        "     - 192.175.48.0/24\n"
        "+  lowestIPv6MTU: 1400\n"
        "would: set edge\n"
    )
    assert world.agent.revision() == revision


def test_diff_of_what_is_so_already(sixlane: Sixlane) -> None:
    file = sixlane.file(GATEWAY)
    sixlane("apply", "-f", file)
    assert sixlane("diff", "-f", file) == ""


def test_diff_of_what_comes_and_goes(sixlane: Sixlane) -> None:
    sixlane("apply", "-f", sixlane.file(GATEWAY))
    said = sixlane("diff", "-f", sixlane.file(DNS64), "--prune", code=FAILED)
    assert "+++ Dns64 cluster, created\n@@ -0,0 +1," in said
    assert "--- Gateway edge, now\n" in said
    assert "-  devices:\n" in said


def test_diff_for_programs(sixlane: Sixlane) -> None:
    told = json.loads(sixlane("diff", "-f", sixlane.file(GATEWAY), "-o", "json", code=FAILED))
    assert told["resources"][0]["outcome"] == "created"


def test_diff_refuses_what_apply_refuses(sixlane: Sixlane) -> None:
    sixlane.file(changed(GATEWAY, devics=[]))
    said = sixlane("diff", "-f", "edge.yaml", code=REFUSED)
    assert "unknown key devics: edge.yaml:1:spec.devics, line" in said


# ---- get, describe, export ----


def test_get(sixlane: Sixlane) -> None:
    assert sixlane("get") == "no resources: sixlane apply -f FILE\n"
    sixlane("apply", "-f", sixlane.file(GATEWAY, DNS64), "--wait")
    assert sixlane("get") == (
        "KIND     NAME     GENERATION  READY  REASON\n"
        "Dns64    cluster  1           True   InForce\n"
        "Gateway  edge     1           True   InForce\n"
    )
    assert sixlane("get", "gateways", "--no-headers") == "edge  wan0  pods  1  True  InForce\n"
    assert "cluster  2001:db8:64::1    53  64:ff9b::/96" in sixlane("get", "dns64", "cluster")
    assert "RESOURCE-VERSION" in sixlane("get", "-o", "wide")


def test_get_for_programs(sixlane: Sixlane) -> None:
    sixlane("apply", "-f", sixlane.file(GATEWAY, DNS64))
    told = json.loads(sixlane("get", "-o", "json"))
    assert [item["kind"] for item in told["items"]] == ["Dns64", "Gateway"]
    lines = sixlane("get", "-o", "ndjson").splitlines()
    assert [json.loads(line) for line in lines] == told["items"]
    assert list(yaml.safe_load_all(sixlane("get", "-o", "yaml"))) == told["items"]
    assert json.loads(sixlane("get", "dns64", "cluster", "-o", "json")) == told["items"][0]


def test_get_of_what_is_not_there(sixlane: Sixlane) -> None:
    said = sixlane("get", "gateway", "edge", code=NOT_FOUND)
    assert said.startswith("sixlane: ")
    assert "Gateway edge" in said


def test_what_get_prints_can_be_applied(sixlane: Sixlane) -> None:
    sixlane("apply", "-f", sixlane.file(GATEWAY, DNS64))
    said = sixlane("apply", "-f", "-", stdin=sixlane("get", "-o", "yaml"))
    assert said == "Dns64 cluster unchanged\nGateway edge unchanged\n"
    listing = sixlane("get", "-o", "json")
    assert sixlane("apply", "-f", "-", stdin=listing) == said
    wrong = listing.replace('"wan0"', "7")
    line = next(n for n, text in enumerate(wrong.splitlines(), 1) if "name" in text and "7" in text)
    said = sixlane("apply", "-f", "-", stdin=wrong, code=REFUSED)
    assert f"standard input:1:spec.devices[0].name, line {line}" in said


def test_describe(sixlane: Sixlane) -> None:
    sixlane("apply", "-f", sixlane.file(GATEWAY), "--wait")
    text = sixlane("describe", "gateway", "edge")
    assert text.startswith("Gateway edge, generation 1\nSpec\n")
    for part in ("  - name: wan0\n", "Conditions\n", "Ready", "Counters\n", "pods    46 "):
        assert part in text
    told = json.loads(sixlane("describe", "gateway", "edge", "-o", "json"))
    assert told["counters"]["pods"]["46"]["packets"] == 2
    assert "Counters" not in sixlane("describe", "dns64", "cluster", code=NOT_FOUND)


def test_export_is_what_apply_accepts(sixlane: Sixlane, world: World) -> None:
    """In another agent it makes what is here; here it changes nothing."""
    sixlane("apply", "-f", sixlane.file(GATEWAY, DNS64))
    text = sixlane("export")
    assert list(yaml.safe_load_all(text)) == [DNS64, GATEWAY]
    revision = world.agent.revision()
    said = sixlane("apply", "-f", "-", "--prune", stdin=text)
    assert said == "Dns64 cluster unchanged\nGateway edge unchanged\n"
    assert world.agent.revision() == revision
    assert sixlane("diff", "-f", "-", "--prune", stdin=text) == ""
    sixlane("delete", "-f", "-", stdin=text)
    sixlane("apply", "-f", "-", stdin=text)
    assert sixlane("export") == text


def test_export_of_one(sixlane: Sixlane) -> None:
    sixlane("apply", "-f", sixlane.file(GATEWAY, DNS64))
    assert yaml.safe_load(sixlane("export", "gateway")) == GATEWAY
    assert yaml.safe_load(sixlane("export", "dns64", "cluster")) == DNS64
    sixlane("export", "dns64", "none", code=NOT_FOUND)
    sixlane("delete", "dns64", "cluster")
    assert sixlane("export", "dns64") == ""


# ---- delete ----


def test_delete_by_name(sixlane: Sixlane, world: World) -> None:
    sixlane("apply", "-f", sixlane.file(GATEWAY, DNS64))
    assert "Dns64 cluster deleted" in sixlane("delete", "dns64", "cluster", "--dry-run")
    assert names(world) == ["Dns64 cluster", "Gateway edge"]
    assert sixlane("delete", "Dns64", "cluster") == "Dns64 cluster deleted\n"
    assert names(world) == ["Gateway edge"]


def test_kind_and_name_in_one_word(sixlane: Sixlane, world: World) -> None:
    sixlane("apply", "-f", sixlane.file(GATEWAY, DNS64))
    assert sixlane("get", "gateway/edge") == sixlane("get", "gateway", "edge")
    assert sixlane("export", "dns64s/cluster") == sixlane("export", "dns64", "cluster")
    assert sixlane("describe", "Gateway/edge").startswith("Gateway edge, generation 1\n")
    assert sixlane("delete", "dns64/cluster") == "Dns64 cluster deleted\n"
    assert names(world) == ["Gateway edge"]
    assert "Gateway core" in sixlane("get", "gateway/core", code=NOT_FOUND)


def test_what_is_there_is_told_by_whoever_does_not_find(sixlane: Sixlane) -> None:
    sixlane("apply", "-f", sixlane.file(GATEWAY))
    said = "sixlane: no Gateway core (there are: edge)\n"
    assert sixlane("delete", "gateway", "core", code=NOT_FOUND) == said
    assert sixlane("gateway", "set", "core", "--icmp-error-rate", "5", code=NOT_FOUND) == said
    assert sixlane("get", "gateway", "core", code=NOT_FOUND) == said


def test_delete_by_file(sixlane: Sixlane, world: World) -> None:
    file = sixlane.file(GATEWAY, DNS64)
    sixlane("apply", "-f", file)
    assert sixlane("delete", "-f", file) == "Gateway edge deleted\nDns64 cluster deleted\n"
    assert names(world) == []


def test_delete_of_what_is_not_there(sixlane: Sixlane, world: World) -> None:
    sixlane("apply", "-f", sixlane.file(GATEWAY))
    file = sixlane.file(GATEWAY, DNS64)
    sixlane("delete", "-f", file, code=NOT_FOUND)
    assert names(world) == ["Gateway edge"]
    assert sixlane("delete", "-f", file, "--ignore-not-found") == "Gateway edge deleted\n"
    assert sixlane("delete", "-f", file, "--ignore-not-found") == ""


def test_delete_of_a_file_that_names_nothing(sixlane: Sixlane) -> None:
    sixlane.file({"kind": "Gateway"})
    said = sixlane("delete", "-f", "edge.yaml", code=REFUSED)
    assert said.startswith("sixlane: not a resource: edge.yaml:1, line 1 (")


# ---- history, rollback ----


def test_history_and_rollback(sixlane: Sixlane) -> None:
    assert sixlane("history") == "nothing was changed yet\n"
    sixlane("apply", "-f", sixlane.file(GATEWAY))
    sixlane("apply", "-f", sixlane.file(changed(GATEWAY, lowestIPv6MTU=1400), DNS64))
    lines = sixlane("history", "--no-headers").splitlines()
    assert [line.split()[0] for line in lines] == ["2", "1"]
    assert "Gateway edge created" in lines[1]
    assert len(json.loads(sixlane("history", "-o", "json"))) == 2

    said = sixlane("rollback", "--dry-run")
    assert "Gateway edge changed (dry run)" in said
    assert "Dns64 cluster deleted (dry run)" in said
    assert "lowestIPv6MTU" in sixlane("export")
    assert "Dns64 cluster deleted\n" in sixlane("rollback")
    assert yaml.safe_load(sixlane("export")) == GATEWAY
    assert "Dns64 cluster created\n" in sixlane("rollback", "--to", "2")
    assert "lowestIPv6MTU" in sixlane("export")
    sixlane("rollback", "--to", "99", code=NOT_FOUND)


@pytest.mark.parametrize("revision", ["0"])
def test_rollback_to_nothing(sixlane: Sixlane, world: World, revision: str) -> None:
    sixlane("apply", "-f", sixlane.file(GATEWAY))
    assert sixlane("rollback", "--to", revision) == "Gateway edge deleted\n"
    assert names(world) == []
