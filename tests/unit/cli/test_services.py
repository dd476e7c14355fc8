# SPDX-License-Identifier: Apache-2.0
"""`sixlane service` and `sixlane backend`."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from sixlane.cli import backend as backend_command
from sixlane.cli.ends import BackendType, End, FrontendType
from sixlane.cli.fields import seconds
from sixlane.lb import ServiceUse
from tests.unit.agent.fakes import GATEWAY, SERVICE, World, used
from tests.unit.cli.running import FAILED, NOT_FOUND, REFUSED, USAGE, Sixlane

SEVEN, EIGHT = "2001:db8:64:1::7", "10.0.0.8"


@pytest.fixture
def filled(sixlane: Sixlane) -> Sixlane:
    """With a Gateway and a Service."""
    sixlane("apply", "-f", sixlane.file(GATEWAY, SERVICE))
    return sixlane


def spec(world: World, name: str = "web") -> dict[str, Any]:
    views = {view["metadata"]["name"]: view for view in world.agent.resources("Service")}
    found: dict[str, Any] = views[name]["spec"]
    return found


def backends(world: World) -> list[Any]:
    found: list[Any] = spec(world)["backends"]
    return found


# ---- service ----


def test_service_list(filled: Sixlane, world: World) -> None:
    assert filled("service", "list") == (
        "SERVICE  MODE  FRONTENDS        UP  FLOWS  READY  REASON\n"
        "web      dsr   192.175.50.1:80  -   -      True   InForce\n"
    )
    world.gateway.uses = [used(eight=replace(used().backends[1], state="terminating"))]
    assert filled("service", "list", "-o", "wide") == (
        "SERVICE  MODE  FRONTENDS        UP   FLOWS  READY  REASON   ANNOUNCE  PACKETS  DROPPED\n"
        "web      dsr   192.175.50.1:80  1/2     12  True   InForce  none          100        4\n"
    )
    (item,) = json.loads(filled("service", "list", "-o", "json"))["items"]
    assert item["spec"] == SERVICE["spec"] and item["counters"]["activeFlows"] == 12
    assert filled("service", "list", "-o", "ndjson").count("\n") == 1


def test_service_show(filled: Sixlane, world: World) -> None:
    world.gateway.uses = [used()]
    text = filled("service", "show", "web")
    for part in (
        "web      dsr   192.175.50.1:80         2  1           True   InForce\n",
        "192.175.50.1:80      100  10000   40        4\n",
        "2001:db8:64:1::7       2  active  66.7%     12   30       90   9000\n",
        "drop_no_backend         3    180\n",
    ):
        assert part in text
    told = json.loads(filled("service", "show", "web", "-o", "json"))
    assert told["backends"][0]["status"]["share"] == 0.6667
    assert told["counters"]["frontends"][0]["port"] == 80
    filled("service", "show", "dns", code=NOT_FOUND)


def test_service_top(filled: Sixlane, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def more(packets: int, flows: int) -> ServiceUse:
        now = used()
        front = now.frontends[0]
        counted = replace(front.count.forwarded, packets=100 + packets, bytes=10000 + 100 * packets)
        count = replace(front.count, forwarded=counted, flows=40 + flows)
        return replace(now, frontends=[replace(front, count=count)])

    looks = iter([used(), more(50, 10), more(150, 10)])
    monkeypatch.setattr(type(world.gateway), "service_uses", lambda *_: [next(looks)])
    lines = filled("service", "top", "--interval", "0.1", "--count", "2", "-o", "ndjson")
    first, second = map(json.loads, lines.splitlines())
    assert first["service"] == "web" and first["activeFlows"] == 12
    assert 0 < first["packetsPerSecond"] <= 500, "50 packets in a tenth of a second, or more"
    assert first["bitsPerSecond"] == pytest.approx(800 * first["packetsPerSecond"], rel=0.01)
    assert first["newFlowsPerSecond"] == pytest.approx(first["packetsPerSecond"] / 5, rel=0.05)
    assert (second["newFlowsPerSecond"], second["dropsPerSecond"]) == (0, 0)


def test_service_add_and_set(filled: Sixlane, world: World) -> None:
    argv = ["service", "add", "dns", "--frontend", "192.175.50.1:53/udp"]
    argv += ["--frontend", "[2001:db8:64::53]:53/udp", "--backend", SEVEN]
    assert filled(*argv) == "Service dns created\n"
    assert spec(world, "dns") == {
        "frontends": [
            {"address": "192.175.50.1", "port": 53, "protocol": "UDP"},
            {"address": "2001:db8:64::53", "port": 53, "protocol": "UDP"},
        ],
        "backends": [{"address": SEVEN}],
    }
    assert "is there already" in filled(*argv, code=REFUSED)
    argv = ["service", "set", "web", "--session-affinity", "client-ip", "--affinity-timeout", "60"]
    argv += ["--when-all-down", "terminating", "--table-size", "509"]
    assert filled(*argv, "--source-range", "192.31.196.0/24") == "Service web changed\n"
    assert spec(world) == SERVICE["spec"] | {
        "sessionAffinity": "ClientIP",
        "sessionAffinityTimeoutSeconds": 60,
        "whenAllDown": "terminating",
        "tableSize": 509,
        "loadBalancerSourceRanges": ["192.31.196.0/24"],
    }
    argv = ["service", "set", "web", "--session-affinity", "none", "--affinity-timeout", "default"]
    argv += ["--when-all-down", "default", "--table-size", "default", "--source-range", "all"]
    filled(*argv)
    assert spec(world) == SERVICE["spec"] | {"sessionAffinity": "None"}
    assert "the next one is 503" in filled(
        "service", "set", "web", "--table-size", "500", code=REFUSED
    )
    filled("service", "set", "web", "--announce", "l2")
    assert spec(world)["announce"] == "l2"
    for listing in (("get", "services"), ("service", "list")):
        head, *rows = filled(*listing, "-o", "wide").splitlines()
        cells = {row.split()[0]: row[head.index("ANNOUNCE") :].split()[0] for row in rows}
        assert cells == {"dns": "none", "web": "l2"}
    assert "arp is not known here" in filled(
        "service", "set", "web", "--announce", "arp", code=REFUSED
    )
    filled("service", "set", "web", "--announce", "default")
    assert "announce" not in spec(world)
    assert "nothing to change" in filled("service", "set", "web", code=USAGE)
    filled("service", "set", "nobody", "--mode", "dsr", code=NOT_FOUND)


def test_what_knows_kinds_knows_services(filled: Sixlane, world: World) -> None:
    world.gateway.uses = [used()]
    assert filled("get", "services") == (
        "SERVICE  MODE  FRONTENDS        BACKENDS  GENERATION  READY  REASON\n"
        "web      dsr   192.175.50.1:80         2  1           True   InForce\n"
    )
    text = filled("describe", "service", "web")
    assert "192.175.50.1:80      100" in text and "66.7%" in text
    assert "services in force: 1, backends: 2 active\n" in filled("status")
    changed = {**SERVICE, "spec": {**SERVICE["spec"], "whenAllDown": "terminating"}}
    said = filled("diff", "-f", filled.file(GATEWAY, changed, name="new.yaml"), code=FAILED)
    assert "\n+  whenAllDown: terminating\n" in said
    assert filled("delete", "service/web") == "Service web deleted\n"


# ---- backend ----


def test_backend_list(filled: Sixlane, world: World) -> None:
    assert filled("backend", "list", "web", "--no-headers").splitlines()[0].split() == [
        *(SEVEN, "2", "not", "in", "force", "-", "-", "-", "-", "-")
    ]
    draining = replace(used().backends[1], state="terminating", share=0.0)
    world.gateway.uses = [used(eight=draining)]
    filled("backend", "drain", "web", EIGHT)
    assert filled("backend", "list", "web") == (
        "BACKEND           WEIGHT  STATE        SHARE  FLOWS  NEW  PACKETS  BYTES\n"
        "2001:db8:64:1::7       2  active       66.7%     12   30       90   9000\n"
        "10.0.0.8               1  terminating  0.0%       0   10       10   1000\n"
    )
    filled("backend", "drain", "web", SEVEN, "--deadline", "1h")
    heads, seven, eight = filled("backend", "list", "web", "-o", "wide").splitlines()
    assert heads.split()[-2:] == ["DESIRED", "DRAIN-UNTIL"]
    assert seven.split()[2] == "active" and seven.split()[-2] == "terminating", "until it is so"
    assert eight.split()[-2:] == ["terminating", "-"]
    assert json.loads(filled("backend", "list", "web", "-o", "json"))["resourceVersion"] == "3"
    assert len(filled("backend", "list", "web", "-o", "ndjson").splitlines()) == 2
    filled("backend", "list", "dns", code=NOT_FOUND)


def test_backend_add_weight_remove(filled: Sixlane, world: World) -> None:
    said = filled("backend", "add", "web", "10.0.0.9", "10.0.0.10", "--weight", "3")
    assert said == "backend 10.0.0.9 of web created\nbackend 10.0.0.10 of web created\n"
    assert backends(world)[2:] == [
        {"address": "10.0.0.9", "weight": 3},
        {"address": "10.0.0.10", "weight": 3},
    ]
    assert filled("backend", "weight", "web", "10.0.0.9", "0", "--dry-run") == (
        "backend 10.0.0.9 of web changed (dry run)\n  set web\n"
    )
    assert filled("backend", "weight", "web", SEVEN, "3") == f"backend {SEVEN} of web changed\n"
    assert backends(world)[0] == {"address": SEVEN, "weight": 3}
    said = filled("backend", "remove", "web", "10.0.0.9", "10.0.0.99", code=NOT_FOUND)
    assert said.startswith("sixlane: no backend 10.0.0.99 in Service web (there are: 10.0.0.10, ")
    assert len(backends(world)) == 4, "both or none"
    filled("backend", "remove", "web", "10.0.0.9", "10.0.0.10")
    assert backends(world)[1:] == SERVICE["spec"]["backends"][1:]
    said = filled("backend", "weight", "web", SEVEN, "1001", code=REFUSED)
    assert said == "sixlane: 1001 is too large: backends[0].backend.weight (at most 1000)\n"
    assert filled("backend", "weight", "web", SEVEN, "many", code=USAGE).count("\n") == 1
    filled("backend", "add", "dns", SEVEN, code=NOT_FOUND)


def test_a_result_for_each_for_programs(filled: Sixlane) -> None:
    told = filled("backend", "drain", "web", SEVEN, EIGHT, "-o", "ndjson")
    assert list(map(json.loads, told.splitlines())) == [
        {"service": "web", "address": SEVEN, "outcome": "changed"},
        {"service": "web", "address": EIGHT, "outcome": "changed"},
    ]


def test_drain_and_back(filled: Sixlane, world: World) -> None:
    filled("backend", "drain", "web", SEVEN)
    assert backends(world)[0] == {"address": SEVEN, "weight": 2, "state": "terminating"}
    before = datetime.now(UTC)
    filled("backend", "drain", "web", SEVEN, "--deadline", "5m")
    after = datetime.now(UTC)
    until = datetime.fromisoformat(backends(world)[0]["drainUntil"])
    assert (before - until).total_seconds() == pytest.approx(-300, abs=60)
    assert (until - before).total_seconds() > 299 and (until - after).total_seconds() < 300.01
    filled("backend", "drain", "web", SEVEN)
    assert "drainUntil" not in backends(world)[0], "no deadline any more"
    filled("backend", "drain", "web", SEVEN, "--deadline", "5m")
    filled("backend", "undrain", "web", SEVEN)
    assert backends(world) == SERVICE["spec"]["backends"]
    for argv in (["--deadline", "soon"], ["--timeout", "5"], ["--wait", "--dry-run"]):
        filled("backend", "drain", "web", SEVEN, *argv, code=USAGE)
    assert backends(world) == SERVICE["spec"]["backends"]


def flows_left(world: World, monkeypatch: pytest.MonkeyPatch, *numbers: int) -> None:
    """What each look finds of SEVEN, which drains; the last one from then on."""
    left = list(numbers)

    def look(*_: object) -> list[ServiceUse]:
        now = left.pop(0) if len(left) > 1 else left[0]
        return [used(seven=replace(used().backends[0], state="terminating", active_flows=now))]

    monkeypatch.setattr(type(world.gateway), "service_uses", look)
    monkeypatch.setattr(backend_command, "_LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(backend_command, "_KNOWN_AFTER_S", 0.0)


def test_drain_shows_the_flows_that_remain(
    filled: Sixlane, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    flows_left(world, monkeypatch, 12, 12, 3, 0)
    lines = filled("backend", "drain", "web", SEVEN, "--wait").splitlines()
    assert lines[0].split() == ["TIME", "BACKEND", "STATE", "FLOWS"]
    assert [line.split()[1:] for line in lines[1:]] == [
        [SEVEN, "terminating", number] for number in ("12", "3", "0")
    ]


def test_drain_tells_programs(
    filled: Sixlane, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    flows_left(world, monkeypatch, 5, 0)
    lines = filled("backend", "drain", "web", SEVEN, "--wait", "-o", "ndjson").splitlines()
    assert [json.loads(line)["activeFlows"] for line in lines] == [5, 0]


def test_drain_waits_for_flows_that_are_not_counted_yet(
    filled: Sixlane, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known at first is from before the change."""
    flows_left(world, monkeypatch, 0, 4, 0)
    monkeypatch.setattr(backend_command, "_KNOWN_AFTER_S", 0.2)
    assert len(filled("backend", "drain", "web", SEVEN, "--wait").splitlines()) == 4


def test_drain_gives_up(filled: Sixlane, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    flows_left(world, monkeypatch, 5)
    said = filled("backend", "drain", "web", SEVEN, "--wait", "--timeout", "0s", code=FAILED)
    assert said.startswith("sixlane: 5 flows remain after 0 s (")
    assert backends(world)[0]["state"] == "terminating"


def test_drain_of_what_is_not_in_force(filled: Sixlane) -> None:
    said = filled("backend", "drain", "web", SEVEN, "--wait", code=FAILED)
    assert said == "sixlane: Service web is not in force (see sixlane status)\n"


def test_backend_top(filled: Sixlane, world: World) -> None:
    world.gateway.uses = [used()]
    lines = filled("backend", "top", "web", "--interval", "0.1", "--count", "1", "--sort", "flows")
    assert lines == (
        "BACKEND           STATE   PKT/S  MBIT/S  NEW/S  FLOWS\n"
        "2001:db8:64:1::7  active      0  0.00        0     12\n"
        "10.0.0.8          active      0  0.00        0      0\n"
    )
    filled("backend", "top", "dns", "--count", "1", code=NOT_FOUND)


# ---- what is written ----


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("2001:db8::7", End("2001:db8::7", None)),
        ("[2001:db8::7]", End("2001:db8::7", None)),
        ("[2001:db8::7]:8080", End("2001:db8::7", 8080)),
        ("10.0.0.7", End("10.0.0.7", None)),
        ("10.0.0.7:8080", End("10.0.0.7", 8080)),
    ],
)
def test_a_backend(text: str, end: End) -> None:
    assert BackendType()(text) == end


@pytest.mark.parametrize(
    "text", ["10.0.0.7:", "10.0.0.7:http", "[::1", "[::1]80", "1.2.3.4:\u0661"]
)
def test_no_backend(filled: Sixlane, text: str) -> None:
    assert "is neither ADDRESS nor" in filled("backend", "add", "web", text, code=USAGE)
    argv = ["service", "set", "web", "--frontend", text]
    assert "is not ADDRESS:PORT" in filled(*argv, code=USAGE)


def test_a_frontend() -> None:
    read = FrontendType()
    assert read("192.0.2.1:80") == {"address": "192.0.2.1", "port": 80}
    assert read("[2001:db8::1]:53/udp")["protocol"] == "UDP"


@pytest.mark.parametrize(
    ("text", "value"), [("90", 90), ("90s", 90), ("5m", 300), ("2h", 7200), ("1d", 86400)]
)
def test_a_time(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "m", "-5m", "5 m", "5min", "1.5h", "\u0661s"])
def test_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        seconds(text)
