# SPDX-License-Identifier: Apache-2.0
"""requests over a unix socket, for what insists on requests."""

import socket
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

BASE_URL = "http://localhost"


def session(path: Path) -> requests.Session:
    """A session whose every request goes to the socket at `path`."""
    made = requests.Session()
    made.trust_env = False
    made.mount("http://", _Adapter(path))
    return made


class _Adapter(HTTPAdapter):
    def __init__(self, path: Path) -> None:
        self._path = path
        super().__init__()

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> HTTPConnectionPool:
        return _Pool(self._path)


class _Pool(HTTPConnectionPool):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def _new_conn(self) -> HTTPConnection:
        return _Connection(self._path)


class _Connection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def _new_conn(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(60)
        try:
            connection.connect(str(self._path))
        except BaseException:
            connection.close()
            raise
        return connection
