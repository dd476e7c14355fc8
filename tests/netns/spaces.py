# SPDX-License-Identifier: Apache-2.0
"""Network namespaces for one test, and iproute2 as the witness of what is in them."""

import contextlib
import itertools
import json
import os
import subprocess
from collections.abc import Iterator
from ipaddress import ip_interface
from typing import Any

from sixlane.net import address, link, netns

_numbers = itertools.count()


@contextlib.contextmanager
def new() -> Iterator[str]:
    """The name of a new network namespace, gone after the block."""
    name = f"sixlane-test-{os.getpid()}-{next(_numbers)}"
    netns.create(name)
    try:
        yield name
    finally:
        netns.remove(name, missing_ok=True)


@contextlib.contextmanager
def inside_new() -> Iterator[str]:
    """As `new`, with the calling thread in it for the block."""
    with new() as name, netns.inside(name):
        yield name


@contextlib.contextmanager
def inside_new_with_link() -> Iterator[str]:
    """As `inside_new`, with `left`, which has addresses of both families, and its peer `right`."""
    with inside_new() as name:
        link.create_veth("left", "right", up=True)
        address.add("left", ip_interface("192.31.196.1/24"))
        address.add("left", ip_interface("2001:db8::1/64"))
        yield name


def command(*argv: str, check: bool = True) -> str:
    """What a program says on stdout, run where the calling thread is."""
    return subprocess.run(argv, check=check, capture_output=True, text=True, timeout=20).stdout


def ip(*argv: str) -> list[dict[str, Any]]:
    """What `ip -j -d` shows."""
    shown: list[dict[str, Any]] = json.loads(command("ip", "-j", "-d", *argv) or "[]")
    return shown
