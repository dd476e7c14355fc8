# SPDX-License-Identifier: Apache-2.0
"""Who asks: the process at the other end of the socket, as the kernel knows it; for the log."""

import pwd
import socket
import struct
from typing import NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from sixlane.agent.log import who

_UCRED = struct.Struct("=iII")  # struct ucred of unix(7): pid, uid, gid


class Peer(NamedTuple):
    pid: int
    uid: int

    def __str__(self) -> str:
        """`root[4711]`"""
        try:
            user = pwd.getpwuid(self.uid).pw_name
        except KeyError:
            user = str(self.uid)
        return f"{user}[{self.pid}]"


def peer_at(connection: socket.socket) -> Peer:
    """SO_PEERCRED: who connected, whatever became of it since."""
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, _ = _UCRED.unpack(told)
    return Peer(pid, uid)


class ForPeers:
    """Has each line of the log name on whose behalf something is done."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = scope.get("state", {}).get("peer")
        token = who.set(str(peer) if isinstance(peer, Peer) else "")
        try:
            await self._app(scope, receive, send)
        finally:
            who.reset(token)
