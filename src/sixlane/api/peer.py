# SPDX-License-Identifier: Apache-2.0
"""Who asks: the process at the other end of the unix socket, as the kernel knows it."""

import logging
import socket
import struct
from typing import NamedTuple

from fastapi import Request

from sixlane.agent import Applied
from sixlane.agent.log import fields

_log = logging.getLogger("sixlane.api")
_UCRED = struct.Struct("=iII")  # struct ucred of unix(7): pid, uid, gid


class Peer(NamedTuple):
    pid: int
    uid: int


def peer_at(connection: socket.socket) -> Peer:
    """SO_PEERCRED: who connected, whatever became of it since."""
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, _ = _UCRED.unpack(told)
    return Peer(pid, uid)


def log_applied(request: Request, applied: Applied) -> None:
    """Say in the log who changed something."""
    touched = {str(key): how for key, how in applied.outcomes.items() if how != "unchanged"}
    if touched and not applied.dry_run:
        log_change(request, revision=applied.revision, **touched)


def log_change(request: Request, **what: object) -> None:
    peer = getattr(request.state, "peer", None)
    who = peer._asdict() if isinstance(peer, Peer) else {}
    asked = f"{request.method} {request.url.path}"
    _log.info("changed", extra=fields(**who, request=asked, **what))
