# SPDX-License-Identifier: Apache-2.0
"""Sessions of another gateway: one JSON object a line, read with suspicion."""

import json
import socket
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv6Network
from typing import Any

from sixlane.api.problem import bad_request
from sixlane.api.session_file import MAX_LINE_BYTES
from sixlane.datapath.sessions import PROTOCOLS, STATES, Session

MAX_LINES = 50_000  # in a body
_KEYS = (
    *("protocol", "inside", "insidePort", "pool", "poolPort"),
    *("remote", "remotePort", "prefix", "state", "remainingSeconds"),
)
_KEY_SET = frozenset(_KEYS)
_PORTS = ("insidePort", "poolPort", "remotePort")
_MULTICAST = 0xFF
_MOST_S = 1e12


def parse_sessions(body: bytes, first_line: int) -> list[Session]:
    """All of them; `first_line`: the number of the first one where people see it.

    Raises a 400 that names the first line which is not as it should be.
    """
    if body.count(b"\n") > MAX_LINES:
        raise bad_request(f"more than {MAX_LINES} lines", "send them in several pieces")
    return list(_sessions(body.removesuffix(b"\n").split(b"\n") if body else [], first_line))


def _sessions(lines: list[bytes], first_line: int) -> Iterator[Session]:
    for number, line in enumerate(lines, first_line):
        try:
            yield _session(_item(line))
        except (ValueError, RecursionError) as error:
            raise bad_request(
                f"line {number}: {_reason(error)}", "each line as session export writes it"
            ) from None


def _item(line: bytes) -> Any:
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"longer than {MAX_LINE_BYTES} bytes")
    return _DECODER.decode(line.decode())


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _session(item: Any) -> Session:
    if type(item) is not dict:
        raise ValueError("not a JSON object")
    if item.keys() != _KEY_SET:
        missing, more = sorted(_KEY_SET - item.keys()), sorted(item.keys() - _KEY_SET)
        raise ValueError(f"no {missing[0]}" if missing else f"unknown key {more[0][:60]!a}")
    for key in _PORTS:
        if type(item[key]) is not int or not 0 <= item[key] <= 0xFFFF:
            raise ValueError(f"{key}: {_shown(item[key])} is no port")
    session = Session(*map(item.__getitem__, _KEYS))
    _check_words(session)
    _check_addresses(session)
    left = session.remaining_s
    if type(left) not in (int, float) or not 0 <= left <= _MOST_S:
        raise ValueError(f"remainingSeconds: {_shown(left)} is no time that is left")
    return session


def _check_words(session: Session) -> None:
    if type(session.protocol) is not str or session.protocol not in PROTOCOLS:
        raise ValueError(f"protocol: {_shown(session.protocol)} is none of {', '.join(PROTOCOLS)}")
    if type(session.state) is not str or session.state not in STATES:
        raise ValueError(f"state: {_shown(session.state)} is none of {', '.join(STATES)}")
    if (session.protocol == "tcp") == (session.state == "OPEN"):
        raise ValueError(f"state: {session.state} is none of {session.protocol}")
    if session.protocol == "icmp" and session.remote_port:
        raise ValueError("remotePort: of icmp it is 0")


def _check_addresses(session: Session) -> None:
    if not _is_node(session.inside):
        raise ValueError(f"inside: {_shown(session.inside)} is no IPv6 address of a node")
    for key, address in (("pool", session.pool), ("remote", session.remote)):
        if not _is_ipv4(address):
            raise ValueError(f"{key}: {_shown(address)} is no IPv4 address")
    if not _is_prefix(session.prefix):
        raise ValueError(f"prefix: {_shown(session.prefix)} is no IPv6 prefix")


def _is_node(text: Any) -> bool:
    try:
        packed = socket.inet_pton(socket.AF_INET6, text)
    except (OSError, ValueError, TypeError):
        return False
    return packed[0] != _MULTICAST and any(packed)


def _is_ipv4(text: Any) -> bool:
    try:
        socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError, TypeError):
        return False
    return True


def _is_prefix(text: Any) -> bool:
    return type(text) is str and _is_network(text)


@lru_cache(maxsize=256)
def _is_network(text: str) -> bool:
    """And written as it is exported."""
    try:
        return str(IPv6Network(text)) == text
    except ValueError:
        return False


def _shown(value: Any) -> str:
    return ascii(value)[:60]


def _reason(error: ValueError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "nested too deep"
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is no UTF-8"
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error}"
    return str(error)
