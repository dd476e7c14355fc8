# SPDX-License-Identifier: Apache-2.0
"""uvicorn, as we need it: it knows who asks, and ends its streams when it ends."""

import asyncio
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from sixlane.api.peer import ForPeers, peer_at
from sixlane.api.streams import Streams

_LAST_ANSWERS_S = 5


class _Protocol(H11Protocol):
    """Has the peer in the state of each request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family == socket.AF_UNIX:
            self.app_state = {**self.app_state, "peer": peer_at(connection)}


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
