# SPDX-License-Identifier: Apache-2.0
"""What systemd hands over, and what it is told."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sixlane.api import health
from sixlane.api.systemd import Systemd
from sixlane.errors import ConfigError, SixlaneError
from tests.unit.agent.fakes import World
from tests.unit.agent.serving import serving


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[socket.socket]:
    """Where notifications arrive."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(10)
        yield receiver


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def test_without_systemd_there_is_nothing() -> None:
    systemd = Systemd.take({})
    assert systemd == Systemd()
    assert systemd.listener() is None
    systemd.notify(READY=1)


def test_the_variables_are_taken_away() -> None:
    environment = {"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "3000000", "LISTEN_PID": "1", "A": "b"}
    assert Systemd.take(environment) == Systemd((), "/n", 3.0)
    assert environment == {"A": "b"}


def test_what_is_meant_for_another_process_is_not_ours() -> None:
    systemd = Systemd.take({"LISTEN_PID": "1", "LISTEN_FDS": "2", "WATCHDOG_PID": "1"})
    assert systemd == Systemd()
    ours = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0", "WATCHDOG_USEC": "1"}
    assert Systemd.take(ours) == Systemd((), None, 1e-6)


def test_notify(supervisor: socket.socket) -> None:
    Systemd(notify_socket=supervisor.getsockname()).notify(READY=1, STATUS="revision 7")
    assert supervisor.recv(1000) == b"READY=1\nSTATUS=revision 7"


def test_notify_when_systemd_is_away(tmp_path: Path) -> None:
    Systemd(notify_socket=str(tmp_path / "gone")).notify(READY=1)


def test_a_listening_unix_socket_is_taken(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(tmp_path / "api.sock"))
        opened.listen()
        taken = Systemd(fds=(os.dup(opened.fileno()),)).listener()
        assert taken is not None
        with taken:
            assert taken.getsockname() == str(tmp_path / "api.sock")


def test_no_network_and_no_second_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET6) as network:
        network.bind(("::1", 0))
        network.listen()
        with pytest.raises(ConfigError, match="no listening unix socket"):
            Systemd(fds=(os.dup(network.fileno()),)).listener()
    with socket.socket(socket.AF_UNIX) as deaf, pytest.raises(ConfigError, match="no listening"):
        Systemd(fds=(os.dup(deaf.fileno()),)).listener()
    with pytest.raises(ConfigError, match="2 sockets"):
        Systemd(fds=(3, 4)).listener()


def test_a_beat_comes_of_an_answer(world: World, supervisor: socket.socket, tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    watchdog = health.Watchdog(Systemd(notify_socket=supervisor.getsockname()), path)
    with serving(world.agent, path):
        watchdog.beat()
        assert supervisor.recv(1000) == b"WATCHDOG=1"


@pytest.mark.parametrize("why", ["no socket", "the applier has ended"])
def test_no_beat_without_one(
    world: World,
    supervisor: socket.socket,
    tmp_path: Path,
    why: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "api.sock"
    watchdog = health.Watchdog(Systemd(notify_socket=supervisor.getsockname()), path)
    with serving(world.agent, path):
        if why == "no socket":
            watchdog.beat()
            supervisor.recv(1000)
            path.rename(tmp_path / "elsewhere")
        else:
            world.agent._applier.close()
        watchdog.beat()
        (tmp_path / "elsewhere").rename(path) if why == "no socket" else None
    supervisor.setblocking(False)
    with pytest.raises(BlockingIOError):
        supervisor.recv(1000)
    assert "no beat for the watchdog" in caplog.text


def test_a_watched_service_beats_by_itself(
    world: World, supervisor: socket.socket, tmp_path: Path
) -> None:
    path = tmp_path / "api.sock"
    with (
        serving(world.agent, path),
        health.Watchdog(Systemd((), supervisor.getsockname(), 0.3), path),
    ):
        assert [supervisor.recv(1000) for _ in range(3)] == [b"WATCHDOG=1"] * 3


def test_a_silent_agent_is_not_healthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_ANSWER_S", 0.05)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "api.sock"))
        silent.listen()
        with pytest.raises(SixlaneError, match=r"no answer on .* after 0\.05 s"):
            health.ask(tmp_path / "api.sock")
