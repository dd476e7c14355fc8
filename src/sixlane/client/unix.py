# SPDX-License-Identifier: Apache-2.0
"""HTTP over a unix socket with the standard library."""

import contextlib
import errno
import http.client
import socket
from typing import Any

from sixlane.client.calls import ANSWER_S, CONNECT_S, Answer, Call
from sixlane.client.errors import Unreachable


def exchange(path: str, call: Call[Any]) -> Answer:
    """One request and its answer, over a connection of its own. Raises `Unreachable`."""
    connection = Connection(path, ANSWER_S)
    try:
        with contextlib.suppress(BrokenPipeError):  # refused half-way: the answer says why
            connection.request(call.method, call.path, call.body, dict(call.headers))
        response = connection.getresponse()
        return Answer(response.status, response.headers.get("ETag", ""), response.read())
    except TimeoutError:
        raise silent(path) from None
    except (http.client.HTTPException, OSError) as error:
        raise ended(path, error) from None
    finally:
        connection.close()


class Connection(http.client.HTTPConnection):
    """For one request. Raises `Unreachable` if nobody listens on `path`."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(CONNECT_S)
        try:
            self.sock.connect(self._path)
        except OSError as error:
            self.sock.close()
            raise not_reached(self._path, error) from None
        self.sock.settimeout(self.timeout)


def not_reached(path: str, error: OSError) -> Unreachable:
    """Why connecting failed."""
    if error.errno in (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTSOCK, errno.ENOTDIR):
        return Unreachable(
            f"the agent is not running: nobody listens on {path}",
            "start sixlaned, or name its socket with --socket",
            absent=True,
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return Unreachable(f"no permission: {path}", "be root, or in the group sixlane")
    return Unreachable(f"the agent cannot be reached: {path}: {error.strerror or error}")


def silent(path: str) -> Unreachable:
    return Unreachable(f"the agent does not answer: {path}", "see the log of sixlaned")


def ended(path: str, error: Exception | None) -> Unreachable:
    why = f": {error}" if error is not None else ""
    return Unreachable(
        f"the agent ended while it was asked: {path}{why}",
        "see the log of sixlaned, then sixlane status",
    )
