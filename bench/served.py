# SPDX-License-Identifier: Apache-2.0
"""The API's routes of sessions, served by a process of its own, as an agent does it."""

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from fastapi import FastAPI

from sixlane.agent import Agent
from sixlane.api.listen import listening
from sixlane.api.server import Server
from sixlane.api.sessions import routes
from sixlane.api.streams import Streams

_START_S = 10.0


@contextmanager
def served(agent: object, path: Path) -> Iterator[None]:
    """On a socket at `path`; `agent`: what of one the routes ask."""
    process = multiprocessing.get_context("fork").Process(target=_serve, args=(agent, path))
    process.start()
    try:
        until = time.monotonic() + _START_S
        while not path.exists() and process.is_alive() and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.5)
        yield
    finally:
        process.terminate()
        process.join()


def _serve(agent: object, path: Path) -> None:
    app, streams = FastAPI(), Streams()
    app.include_router(routes(cast(Agent, agent), streams))
    with listening(path) as listener:
        Server(app, streams).run(sockets=[listener])
