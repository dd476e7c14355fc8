# SPDX-License-Identifier: Apache-2.0
"""Agent, API and metrics in one process, from start to end."""

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sixlane
from sixlane.agent import Agent, Settings
from sixlane.agent.log import fields
from sixlane.api.app import make_app
from sixlane.api.health import Watchdog
from sixlane.api.listen import listening
from sixlane.api.metrics import serving_metrics
from sixlane.api.options import Options
from sixlane.api.server import Server
from sixlane.api.streams import Streams
from sixlane.api.systemd import Systemd

_log = logging.getLogger("sixlane")


def serve(options: Options, systemd: Systemd) -> None:
    """Until a signal ends it. Raises `SixlaneError` for what no later try can mend."""
    with (
        _agent(options.settings, systemd) as agent,
        _listener(options.socket, systemd) as listener,
        serving_metrics(agent, options.metrics),
    ):
        if options.config is not None:
            from sixlane.api.first import apply_first  # and YAML, which others need not wait for

            apply_first(agent, options.config)
        path = Path(listener.getsockname())
        with _watched_once_ready(systemd, path) as on_ready:
            streams = Streams()
            Server(make_app(agent, streams), streams, on_ready).run(sockets=[listener])


@contextmanager
def _agent(settings: Settings, systemd: Systemd) -> Iterator[Agent]:
    _log.info("starting", extra=fields(version=sixlane.__version__))
    systemd.notify(STATUS="adopting what is in force")
    agent = Agent.open(settings)
    try:
        yield agent
    finally:
        systemd.notify(STOPPING=1, STATUS="what is in force stays")
        agent.close()
        _log.info("ended; what is in force stays")


@contextmanager
def _listener(path: Path, systemd: Systemd) -> Iterator[socket.socket]:
    """systemd's socket, which stays when we end, or one of our own."""
    given = systemd.listener()
    if given is not None:
        with given:
            yield given
    else:
        with listening(path) as listener:
            yield listener


@contextmanager
def _watched_once_ready(systemd: Systemd, path: Path) -> Iterator[Callable[[], None]]:
    started: list[Watchdog] = []

    def on_ready() -> None:
        _log.info("ready: the API listens", extra=fields(socket=path))
        systemd.notify(READY=1, STATUS="ready")
        started.append(Watchdog(systemd, path))

    try:
        yield on_ready
    finally:
        for watchdog in started:
            watchdog.close()
