# SPDX-License-Identifier: Apache-2.0
"""HTTP over a unix socket with the standard library."""

import errno
import http.client
import socket

from sixlane.client.calls import CONNECT_S
from sixlane.client.errors import Unreachable


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


def ended(path: str, error: Exception) -> Unreachable:
    return Unreachable(
        f"the agent ended while it was asked: {path}: {error}",
        "see the log of sixlaned, then sixlane status",
    )
