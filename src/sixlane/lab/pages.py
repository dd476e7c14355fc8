# SPDX-License-Identifier: Apache-2.0
"""The lab's web server: `python -m sixlane.lab.pages ADDRESS "GREETING"`, on port 80.

GET / is the greeting and the source address that the server saw. GET /bytes/N is N bytes that
`content(N)` makes again, so that whoever fetched them can tell whether they are right, and
GET /slowly/N is the same over three seconds. PUT answers with the SHA-256 of what came.
"""

import hashlib
import ipaddress
import re
import socket
import socketserver
import sys
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler

PORT = 80
READY = "serving pages"
GREETING6 = "Hello KubeCon!! You've reached an IPv6-only page."
GREETING4 = "Hello KubeCon!! You've reached an IPv4-only page."
LARGEST = 64 << 20
SLOW_PIECES = 30
_SECONDS_BETWEEN_PIECES = 0.1
_CHUNK = 1 << 16
_FILE = re.compile(r"/(?P<how>bytes|slowly)/(?P<size>[0-9]{1,9})")


def content(size: int) -> bytes:
    """`size` bytes without a pattern, the same ones each time."""
    return hashlib.shake_128(size.to_bytes(8, "big")).digest(size)


class Pages(socketserver.ThreadingTCPServer):
    """Plain TCPServer: http.server's own asks DNS for its name before it listens."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: str, greeting: str, port: int = PORT) -> None:
        self.greeting = greeting
        if ipaddress.ip_address(address).version == 6:
            self.address_family = socket.AF_INET6
        super().__init__((address, port), PageRequest)


class PageRequest(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/":
            self._answer(self._page().encode())
            return
        match = _FILE.fullmatch(self.path)
        if match is None or int(match["size"]) > LARGEST:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        body = content(int(match["size"]))
        pieces = SLOW_PIECES if match["how"] == "slowly" else 1
        self._answer(body, "application/octet-stream", pieces)

    def do_PUT(self) -> None:
        left = int(self.headers.get("Content-Length", 0))
        digest = hashlib.sha256()
        while left:
            chunk = self.rfile.read(min(left, _CHUNK))
            if not chunk:
                return
            digest.update(chunk)
            left -= len(chunk)
        self._answer(f"{digest.hexdigest()}\n".encode())

    def _page(self) -> str:
        assert isinstance(self.server, Pages)
        return f"{self.server.greeting}\nYou come from {self.client_address[0]}\n"

    def _answer(
        self, body: bytes, kind: str = "text/plain; charset=utf-8", pieces: int = 1
    ) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        length = len(body) // pieces + 1
        for start in range(0, len(body), length):
            if start:
                time.sleep(_SECONDS_BETWEEN_PIECES)
            self.wfile.write(body[start : start + length])


def main() -> None:
    address, greeting = sys.argv[1:]
    with Pages(address, greeting) as server:
        print(f"{READY} on {address} port {PORT}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
