# SPDX-License-Identifier: Apache-2.0
"""HTTP in, HTTP out; errors as RFC 9457 tells them."""

import json
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sixlane.api.listen import listening
from sixlane.errors import ConfigError, KernelError, NotSupported
from tests.unit.agent.fakes import DNS64, GATEWAY, World
from tests.unit.agent.serving import serving

PATCH = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


@pytest.fixture
def client(world: World, tmp_path: Path) -> Iterator[httpx.Client]:
    path = tmp_path / "api.sock"
    transport = httpx.HTTPTransport(uds=str(path))
    with (
        serving(world.agent, path),
        httpx.Client(transport=transport, base_url="http://sixlane", timeout=30) as client,
    ):
        yield client


def problem(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = response.json()
    assert told["status"] == status
    assert told["type"].startswith("urn:sixlane:problem:")
    return told


def test_apply(client: httpx.Client) -> None:
    answer = client.post("/v1/transactions", json={"put": [GATEWAY, DNS64]})
    assert answer.status_code == 200
    first = {"generation": 1, "resourceVersion": "1"}
    assert answer.json() == {
        "revision": 1,
        "dryRun": False,
        "resources": [
            {"kind": "Gateway", "name": "edge", "outcome": "created", **first},
            {"kind": "Dns64", "name": "cluster", "outcome": "created", **first},
        ],
        "changes": ["set edge", "set cluster"],
        "warnings": [],
    }
    told = client.get("/v1/resources").json()
    assert told["revision"] == 1
    assert [one["spec"] for one in told["items"]] == [DNS64["spec"], GATEWAY["spec"]]


@pytest.mark.conformance(72)
def test_overlapping_mappings_are_in_force_and_warned_of(client: httpx.Client) -> None:
    wide = {"ipv4": "198.51.100.0/24", "ipv6": "2001:db8:1::/120"}
    narrow = {"ipv4": "198.51.100.7", "ipv6": "2001:db8:2::7"}
    prefix = {**GATEWAY["spec"]["prefixes"][0], "eam": [wide, narrow]}
    overlapping = {**GATEWAY, "spec": {**GATEWAY["spec"], "prefixes": [prefix]}}
    for answer in (
        client.post("/v1/transactions?dryRun=true", json={"put": [overlapping, DNS64]}),
        client.post("/v1/transactions", json={"put": [overlapping, DNS64]}),
        client.patch("/v1/gateways/edge", json={"spec": {"lowestIPv6MTU": 1400}}, headers=PATCH),
    ):
        assert answer.status_code == 200, answer.text
        (warning,) = answer.json()["warnings"]
        assert warning.startswith(
            "Gateway edge: 198.51.100.7/32 in spec.prefixes[0].eam[1] is a part of 198.51.100.0/24"
        )
    gone = client.request("DELETE", "/v1/gateways/edge")
    assert gone.json()["warnings"] == [], "of what is there only"


def test_dry_run(client: httpx.Client) -> None:
    would = client.post("/v1/transactions?dryRun=true", json={"put": [GATEWAY]})
    assert would.json()["dryRun"] is True
    assert client.get("/v1/resources").json()["items"] == []
    told = problem(client.post("/v1/transactions?dryRun=perhaps", json={"put": [GATEWAY]}), 400)
    assert "dryRun" in told["detail"]


def test_status_counters_teardown(client: httpx.Client) -> None:
    client.post("/v1/transactions", json={"put": [GATEWAY]})
    assert client.get("/v1/status").json()["resources"] == [
        {
            "kind": "Gateway",
            "name": "edge",
            "generation": 1,
            "observedGeneration": 1,
            "ready": True,
        }
    ]
    assert client.get("/v1/counters").json() == {
        "reasons": {"forward_46": {"packets": 2, "bytes": 80}},
        "prefixes": {"pods": {"46": {"packets": 2, "bytes": 80}}},
        "traffic": [
            {
                "prefix": "pods",
                "direction": "46",
                "protocol": "udp",
                "reason": "forward_46",
                "packets": 2,
                "bytes": 80,
            }
        ],
    }
    assert client.post("/v1/teardown").json() == {
        "lost": ["gateway lost something", "dns64 lost something", "pods lost something"]
    }


def test_a_wrong_resource_is_refused_with_its_place(client: httpx.Client) -> None:
    wrong = json.loads(json.dumps(GATEWAY).replace("/96", "/95"))
    told = problem(client.post("/v1/transactions", json={"put": [DNS64, wrong]}), 422)
    assert told["resource"] == 1
    assert told["path"] == ["spec", "prefixes", 0, "prefix"]
    assert told["what"] == "64:ff9b::/95 has length /95"
    assert told["detail"] == "64:ff9b::/95 has length /95: spec.prefixes[0].prefix"
    assert "RFC 6052" in told["hint"]


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (ConfigError("no device wan0", "there is lan0"), 422, "refused"),
        (KernelError(16, "attach"), 500, "kernel"),
        (NotSupported("tcx"), 501, "not-supported"),
        (ZeroDivisionError("secret"), 500, "defect"),
    ],
)
def test_each_kind_of_error(
    world: World, client: httpx.Client, error: Exception, status: int, kind: str
) -> None:
    def fail(_: object) -> None:
        raise error

    world.gateway.fail["plan"] = fail
    told = problem(client.post("/v1/transactions", json={"put": [GATEWAY]}), status)
    assert told["type"] == f"urn:sixlane:problem:{kind}"
    assert "Traceback" not in json.dumps(told)


def test_the_socket_is_for_root_and_its_group(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    with listening(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with pytest.raises(ConfigError, match="another process listens on"), listening(path):
            pass
    assert not path.exists()


def test_a_socket_left_by_a_crash_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with listening(path), socket.socket(socket.AF_UNIX) as asker:
        asker.connect(str(path))


def test_something_else_in_the_place_of_the_socket(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    path.write_text("precious")
    with pytest.raises(ConfigError, match="is not a socket"), listening(path):
        pass
    assert path.read_text() == "precious"


def test_a_path_that_is_too_long_for_a_socket(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 120)
    with pytest.raises(KernelError, match="listen on"), listening(path):
        pass
    assert os.umask(0o022) == 0o022
