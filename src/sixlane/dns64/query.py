# SPDX-License-Identifier: Apache-2.0
"""Ask a resolver whether it answers, and with which configuration.

The question is an ordinary one with the name server identifier option (RFC 5001): named answers
with its `server-id` even where it refuses the question, so it does not matter whether this machine
is among the clients.
"""

import secrets
import socket
import struct
import time

_OPT, _NSID = 41, 3
_CLASS_IN, _TYPE_A = 1, 1
_UDP_BYTES = 1232
_ROOT = b"\0"


def answered_server_id(address: str, port: int, timeout: float = 0.5) -> str | None:
    """The server id in the answer ("" if it has none); None if there is no answer in time."""
    number = secrets.randbelow(1 << 16)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    deadline = time.monotonic() + timeout
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asker:
            asker.connect((address, port))
            asker.send(_question(number))
            while (left := deadline - time.monotonic()) > 0:
                asker.settimeout(left)
                answer = asker.recv(_UDP_BYTES)
                if len(answer) >= 12 and answer[:2] == struct.pack("!H", number):
                    return _server_id(answer)
    except OSError:  # nobody listens, no such address, no answer in time
        pass
    return None


def _question(number: int) -> bytes:
    header = struct.pack("!6H", number, 0, 1, 0, 0, 1)
    name = b"\x08ipv4only\x04arpa\0"
    option = struct.pack("!HH", _NSID, 0)
    opt = _ROOT + struct.pack("!HHIH", _OPT, _UDP_BYTES, 0, len(option)) + option
    return header + name + struct.pack("!HH", _TYPE_A, _CLASS_IN) + opt


def _server_id(answer: bytes) -> str:
    try:
        questions, *records = struct.unpack_from("!4H", answer, 4)
        at = 12
        for _ in range(questions):
            at = _after_name(answer, at) + 4
        for _ in range(sum(records)):
            at = _after_name(answer, at)
            kind, length = struct.unpack_from("!H6xH", answer, at)
            if kind == _OPT:
                return _nsid(answer[at + 10 : at + 10 + length])
            at += 10 + length
    except (struct.error, IndexError):
        pass
    return ""


def _after_name(message: bytes, at: int) -> int:
    while message[at]:
        if message[at] >= 0xC0:
            return at + 2
        at += 1 + message[at]
    return at + 1


def _nsid(options: bytes) -> str:
    at = 0
    while at + 4 <= len(options):
        code, length = struct.unpack_from("!HH", options, at)
        if code == _NSID:
            return options[at + 4 : at + 4 + length].decode("ascii", "replace")
        at += 4 + length
    return ""
