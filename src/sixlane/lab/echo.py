# SPDX-License-Identifier: Apache-2.0
"""Datagrams larger than any link, to a server that sends them back.

`python -m sixlane.lab.echo serve ADDRESS`, and `python -m sixlane.lab.echo ask ADDRESS SIZE`, which
fails unless all SIZE bytes come back as they went.
"""

import hashlib
import ipaddress
import os
import socket
import sys
import time

PORT = 7  # RFC 862
READY = "echoing"
_LARGEST = 65507
_TRIES = 6
_SECONDS_A_TRY = 0.5


def serve(address: str) -> None:
    """Echo until killed. Bound to one address, so that answers come from where they were asked."""
    with _socket(address) as sock:
        sock.bind((address, PORT))
        print(f"{READY} on {address} port {PORT}", flush=True)
        while True:
            datagram, source = sock.recvfrom(_LARGEST)
            sock.sendto(datagram, source)


def ask(address: str, size: int) -> bool:
    """Send `size` random bytes, print what came back, say whether it was the same.

    The first try may be lost, as path-MTU discovery of either way costs a datagram.
    """
    datagram = os.urandom(size)
    for number in range(1, _TRIES + 1):
        with _socket(address) as sock:
            sock.settimeout(_SECONDS_A_TRY)
            sock.connect((address, PORT))
            start = time.monotonic()
            try:
                sock.send(datagram)
                answer = sock.recv(_LARGEST)
            except OSError as error:
                print(f"try {number}: {error or 'no answer'}")
                continue
        milliseconds = (time.monotonic() - start) * 1000
        digests = [hashlib.sha256(data).hexdigest()[:16] for data in (datagram, answer)]
        print(f"try {number}: sent {size} bytes, SHA-256 {digests[0]}...")
        print(f"try {number}: received {len(answer)} bytes, SHA-256 {digests[1]}...")
        print(f"round trip {milliseconds:.2f} ms")
        return digests[0] == digests[1]
    return False


def _socket(address: str) -> socket.socket:
    version = ipaddress.ip_address(address).version
    return socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET, socket.SOCK_DGRAM)


def main() -> None:
    match sys.argv[1:]:
        case ["serve", address]:
            serve(address)
        case ["ask", address, size]:
            sys.exit(0 if ask(address, int(size)) else 1)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
