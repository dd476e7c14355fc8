# SPDX-License-Identifier: Apache-2.0
"""Labs for tests, each with a prefix of its own, and a check that nothing of them remains."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sixlane.lab import lab
from sixlane.lab.place import Place
from sixlane.net import netns
from tests import needs

ATTACHMENTS = ("tc", "xdp", "xdp-generic")

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


def traces(place: Place) -> list[str]:
    """What there is of this lab on the machine: files, namespaces, processes."""
    paths = (
        place.run_dir,
        place.bpffs,
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
