# SPDX-License-Identifier: Apache-2.0
"""What an asker may run into beside bad input: nothing is there, or somebody was faster."""

from collections.abc import Iterable

from sixlane.errors import ConfigError, SixlaneError


class NotFound(SixlaneError):
    """What was asked for is not there."""


class Conflict(ConfigError):
    """What is there is not what the asker changed. Nothing was changed.

    `resource_version`: the one that is there; None: the resource is not. `index`: of the edit in
    its transaction; None: it is not one of several.
    """

    def __init__(
        self, message: str, hint: str, resource_version: str | None, index: int | None = None
    ) -> None:
        super().__init__(message, hint)
        self.resource_version = resource_version
        self.index = index

    def __reduce__(self) -> tuple[type["Conflict"], tuple[str, str, str | None, int | None]]:
        return type(self), (self.message, self.hint, self.resource_version, self.index)


def not_found(what: str, there: Iterable[object] | None = None) -> NotFound:
    """ "no Gateway core (there are: edge)". `there`: all of that sort; None: not known here."""
    if there is None:
        return NotFound(f"no {what}")
    names = ", ".join(sorted(map(str, there)))
    return NotFound(f"no {what}", f"there are: {names}" if names else "there are none")
