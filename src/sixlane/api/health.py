# SPDX-License-Identifier: Apache-2.0
"""Whether the agent does its work, for systemd's watchdog and whoever else asks.

One question goes all the way: the socket, the event loop, a worker thread, the applier.
"""

import logging
import socket
import threading
from pathlib import Path

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Response

from sixlane.agent import Agent
from sixlane.agent.log import fields
from sixlane.api.answers import answer
from sixlane.api.describe import found
from sixlane.api.systemd import Systemd
from sixlane.errors import KernelError, SixlaneError

_log = logging.getLogger("sixlane.health")
_ANSWER_S = 10.0
_REQUEST = b"GET /v1/health HTTP/1.1\r\nHost: sixlane\r\nConnection: close\r\n\r\n"
_BEATS_A_DEADLINE = 3
_THREADS = 4


def install(app: FastAPI, agent: Agent) -> None:
    """Add `GET /v1/health` to the API. It has threads of its own: those of the other requests may
    all be waiting for their turn at the applier.
    """
    threads = CapacityLimiter(_THREADS)

    @app.get("/v1/health", operation_id="getHealth", tags=["system"], responses=found("Health"))
    async def health() -> Response:
        """Answers if the agent takes and does jobs; an error tells what it is stuck at."""
        await to_thread.run_sync(agent.check, limiter=threads)
        return answer({"healthy": True})


def ask(path: Path) -> None:
    """Raises `SixlaneError` if the agent whose API listens at `path` is not well, or silent."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asker:
        asker.settimeout(_ANSWER_S)
        try:
            asker.connect(str(path))
            asker.sendall(_REQUEST)
            answer = b""
            while chunk := asker.recv(4096):
                answer += chunk
        except TimeoutError:
            raise SixlaneError(f"no answer on {path} after {_ANSWER_S:g} s") from None
        except OSError as error:
            raise KernelError(error.errno or 0, f"ask on {path}") from error
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1:2]
    if status != [b"200"]:
        raise SixlaneError(f"not healthy: {body.decode(errors='replace') or 'no answer'}")


class Watchdog:
    """Tells systemd that we live, as long as an answer comes by way of the API and the applier.

    If none comes for too long, systemd ends us and starts another; what is in force stays.
    """

    def __init__(self, systemd: Systemd, path: Path) -> None:
        self._systemd, self._path = systemd, path
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        if systemd.watchdog_s is not None:
            every = systemd.watchdog_s / _BEATS_A_DEADLINE
            self._thread = threading.Thread(
                target=self._run, args=(every,), name="watchdog", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> "Watchdog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, every: float) -> None:
        while not self._closing.is_set():
            self.beat()
            self._closing.wait(every)

    def beat(self) -> None:
        """One question, and word to systemd if it was answered."""
        try:
            ask(self._path)
        except SixlaneError as error:
            _log.warning("no beat for the watchdog", extra=fields(error=error))
            return
        self._systemd.notify(WATCHDOG=1)
