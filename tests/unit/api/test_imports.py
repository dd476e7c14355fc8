# SPDX-License-Identifier: Apache-2.0
"""Lines of sessions of another gateway: read whole, or refused by the number of the line."""

import json
from typing import Any

import pytest

from sixlane.api.imports import MAX_LINES, parse_sessions
from sixlane.api.problem import ProblemError
from sixlane.api.session_file import MAX_LINE_BYTES
from sixlane.api.sessions import export_texts, import_data
from sixlane.datapath.sessions import Session

SESSION = Session(
    "tcp",
    "2001:db8:64::7",
    5000,
    "192.31.197.8",
    2000,
    "192.31.196.53",
    443,
    "64:ff9b::/96",
    "V4 FIN + V6 FIN RCV",
    7.5,
)
(LINE,) = list(export_texts([[SESSION]]))[1].splitlines()


def line(**changed: Any) -> str:
    return json.dumps(json.loads(LINE) | changed)


def refusal(*lines: str | bytes, first: int = 1) -> str:
    body = b"\n".join(one if isinstance(one, bytes) else one.encode() for one in lines)
    with pytest.raises(ProblemError) as error:
        parse_sessions(body, first)
    return str(error.value)


def test_what_is_exported_can_be_imported() -> None:
    many = [
        SESSION,
        SESSION._replace(protocol="udp", state="OPEN", inside="::1:2:3", remaining_s=0.0),
        SESSION._replace(protocol="icmp", state="OPEN", remote_port=0, pool_port=0),
        SESSION._replace(state="ESTABLISHED", inside_port=65535, remote_port=0),
    ]
    head, *blocks, end = export_texts([many[:1], many[1:]])
    assert json.loads(head).keys() == {"kind", "version", "exportedAt"}
    assert json.loads(end) == {"sessions": 4}
    assert parse_sessions("".join(blocks).encode(), 2) == many
    assert parse_sessions(b"", 2) == []


def test_whole_seconds_are_times_too() -> None:
    assert parse_sessions(line(remainingSeconds=7).encode(), 1)[0].remaining_s == 7


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"protocol": "sctp"}, "protocol: 'sctp' is none of tcp, udp, icmp"),
        ({"protocol": ["tcp"]}, "protocol: ['tcp'] is none of"),
        ({"state": "CLOSED"}, "state: 'CLOSED' is none of OPEN,"),
        ({"state": "OPEN"}, "state: OPEN is none of tcp"),
        ({"protocol": "udp"}, "state: V4 FIN + V6 FIN RCV is none of udp"),
        ({"state": None}, "state: None is none of"),
        ({"insidePort": 70000}, "insidePort: 70000 is no port"),
        ({"poolPort": -1}, "poolPort: -1 is no port"),
        ({"remotePort": True}, "remotePort: True is no port"),
        ({"remotePort": 1.0}, "remotePort: 1.0 is no port"),
        ({"remotePort": "80"}, "remotePort: '80' is no port"),
        ({"protocol": "icmp", "state": "OPEN"}, "remotePort: of icmp it is 0"),
        ({"inside": "192.31.196.53"}, "inside: '192.31.196.53' is no IPv6 address of a node"),
        ({"inside": "ff02::1"}, "inside: 'ff02::1' is no"),
        ({"inside": "::"}, "inside: '::' is no"),
        ({"inside": "2001:db8::1%eth0"}, "inside: "),
        ({"inside": "\0"}, "inside: "),
        ({"inside": "\ud800"}, "inside: "),
        ({"inside": 1}, "inside: 1 is no"),
        ({"pool": "192.31.197"}, "pool: '192.31.197' is no IPv4 address"),
        ({"pool": {}}, "pool: {} is no"),
        ({"remote": "::1"}, "remote: '::1' is no"),
        ({"prefix": "64:ff9b::"}, "prefix: '64:ff9b::' is no IPv6 prefix"),
        ({"prefix": "64:ff9b::1/96"}, "prefix: "),
        ({"prefix": None}, "prefix: None is no"),
        ({"remainingSeconds": -0.1}, "remainingSeconds: -0.1 is no time"),
        ({"remainingSeconds": "7"}, "remainingSeconds: '7' is no time"),
        ({"remainingSeconds": True}, "remainingSeconds: True is no time"),
        ({"remainingSeconds": 10**300}, "remainingSeconds: 1000"),
        ({"more": 1}, "unknown key 'more'"),
    ],
)
def test_what_is_wrong(changed: dict[str, Any], said: str) -> None:
    assert refusal(LINE, line(**changed), LINE, first=2).startswith(f"line 3: {said}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON: "),
        ("{", "not JSON: "),
        (f"{LINE},{LINE}", "not JSON: "),
        ("[]", "not a JSON object"),
        ("[" * 900, "not JSON: "),
        ("{}", "no inside"),
        ('{"sessions":1}', "no inside"),
        (LINE.replace("7.5", "NaN"), "NaN is no JSON number"),
        (LINE.replace("7.5", "-Infinity"), "-Infinity is no JSON number"),
        (LINE.replace("7.5", "1e999"), "remainingSeconds: inf is no time"),
        (LINE.replace("5000", "9" * 800), "insidePort: 999"),
        (LINE + " " * MAX_LINE_BYTES, f"longer than {MAX_LINE_BYTES} bytes"),
        (LINE.encode().replace(b"tcp", b"\xff"), "byte 13 is no UTF-8"),
        (LINE.encode("utf-16"), "byte 0 is no UTF-8"),
    ],
)
def test_what_is_no_session(text: str | bytes, said: str) -> None:
    assert refusal(LINE, text, LINE).startswith(f"line 2: {said}")


def test_more_than_an_agent_keeps() -> None:
    assert parse_sessions(f"{LINE}\n".encode() * MAX_LINES, 1)[-1] == SESSION
    assert refusal("\n" * (MAX_LINES + 1)) == f"more than {MAX_LINES} lines"


def test_what_is_told() -> None:
    told = import_data(["made", "conflict", "present", "made", *["limited"] * 20], 7)  # type: ignore[list-item]
    assert (told["made"], told["present"], told["conflict"], told["limited"]) == (2, 1, 1, 20)
    assert (told["notPool4"], told["notPool6"], told["noRoom"]) == (0, 0, 0)
    assert told["refused"][:2] == [
        {"line": 8, "result": "conflict"},
        {"line": 11, "result": "limited"},
    ]
    assert len(told["refused"]) == 10
