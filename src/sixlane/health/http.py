# SPDX-License-Identifier: Apache-2.0
"""One request of HTTP/1.1, and no more of its answer than the status line (RFC 9112 4)."""

import asyncio
import re
import ssl

from sixlane.health.check import Check, Failed, shown
from sixlane.health.tcp import connection

_LONGEST_LINE = 1024
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?\r?\n")


async def check_http(check: Check) -> str:
    return await _check(check, None)


async def check_https(check: Check) -> str:
    """Certificates are not looked at: backends are found by address, and who they are is the
    client's to ask."""
    return await _check(check, _tls())


async def _check(check: Check, tls: ssl.SSLContext | None) -> str:
    async with connection(check, tls) as (reader, writer):
        writer.write(
            f"GET {check.path} HTTP/1.1\r\nHost: {check.host}\r\nUser-Agent: sixlane-health\r\n"
            "Accept: */*\r\nConnection: close\r\n\r\n".encode("ascii")
        )
        await writer.drain()
        return read_status(await _first_line(reader), check.statuses)


def read_status(line: bytes, well: range) -> str:
    """What to tell. Failed: another status, or no HTTP."""
    found = _STATUS_LINE.fullmatch(line)
    if not found:
        what = f"no HTTP: {shown(line.rstrip())}" if line else "closed without an answer"
        raise Failed(what, answered=bool(line))
    words = f"HTTP {found[1].decode()}"
    if int(found[1]) not in well:
        raise Failed(words, answered=True)
    return words


async def _first_line(reader: asyncio.StreamReader) -> bytes:
    """As far as it comes, and no more than a line may be long."""
    try:
        return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        return error.partial[:_LONGEST_LINE]
    except asyncio.LimitOverrunError:
        return await reader.read(_LONGEST_LINE)


def _tls() -> ssl.SSLContext:
    global _context
    if _context is None:
        _context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _context.check_hostname = False
        _context.verify_mode = ssl.CERT_NONE
    return _context


_context: ssl.SSLContext | None = None
