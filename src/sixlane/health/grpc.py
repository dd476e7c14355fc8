# SPDX-License-Identifier: Apache-2.0
"""grpc.health.v1.Health/Check over HTTP/2 in the clear: one call, by the h2 package.

The messages are so small that they are written here: a request without a service's name is empty,
and an answer has one field, the status.
"""

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError

from sixlane.health.check import Check, Failed, shown
from sixlane.health.tcp import connection

_PATH = "/grpc.health.v1.Health/Check"
_EMPTY_MESSAGE = bytes(5)  # not compressed, of no bytes
_MOST_BYTES = 65536
_SERVING = 1
_STATUSES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
_CODES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND"),
    *("ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION"),
    *("ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"),
    "UNAUTHENTICATED",
)


async def check_grpc(check: Check) -> str:
    async with connection(check) as (reader, writer):
        call = _Call(check.host)
        writer.write(call.start())
        await writer.drain()
        received, first = 0, b""
        while not call.ended:
            data = await reader.read(4096)
            if not data:
                raise call.broken(first)
            received, first = received + len(data), first or data
            if received > _MOST_BYTES:
                raise Failed("the answer is too long", answered=True)
            writer.write(call.take(data))
        return call.outcome()


class _Call:
    def __init__(self, host: str) -> None:
        self._host = host
        self._http = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._headers: dict[str, str] = {}
        self._body = b""
        self._understood = False
        self.ended = False

    def start(self) -> bytes:
        self._http.initiate_connection()
        stream = self._http.get_next_available_stream_id()
        self._http.send_headers(
            stream,
            [
                (":method", "POST"),
                (":scheme", "http"),
                (":path", _PATH),
                (":authority", self._host),
                ("content-type", "application/grpc"),
                ("te", "trailers"),
                ("user-agent", "sixlane-health"),
            ],
        )
        self._http.send_data(stream, _EMPTY_MESSAGE, end_stream=True)
        return self._http.data_to_send()

    def take(self, data: bytes) -> bytes:
        """What to send back."""
        try:
            for event in self._http.receive_data(data):
                self._understood = True
                self._on(event)
        except (ProtocolError, UnicodeDecodeError):
            raise Failed(f"no HTTP/2: {shown(data)}", answered=True) from None
        return self._http.data_to_send()

    def broken(self, first: bytes) -> Failed:
        """Closed before its end; `first`: what came at first."""
        if first and not self._understood:
            return Failed(f"no HTTP/2: {shown(first)}", answered=True)
        return Failed("closed without an answer", answered=bool(first))

    def outcome(self) -> str:
        status = self._headers.get(":status", "")
        if status != "200":
            raise Failed(f"HTTP {shown(status.encode())}", answered=True)
        code = self._headers.get("grpc-status", "")
        if code != "0":
            number = int(code) if code.isascii() and code.isdecimal() and len(code) < 3 else -1
            known = _CODES[number] if 0 <= number < len(_CODES) else shown(code.encode()) or "none"
            raise Failed(f"gRPC status {known}", answered=True)
        serving = read_status(self._body)
        if serving != _SERVING:
            told = _STATUSES[serving] if 0 <= serving < len(_STATUSES) else str(serving)
            raise Failed(f"gRPC {told}", answered=True)
        return "gRPC SERVING"

    def _on(self, event: Event) -> None:
        match event:
            case ResponseReceived() | TrailersReceived():
                self._headers |= {str(name): str(value) for name, value in event.headers or ()}
            case DataReceived():
                self._body += event.data or b""
            case StreamReset():
                raise Failed(f"HTTP/2 reset, code {int(event.error_code or 0)}", answered=True)
            case ConnectionTerminated() if not self.ended:
                raise Failed(f"HTTP/2 went away, code {int(event.error_code or 0)}", answered=True)
            case StreamEnded():
                self.ended = True


def read_status(body: bytes) -> int:
    """Of a HealthCheckResponse with its length in front; a field that is not there is 0. Failed: it
    is none."""
    size = int.from_bytes(body[1:5])
    message = body[5:]
    if len(body) < 5 or body[0] or size != len(message):
        raise Failed("gRPC answer that is no message", answered=True)
    if not message:
        return 0
    if message[0] != 1 << 3 or len(message) != 2 or message[1] & 0x80:  # a varint of one byte
        raise Failed("gRPC answer of another kind", answered=True)
    return message[1]
