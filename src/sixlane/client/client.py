# SPDX-License-Identifier: Apache-2.0
"""The client for programs that wait: standard library only, so that commands start quickly."""

import contextlib
import http.client
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from sixlane.client import calls
from sixlane.client.calls import ANSWER_S, SOCKET, Answer, Call
from sixlane.client.types import Applied, Counters, Listing, Reference, Revision, View
from sixlane.client.unix import Connection, ended, silent

_T = TypeVar("_T")


class Client:
    """Talks to the agent that listens on the unix socket `path`; for any number of threads.

    Every method raises `Unreachable`, and `Problem` as the agent tells it. `if_match` is the
    resourceVersion that must be the present one, or else `Conflict` is raised; "": the resource
    must not be there yet. `dry_run`: say what would be done, and do nothing.
    """

    def __init__(self, path: str = SOCKET) -> None:
        self._path = path

    def resources(self, kind: str | None = None) -> Listing:
        """What is desired and how it does; of one kind, or all."""
        return self._do(calls.resources(kind))

    def get(self, kind: str, name: str) -> View:
        """One resource. Raises `NotFound`."""
        return self._do(calls.get(kind, name))

    def put(
        self, resource: Mapping[str, Any], *, if_match: str | None = None, dry_run: bool = False
    ) -> Applied:
        """Make the resource what is given: created, or changed, or found to be so already.

        A `metadata.resourceVersion` in it must be the present one, or else `Conflict` is raised.
        """
        return self._do(calls.put(resource, if_match, dry_run))

    def patch(
        self,
        kind: str,
        name: str,
        patch: Mapping[str, Any],
        *,
        if_match: str | None = None,
        dry_run: bool = False,
    ) -> Applied:
        """Change what `patch` holds (RFC 7396: None takes a key away). Raises `NotFound`."""
        return self._do(calls.patch(kind, name, patch, if_match, dry_run))

    def delete(
        self, kind: str, name: str, *, if_match: str | None = None, dry_run: bool = False
    ) -> Applied:
        """Take the resource away. Raises `NotFound`."""
        return self._do(calls.delete(kind, name, if_match, dry_run))

    def transaction(
        self,
        put: Iterable[Mapping[str, Any]] = (),
        delete: Iterable[Reference] = (),
        *,
        prune: bool = False,
        dry_run: bool = False,
    ) -> Applied:
        """Many changes: all of them, or none. `prune`: delete what is not named."""
        return self._do(calls.transaction(put, delete, prune, dry_run))

    def history(self) -> list[Revision]:
        """The changes of the whole, newest first."""
        return self._do(calls.history())

    def status(self) -> dict[str, Any]:
        """What is in force, and what is out of order."""
        return self._do(calls.status())

    def counters(self) -> Counters:
        """Packets and bytes since the data path was loaded."""
        return self._do(calls.counters())

    def teardown(self) -> list[str]:
        """Remove everything, restore what was changed; what could not be, one line each."""
        return self._do(calls.teardown())

    def _do(self, call: Call[_T]) -> _T:
        connection = Connection(self._path, ANSWER_S)
        try:
            response = _ask(connection, call)
            answer = Answer(response.status, response.headers.get("ETag", ""), response.read())
        except TimeoutError:
            raise silent(self._path) from None
        except (http.client.HTTPException, OSError) as error:
            raise ended(self._path, error) from None
        finally:
            connection.close()
        return call.read(answer)


def _ask(connection: Connection, call: Call[_T]) -> http.client.HTTPResponse:
    with contextlib.suppress(BrokenPipeError):  # refused before all was sent: the answer says why
        connection.request(call.method, call.path, call.body, dict(call.headers))
    return connection.getresponse()
