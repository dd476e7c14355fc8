# SPDX-License-Identifier: Apache-2.0
"""How a call fails."""

from collections.abc import Mapping
from typing import Any

from sixlane.errors import SixlaneError


class Unreachable(SixlaneError):
    """No agent answers. `absent`: none can be running there."""

    def __init__(self, message: str, hint: str = "", *, absent: bool = False) -> None:
        super().__init__(message, hint)
        self.absent = absent


class Problem(SixlaneError):
    """What the agent answered instead of a result (RFC 9457); `message` is its `detail`.

    `status`: HTTP's. `kind`: the last word of the problem's type ("refused", "kernel", ...).
    If it is about one of the resources sent: `what`, one clause without the place; `resource`, its
    index in the request; `path`, keys and indices that lead to the value.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        hint: str = "",
        *,
        kind: str = "",
        what: str = "",
        resource: int | None = None,
        path: tuple[str | int, ...] = (),
    ) -> None:
        super().__init__(detail, hint)
        self.status = status
        self.kind = kind
        self.what = what
        self.resource = resource
        self.path = path


class NotFound(Problem):
    """There is no such resource, or part of one."""


class Conflict(Problem):
    """Somebody else was faster: the resource is not the one that the change was meant for.

    `resource_version`: the one that is there now; "": there is none.
    """

    resource_version: str = ""


_CLASSES: Mapping[str, type[Problem]] = {
    "not-found": NotFound,
    "conflict": Conflict,
    "precondition": Conflict,
}


def problem_of(status: int, told: object) -> Problem:
    """The error for an answer's decoded body; `told` may be anything."""
    if not isinstance(told, Mapping):
        return Problem(status, f"the agent's answer makes no sense (HTTP {status})")
    kind = str(told.get("type", "")).rpartition(":")[2]
    problem = _CLASSES.get(kind, Problem)(
        status,
        str(told.get("detail", f"HTTP {status}")),
        str(told.get("hint", "")),
        kind=kind,
        what=str(told.get("what", "")),
        resource=_index(told.get("resource")),
        path=tuple(told.get("path", ())),
    )
    if isinstance(problem, Conflict):
        problem.resource_version = str(told.get("resourceVersion", ""))
    return problem


def _index(value: Any) -> int | None:
    return value if isinstance(value, int) else None
