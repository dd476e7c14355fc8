# SPDX-License-Identifier: Apache-2.0
"""`sixlane bib` and `sixlane session`, over records that are made up."""

import csv
import io
import json

import pytest
import yaml

from sixlane.cli import wanted
from sixlane.client import rows
from sixlane.datapath import sessions
from sixlane.datapath.layout import BindingFlag
from sixlane.datapath.sessions import STATES
from tests.records import Flow, make
from tests.unit.agent.fakes import World
from tests.unit.cli.running import REFUSED, USAGE, Sixlane

POD, OTHER = "2001:db8:64:1::7", "2001:db8:64:2::7"
FLOWS = [
    Flow(POD, 5001, 2001, "192.31.196.53", 53),
    Flow(POD, 5001, 2001, "192.31.196.54", 53, remaining_s=9.5),
    Flow(POD, 5002, 2002, "192.175.48.80", 443, "tcp", "ESTABLISHED", 7442),
    Flow(OTHER, 5003, 3003, "192.31.196.53", 80, "tcp", "V4 FIN + V6 FIN RCV", 3, address=1),
    Flow(OTHER, 77, 3004, "192.31.196.53", 0, "icmp", remaining_s=60, address=1),
]
LISTS = (["bib", "list"], ["session", "list"], ["session", "top", "--once"])


@pytest.fixture(autouse=True)
def records(world: World) -> None:
    world.gateway.records = make(FLOWS).records()


def test_sessions(sixlane: Sixlane) -> None:
    head, *lines = sixlane("session", "list").splitlines()
    assert head.split() == ["PROTOCOL", "INSIDE", "POOL4", "REMOTE", "STATE", "REMAINING"]
    assert lines[0].split() == [
        "udp",
        "[2001:db8:64:1::7]:5001",
        "192.31.197.8:2001",
        "192.31.196.53:53",
        "OPEN",
        "300",
        "s",
    ]
    assert lines[3].rpartition("V4 FIN + V6 FIN RCV")[2].split() == ["3", "s"]
    assert lines[4].split()[3] == "192.31.196.53"
    assert len(lines) == 5
    assert len({len(line) for line in lines}) == 1, "numbers stand right"
    assert "PREFIX" in sixlane("session", "list", "-o", "wide").splitlines()[0]
    assert sixlane("session", "list", "--no-headers").splitlines()[0].startswith("udp  ")


def test_sessions_for_programs(sixlane: Sixlane) -> None:
    items = json.loads(sixlane("session", "list", "-o", "json"))["items"]
    assert items[2] == {
        "protocol": "tcp",
        "inside": POD,
        "insidePort": 5002,
        "pool": "192.31.197.8",
        "poolPort": 2002,
        "remote": "192.175.48.80",
        "remotePort": 443,
        "prefix": "pods",
        "state": "ESTABLISHED",
        "remainingSeconds": 7442.0,
    }
    lines = sixlane("session", "list", "-o", "ndjson").splitlines()
    assert [json.loads(line) for line in lines] == items
    assert list(yaml.safe_load_all(sixlane("session", "list", "-o", "yaml"))) == items
    text = sixlane("session", "list", "-o", "csv")
    found = list(csv.DictReader(io.StringIO(text)))
    assert [list(row) for row in found] == [list(item) for item in items]
    assert found[1] == {key: str(value) for key, value in items[1].items()}
    bare = sixlane("session", "list", "-o", "csv", "--no-headers")
    assert bare.splitlines() == text.splitlines()[1:]


@pytest.mark.parametrize(
    ("options", "ports"),
    [
        ("--protocol tcp", [5002, 5003]),
        ("--inside 2001:db8:64:1::/64", [5001, 5001, 5002]),
        ("--inside 2001:db8:64:2::7 --protocol icmp", [77]),
        ("--pool 192.31.197.9", [5003, 77]),
        ("--remote 192.31.196.0/24", [5001, 5001, 5003, 77]),
        ("--remote 192.31.196.54", [5001]),
        ("--port 443", [5002]),
        ("--port 2001", [5001, 5001]),
        ("--port 77", [77]),
        ("--state established", [5002]),
        ("--state v4-fin-v6-fin-rcv", [5003]),
        ("--state V4_FIN_+_V6_FIN_RCV", [5003]),
        ("--state open --limit 2", [5001, 5001]),
        ("--protocol udp --state trans", []),
    ],
)
def test_filters(sixlane: Sixlane, options: str, ports: list[int]) -> None:
    told = sixlane("session", "list", "-o", "ndjson", *options.split())
    assert [json.loads(line)["insidePort"] for line in told.splitlines()] == ports
    if "--limit" not in options:
        counted = json.loads(sixlane("session", "count", "-o", "json", *options.split()))
        assert sum(one["sessions"] for one in counted["sessions"]) == len(ports)


def test_states_are_those_of_the_data_path() -> None:
    assert set(STATES) == set(wanted.STATES)


def test_bindings(sixlane: Sixlane) -> None:
    assert sixlane("bib", "list") == (
        "PROTOCOL  INSIDE                   POOL4              SESSIONS  KIND\n"
        "udp       [2001:db8:64:1::7]:5001  192.31.197.8:2001         2  dynamic\n"
        "tcp       [2001:db8:64:1::7]:5002  192.31.197.8:2002         1  dynamic\n"
        "tcp       [2001:db8:64:2::7]:5003  192.31.197.9:3003         1  dynamic\n"
        "icmp      [2001:db8:64:2::7]:77    192.31.197.9:3004         1  dynamic\n"
    )
    told = sixlane("bib", "list", "--port", "2001", "--pool", "192.31.197.8", "-o", "csv")
    assert told == (
        "protocol,inside,insidePort,pool,poolPort,sessions,static\n"
        "udp,2001:db8:64:1::7,5001,192.31.197.8,2001,2,false\n"
    )


def test_static_bindings(sixlane: Sixlane, world: World) -> None:
    made = make(FLOWS)
    made.bindings[1].flags = BindingFlag.BINDING_STATIC
    world.gateway.records = made.records()
    (line,) = [one for one in sixlane("bib", "list").splitlines() if "static" in one]
    assert line.split()[1] == "[2001:db8:64:1::7]:5002"


def test_count(sixlane: Sixlane) -> None:
    blocks = [
        [line.split() for line in part.splitlines()]
        for part in sixlane("session", "count", "-o", "wide").split("\n\n")
    ]
    assert blocks[0][0] == ["PROTOCOL", "STATE", "SESSIONS"]
    assert ["udp", "OPEN", "2"] in blocks[0] and blocks[0][-1] == ["all", "5"]
    assert blocks[1][1:] == [
        ["sessions", "5", "64", "7.8%"],
        ["bindings", "4", "64", "6.2%"],
        ["clients", "2", "16", "12.5%"],
        ["syns", "0", "1", "0.0%"],
    ]
    assert ["192.31.197.9", "blocks", "1", "1008", "0.1%"] in blocks[2]
    assert ["192.31.197.8", "udp", "1", "64512", "0.0%"] in blocks[2]
    assert len(blocks[2]) == 1 + 4 * 4
    assert sixlane("session", "count", "-o", "csv", "--port", "443") == (
        "protocol,state,sessions\ntcp,ESTABLISHED,1\n"
    )


def test_top(sixlane: Sixlane) -> None:
    assert sixlane("session", "top", "--once") == (
        "CLIENT              POOL     ADDRESS       SESSIONS  PORTS\n"
        "2001:db8:64:1::/64  default  192.31.197.8         3      2\n"
        "2001:db8:64:2::/64  default  192.31.197.9         2      2\n"
    )
    (line,) = sixlane("session", "top", "--once", "--lines", "1", "-o", "ndjson").splitlines()
    assert json.loads(line)["blocks"] == ["1984-2047"]
    found = sixlane("session", "top", "--once", "--inside", OTHER, "--no-headers", "-o", "wide")
    assert found.split()[-1] == "2944-3007" and found.count("\n") == 1
    two = sixlane("session", "top", "--count", "2", "--interval", "0.1", "-o", "csv")
    assert two.count("prefix,pool") == 1 and two.count("2001:db8:64:1::/64") == 2


def test_without_pool4(sixlane: Sixlane, world: World) -> None:
    world.gateway.records = None
    assert sixlane("session", "list") == "no sessions\n"
    assert sixlane("bib", "list") == "no bindings\n"
    assert sixlane("session", "top", "--once") == "no clients\n"
    assert sixlane("session", "count") == "no sessions\n"
    for command in (["session", "list"], ["bib", "list"]):
        assert json.loads(sixlane(*command, "-o", "json")) == {"items": []}
        assert sixlane(*command, "-o", "ndjson") == ""
        assert len(sixlane(*command, "-o", "csv").splitlines()) == 1


def test_more_than_a_block(sixlane: Sixlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_BYTES", 50)
    monkeypatch.setattr(sessions, "BLOCK", 2)
    assert len(json.loads(sixlane("session", "list", "-o", "json"))["items"]) == 5
    assert len(sixlane("session", "list").splitlines()) == 6
    assert len(sixlane("session", "list", "-o", "csv").splitlines()) == 6
    assert len(sixlane("session", "list", "-o", "ndjson").splitlines()) == 5
    assert len(sixlane("bib", "list", "-o", "csv").splitlines()) == 5
    assert len(sixlane("session", "list", "-o", "ndjson", "--limit", "3").splitlines()) == 3
    assert len(sixlane("bib", "list", "-o", "ndjson", "--limit", "3").splitlines()) == 3


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (
            "session list --inside 2001:db8::1/64",
            "parameter inside: 2001:db8::1/64 has host bits set",
        ),
        ("session list --remote pods", "parameter remote: "),
        ("bib list --pool 2001:db8::1", "parameter pool: "),
    ],
)
def test_what_cannot_be_read(sixlane: Sixlane, argv: str, said: str) -> None:
    assert sixlane(*argv.split(), code=REFUSED).startswith(f"sixlane: {said}")


@pytest.mark.parametrize(
    "argv",
    ["session list --state half-open", "session top --once --count 2", "bib list --port 65536"],
)
def test_wrong_usage(sixlane: Sixlane, argv: str) -> None:
    sixlane(*argv.split(), code=USAGE)
