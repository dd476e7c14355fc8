# SPDX-License-Identifier: Apache-2.0
"""If-Match and If-None-Match (RFC 9110 section 13.1): whose change is lost, nobody's.

An entity tag is the resourceVersion in quotes.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import Depends, Header, Request

from sixlane.agent.problems import Conflict, NotFound
from sixlane.agent.transaction import Edit
from sixlane.api.problem import ProblemError, bad_request
from sixlane.model import AnyResource

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS = re.compile(rf"\s*{_TAG}\s*(?:,\s*{_TAG}\s*)*")
_ANY = "*"

Exists = Callable[[AnyResource | None], bool]


def etag(resource_version: str) -> str:
    return f'"{resource_version}"'


@dataclass(frozen=True)
class Precondition:
    """What must hold of the resource, or of the part of it that the path names.

    `versions`: one of these must be the present one; None: any. `exists`: it must be there, or
    must not; None: either.
    """

    versions: tuple[str, ...] | None = None
    exists: bool | None = None

    @property
    def given(self) -> bool:
        return self.versions is not None or self.exists is not None

    def expected(self, present: Callable[[], str]) -> str | None:
        """The version for an `Edit`. `present` is asked only if several would do."""
        if self.versions is None:
            return None
        if len(self.versions) == 1:
            return self.versions[0]
        now = present()
        if now in self.versions:
            return now
        raise failed("none of the versions in If-Match is the present one", now)


class Guarded:
    """An edit that looks, when its turn comes, whether the thing is there that it is about.

    `exists` is to find that in what is desired then; `NotFound` counts as no. `was_there`: what it
    saw; None: its turn has not come.
    """

    def __init__(
        self, edit: Edit, precondition: Precondition, exists: Exists, what: str = ""
    ) -> None:
        self.precondition = precondition
        self.was_there: bool | None = None
        self._change, self._exists = edit.change, exists
        self._what = what or str(edit.key)
        self.edit = replace(edit, change=self._guarded)

    def _guarded(self, now: AnyResource | None) -> AnyResource | None:
        try:
            self.was_there = self._exists(now)
        except NotFound:
            self.was_there = False
        if self.precondition.exists not in (None, self.was_there):
            if self.was_there:
                hint = "change it, or take another name"
                raise Conflict(f"{self._what} is there already", hint, None)
            raise Conflict(f"{self._what} is not there", "make it first", None)
        return self._change(now)


def failed(
    detail: str, present: str | None = None, hint: str = "get it again, and repeat the change"
) -> ProblemError:
    """412: nothing was done."""
    more: dict[str, Any] = {} if present is None else {"resourceVersion": present}
    return ProblemError(
        412,
        "precondition",
        "Changed by somebody else, and nothing was changed now",
        detail,
        hint,
        **more,
    )


def read_precondition(
    request: Request,
    if_match: Annotated[
        str | None, Header(description="The change is made only if this is its ETag; * any.")
    ] = None,
    if_none_match: Annotated[
        str | None, Header(description="With *: only if it is not there.")
    ] = None,
) -> Precondition:
    match, none_match = _joined(request, "If-Match"), _joined(request, "If-None-Match")
    if match is not None and none_match is not None:
        raise bad_request("both If-Match and If-None-Match", "give one of them")
    if none_match is not None:
        if none_match.strip() != _ANY:
            raise bad_request("If-None-Match of a change can only be *", "If-Match names versions")
        return Precondition(exists=False)
    if match is None:
        return Precondition()
    if match.strip() == _ANY:
        return Precondition(exists=True)
    strong = tuple(tag[1:-1] for tag in _tags("If-Match", match) if not tag.startswith("W/"))
    if not strong:
        raise failed("If-Match compares strongly, and all of these tags are weak")
    return Precondition(versions=strong)


Preconditions = Annotated[Precondition, Depends(read_precondition)]


def is_known(request: Request, resource_version: str) -> bool:
    """Whether If-None-Match of a GET says that the asker has this version (304)."""
    given = _joined(request, "If-None-Match")
    if given is None:
        return False
    if given.strip() == _ANY:
        return True
    known = (tag.removeprefix("W/") for tag in _tags("If-None-Match", given))
    return etag(resource_version) in known


def _joined(request: Request, name: str) -> str | None:
    return ",".join(request.headers.getlist(name)) if name in request.headers else None


def _tags(name: str, value: str) -> list[str]:
    if not _TAGS.fullmatch(value):
        raise bad_request(
            f"{name} is no list of entity tags: {value[:60]!a}", 'write it as in ETag, "17"'
        )
    return re.findall(_TAG, value)
