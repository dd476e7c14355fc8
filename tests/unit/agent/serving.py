# SPDX-License-Identifier: Apache-2.0
"""The API of an agent on a real socket, for the block."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi import FastAPI

from sixlane.agent import Agent
from sixlane.api.app import make_app
from sixlane.api.listen import listening
from sixlane.api.server import Server
from sixlane.api.streams import Streams


@contextmanager
def serving(agent: Agent, path: Path) -> Iterator[None]:
    streams = Streams()
    with running(make_app(agent, streams), streams, path):
        yield


@contextmanager
def running(app: FastAPI, streams: Streams, path: Path) -> Iterator[None]:
    """On a real socket at `path`."""
    server = Server(app, streams)
    with listening(path) as listener:
        thread = threading.Thread(target=lambda: server.run(sockets=[listener]))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield
        finally:
            server.should_exit = True
            thread.join()
