# SPDX-License-Identifier: Apache-2.0
"""The errors that a user may see: one line that says what and where, and a hint how to mend it.

Everything that sixlane raises on purpose is a `SixlaneError`. The command line, the API and the
agent turn it into one line; any other exception that reaches them is a defect of sixlane.
"""

import errno as errno_names
import os


class SixlaneError(Exception):
    """Something a user can understand and mend: `message` says what and where, `hint` how."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ConfigError(SixlaneError):
    """A resource, a file or an argument is wrong. Nothing was changed."""


class KernelError(SixlaneError):
    """The kernel refused `what`, with the positive error number `errno`."""

    def __init__(self, errno: int, what: str, hint: str = "") -> None:
        self.errno = errno
        self.what = what
        super().__init__(f"{what}: {errno_name(errno)} ({os.strerror(errno)})", hint)

    def __reduce__(self) -> tuple[type["KernelError"], tuple[int, str, str]]:
        return type(self), (self.errno, self.what, self.hint)


class NotSupported(SixlaneError):
    """This machine lacks `feature`, a word that `sixlane doctor` knows too."""

    def __init__(self, feature: str, hint: str = "") -> None:
        self.feature = feature
        super().__init__(f"this machine lacks {feature}", hint)

    def __reduce__(self) -> tuple[type["NotSupported"], tuple[str, str]]:
        return type(self), (self.feature, self.hint)


def errno_name(number: int) -> str:
    """ENOENT for 2; the number itself where it has no name."""
    # The kernel's own 524, "not supported", leaks out of bpf(); errno.h does not know it.
    return {**errno_names.errorcode, 524: "ENOTSUPP"}.get(number, str(number))
