# SPDX-License-Identifier: Apache-2.0
"""HTTP over the agent's unix socket, with the standard library."""

import errno
import http.client
import json
import socket
from typing import Any

from sixlane.cli.errors import Problem, Unreachable

_CONNECT_S = 5.0
_ANSWER_S = 180.0  # an apply may wait for a resolver to start


class Client:
    """Talks to the agent that listens on `path`."""

    def __init__(self, path: str) -> None:
        self._path = path

    def get(self, resource: str) -> Any:
        return self._call("GET", resource)

    def post(self, resource: str, body: object = None) -> Any:
        return self._call("POST", resource, body)

    def _call(self, method: str, resource: str, body: object = None) -> Any:
        """The answer's data. Raises `Unreachable`, and `Problem` as the agent tells it."""
        connection = _Connection(self._path)
        content = None if body is None else json.dumps(body).encode()
        try:
            connection.request(method, resource, content, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read()
        except TimeoutError:
            raise Unreachable(
                f"the agent does not answer: {self._path}", "see the log of sixlaned"
            ) from None
        except (http.client.HTTPException, OSError) as error:
            raise Unreachable(
                f"the agent ended while it was asked: {self._path}: {error}",
                "see the log of sixlaned, then sixlane status",
            ) from None
        finally:
            connection.close()
        return _data(response.status, text)


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_ANSWER_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_CONNECT_S)
        try:
            self.sock.connect(self._path)
        except OSError as error:
            self.sock.close()
            raise _unreachable(self._path, error) from None
        self.sock.settimeout(self.timeout)


def _unreachable(path: str, error: OSError) -> Unreachable:
    if error.errno in (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTSOCK, errno.ENOTDIR):
        return Unreachable(
            f"the agent is not running: nobody listens on {path}",
            "start sixlaned, or name its socket with --socket",
            absent=True,
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return Unreachable(f"no permission: {path}", "be root, or in the group sixlane")
    return Unreachable(f"the agent cannot be reached: {path}: {error.strerror or error}")


def _data(status: int, text: bytes) -> Any:
    try:
        data = json.loads(text)
    except ValueError:
        raise Problem(500, f"the agent's answer is not JSON (HTTP {status})") from None
    if status < 400:
        return data
    raise Problem(
        status,
        str(data.get("detail", f"HTTP {status}")),
        str(data.get("hint", "")),
        what=str(data.get("what", "")),
        resource=data.get("resource"),
        path=tuple(data.get("path", ())),
    )
