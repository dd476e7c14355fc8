# SPDX-License-Identifier: Apache-2.0
"""A client for the agent's API: `Client` waits for answers, `AsyncClient` runs in an event loop.

Results are plain dicts; `sixlane.client.types` has their shapes. docs/reference/client.md shows how
to use it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sixlane.client.calls import ABSENT, SOCKET
from sixlane.client.client import Client
from sixlane.client.errors import Conflict, NotFound, Problem, Unreachable

if TYPE_CHECKING:
    from sixlane.client.async_client import AsyncClient
    from sixlane.client.async_rows import AsyncRowReader
    from sixlane.client.async_stream import AsyncStream
    from sixlane.client.rows import RowReader
    from sixlane.client.stream import Stream

__all__ = [
    "ABSENT",
    "SOCKET",
    "AsyncClient",
    "AsyncRowReader",
    "AsyncStream",
    "Client",
    "Conflict",
    "NotFound",
    "Problem",
    "RowReader",
    "Stream",
    "Unreachable",
]


_LATER = {
    "AsyncClient": "sixlane.client.async_client",
    "AsyncRowReader": "sixlane.client.async_rows",
    "AsyncStream": "sixlane.client.async_stream",
    "RowReader": "sixlane.client.rows",
    "Stream": "sixlane.client.stream",
}


def __getattr__(name: str) -> Any:
    """What imports HTTP: httpx takes five times as long as all the rest."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
