# SPDX-License-Identifier: Apache-2.0
"""Servers on the loopback device for checks, each as a test wants it to be."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived, StreamEnded

from sixlane.health.check import Check

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def check_of(port: int, kind: str = "tcp", **given: Any) -> Check:
    fields: dict[str, Any] = {
        "id": "web/1",
        "kind": kind,
        "backend": ip_address("127.0.0.1"),
        "address": ip_address("127.0.0.1"),
        "port": port,
        "mark": None,
        "path": "/",
        "host": "www.example.net",
        "statuses": range(200, 400),
        "interval_s": 0.05,
        "timeout_s": 0.5,
        "rise": 1,
        "fall": 1,
    }
    return Check(**{**fields, **given})


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls, backlog=4096)
    async with server:
        yield server.sockets[0].getsockname()[1]


def answering(*pieces: bytes) -> Handler:
    """One who reads a request of HTTP and sends these."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)

    return handler


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


def certificate(directory: Path) -> ssl.SSLContext:
    """Of somebody whom nobody knows."""
    key, made = directory / "key.pem", directory / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-keyout", str(key), "-out", str(made), "-subj", "/CN=nobody"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, key)
    return context


def grpc(
    body: bytes = b"\0\0\0\0\2\x08\1", status: str = "0", http: str = "200"
) -> tuple[Handler, list[tuple[dict[str, str], bytes]]]:
    """A health service by h2, and what it was asked. `body`: of the answer, with its length."""
    asked: list[tuple[dict[str, str], bytes]] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        server.initiate_connection()
        writer.write(server.data_to_send())
        headers: dict[str, str] = {}
        while data := await reader.read(4096):
            for event in server.receive_data(data):
                if isinstance(event, RequestReceived):
                    headers = {str(name): str(value) for name, value in event.headers or ()}
                if isinstance(event, StreamEnded) and event.stream_id:
                    asked.append((headers, data[-5:]))
                    first = [(":status", http), ("content-type", "application/grpc")]
                    server.send_headers(event.stream_id, first)
                    if body:
                        server.send_data(event.stream_id, body)
                    trailers = [("grpc-status", status)]
                    server.send_headers(event.stream_id, trailers, end_stream=True)
            writer.write(server.data_to_send())

    return handler, asked
