# SPDX-License-Identifier: Apache-2.0
"""One check of each kind, of servers that do well and of such as do not."""

import asyncio
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from sixlane.health.check import Check, Failed, NotMade, Result
from sixlane.health.engine import Engine
from sixlane.health.grpc import read_status
from sixlane.health.icmp import echo_request, read_reply
from tests import needs
from tests.unit.health.servers import answering, certificate, check_of, grpc, serving, silent


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


async def made(check: Check) -> Result:
    engine = Engine(10)
    try:
        return await engine._made(check)
    finally:
        await engine.close()


async def http(*pieces: bytes, **given: Any) -> Result:
    async with serving(answering(*pieces)) as port:
        return await made(check_of(port, "http", **given))


# ---- TCP ----


def test_a_connection_that_opens_is_well() -> None:
    async def work() -> Result:
        async with serving(silent) as port:
            return await made(check_of(port))

    result = run(work())
    assert (result.is_well, result.words) == (True, "connected")
    assert result.latency_s is not None and 0 < result.latency_s < 0.5


def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        result = run(made(check_of(taken.getsockname()[1])))
    assert result == Result(False, "connection refused")


def test_a_mark_that_is_not_allowed_is_not_the_backends_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: socket.socket, level: int, option: int, *rest: Any) -> None:
        if option == 36:
            raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(socket.socket, "setsockopt", refuse)
    with pytest.raises(NotMade) as caught:
        run(made(check_of(9, mark=0x51500001)))
    assert caught.value.words == "operation not permitted"


# ---- HTTP ----


@pytest.mark.parametrize(
    ("answer", "is_well", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True, "HTTP 200"),
        (b"HTTP/1.0 399\r\n", True, "HTTP 399"),
        (b"HTTP/1.1 204 \n", True, "HTTP 204"),
        (b"HTTP/1.1 400 Bad Request\r\n", False, "HTTP 400"),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", False, "HTTP 503"),
        (b"HTTP/1.1 199 \r\n", False, "HTTP 199"),
        (b"HTTP/2 200 OK\r\n", False, "no HTTP: HTTP/2 200 OK"),
        (b"HTTP/1.1 2000 OK\r\n", False, "no HTTP: HTTP/1.1 2000 OK"),
        (b"HTTP/1.1  200 OK\r\n", False, "no HTTP: HTTP/1.1  200 OK"),
        (b"SSH-2.0-\xff\x1b[31m\r\n", False, "no HTTP: SSH-2.0-..[31m"),
        (b"HTTP/1.1 200", False, "no HTTP: HTTP/1.1 200"),
        (b"", False, "closed without an answer"),
        (b"x" * 100_000, False, "no HTTP: " + "x" * 40 + "..."),
    ],
)
def test_the_status_line_says_how_it_is(answer: bytes, is_well: bool, words: str) -> None:
    result = run(http(answer))
    assert (result.is_well, result.words) == (is_well, words)


def test_an_answer_in_pieces() -> None:
    assert run(http(b"HTTP/1.", b"1 20", b"0 OK\r", b"\n")).words == "HTTP 200"


def test_a_status_that_is_asked_for() -> None:
    answer = b"HTTP/1.1 401 Unauthorized\r\n\r\n"
    assert run(http(answer, statuses=range(401, 402))).is_well
    assert not run(http(answer, statuses=range(402, 403))).is_well


def test_what_is_sent() -> None:
    asked: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

    async def work() -> None:
        async with serving(handler) as port:
            await made(check_of(port, "http", path="/healthz?a=1", host="[2001:db8::1]"))

    run(work())
    assert asked[0].startswith(b"GET /healthz?a=1 HTTP/1.1\r\nHost: [2001:db8::1]\r\n")
    assert b"\r\nConnection: close\r\n" in asked[0]


def test_nobody_answers() -> None:
    async def work() -> Result:
        async with serving(silent) as port:
            return await made(check_of(port, "http", timeout_s=0.2))

    assert run(work()) == Result(False, "timeout after 0.2 s")


@needs.command("openssl")
def test_https(tmp_path: Path) -> None:
    """Of anybody; the name is told if there is one."""
    context = certificate(tmp_path)
    names: list[str | None] = []
    context.sni_callback = lambda _, name, __: names.append(name)

    async def work() -> list[Result]:
        answer = answering(b"HTTP/1.1 200 OK\r\n\r\n")
        async with serving(answer, context) as port, serving(silent) as plain:
            return [
                await made(check_of(port, "https")),
                await made(check_of(port, "https", host="www.example.net:8443")),
                await made(check_of(port, "https", host="[2001:db8::1]")),
                await made(check_of(plain, "https", timeout_s=0.2)),
            ]

    *well, quiet = run(work())
    assert [one.words for one in well] == ["HTTP 200"] * 3
    assert names == ["www.example.net", "www.example.net", None]
    assert quiet == Result(False, "timeout after 0.2 s")


def test_https_of_one_who_speaks_no_tls() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        await reader.read()

    async def work() -> Result:
        async with serving(handler) as port:
            return await made(check_of(port, "https"))

    result = run(work())
    assert not result.is_well
    assert result.words.startswith("TLS: ")


# ---- gRPC ----


@pytest.mark.parametrize(
    ("given", "is_well", "words"),
    [
        ({}, True, "gRPC SERVING"),
        ({"body": b"\0\0\0\0\2\x08\2"}, False, "gRPC NOT_SERVING"),
        ({"body": b"\0\0\0\0\0"}, False, "gRPC UNKNOWN"),  # the default of the field
        ({"body": b"\0\0\0\0\2\x08\x09"}, False, "gRPC 9"),
        ({"body": b"", "status": "12"}, False, "gRPC status UNIMPLEMENTED"),
        ({"status": "99"}, False, "gRPC status 99"),
        ({"http": "404"}, False, "HTTP 404"),
        ({"body": b""}, False, "gRPC answer that is no message"),
        ({"body": b"\1\0\0\0\2\x08\1"}, False, "gRPC answer that is no message"),
        ({"body": b"\0\0\0\0\3\x08\1"}, False, "gRPC answer that is no message"),
        ({"body": b"\0\0\0\0\3\x0a\1\0"}, False, "gRPC answer of another kind"),
    ],
)
def test_grpc(given: dict[str, Any], is_well: bool, words: str) -> None:
    async def work() -> Result:
        handler, asked = grpc(**given)
        async with serving(handler) as port:
            result = await made(check_of(port, "grpc"))
        ((headers, message),) = asked
        assert headers[":path"] == "/grpc.health.v1.Health/Check"
        assert (headers[":method"], headers[":authority"]) == ("POST", "www.example.net")
        assert (headers["content-type"], headers["te"]) == ("application/grpc", "trailers")
        assert message == bytes(5)
        return result

    result = run(work())
    assert (result.is_well, result.words) == (is_well, words)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no HTTP/2: HTTP/1.1 400 Bad Request...."),
        (b"", "closed without an answer"),
        (bytes(100), "no HTTP/2: " + "." * 40 + "..."),
    ],
)
def test_grpc_of_one_who_speaks_something_else(answer: bytes, words: str) -> None:
    async def work() -> Result:
        async with serving(answering(answer)) as port:
            return await made(check_of(port, "grpc"))

    result = run(work())
    assert (result.is_well, result.words) == (False, words)


@pytest.mark.parametrize("body", [b"", b"\0\0\0\0", b"\0\0\0\0\2\x08", b"\0\0\0\0\2\x08\x80"])
def test_a_message_that_is_none(body: bytes) -> None:
    with pytest.raises(Failed):
        read_status(body)


# ---- ICMP ----


@needs.root
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_an_echo(address: str) -> None:
    from ipaddress import ip_address

    one = ip_address(address)
    result = run(made(check_of(0, "icmp", address=one, backend=one)))
    assert (result.is_well, result.words) == (True, "answered")


@needs.root
def test_an_echo_that_nobody_answers() -> None:
    from ipaddress import ip_address

    one = ip_address("127.0.0.1")
    check = check_of(0, "icmp", address=one, backend=one, timeout_s=0.2)

    async def work() -> Result:
        engine = Engine(10)
        engine._pinger._read = lambda *_: None  # type: ignore[method-assign]
        try:
            return await engine._made(check)
        finally:
            await engine.close()

    assert run(work()) == Result(False, "timeout after 0.2 s")


def test_an_echo_request_as_rfc_792_has_it() -> None:
    # 0800 + 0001 + 0002 + 8 * 4141 = 0x0803 + 0x20A08 -> 0x2120B -> folded 0x120D; ~ = 0xEDF2
    packet = echo_request(4, 0x00010002, b"A" * 16)
    assert packet == bytes.fromhex("0800edf200010002") + b"A" * 16


def test_whatever_comes_is_no_reply_unless_it_is() -> None:
    header = bytes.fromhex("45") + bytes(19)
    reply = bytes.fromhex("0000000000010002") + b"A" * 16
    assert read_reply(4, header + reply) == (0x00010002, b"A" * 16)
    for wrong in (b"", b"\x45", header, header + reply[:-1], header + b"\x08" + reply[1:]):
        assert read_reply(4, wrong) is None
