# SPDX-License-Identifier: Apache-2.0
"""Connections of checks. What opens is enough for a check of TCP."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sixlane.health.check import Check, Failed, described
from sixlane.health.sockets import connect, open_stream

_READ_AT_ONCE = 4096


async def check_tcp(check: Check) -> str:
    """OSError: it did not open."""
    stream = open_stream(check)
    try:
        await connect(stream, check)
    finally:
        stream.close()
    return "connected"


@asynccontextmanager
async def connection(
    check: Check, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open for the block. `tls`: with a handshake, and the host's name in it if it has one.

    OSError, Failed: it did not open.
    """
    stream = open_stream(check)
    try:
        await connect(stream, check)
        try:
            reader, writer = await asyncio.open_connection(
                sock=stream,
                limit=_READ_AT_ONCE,
                ssl=tls,
                server_hostname=_name(check.host) if tls else None,
            )
        except ssl.SSLError as error:
            raise Failed(f"TLS: {_reason(error)}", answered=True) from None
        except ConnectionResetError as error:
            raise Failed(f"TLS: {described(error)}", answered=True) from None
    except BaseException:
        stream.close()
        raise
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def _name(host: str) -> str:
    """Of "example.net:8443" and "[2001:db8::1]:80", what is no port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).lower().replace("_", " ")
