# SPDX-License-Identifier: Apache-2.0
"""The clients against an agent over fakes; each test with both."""

import inspect
import itertools
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import pytest

from sixlane.api import sessions as api_sessions
from sixlane.client import ABSENT, AsyncClient, Client, Conflict, NotFound, Problem, Unreachable
from sixlane.client import types as shapes
from sixlane.client.sse import Assembler
from sixlane.datapath import sessions
from sixlane.errors import KernelError
from tests import clients
from tests.records import Flow, make
from tests.unit.agent.fakes import DNS64, GATEWAY, SERVICE, World
from tests.unit.agent.serving import serving

SECOND = {"name": "second", "prefix": "2001:db8:2::/96", "ipv4": ["198.51.100.0/24"]}
EAM = {"ipv4": "203.0.113.8/30", "ipv6": "2001:db8:9::/126"}


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    world = World(tmp_path)
    path = tmp_path / "api.sock"
    with serving(world.agent, path):
        yield path
    world.close()


@pytest.fixture(params=clients.KINDS)
def client(request: pytest.FixtureRequest, path: Path) -> Iterator[Any]:
    with clients.client(request.param, path) as client:
        yield client


def outcome(applied: Any) -> str:
    (one,) = applied["resources"]
    return str(one["outcome"])


# ---- whole resources ----


def test_one_resource_from_beginning_to_end(client: Any) -> None:
    assert outcome(client.put(GATEWAY)) == "created"
    assert outcome(client.put(GATEWAY)) == "unchanged"
    view = client.get("Gateway", "edge")
    assert view["spec"] == GATEWAY["spec"]
    assert view["metadata"] == {"name": "edge", "generation": 1, "resourceVersion": "1"}
    assert view["status"]["observedGeneration"] == 1
    patched = client.patch("Gateway", "edge", {"spec": {"lowestIPv6MTU": 1400}})
    assert patched["after"][0]["spec"]["lowestIPv6MTU"] == 1400
    assert patched["after"][0]["metadata"]["generation"] == 2
    client.patch("Gateway", "edge", {"spec": {"lowestIPv6MTU": None}})
    assert client.get("Gateway", "edge")["spec"] == GATEWAY["spec"]
    assert client.delete("Gateway", "edge")["after"] == [
        {"kind": "Gateway", "name": "edge", "deleted": True}
    ]
    with pytest.raises(NotFound):
        client.get("Gateway", "edge")
    with pytest.raises(NotFound):
        client.delete("Gateway", "edge")


def test_what_was_got_can_be_put(client: Any) -> None:
    client.put(GATEWAY)
    assert outcome(client.put(client.get("Gateway", "edge"))) == "unchanged"


def test_a_transaction_and_what_it_leaves(client: Any) -> None:
    applied = client.transaction(put=[GATEWAY, DNS64])
    assert applied["revision"] == 1
    assert [one["outcome"] for one in applied["resources"]] == ["created", "created"]
    client.transaction(put=[DNS64], prune=True)
    assert [view["kind"] for view in client.resources()["items"]] == ["Dns64"]
    client.transaction(delete=[{"kind": "Dns64", "name": "cluster", "resourceVersion": "1"}])
    assert client.resources("Dns64") == {"revision": 3, "items": []}


def test_a_dry_run_changes_nothing(client: Any) -> None:
    client.put(GATEWAY)
    before = client.resources()
    would = client.delete("Gateway", "edge", dry_run=True)
    assert (would["dryRun"], outcome(would)) == (True, "deleted")
    client.put_prefix("edge", SECOND, dry_run=True)
    client.transaction(put=[DNS64], prune=True, dry_run=True)
    assert client.resources() == before


def test_a_refusal_says_which_resource_and_where(client: Any) -> None:
    wrong = {**DNS64, "spec": {**DNS64["spec"], "port": 0}}
    with pytest.raises(Problem) as refused:
        client.transaction(put=[GATEWAY, wrong])
    problem = refused.value
    assert (problem.status, problem.kind) == (422, "refused")
    assert (problem.resource, problem.path) == (1, ("spec", "port"))
    assert client.resources()["items"] == []


# ---- whose change is lost ----


def test_only_the_version_that_is_meant_is_changed(client: Any) -> None:
    client.put(GATEWAY, if_match=ABSENT)
    old = client.get("Gateway", "edge")
    client.patch("Gateway", "edge", {"spec": {"lowestIPv6MTU": 1400}}, if_match="1")
    changes = [
        lambda: client.put(old),
        lambda: client.put(GATEWAY, if_match="1"),
        lambda: client.patch("Gateway", "edge", {"spec": {"lowestIPv6MTU": 1300}}, if_match="1"),
        lambda: client.delete("Gateway", "edge", if_match="1"),
        lambda: client.put_prefix("edge", SECOND, if_match="1"),
        lambda: client.transaction(
            delete=[{"kind": "Gateway", "name": "edge", "resourceVersion": "1"}]
        ),
    ]
    for change in changes:
        with pytest.raises(Conflict) as conflict:
            change()
        assert conflict.value.resource_version == "2"
    with pytest.raises(Conflict, match="is there already"):
        client.put(GATEWAY, if_match=ABSENT)
    assert client.resources()["revision"] == 2


def test_an_edit_that_is_disturbed_is_made_again(client: Any, path: Path) -> None:
    client.put(GATEWAY)
    seen: list[int] = []

    def change(view: Any) -> None:
        seen.append(view["spec"].get("lowestIPv6MTU", 1280))
        if len(seen) == 1:  # somebody else is faster
            Client(str(path)).patch("Gateway", "edge", {"spec": {"lowestIPv6MTU": 1300}})
        view["spec"]["icmpErrors"] = {"rate": 7}

    client.edit("Gateway", "edge", change)
    assert seen == [1280, 1300]
    spec = client.get("Gateway", "edge")["spec"]
    assert (spec["lowestIPv6MTU"], spec["icmpErrors"]) == (1300, {"rate": 7})


def test_an_edit_of_a_prefix_that_is_disturbed_is_made_again(client: Any, path: Path) -> None:
    client.put(GATEWAY)
    seen: list[int] = []

    def change(prefix: Any) -> None:
        seen.append(len(prefix["ipv4"]))
        if len(seen) == 1:
            Client(str(path)).patch_prefix("edge", "pods", {"ipv4": []})
        prefix["ipv4"].append("192.175.49.0/24")

    client.edit_prefix("edge", "pods", change)
    assert seen == [1, 0]
    assert client.prefix("edge", "pods")["ipv4"] == ["192.175.49.0/24"]


def test_an_edit_that_returns_something_is_a_mistake(client: Any) -> None:
    client.put(GATEWAY)
    with pytest.raises(TypeError, match="return nothing"):
        client.edit("Gateway", "edge", lambda view: {**view})


# ---- parts of a Gateway ----


def test_prefixes_one_by_one(client: Any) -> None:
    client.put(GATEWAY)
    assert outcome(client.put_prefix("edge", SECOND, if_match="1")) == "changed"
    assert [one["name"] for one in client.prefixes("edge")["items"]] == ["pods", "second"]
    client.patch_prefix("edge", "second", {"ipv4": []})
    assert client.prefix("edge", "second") == {**SECOND, "ipv4": []}
    client.delete_prefix("edge", "second")
    with pytest.raises(NotFound):
        client.prefix("edge", "second")
    with pytest.raises(NotFound):
        client.put_prefix("core", SECOND)
    with pytest.raises(Conflict, match="is there already"):
        client.put_prefix("edge", GATEWAY["spec"]["prefixes"][0], if_match=ABSENT)


def test_mappings_one_by_one(client: Any) -> None:
    client.put(GATEWAY)
    client.put_eam("edge", "pods", EAM)
    assert client.eam("edge", "pods", EAM["ipv4"]) == EAM
    client.put_eam("edge", "pods", {**EAM, "remote": True})
    assert client.eams("edge", "pods")["items"] == [{**EAM, "remote": True}]
    client.delete_eam("edge", "pods", EAM["ipv4"])
    with pytest.raises(NotFound):
        client.eam("edge", "pods", EAM["ipv4"])
    with pytest.raises(NotFound):
        client.delete_eam("edge", "pods", EAM["ipv4"])


# ---- the whole ----


def test_history_and_the_way_back(client: Any) -> None:
    client.put(GATEWAY)
    client.put(DNS64)
    client.delete("Gateway", "edge")
    assert [entry["revision"] for entry in client.history()][:3] == [3, 2, 1]
    assert outcome(client.rollback(dry_run=True)) == "created"
    assert outcome(client.rollback()) == "created"
    client.rollback(1)
    assert [one["kind"] for one in client.resources()["items"]] == ["Gateway"]
    with pytest.raises(NotFound):
        client.rollback(99)


def test_what_the_agent_tells_of_itself(client: Any) -> None:
    assert client.status()["problems"] == []
    assert client.counters()["reasons"] == {"forward_46": {"packets": 2, "bytes": 80}}
    assert "# TYPE sixlane_build_info gauge" in client.metrics()
    lost = [f"{part} lost something" for part in ("gateway", "dns64", "pods")]
    assert client.teardown() == lost


# ---- streams ----


def test_a_watch_tells_all_and_then_each_change(client: Any) -> None:
    client.put(GATEWAY)
    with client.watch() as events:
        first, synced = next(events), next(events)
        assert (first["type"], first["resource"]["spec"]) == ("put", GATEWAY["spec"])
        assert (first["resume"], synced["resume"]) == (None, 1)
        assert synced["resources"] == [{"kind": "Gateway", "name": "edge"}]
        client.put(DNS64)
        client.delete("Gateway", "edge")
        put = next(events)
        assert (put["type"], put["resource"]["kind"], put["resume"]) == ("put", "Dns64", 2)
        deleted = next(event for event in events if event["type"] == "deleted")
        assert deleted["resource"]["metadata"] == {"name": "edge"}
        assert deleted["resume"] == 3


def test_a_watch_goes_on_where_another_ended(client: Any) -> None:
    client.put(GATEWAY)
    client.put(DNS64)
    client.patch("Dns64", "cluster", {"spec": {"port": 5353}})
    client.patch("Dns64", "cluster", {"spec": {"port": 5354}})
    told = until_synced(client, since=3)
    assert [one["resource"]["kind"] for one in told] == ["Dns64"]  # the other is as it was
    assert told[0]["resource"]["spec"]["port"] == 5354
    client.delete("Gateway", "edge")
    assert "deleted" in [one["type"] for one in until_synced(client, since=4)]
    assert len(until_synced(client, since=99)) == 1  # of another store: all there is


def until_synced(client: Any, since: int) -> list[Any]:
    with client.watch(since) as events:
        return list(itertools.takewhile(lambda event: event["type"] != "synced", events))


def test_the_agent_ends_under_a_watch(tmp_path: Path) -> None:
    world = World(tmp_path)
    path = tmp_path / "api.sock"
    with clients.client("waiting", path) as one, clients.client("asynchronous", path) as other:
        with serving(world.agent, path):
            streams = [one.watch(), other.watch()]
            assert [next(stream)["type"] for stream in streams] == ["synced", "synced"]
        for stream in streams:
            with pytest.raises(Unreachable, match="ended"):
                next(stream)
            stream.close()
    world.close()


def test_another_thread_ends_a_watch(path: Path) -> None:
    with Client(str(path)).watch() as events:
        next(events)
        threading.Timer(0.1, events.close).start()
        assert list(events) == []


def test_events_as_the_standard_has_them() -> None:
    assembler = Assembler()
    lines = [": hello\n", "\n", "event: put\r\n", "id: 7\n", 'data: {"a":\n', "data:1}\n", "\n"]
    messages = [message for line in lines if (message := assembler.add(line))]
    assert messages == [("put", {"a": 1}, "7")]
    assert [assembler.add(line) for line in ("data: 2", "")][-1] == ("", 2, "7")


# ---- who does not answer ----


@pytest.mark.parametrize("kind", clients.KINDS)
def test_nobody_listens(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    for nobody in (path, tmp_path / "no.sock"):
        with clients.client(kind, nobody) as client:
            with pytest.raises(Unreachable, match="nobody listens") as none:
                client.status()
            assert none.value.absent


@pytest.mark.parametrize("kind", clients.KINDS)
def test_somebody_hangs_up(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "rude.sock"
    with socket.socket(socket.AF_UNIX) as rude:
        rude.bind(str(path))
        rude.listen()
        thread = threading.Thread(target=lambda: rude.accept()[0].close())
        thread.start()
        with (
            clients.client(kind, path) as client,
            pytest.raises(Unreachable, match="ended while it was asked") as none,
        ):
            client.status()
        assert not none.value.absent
        thread.join()


@pytest.mark.parametrize("answer", [b"", b"<html>", b"[7]", b'{"path": [7]'])
def test_somebody_talks_nonsense(tmp_path: Path, answer: bytes) -> None:
    path = tmp_path / "odd.sock"
    with socket.socket(socket.AF_UNIX) as odd:
        odd.bind(str(path))
        odd.listen()

        def talk() -> None:
            connection = odd.accept()[0]
            with connection:
                connection.recv(4096)
                head = f"HTTP/1.1 500 Oh\r\nContent-Length: {len(answer)}\r\n\r\n"
                connection.sendall(head.encode() + answer)

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(Problem, match=r"makes no sense|not JSON"):
            Client(str(path)).status()
        thread.join()


# ---- long lists ----

FLOWS = [Flow(f"2001:db8:64:{n % 3}::7", 5000 + n, 2000 + n) for n in range(40)]


@pytest.fixture
def with_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sessions, "BLOCK", 16)
    world = World(tmp_path)
    world.gateway.records = make(FLOWS).records()
    with serving(world.agent, tmp_path / "api.sock"):
        yield tmp_path / "api.sock"
    world.close()


@pytest.mark.parametrize("kind", clients.KINDS)
def test_sessions_one_after_the_other(kind: str, with_sessions: Path) -> None:
    with clients.client(kind, with_sessions) as client:
        found = list(client.sessions())
        assert [one["insidePort"] for one in found] == [flow.inside_port for flow in FLOWS]
        assert set(found[0]) == set(get_type_hints(shapes.Session))
        wanted = {"inside": "2001:db8:64:1::/64", "protocol": "udp", "limit": 3}
        assert [one["insidePort"] for one in client.sessions(**wanted)] == [5001, 5004, 5007]
        assert list(client.sessions(state="ESTABLISHED")) == []
        assert [one["poolPort"] for one in client.bindings(port=5007)] == [2007]
        first, *_ = client.clients(order="sessions")
        assert (first["sessions"], first["prefix"]) == (14, "2001:db8:64::/64")
        counted = client.session_count(pool="192.31.197.8")
        assert counted["sessions"] == [{"protocol": "udp", "state": "OPEN", "sessions": 40}]
        metrics = client.metrics()
        assert 'sixlane_sessions{protocol="udp",state="OPEN"} 40.0' in metrics
        assert 'sixlane_map_entries{map="sessions"} 40.0' in metrics
        assert 'sixlane_pool4_ports{address="192.31.197.8",protocol="udp"} 40.0' in metrics
        with pytest.raises(Problem, match="parameter remote"):
            list(client.sessions(remote="2001:db8::/32"))
        with client.sessions() as rows:
            assert next(rows)["insidePort"] == 5000  # and the rest is never read


@pytest.mark.parametrize("kind", clients.KINDS)
def test_lines_do_not_end_where_packets_do(kind: str, tmp_path: Path) -> None:
    world = World(tmp_path)
    many = [Flow("2001:db8:64:1::7", 5000 + n, 2000 + n) for n in range(1500)]  # 300 KiB
    world.gateway.records = make(many, room=1500).records()
    path = tmp_path / "api.sock"
    with serving(world.agent, path), clients.client(kind, path) as client:
        assert [one["poolPort"] for one in client.sessions()] == [one.pool_port for one in many]
    world.close()


@pytest.mark.parametrize("kind", clients.KINDS)
def test_a_list_that_breaks_off_is_no_list(
    kind: str, with_sessions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_sessions = api_sessions.sessions_text

    def fail(block: list[Any]) -> str:
        if block[0].inside_port > 5000:
            raise KernelError(5, "read")
        return of_sessions(block)

    monkeypatch.setattr(api_sessions, "sessions_text", fail)
    with clients.client(kind, with_sessions) as client:
        rows = client.sessions()
        with pytest.raises(Unreachable, match="the agent ended while it was asked"):
            list(rows)


def test_lists_have_places_as_streams_have(with_sessions: Path) -> None:
    client = Client(str(with_sessions))
    for _ in range(40):
        assert len(list(client.sessions(limit=1))) == 1, "each gives its place back"


# ---- what it is made of ----


def test_both_clients_have_the_same_methods() -> None:
    def methods(of: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(method).parameters)
            for name, method in inspect.getmembers(of, inspect.isfunction)
            if not name.startswith("_") and name != "close"
        }

    assert methods(Client) == methods(AsyncClient)


def test_it_is_imported_without_what_takes_long() -> None:
    script = "import sys, sixlane.client; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    modules = set(found.stdout.decode().split())
    assert modules.isdisjoint({"httpx", "pydantic", "fastapi", "http.client", "dataclasses"})


SHAPES = [
    (shapes.Applied, "Applied"),
    (shapes.Backend, "Backend"),
    (shapes.BackendChange, "BackendChangeBody"),
    (shapes.BackendCounters, "BackendCounters"),
    (shapes.BackendHealth, "BackendHealth"),
    (shapes.BackendListing, "BackendListing"),
    (shapes.BackendStatus, "BackendStatus"),
    (shapes.BackendTouched, "BackendTouched"),
    (shapes.BackendView, "BackendView"),
    (shapes.Binding, "Binding"),
    (shapes.Condition, "Condition"),
    (shapes.Counters, "Counters"),
    (shapes.Drop, "Drop"),
    (shapes.FrontendCounters, "FrontendCounters"),
    (shapes.Eam, "Eam"),
    (shapes.Listing, "Listing"),
    (shapes.Metadata, "ViewMetadata"),
    (shapes.Pod, "Pod"),
    (shapes.PoolClient, "PoolClient"),
    (shapes.PoolUse, "PoolUse"),
    (shapes.Prefix, "Prefix"),
    (shapes.Reference, "Reference"),
    (shapes.Revision, "HistoryEntry"),
    (shapes.ServiceCount, "ServiceCount"),
    (shapes.ServiceCounters, "ServiceCounters"),
    (shapes.Session, "Session"),
    (shapes.SessionCount, "SessionCount"),
    (shapes.SessionsOfKind, "SessionsOfKind"),
    (shapes.Touched, "Touched"),
    (shapes.Use, "Use"),
    (shapes.View, "GatewayView"),
]


@pytest.mark.parametrize(("shape", "name"), SHAPES, ids=[name for _, name in SHAPES])
def test_types_are_those_of_the_openapi_document(shape: Any, name: str) -> None:
    from sixlane.api.openapi import schemas_of_document

    schema = schemas_of_document()[name]
    assert set(get_type_hints(shape)) == set(schema["properties"])
    assert shape.__required_keys__ == set(schema.get("required", ()))
    for key, hint in get_type_hints(shape).items():
        if getattr(hint, "__origin__", None) is Literal:
            assert set(get_args(hint)) == set(schema["properties"][key]["enum"])


# ---- services ----


def test_backends_of_a_service(client: Any) -> None:
    client.transaction(put=[GATEWAY, SERVICE])
    made = client.put_backend("web", {"address": "10.0.0.9", "weight": 3}, if_match=ABSENT)
    assert made["backends"] == [{"service": "web", "address": "10.0.0.9", "outcome": "created"}]
    with pytest.raises(Problem, match="is there already"):
        client.put_backend("web", {"address": "10.0.0.9"}, if_match=ABSENT)
    client.patch_backend("web", "10.0.0.9", {"state": "terminating"})
    one = client.backend("web", "10.0.0.9")
    wanted = {"address": "10.0.0.9", "weight": 3, "state": "terminating"}
    assert one == wanted | {"status": None, "health": None}
    listing = client.backends("web")
    assert listing["items"][2] == one and listing["resourceVersion"] == "3"
    client.delete_backend("web", "10.0.0.9", if_match=listing["resourceVersion"])
    for call in (client.backend, client.delete_backend):
        with pytest.raises(NotFound):
            call("web", "10.0.0.9")
    assert client.service_counts() == []
    assert client.service_counters("web")["frontends"] == []


def test_a_backend_with_a_port(client: Any) -> None:
    nat = {"mode": "nat", "sourcePool": ["10.1.0.8/30"], "backends": []}
    client.transaction(put=[GATEWAY, {**SERVICE, "spec": {**SERVICE["spec"], **nat}}])
    client.put_backend("web", {"address": "10.0.0.9", "port": 8080})
    client.patch_backend("web", "10.0.0.9", {"weight": 5}, 8080)
    assert client.backend("web", "10.0.0.9", 8080)["weight"] == 5
    client.delete_backend("web", "10.0.0.9", 8080)
    assert client.backends("web")["items"] == []


def test_backends_in_a_transaction(client: Any) -> None:
    done = client.transaction(
        put=[GATEWAY, SERVICE],
        backends=[
            {"op": "patch", "service": "web", "backend": {"address": "10.0.0.8", "weight": 9}},
            {"op": "delete", "service": "web", "backend": {"address": "2001:db8:64:1::7"}},
        ],
    )
    assert [one["outcome"] for one in done["backends"]] == ["changed", "deleted"]
    assert client.get("Service", "web")["spec"]["backends"] == [
        {"address": "10.0.0.8", "weight": 9}
    ]
