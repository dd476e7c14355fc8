# SPDX-License-Identifier: Apache-2.0
"""The question about the server id, against a resolver that answers anything."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixlane.dns64.query import _server_id, answered_server_id


@contextmanager
def answering(answer: Callable[[bytes], bytes]) -> Iterator[int]:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server:
        server.bind(("::1", 0))

        def serve() -> None:
            question, asker = server.recvfrom(4096)
            server.sendto(answer(question), asker)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def reply(question: bytes, nsid: bytes, *, records: int = 0, cookie: bool = False) -> bytes:
    options = struct.pack("!HH", 10, 8) + bytes(8) if cookie else b""
    options += struct.pack("!HH", 3, len(nsid)) + nsid
    name_and_type = question[12:31]
    answer = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + bytes([192, 0, 0, 170])
    header = question[:2] + struct.pack("!5H", 0x8185, 1, records, 0, 1)
    opt = b"\0" + struct.pack("!HHIH", 41, 1232, 0, len(options)) + options
    return header + name_and_type + answer * records + opt


@pytest.mark.parametrize("cookie", [False, True])
@pytest.mark.parametrize("records", [0, 2])
def test_the_server_id(records: int, cookie: bool) -> None:
    with answering(lambda q: reply(q, b"sixlane-1", records=records, cookie=cookie)) as port:
        assert answered_server_id("::1", port) == "sixlane-1"


def test_an_answer_without_one() -> None:
    with answering(lambda q: q[:2] + b"\x81\x85" + bytes(8)) as port:
        assert answered_server_id("::1", port) == ""


def test_an_answer_to_another_question() -> None:
    with answering(lambda q: bytes([q[0] ^ 1, q[1]]) + q[2:]) as port:
        assert answered_server_id("::1", port, timeout=0.1) is None


def test_no_answer() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as free:
        free.bind(("::1", 0))
        port = free.getsockname()[1]
    assert answered_server_id("::1", port, timeout=0.1) is None
    assert answered_server_id("2001:db8::1", 53, timeout=0.1) is None


@given(st.binary(min_size=12, max_size=200))
def test_any_bytes_are_read(answer: bytes) -> None:
    assert isinstance(_server_id(answer), str)
