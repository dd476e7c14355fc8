# SPDX-License-Identifier: Apache-2.0
"""The API of an agent on a real socket, for the block."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from sixlane.agent import Agent
from sixlane.api.app import make_app
from sixlane.api.listen import listening


@contextmanager
def serving(agent: Agent, path: Path) -> Iterator[None]:
    config = uvicorn.Config(make_app(agent), lifespan="off", log_config=None)
    server = uvicorn.Server(config)
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
