# SPDX-License-Identifier: Apache-2.0
"""What HTTP asks for, and what comes of requests that are not as they should be."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sixlane.api import body as api_body
from sixlane.api import health, server
from sixlane.api.body import MAX_BODY_BYTES
from sixlane.client import Client
from tests.unit.agent.fakes import DNS64, GATEWAY, World
from tests.unit.agent.serving import serving
from tests.unit.api.test_app import problem

JSON = {"Content-Type": "application/json"}
EDGE, PREFIX = "/v1/gateways/edge", "/v1/gateways/edge/prefixes/pods"
EAM = "/v1/gateways/edge/prefixes/pods/eam/203.0.113.8/30"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


@pytest.fixture
def path(world: World, tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "api.sock"
    with serving(world.agent, path):
        yield path


@pytest.fixture
def http(path: Path) -> Iterator[httpx.Client]:
    """With Gateway edge in force, revision 1."""
    transport = httpx.HTTPTransport(uds=str(path))
    with httpx.Client(transport=transport, base_url="http://sixlane", timeout=30) as http:
        assert http.put(EDGE, json=GATEWAY).status_code == 201
        yield http


def revision(http: httpx.Client) -> int:
    return int(http.get("/v1/history").json()["revision"])


def changed(**spec: Any) -> dict[str, Any]:
    return {**GATEWAY, "spec": {**GATEWAY["spec"], **spec}}


# ---- ETag and preconditions ----


def test_a_version_that_is_known_is_not_sent_again(http: httpx.Client) -> None:
    for place in (EDGE, PREFIX, "/v1/gateways/edge/prefixes"):
        etag = http.get(place).headers["ETag"]
        assert etag == '"1"'
        for known in (etag, f'"7", W/{etag}', "*"):
            again = http.get(place, headers={"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", etag)
        assert http.get(place, headers={"If-None-Match": '"7"'}).status_code == 200
        problem(http.get(place, headers={"If-None-Match": "7"}), 400)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-Match": '"1"'}, 200),
        ({"If-Match": '"7", "1"'}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": '"7"'}, 412),
        ({"If-Match": '"7", "8"'}, 412),
        ({"If-Match": 'W/"1"'}, 412),
        ({"If-None-Match": "*"}, 412),
        ({"If-Match": "1"}, 400),
        ({"If-Match": ""}, 400),
        ({"If-Match": '"1", nonsense'}, 400),
        ({"If-None-Match": '"7"'}, 400),
        ({"If-Match": "*", "If-None-Match": "*"}, 400),
    ],
)
def test_preconditions_of_a_change(
    http: httpx.Client, headers: dict[str, str], status: int
) -> None:
    answer = http.put(EDGE, json=changed(lowestIPv6MTU=1400), headers=headers)
    assert answer.status_code == status
    if status == 200:
        assert answer.headers["ETag"] == '"2"'
    else:
        problem(answer, status)
    assert revision(http) == (2 if status == 200 else 1)


@pytest.mark.parametrize("place", ["/v1/gateways/core", PREFIX[:-4] + "more", EAM])
def test_what_is_not_there_does_not_match(http: httpx.Client, place: str) -> None:
    bodies: dict[str, Any] = {
        "/v1/gateways/core": {**GATEWAY, "metadata": {"name": "core"}},
        PREFIX[:-4] + "more": {"name": "more", "prefix": "2001:db8:1::/96", "ipv4": []},
        EAM: {"ipv4": "203.0.113.8/30", "ipv6": "2001:db8:9::/126"},
    }
    problem(http.put(place, json=bodies[place], headers={"If-Match": "*"}), 412)
    if place != "/v1/gateways/core":  # of which there can be but one
        made = http.put(place, json=bodies[place], headers={"If-None-Match": "*"})
        assert made.status_code == 201
        problem(http.put(place, json=bodies[place], headers={"If-None-Match": "*"}), 412)
        assert http.put(place, json=bodies[place], headers={"If-Match": "*"}).status_code == 200


def test_the_version_in_the_body(http: httpx.Client) -> None:
    old = {**changed(lowestIPv6MTU=1400), "metadata": {"name": "edge", "resourceVersion": "7"}}
    told = problem(http.put(EDGE, json=old), 409)
    assert told["type"] == "urn:sixlane:problem:conflict"
    assert told["resourceVersion"] == "1"


# ---- bodies ----


NO_JSON = [
    (b"", "not JSON"),
    (b"{", "not JSON"),
    (b"[]", "not a JSON object"),
    (b"null", "not a JSON object"),
    (b'{"a": NaN}', "NaN is no JSON number"),
    (b'{"a": -Infinity}', "-Infinity is no JSON number"),
    (b'{"a": 1, "a": 2}', "'a' stands twice"),
    (b'{"a": "\xff"}', "byte 7 is no UTF-8"),
    (b'{"a": "\xed\xa0\x80"}', "no UTF-8"),
    (b'{"a": "\\ud800"}', "surrogate"),
    (b'{"\\udfff": 1}', "surrogate"),
    (b'{"a": ' + b"1" * 5000 + b"}", "not JSON"),
    (b"[" * 100_000, "nested too deep"),
    (b'{"a":' * 40 + b"1" + b"}" * 40, "nested more than 32 deep"),
    (b"\xef\xbb\xbf{}", "not JSON"),
]


def test_a_body_that_is_no_json(http: httpx.Client, subtests: pytest.Subtests) -> None:
    for body, what in NO_JSON:
        with subtests.test(body=body):
            types = {"put": "application/json", "patch": "application/merge-patch+json"}
            for method, media_type in types.items():
                headers = {"Content-Type": media_type}
                answer = http.request(method, EDGE, content=body, headers=headers)
                assert what in problem(answer, 400)["detail"]
            assert (
                what
                in problem(http.post("/v1/transactions", content=body, headers=JSON), 400)["detail"]
            )
            assert revision(http) == 1


def test_whole_surrogate_pairs_are_characters(http: httpx.Client) -> None:
    body = json.dumps(changed(devices=[{"name": "\U0001f6e3"}]))
    assert "\\ud83d" in body
    assert http.put(EDGE, content=body, headers=JSON).status_code == 200


OTHER_TYPES = [
    "",
    "text/plain",
    "application/merge-patch+json",
    "application/json; charset=latin-1",
    ";;",
]


def test_a_body_of_another_type(http: httpx.Client, subtests: pytest.Subtests) -> None:
    for media_type in OTHER_TYPES:
        with subtests.test(media_type=media_type):
            body = json.dumps(GATEWAY)
            problem(http.put(EDGE, content=body, headers={"Content-Type": media_type}), 415)


def test_a_patch_says_that_it_is_one(http: httpx.Client) -> None:
    answer = http.patch(EDGE, json={"spec": {"lowestIPv6MTU": 1400}})
    problem(answer, 415)
    assert answer.headers["Accept-Patch"] == "application/merge-patch+json"


def test_a_type_may_say_more(http: httpx.Client) -> None:
    headers = {"Content-Type": 'Application/JSON; charset="UTF-8"'}
    assert http.put(EDGE, content=json.dumps(GATEWAY), headers=headers).status_code == 200


def test_a_body_without_end(http: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range((MAX_BODY_BYTES >> 20) + 1):
            yield b" " * (1 << 20)

    problem(http.put(EDGE, content=endless(), headers=JSON), 413)


def test_a_body_that_is_announced_too_large(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as asker:
        asker.settimeout(30)
        asker.connect(str(path))
        asker.sendall(
            b"PUT /v1/gateways/edge HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 99999999999\r\n\r\n"
        )
        assert asker.recv(4096).startswith(b"HTTP/1.1 413 ")


WRONG_RESOURCES = [
    ("/v1/gateways/core", GATEWAY, ["metadata", "name"]),
    ("/v1/gateways/cluster", DNS64, ["kind"]),
    ("/v1/gateways/edge/prefixes/x", GATEWAY["spec"]["prefixes"][0], ["name"]),
    (EAM, {"ipv4": "203.0.113.12/30", "ipv6": "2001:db8:9::/126"}, ["ipv4"]),
    (EAM, {"ipv4": "203.0.113.8/30", "ipv6": "2001:db8:9::/127"}, ["ipv6"]),
    (PREFIX, {"name": "pods", "prefix": "64:ff9b::/95", "ipv4": []}, ["prefix"]),
    ("/v1/gateways/edge", {**GATEWAY, "sepc": {}}, ["sepc"]),
]


def test_a_wrong_resource_is_refused_with_its_place(
    http: httpx.Client, subtests: pytest.Subtests
) -> None:
    for place, body, steps in WRONG_RESOURCES:
        with subtests.test(place=place):
            assert problem(http.put(place, json=body), 422)["path"] == steps
            assert revision(http) == 1


WRONG_TRANSACTIONS = [
    ({"putt": []}, "unknown key putt"),
    ({"put": {}}, "not a list"),
    ({"delete": [{"kind": "Gateway"}]}, "name is missing"),
    ({"prune": "yes"}, "not true or false"),
    ({"put": [GATEWAY, GATEWAY]}, "stands twice"),
    ({"put": [GATEWAY], "delete": [{"kind": "Gateway", "name": "edge"}]}, "stands twice"),
    ({"put": [7]}, "7 is not a resource"),
]


def test_a_wrong_transaction(http: httpx.Client, subtests: pytest.Subtests) -> None:
    for body, what in WRONG_TRANSACTIONS:
        with subtests.test(body=body):
            assert what in problem(http.post("/v1/transactions", json=body), 422)["detail"]
            assert revision(http) == 1


def test_a_transaction_with_one_thing_missing_does_nothing(http: httpx.Client) -> None:
    body = {"put": [DNS64], "delete": [{"kind": "Gateway", "name": "core"}]}
    assert "no Gateway core" in problem(http.post("/v1/transactions", json=body), 404)["detail"]
    assert revision(http) == 1


# ---- paths, parameters, methods ----


UNCLEAR_DRY_RUNS = [
    ("dryRun=yes", "neither true nor false"),
    ("dryRun=", "neither true nor false"),
    ("dryRun=true&dryRun=false", "stands twice"),
    ("dryrun=true", "unknown parameter 'dryrun'"),
]


def test_a_dry_run_is_not_guessed_at(http: httpx.Client, subtests: pytest.Subtests) -> None:
    for query, what in UNCLEAR_DRY_RUNS:
        with subtests.test(query=query):
            told = problem(http.delete(f"{EDGE}?{query}"), 400)
            assert what in told["detail"]
            assert revision(http) == 1


NO_PATHS = [
    "/",
    "/v2",
    "/v1",
    "/v1/gateways/",
    "/v1/gateway/edge",
    "/v1/gateways/a%2Fb",
    "/docs",
]


def test_no_such_path(http: httpx.Client, subtests: pytest.Subtests) -> None:
    for place in NO_PATHS:
        with subtests.test(place=place):
            assert problem(http.get(place), 404)["type"] == "urn:sixlane:problem:no-such-path"


NO_RESOURCES = ["Edge", "%00", "%ED%A0%80", "x" * 5000, "..%2e", "edge%20"]


def test_no_such_resource(http: httpx.Client, subtests: pytest.Subtests) -> None:
    for name in NO_RESOURCES:
        with subtests.test(name=name):
            assert problem(http.get(f"/v1/gateways/{name}"), 404)["type"].endswith(":not-found")


NO_METHODS = ["POST", "HEAD", "OPTIONS", "TRACE", "BREW"]


def test_no_such_method(http: httpx.Client, subtests: pytest.Subtests) -> None:
    for method in NO_METHODS:
        with subtests.test(method=method):
            answer = http.request(method, EDGE)
            assert answer.status_code == 405
            assert "PUT" in answer.headers["Allow"] or "GET" in answer.headers["Allow"]


NO_EVENTS = ["x", "-1", "1.0", "9" * 30, "\xb2"]


def test_a_last_event_that_is_none(http: httpx.Client, subtests: pytest.Subtests) -> None:
    for last in NO_EVENTS:
        with subtests.test(last=last):
            headers = {b"Last-Event-ID": last.encode("latin-1")}
            problem(http.get("/v1/watch", headers=headers), 400)


NO_DROPS = ["seconds=0", "seconds=nan", "seconds=1e9", "limit=0", "limit=x"]


def test_drops_without_sense(http: httpx.Client, subtests: pytest.Subtests) -> None:
    for query in NO_DROPS:
        with subtests.test(query=query):
            problem(http.get(f"/v1/drops?{query}"), 400)


# ---- streams ----


def test_a_stream_gives_its_place_back(http: httpx.Client, path: Path) -> None:
    from sixlane.api.streams import MAX_STREAMS

    client = Client(str(path))
    held = [client.watch() for _ in range(MAX_STREAMS)]
    told = http.get("/v1/watch")
    assert problem(told, 503)["type"].endswith(":too-many-streams")
    assert told.headers["Retry-After"].isdigit()
    assert http.put(EDGE, json=GATEWAY).status_code == 200  # all else goes on
    for stream in held:
        stream.close()
    for _ in range(200):
        with http.stream("GET", "/v1/watch") as told:
            if told.status_code == 200:
                break
        time.sleep(0.05)
    with client.watch() as events:
        assert next(events)["type"] == "put"


# ---- those who keep others from being heard ----


def connected(path: Path) -> socket.socket:
    asker = socket.socket(socket.AF_UNIX)
    asker.settimeout(30)
    asker.connect(str(path))
    return asker


def test_the_agent_is_well_while_many_wait_for_a_long_apply(
    world: World, path: Path, http: httpx.Client
) -> None:
    """Its health must not wait for a thread behind them: the watchdog would end a healthy agent."""
    go_on = threading.Event()

    def wait(_: object) -> None:
        go_on.wait(60)

    world.gateway.fail["apply"] = wait
    client = Client(str(path))
    waiting = [
        threading.Thread(target=client.put, args=(changed(lowestIPv6MTU=1300 + number),))
        for number in range(60)
    ]
    try:
        for one in waiting:
            one.start()
        time.sleep(1)
        health.ask(path)
    finally:
        go_on.set()
        for one in waiting:
            one.join()


def test_connections_beyond_the_most_are_closed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 5)
    held = [connected(path) for _ in range(5)]
    for one in held:
        one.sendall(b"GET /v1/hea")
    one_too_many = connected(path)
    assert one_too_many.recv(1) == b""
    one_too_many.close()
    held.pop().close()
    time.sleep(0.2)
    health.ask(path)
    for one in held:
        one.close()


def test_a_request_that_never_ends_is_not_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_HEAD_S", 0.2)
    with connected(path) as asker:
        asker.sendall(b"GET /v1/status HTTP/1.1\r\nHost: x\r\nX: ")
        assert asker.recv(1) == b""


def test_a_request_may_take_longer_than_its_head(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_HEAD_S", 0.2)
    with connected(path) as asker:
        asker.sendall(b"GET /v1/watch HTTP/1.1\r\nHost: x\r\n\r\n")
        asker.settimeout(1)
        with pytest.raises(TimeoutError):
            while asker.recv(4096):
                pass


def test_a_body_that_does_not_come(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_body, "BODY_S", 0.2)
    with connected(path) as asker:
        asker.sendall(
            b"PUT /v1/gateways/edge HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 99\r\n\r\n{"
        )
        assert asker.recv(4096).startswith(b"HTTP/1.1 408 ")
