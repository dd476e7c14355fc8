# SPDX-License-Identifier: Apache-2.0
"""How commands fail: one line on stderr, and an exit code that says what kind of failure it was."""

from sixlane.client import NotFound, Problem, Unreachable
from sixlane.errors import ConfigError, SixlaneError

FAILED, USAGE, UNREACHABLE, NOT_FOUND, REFUSED = 1, 2, 3, 4, 5

EXIT_CODES = {
    0: "done",
    FAILED: "failed; diff: there is a difference",
    USAGE: "wrong usage",
    UNREACHABLE: "the agent cannot be reached",
    NOT_FOUND: "there is no such resource, or part of one",
    REFUSED: "refused, and nothing was changed",
}


def exit_code(error: SixlaneError) -> int:
    """The one for this kind of failure."""
    if isinstance(error, Unreachable):
        return UNREACHABLE
    if isinstance(error, NotFound):
        return NOT_FOUND
    if isinstance(error, Problem):
        return REFUSED if 400 <= error.status < 500 else FAILED
    return REFUSED if isinstance(error, ConfigError) else FAILED
