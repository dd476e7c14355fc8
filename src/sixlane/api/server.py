# SPDX-License-Identifier: Apache-2.0
"""uvicorn, as we need it: it knows who asks, and ends its streams when it ends."""

import asyncio
import os
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from sixlane.api.peer import ForPeers, peer_at
from sixlane.api.streams import Streams

_LAST_ANSWERS_S = 5

MAX_CONNECTIONS = 256
"""Each takes a descriptor, and the agent needs some for its work: systemd grants 1024."""
_MAX_OF_OTHERS = 192  # so that root, and the watchdog, are always heard
_HEAD_S = 30.0


class _Protocol(H11Protocol):
    """Has the peer in the state of each request.

    Connections above the most there may be are closed, and so are those on which no request comes
    in time: nobody of the group keeps the others out, or the agent from its work.
    """

    _head_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        most = MAX_CONNECTIONS
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family == socket.AF_UNIX:
            peer = peer_at(connection)
            self.app_state = {**self.app_state, "peer": peer}
            if peer.uid not in (0, os.geteuid()):
                most = _MAX_OF_OTHERS
        if len(self.connections) > most:
            transport.abort()
            return
        self._wait_for_request()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait_for_request()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
        super().connection_lost(exc)

    def _wait_for_request(self) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
        self._head_due = self.loop.call_later(_HEAD_S, self._close_without_request)

    def _close_without_request(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


class Server(uvicorn.Server):
    """Serves `app` on sockets that are given to `run`. Calls `on_ready` when it takes connections.

    On SIGTERM streams end at once; other requests have a few seconds.
    """

    def __init__(
        self, app: FastAPI, streams: Streams, on_ready: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(
            uvicorn.Config(
                ForPeers(app),
                http=_Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=_LAST_ANSWERS_S,
            )
        )
        self._streams = streams
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._streams.end()
        await super().shutdown(sockets)
