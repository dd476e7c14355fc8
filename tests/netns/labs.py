# SPDX-License-Identifier: Apache-2.0
"""Labs for tests, each with a prefix of its own, and a check that nothing of them remains."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sixlane.lab import lab, programs
from sixlane.lab.place import Place
from sixlane.lab.topology import SERVICE4
from sixlane.net import netns
from tests import needs

ATTACHMENTS = ("tc", "xdp", pytest.param("xdp-generic", marks=pytest.mark.sweep))

needs_lab = [
    pytest.mark.netns,
    needs.root,
    *(needs.command(program) for program in lab.PROGRAMS),
]
"""What a module with tests in a lab has as its `pytestmark`."""


@contextmanager
def place_for(word: str) -> Iterator[Place]:
    """Room for one lab; whatever the block does, the lab is removed, and no trace may be left."""
    place = Place(f"t{os.getpid() % 100_000}{word}-")
    try:
        yield place
    finally:
        lab.take_down(place)
        place.lock.unlink(missing_ok=True)
    assert traces(place) == []


@contextmanager
def pinging(place: Place) -> Iterator[None]:
    """Echo requests all the time, of which none may be lost."""
    argv = ["ping", "-n", "-q", "-i", "0.05", "-W", "1", SERVICE4]
    command = programs.on_host(place, "client", argv)
    with netns.popen(None, command, stdout=subprocess.PIPE, text=True) as ping:
        try:
            yield
        finally:
            ping.send_signal(signal.SIGINT)  # ping prints its statistics
            out, _ = ping.communicate(timeout=5)
    assert " 0% packet loss" in out, out


def traces(place: Place) -> list[str]:
    """What there is of this lab on the machine: files, namespaces, processes."""
    paths = (
        place.run_dir,
        *place.bpffs.parent.glob(f"{place.name}*"),
        place.nameserver_dir,
        place.resolv_conf("pod2").parent,
        place.lock,
    )
    return [
        *(f"file {path}" for path in paths if path.exists()),
        *(f"network namespace {name}" for name in netns.names() if place.prefix in name),
        *(f"process {command}" for command in _commands() if place.name in command),
    ]


def _commands() -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            yield (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
            continue
