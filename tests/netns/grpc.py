# SPDX-License-Identifier: Apache-2.0
"""A gRPC call on a unix socket, by the h2 package, and messages that are written by hand: by the
numbers of their fields, as protobuf has them on the wire."""

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset, TrailersReceived

_VARINT, _BYTES = 0, 2

Message = Mapping[int, Any]
"""By field: an int, a bool, a text or a message; a list of these: the field once for each."""


class Refused(Exception):
    """Status and message of a call that did not go well."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"gRPC status {code}: {message}")
        self.code, self.message = code, message


def call(path: Path, method: str, request: Message, timeout_s: float) -> dict[int, list[Any]]:
    """The answer as `decoded`. Raises `Refused` and OSError. `timeout_s`: without a word."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        connection.connect(str(path))
        return _answer(connection, method, encoded(request))


def _answer(connection: socket.socket, method: str, content: bytes) -> dict[int, list[Any]]:
    http = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    http.initiate_connection()
    stream = http.get_next_available_stream_id()
    http.send_headers(
        stream,
        [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", method),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ],
    )
    http.send_data(stream, bytes(1) + len(content).to_bytes(4) + content, end_stream=True)
    headers: dict[str, str] = {}
    body, has_ended = b"", False
    while not has_ended:
        connection.sendall(http.data_to_send())
        data = connection.recv(1 << 16)
        if not data:
            raise ConnectionResetError("closed before the answer's end")
        for event in http.receive_data(data):
            match event:
                case ResponseReceived() | TrailersReceived():
                    headers |= {str(name): str(value) for name, value in event.headers or ()}
                case DataReceived():
                    body += event.data or b""
                    http.acknowledge_received_data(event.flow_controlled_length or 0, stream)
                case StreamReset():
                    raise ConnectionResetError(f"HTTP/2 reset, code {event.error_code}")
                case StreamEnded():
                    has_ended = True
    if headers.get("grpc-status") != "0":
        raise Refused(int(headers.get("grpc-status", -1)), unquote(headers.get("grpc-message", "")))
    return decoded(body[5:])


def encoded(message: Message) -> bytes:
    return b"".join(
        _field(number, one)
        for number, value in message.items()
        for one in (value if isinstance(value, list) else [value])
    )


def of_map(values: Mapping[str, str]) -> Sequence[Message]:
    """A field of type map<string, string>."""
    return [{1: key, 2: value} for key, value in values.items()]


def decoded(content: bytes) -> dict[int, list[Any]]:
    """By field, each of its values: an int, or bytes, which may be a text or a message."""
    found: dict[int, list[Any]] = {}
    at = 0
    while at < len(content):
        tag, at = _read_varint(content, at)
        value: Any
        value, at = _read_varint(content, at)
        if tag & 7 == _BYTES:
            value, at = content[at : at + value], at + value
        else:
            assert tag & 7 == _VARINT, tag
        found.setdefault(tag >> 3, []).append(value)
    return found


def _field(number: int, value: Any) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3 | _VARINT) + _varint(value)
    content = value.encode() if isinstance(value, str) else encoded(value)
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    digits = b""
    while value > 0x7F:
        digits += bytes([value & 0x7F | 0x80])
        value >>= 7
    return digits + bytes([value])


def _read_varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while content[at] & 0x80:
        value |= (content[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
    return value | content[at] << shift, at + 1
