# SPDX-License-Identifier: Apache-2.0
"""Services and their backends over HTTP."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from sixlane.agent.backend_edits import naming_of
from sixlane.agent.health import BackendHealth
from tests.unit.agent.fakes import GATEWAY, SERVICE, World, used
from tests.unit.agent.serving import serving

PATCH = {"Content-Type": "application/merge-patch+json"}
WEB = "/v1/services/web"
SEVEN, EIGHT = f"{WEB}/backends/2001:db8:64:1::7", f"{WEB}/backends/10.0.0.8"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


@pytest.fixture
def client(world: World, tmp_path: Path) -> Iterator[httpx.Client]:
    """With a Gateway and a Service."""
    path = tmp_path / "api.sock"
    transport = httpx.HTTPTransport(uds=str(path))
    with (
        serving(world.agent, path),
        httpx.Client(transport=transport, base_url="http://sixlane", timeout=30) as client,
    ):
        assert client.post("/v1/transactions", json={"put": [GATEWAY, SERVICE]}).status_code == 200
        yield client


def backends(world: World) -> list[dict[str, Any]]:
    (view,) = world.agent.resources("Service")
    found: list[dict[str, Any]] = view["spec"]["backends"]
    return found


def refused(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    told: dict[str, Any] = answer.json()
    return told


def outcomes(answer: httpx.Response) -> list[str]:
    assert answer.status_code in (200, 201), answer.text
    return [one["outcome"] for one in answer.json()["backends"]]


def test_a_service_like_any_resource(client: httpx.Client) -> None:
    told = client.get(WEB)
    assert told.json()["spec"] == SERVICE["spec"]
    assert told.headers["ETag"] == '"1"'
    changed = client.patch(WEB, json={"spec": {"whenAllDown": "terminating"}}, headers=PATCH)
    assert changed.json()["after"][0]["spec"]["whenAllDown"] == "terminating"
    assert client.put(WEB, json=SERVICE).json()["resources"][0]["outcome"] == "changed"
    assert [one["metadata"]["name"] for one in client.get("/v1/services").json()["items"]] == [
        "web"
    ]
    assert client.delete(WEB).json()["after"][0]["deleted"] is True
    refused(client.get(f"{WEB}/backends"), 404)


def test_backends_as_desired_and_how_they_do(world: World, client: httpx.Client) -> None:
    nothing = {"status": None, "health": None}
    wanted = [
        {"address": "2001:db8:64:1::7", "weight": 2, "state": "active"} | nothing,
        {"address": "10.0.0.8", "weight": 1, "state": "active"} | nothing,
    ]
    assert client.get(f"{WEB}/backends").json() == {"resourceVersion": "1", "items": wanted}
    world.gateway.uses = [used()]
    told = client.get(f"{WEB}/backends").json()["items"]
    assert told[0]["status"] == {
        "state": "active",
        "share": 0.6667,
        "packets": 90,
        "bytes": 9000,
        "newFlows": 30,
        "activeFlows": 12,
    }
    assert client.get(SEVEN).json() == told[0]
    assert client.get(f"{WEB}/backends/2001:DB8:64:1:0::7").json() == told[0]
    for path in ("10.0.0.9", "nobody", "10.0.0.8/80"):
        hint = refused(client.get(f"{WEB}/backends/{path}"), 404)["hint"]
        assert hint == "there are: 10.0.0.8, 2001:db8:64:1::7"
    refused(client.get("/v1/services/dns/backends/10.0.0.8"), 404)


def test_what_checks_have_found(
    world: World, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = BackendHealth(
        "quarantined", 1777896000.0, "tunnel", "HTTP 503", False, 0.0125, 1777896060.5, True
    )
    naming = naming_of("10.0.0.8", None)
    monkeypatch.setattr(world.agent, "backend_health", lambda _: {naming: found})
    seven, eight = client.get(f"{WEB}/backends").json()["items"]
    assert seven["health"] is None
    assert eight["health"] == {
        "verdict": "quarantined",
        "since": "2026-05-04T12:00:00Z",
        "way": "tunnel",
        "result": "HTTP 503",
        "well": False,
        "latencySeconds": 0.0125,
        "checkedAt": "2026-05-04T12:01:00Z",
        "damped": True,
    }
    assert client.get(EIGHT).json() == eight


def test_a_backend_comes_changes_and_goes(world: World, client: httpx.Client) -> None:
    path = f"{WEB}/backends/10.0.0.9"
    made = client.put(path, json={"address": "10.0.0.9", "weight": 3})
    assert made.status_code == 201
    assert made.json()["backends"] == [
        {"service": "web", "address": "10.0.0.9", "outcome": "created"}
    ]
    assert made.headers["ETag"] == '"2"'
    assert outcomes(client.put(path, json={"address": "10.0.0.9", "weight": 3})) == ["unchanged"]
    drain = {"state": "terminating", "drainUntil": "2036-05-04T12:00:00Z"}
    assert outcomes(client.patch(path, json=drain, headers=PATCH)) == ["changed"]
    assert backends(world)[2] == {"address": "10.0.0.9", "weight": 3, **drain}
    undrain = {"state": None, "drainUntil": None}
    assert outcomes(client.patch(path, json=undrain, headers=PATCH)) == ["changed"]
    assert backends(world) == [*SERVICE["spec"]["backends"], {"address": "10.0.0.9", "weight": 3}]
    assert outcomes(client.delete(path)) == ["deleted"]
    assert backends(world) == SERVICE["spec"]["backends"]
    refused(client.delete(path), 404)
    refused(client.patch(path, json={"weight": 1}, headers=PATCH), 404)


def test_a_backend_with_a_port(world: World, client: httpx.Client) -> None:
    nat = {"mode": "nat", "sourcePool": ["10.1.0.8/30"], "backends": []}
    assert client.patch(WEB, json={"spec": nat}, headers=PATCH).status_code == 200
    for port in (8080, 8081):
        backend = {"address": "10.0.0.8", "port": port}
        assert client.put(f"{EIGHT}/{port}", json=backend).status_code == 201
    assert client.put(EIGHT, json={"address": "10.0.0.8"}).status_code == 201
    assert outcomes(client.patch(f"{EIGHT}/8081", json={"weight": 5}, headers=PATCH)) == ["changed"]
    assert client.get(f"{EIGHT}/8081").json()["weight"] == 5
    assert client.get(f"{EIGHT}/8080").json()["weight"] == 1
    assert client.get(EIGHT).json().keys() == {"address", "weight", "state", "status", "health"}
    told = refused(client.put(f"{EIGHT}/8080", json={"address": "10.0.0.8"}), 422)
    assert told["what"] == "10.0.0.8 in the place of 10.0.0.8 port 8080"
    refused(client.put(f"{EIGHT}/0", json={"address": "10.0.0.8"}), 400)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ({"address": "10.0.0.8", "weight": 1001}, "1001 is too large"),
        ({"address": "10.0.0.8", "weigth": 1}, "unknown key weigth"),
        ({"address": "10.0.0.9"}, "10.0.0.9 in the place of 10.0.0.8"),
        ({"address": "10.0.0.8", "drainUntil": "2036-05-04T12:00:00Z"}, "the state is active"),
        ({"address": "10.0.0.8", "port": 80}, "in the place of"),
        ({}, "address"),
    ],
)
def test_what_is_refused(world: World, client: httpx.Client, body: Any, what: str) -> None:
    assert what in refused(client.put(EIGHT, json=body), 422)["detail"]
    assert backends(world) == SERVICE["spec"]["backends"]


def test_a_patch_keeps_whom_it_is_about(world: World, client: httpx.Client) -> None:
    for patch in ({"address": "10.0.0.9"}, {"address": None}):
        refused(client.patch(EIGHT, json=patch, headers=PATCH), 422)
    assert backends(world) == SERVICE["spec"]["backends"]


def test_a_frontend_is_no_backend(client: httpx.Client) -> None:
    answer = client.put(f"{WEB}/backends/192.175.50.1", json={"address": "192.175.50.1"})
    assert "is a frontend as well" in refused(answer, 422)["detail"]


def test_no_more_than_a_thousand(client: httpx.Client) -> None:
    many = [{"address": f"10.1.{n // 250}.{n % 250 + 1}"} for n in range(1000)]
    client.patch(WEB, json={"spec": {"backends": many}}, headers=PATCH)
    told = refused(client.put(SEVEN, json={"address": "2001:db8:64:1::7"}), 422)
    assert told["detail"] == "the list has 1001 entries: spec.backends"


def test_preconditions(client: httpx.Client) -> None:
    weight = {"weight": 4}
    stale = PATCH | {"If-Match": '"17"'}
    assert refused(client.patch(EIGHT, json=weight, headers=stale), 412)["resourceVersion"] == "1"
    assert outcomes(client.patch(EIGHT, json=weight, headers=PATCH | {"If-Match": '"1"'}))
    new = {"If-None-Match": "*"}
    told = refused(client.put(EIGHT, json={"address": "10.0.0.8"}, headers=new), 412)
    assert told["detail"] == "backend 10.0.0.8 in Service web is there already"
    there = {"If-Match": "*"}
    refused(
        client.put(f"{WEB}/backends/10.0.0.9", json={"address": "10.0.0.9"}, headers=there), 412
    )


def test_a_dry_run(world: World, client: httpx.Client) -> None:
    told = client.delete(f"{EIGHT}?dryRun=true").json()
    assert told["dryRun"] and told["backends"][0]["outcome"] == "deleted"
    assert len(told["after"][0]["spec"]["backends"]) == 1
    assert len(backends(world)) == 2


# ---- many at once ----


def change(op: str, service: str = "web", **backend: Any) -> dict[str, Any]:
    return {"op": op, "service": service, "backend": backend}


def test_a_transaction_has_a_result_for_each(world: World, client: httpx.Client) -> None:
    dns = {
        **SERVICE,
        "metadata": {"name": "dns"},
        "spec": {"frontends": [{"address": "192.175.50.1", "port": 53}]},
    }
    body = {
        "put": [dns],
        "backends": [
            change("patch", address="10.0.0.8", weight=7),
            change("put", "dns", address="10.0.0.8"),
            change("put", address="10.0.0.9"),
            change("delete", address="2001:db8:64:1::7"),
            change("put", address="10.0.0.9"),
        ],
    }
    would = client.post("/v1/transactions?dryRun=true", json=body)
    assert len(outcomes(would)) == 5 and len(backends(world)) == 2
    answer = client.post("/v1/transactions", json=body)
    assert answer.json()["backends"] == [
        {"service": "web", "address": "10.0.0.8", "outcome": "changed"},
        {"service": "dns", "address": "10.0.0.8", "outcome": "created"},
        {"service": "web", "address": "10.0.0.9", "outcome": "created"},
        {"service": "web", "address": "2001:db8:64:1::7", "outcome": "deleted"},
        {"service": "web", "address": "10.0.0.9", "outcome": "unchanged"},
    ]
    touched = {one["name"]: one["outcome"] for one in answer.json()["resources"]}
    assert touched == {"dns": "created", "web": "changed"}
    assert answer.json()["revision"] == 2
    assert client.get(WEB).json()["spec"]["backends"] == [
        {"address": "10.0.0.8", "weight": 7},
        {"address": "10.0.0.9"},
    ]


@pytest.mark.parametrize(
    ("wrong", "status", "detail"),
    [
        (change("patch", address="10.0.0.8", weight=-1), 422, "backends[1].backend.weight"),
        (change("put", address="127.0.0.1"), 422, "backends[1].backend.address"),
        (change("patch", address="10.0.0.99", weight=1), 404, "no backend 10.0.0.99"),
        (change("patch", "dns", address="10.0.0.8", weight=1), 404, "no Service dns"),
        (change("delete", address="10.0.0.8", weight=1), 422, "of what is deleted"),
        (change("put", address="192.175.50.1"), 422, "is a frontend as well"),
        (change("drain", address="10.0.0.8"), 422, "backends[1].op"),
        (change("put"), 422, "backends[1].backend"),
    ],
)
def test_all_or_nothing(
    world: World, client: httpx.Client, wrong: Any, status: int, detail: str
) -> None:
    body = {"backends": [change("patch", address="10.0.0.8", weight=7), wrong]}
    assert detail in refused(client.post("/v1/transactions", json=body), status)["detail"]
    assert backends(world) == SERVICE["spec"]["backends"]
    assert world.agent.revision() == 1


def test_a_version_of_the_service(client: httpx.Client) -> None:
    one = change("patch", address="10.0.0.8", weight=7)
    stale = client.post("/v1/transactions", json={"backends": [one | {"resourceVersion": "9"}]})
    assert refused(stale, 409)["resourceVersion"] == "1"
    both = [one | {"resourceVersion": "1"}, one | {"resourceVersion": "9"}]
    told = refused(client.post("/v1/transactions", json={"backends": both}), 422)
    assert told["detail"] == "two versions of Service web: backends[1].resourceVersion"


def test_a_prune_spares_whom_backends_name(client: httpx.Client) -> None:
    body = {"backends": [change("patch", address="10.0.0.8", weight=7)], "prune": True}
    client.post("/v1/transactions", json=body)
    assert [one["kind"] for one in client.get("/v1/resources").json()["items"]] == ["Service"]


# ---- what they carry ----


def test_counters(world: World, client: httpx.Client) -> None:
    world.gateway.uses = [used()]
    whole = client.get(f"{WEB}/counters").json()
    frontends, of_backends = whole.pop("frontends"), whole.pop("backends")
    assert client.get("/v1/counters/services").json() == {"items": [whole]}
    drops = {
        "drop_no_backend": {"packets": 3, "bytes": 180},
        "drop_ttl_expired": {"packets": 1, "bytes": 60},
    }
    assert whole == {
        "service": "web",
        "packets": 100,
        "bytes": 10000,
        "newFlows": 40,
        "activeFlows": 12,
        "states": {"active": 2, "terminating": 0, "maintenance": 0, "quarantined": 0},
        "dropped": {"packets": 4, "bytes": 240},
        "drops": drops,
    }
    assert frontends == [
        {
            "address": "192.175.50.1",
            "port": 80,
            "protocol": "TCP",
            "packets": 100,
            "bytes": 10000,
            "newFlows": 40,
            "dropped": {"packets": 4, "bytes": 240},
            "drops": drops,
        }
    ]
    assert [(one["address"], one["activeFlows"]) for one in of_backends] == [
        ("2001:db8:64:1::7", 12),
        ("10.0.0.8", 0),
    ]
    refused(client.get("/v1/services/dns/counters"), 404)


def test_counters_of_a_service_that_is_not_in_force(client: httpx.Client) -> None:
    told = client.get(f"{WEB}/counters").json()
    assert (told["packets"], told["frontends"], told["backends"]) == (0, [], [])
    assert client.get("/v1/counters/services").json() == {"items": []}


def test_the_status_counts_them(world: World, client: httpx.Client) -> None:
    world.gateway.uses = [used(eight=replace(used().backends[1], state="quarantined"))]
    assert client.get("/v1/status").json()["balanced"] == {
        "services": 1,
        "backends": {"active": 1, "terminating": 0, "maintenance": 0, "quarantined": 1},
    }
    client.delete(WEB)
    assert client.get("/v1/status").json()["balanced"] is None
