# SPDX-License-Identifier: Apache-2.0
"""Requests to the kernel over netlink: one socket a request, pyroute2's message classes as codec;
for what is done many times, a `Channel` without either.

The transport is ours, and blocking, for what pyroute2 0.9's sockets do not do: they cannot be used
in a thread whose asyncio loop runs, they leave out the kernel's explanation of an error (extended
ACK), and they drop attributes that they do not know without a word. A socket belongs to the network
namespace in which it was opened, so a socket a request is also what makes every call work in the
namespace that the calling thread is in *now*. It costs about 20 microseconds.
"""

import contextlib
import errno
import itertools
import socket
import struct
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from pyroute2.netlink import nla_slot

from sixlane.errors import KernelError, SixlaneError

ROUTE = 0
NETFILTER = 12
GENERIC = 16

F_REQUEST = 0x1
F_ACK = 0x4
F_DUMP = 0x300
F_REPLACE = 0x100
F_EXCL = 0x200
F_CREATE = 0x400

HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_F_DUMP_INTERRUPTED = 0x10
_F_CAPPED = 0x100
_F_ACK_HAS_ATTRIBUTES = 0x200
_TYPE_ERROR = 2
_TYPE_DONE = 3
_ERROR_TEXT = 1

_SOL_NETLINK = 270
_OPTIONS = {"NETLINK_CAP_ACK": 10, "NETLINK_EXT_ACK": 11, "NETLINK_GET_STRICT_CHK": 12}
_LARGEST_DATAGRAM = 1 << 18
_SECONDS_TO_ANSWER = 15.0
_DUMP_TRIES = 10

Attribute = tuple[str, Any]
_Result = TypeVar("_Result")
_sequence = itertools.count(1)


class _DumpInterruptedError(Exception):
    """What is dumped changed meanwhile: some of it may be missing or there twice."""


def change(
    kind: Any,
    message_type: int,
    fields: Mapping[str, Any],
    attributes: Sequence[Attribute],
    *,
    what: str,
    flags: int = 0,
    protocol: int = ROUTE,
) -> None:
    """Send one request and wait for the kernel's yes. `what` opens the text of a `KernelError`."""
    list(_answers(kind, message_type, fields, attributes, flags | F_ACK, what, protocol))


def get(
    kind: Any,
    message_type: int,
    fields: Mapping[str, Any],
    attributes: Sequence[Attribute],
    *,
    what: str,
    protocol: int = ROUTE,
) -> Any:
    """Send one request; the one message that answers it, decoded by pyroute2's class `kind`."""
    answers = list(_answers(kind, message_type, fields, attributes, F_ACK, what, protocol))
    if not answers:
        raise KernelError(errno.ENODATA, what)
    return _decode(kind, answers[0])


def dump(
    kind: Any,
    message_type: int,
    fields: Mapping[str, Any],
    attributes: Sequence[Attribute] = (),
    *,
    what: str,
) -> list[Any]:
    """All objects that match, each decoded by pyroute2's class `kind`."""
    raw = dump_raw(kind, message_type, fields, attributes, what=what)
    return [_decode(kind, message) for message in raw]


def dump_raw(
    kind: Any,
    message_type: int,
    fields: Mapping[str, Any],
    attributes: Sequence[Attribute] = (),
    *,
    what: str,
    protocol: int = ROUTE,
) -> list[bytes]:
    """All objects that match, as whole netlink messages."""

    def read() -> list[bytes]:
        return list(_answers(kind, message_type, fields, attributes, F_DUMP, what, protocol))

    return _uninterrupted(read, what)


def find_raw(
    kind: Any,
    message_type: int,
    fields: Mapping[str, Any],
    wanted: Callable[[bytes], bool],
    *,
    what: str,
) -> bytes | None:
    """The first of all objects that is `wanted`, as a whole netlink message, or None.

    For tables too large to decode or to hold: a million routes take some seconds and no memory.
    """

    def read() -> bytes | None:
        messages = _answers(kind, message_type, fields, (), F_DUMP, what, ROUTE)
        with contextlib.closing(messages):
            return next(filter(wanted, messages), None)

    return _uninterrupted(read, what)


def select_raw(
    kind: Any,
    message_type: int,
    fields: Mapping[str, Any],
    pick: Callable[[bytes], _Result | None],
    *,
    what: str,
) -> list[_Result]:
    """What `pick` makes of each object, a whole netlink message, where that is not None."""

    def read() -> list[_Result]:
        messages = _answers(kind, message_type, fields, (), F_DUMP, what, ROUTE)
        return [picked for picked in map(pick, messages) if picked is not None]

    return _uninterrupted(read, what)


class Request(NamedTuple):
    """A request that is encoded already, but for its header. `what` opens the text of an error;
    `tolerated`: the kernel's noes that are as good as a yes."""

    what: str
    type: int
    body: bytes
    flags: int = 0
    tolerated: tuple[int, ...] = ()


class Channel:
    """One socket for many requests, for what is done often and must be quick.

    It belongs to the network namespace in which it was opened, wherever the thread is later.
    """

    def __init__(self) -> None:
        self._socket = _open(ROUTE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def change(self, requests: Sequence[Request]) -> None:
        """All of them, in order, by one call. The kernel does also those behind one that it
        refuses; the first refusal is raised, as KernelError."""
        numbered = [(next(_sequence) & 0xFFFFFFFF, request) for request in requests]
        refused: KernelError | None = None
        with _told_of(requests[0].what if requests else ""):
            self._socket.sendto(b"".join(_message(*one, F_ACK) for one in numbered), (0, 0))
            for sequence, request in numbered:
                try:
                    for _ in _until_acknowledged(self._socket, sequence, request.what):
                        pass
                except KernelError as error:
                    if error.errno not in request.tolerated:
                        refused = refused or error
        if refused:
            raise refused

    def dump(self, request: Request) -> list[bytes]:
        """All objects that match, as whole netlink messages; none if the kernel's no is
        tolerated."""

        def read() -> list[bytes]:
            sequence = next(_sequence) & 0xFFFFFFFF
            with _told_of(request.what):
                self._socket.sendto(_message(sequence, request, F_DUMP), (0, 0))
                return list(_until_acknowledged(self._socket, sequence, request.what))

        try:
            return _uninterrupted(read, request.what)
        except KernelError as error:
            if error.errno in request.tolerated:
                return []
            raise

    def get(self, request: Request) -> bytes | None:
        """The one message that answers it; None if the kernel's no is tolerated."""
        sequence = next(_sequence) & 0xFFFFFFFF
        try:
            with _told_of(request.what):
                self._socket.sendto(_message(sequence, request, F_ACK), (0, 0))
                (answer,) = _until_acknowledged(self._socket, sequence, request.what)
        except KernelError as error:
            if error.errno in request.tolerated:
                return None
            raise
        return answer


@contextlib.contextmanager
def _told_of(what: str) -> Iterator[None]:
    """The transport's own errors as the kernel's are told."""
    try:
        yield
    except TimeoutError as error:
        raise KernelError(errno.ETIMEDOUT, what) from error
    except OSError as error:
        raise KernelError(error.errno or errno.EIO, what) from error


def _message(sequence: int, request: Request, flags: int) -> bytes:
    """One on the wire, padded, so that another may follow it."""
    _, kind, body, more, _ = request
    length = HEADER.size + len(body)
    header = HEADER.pack(length, kind, F_REQUEST | flags | more, sequence, 0)
    return header + body + bytes(-length % 4)


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded, so that another may follow it."""
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + bytes(-length % 4)


def attributes_of(message: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    """(type, value) of each attribute of `message` from `offset` on, flag bits removed."""
    while offset + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, offset)
        if length < 4:
            return
        yield kind & 0x3FFF, message[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def _uninterrupted(read: Callable[[], _Result], what: str) -> _Result:
    for _ in range(_DUMP_TRIES):
        try:
            return read()
        except _DumpInterruptedError:
            continue
    raise KernelError(errno.EINTR, what, "what was listed kept changing; try again")


def _answers(
    kind: Any,
    message_type: int,
    fields: Mapping[str, Any],
    attributes: Sequence[Attribute],
    flags: int,
    what: str,
    protocol: int,
) -> Generator[bytes, None, None]:
    """Send a request; its answers, up to the kernel's acknowledgement. Raises the kernel's no."""
    sequence = next(_sequence) & 0xFFFFFFFF
    request = _encode(kind, message_type, fields, attributes, flags | F_REQUEST, sequence)
    with _told_of(what), _open(protocol) as sock:
        sock.sendto(request, (0, 0))
        yield from _until_acknowledged(sock, sequence, what)


def _open(protocol: int) -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    sock.settimeout(_SECONDS_TO_ANSWER)
    for option in _OPTIONS.values():
        sock.setsockopt(_SOL_NETLINK, option, 1)
    return sock


def _until_acknowledged(sock: socket.socket, sequence: int, what: str) -> Iterator[bytes]:
    interrupted = False
    while True:
        for message in _receive(sock, what):
            _, message_type, flags, answers_to, _ = HEADER.unpack_from(message)
            if answers_to != sequence:
                continue
            interrupted = interrupted or bool(flags & _F_DUMP_INTERRUPTED)
            if message_type not in (_TYPE_ERROR, _TYPE_DONE):
                yield message
                continue
            _raise_error(message, message_type, flags, what)
            if interrupted:
                raise _DumpInterruptedError
            return


def _receive(sock: socket.socket, what: str) -> Iterator[bytes]:
    data, _, flags, _ = sock.recvmsg(_LARGEST_DATAGRAM)
    if flags & socket.MSG_TRUNC:
        raise KernelError(errno.EMSGSIZE, what)
    offset = 0
    while offset + HEADER.size <= len(data):
        (length,) = struct.unpack_from("=I", data, offset)
        if length < HEADER.size:
            return
        yield data[offset : offset + length]
        offset += (length + 3) & ~3


def _raise_error(message: bytes, message_type: int, flags: int, what: str) -> None:
    if len(message) < HEADER.size + 4:
        return
    (number,) = struct.unpack_from("=i", message, HEADER.size)
    if number == 0:
        return
    start = HEADER.size + 4
    if message_type == _TYPE_ERROR:
        (request_length,) = struct.unpack_from("=I", message, start)
        start += HEADER.size if flags & _F_CAPPED else request_length
    text = ""
    if flags & _F_ACK_HAS_ATTRIBUTES:
        for kind, value in attributes_of(message, start):
            if kind == _ERROR_TEXT:
                text = value.rstrip(b"\0").decode(errors="replace").rstrip(".")
    hint = "this needs root (CAP_NET_ADMIN)" if number in (-errno.EPERM, -errno.EACCES) else ""
    raise KernelError(abs(number), f"{what}: {text}" if text else what, hint)


def _encode(
    kind: Any,
    message_type: int,
    fields: Mapping[str, Any],
    attributes: Sequence[Attribute],
    flags: int,
    sequence: int,
) -> bytes:
    message = kind()
    for name, value in fields.items():
        message[name] = value
    message["attrs"] = list(attributes)
    message["header"]["type"] = message_type
    message["header"]["flags"] = flags
    message["header"]["sequence_number"] = sequence
    message.encode()
    _refuse_unknown(message)
    return bytes(message.data)


def _refuse_unknown(message: Any) -> None:
    """pyroute2 replaces what it has encoded by an `nla_slot`, and leaves what it skipped."""
    for cell in message["attrs"]:
        if not isinstance(cell, nla_slot):
            raise SixlaneError(f"netlink attribute {cell[0]} is unknown to the codec")
        nested = cell.cell[1]
        if isinstance(nested, dict) and nested.get("attrs"):
            _refuse_unknown(nested)


def _decode(kind: Any, message: bytes) -> Any:
    decoded = kind(message)
    decoded.decode()
    return decoded
