# SPDX-License-Identifier: Apache-2.0
"""How commands fail: one line on stderr, and an exit code that says what kind of failure it was."""

from sixlane.errors import ConfigError, SixlaneError

FAILED, USAGE, UNREACHABLE, REFUSED = 1, 2, 3, 5


class Unreachable(SixlaneError):
    """No agent answers. `absent`: none can be running there."""

    def __init__(self, message: str, hint: str = "", *, absent: bool = False) -> None:
        super().__init__(message, hint)
        self.absent = absent


class Problem(SixlaneError):
    """What the agent answered instead of a result.

    `what`, `resource` (index) and `path` are there if it is about one of the resources sent.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        hint: str = "",
        *,
        what: str = "",
        resource: int | None = None,
        path: tuple[str | int, ...] = (),
    ) -> None:
        super().__init__(detail, hint)
        self.status = status
        self.what = what
        self.resource = resource
        self.path = path


def exit_code(error: SixlaneError) -> int:
    if isinstance(error, Unreachable):
        return UNREACHABLE
    if isinstance(error, Problem):
        return REFUSED if 400 <= error.status < 500 else FAILED
    return REFUSED if isinstance(error, ConfigError) else FAILED
