# SPDX-License-Identifier: Apache-2.0
"""What the lab's load counts."""

import asyncio

import pytest

from sixlane.lab.load import Load
from sixlane.lab.session import StepFailedError
from sixlane.lab.steps import balance


async def _serve(*answers: bytes) -> asyncio.Server:
    """Answers the requests of each connection so, one after the other, and then closes it."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        writer.close()

    return await asyncio.start_server(talk, "127.0.0.1", 0)


def _page(name: str, status: str = "200 OK") -> bytes:
    body = f"{name}\nmore\n"
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def _counted(*answers: bytes, new: int = 0, kept: int = 0) -> Load:
    async def run() -> Load:
        async with await _serve(*answers) as server:
            load = Load("127.0.0.1", 0.2, server.sockets[0].getsockname()[1])
            await load.run(new, kept)
            return load

    return asyncio.run(run())


def test_new_connections() -> None:
    load = _counted(_page("one"), _page("two"), new=2)
    assert load.new.answers.keys() == {"one"}  # the first of each connection
    assert (load.new.failures, load.new.moved, load.kept.requests) == ({}, 0, 0)


def test_kept_connections() -> None:
    load = _counted(*[_page("one")] * 3, kept=1)
    assert load.kept.answers["one"] >= 3
    assert load.kept.moved == 0
    assert load.kept.failures.keys() <= {"IncompleteReadError", "ConnectionResetError"}
    assert load.kept.failures  # the fourth request


def test_connection_that_moves() -> None:
    load = _counted(_page("one"), _page("two"), kept=1)
    assert load.kept.moved >= 1


def test_page_that_is_none() -> None:
    load = _counted(_page("one", "503 Busy"), new=1)
    assert load.new.answers == {}
    assert load.new.failures.keys() == {"ValueError"}


def test_nobody_there() -> None:
    load = Load("127.0.0.1", 0.2, 9)
    asyncio.run(load.run(1, 0))
    assert load.new.failures.keys() == {"ConnectionRefusedError"}


@pytest.mark.parametrize(
    ("one", "two", "fair"),
    [(300, 100, True), (260, 140, True), (250, 150, False), (400, 0, False), (350, 50, False)],
)
def test_shares(one: int, two: int, fair: bool) -> None:
    """3:1 of 400: 300, and 5 times the deviation of sqrt(400 x 3/4 x 1/4) = 8.7 is 43."""
    answers, weights = {"one": one, "two": two}, {"one": 3, "two": 1}
    if fair:
        balance.need_shares(answers, weights)
    else:
        with pytest.raises(StepFailedError, match=f"one {one}, two {two} is not as"):
            balance.need_shares(answers, weights)
