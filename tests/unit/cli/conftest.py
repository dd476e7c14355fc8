# SPDX-License-Identifier: Apache-2.0
"""The command, with an agent over fakes and without."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.agent.fakes import World
from tests.unit.agent.serving import serving
from tests.unit.cli.running import Sixlane


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


@pytest.fixture
def sixlane(tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sixlane]:
    """Its working directory is where its files are."""
    monkeypatch.chdir(tmp_path)
    command = Sixlane(tmp_path / "api.sock", tmp_path)
    with serving(world.agent, command.socket):
        yield command


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sixlane:
    """No agent listens."""
    monkeypatch.chdir(tmp_path)
    return Sixlane(tmp_path / "api.sock", tmp_path)
