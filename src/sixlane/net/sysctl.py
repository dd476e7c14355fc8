# SPDX-License-Identifier: Apache-2.0
"""Kernel settings under /proc/sys.

What is below /proc/sys/net is that of the network namespace of the thread that opens it, so
`netns.inside` decides.
"""

import errno
import os
from pathlib import Path

from sixlane.errors import ConfigError, KernelError, SixlaneError

Name = str | tuple[str, ...]

_ROOT = Path("/proc/sys")
_WRITE_ONLY = 0o200


def get(name: Name) -> str:
    """The value, spaces around it removed.

    `name`: "net.ipv4.ip_forward", or "net/ipv4/conf/eth0.1/forwarding" or a tuple of its parts
    where one of them holds a dot. Raises `KernelError` (ENOENT) if there is no such setting.
    """
    path = _path(name)
    try:
        return path.read_text().strip()
    except OSError as error:
        raise _error(error, f"read sysctl {_text(path)}") from error


def set(name: Name, value: str | int) -> None:
    """Set the value, and see that the kernel now shows it (unless it can only be written)."""
    path = _path(name)
    what = f"set sysctl {_text(path)} to {value}"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, str(value).encode())
            readable = os.fstat(fd).st_mode & 0o777 != _WRITE_ONLY
        finally:
            os.close(fd)
    except OSError as error:
        raise _error(error, what) from error
    if not readable:
        return
    shown = get(name)
    if shown.split() != str(value).split():
        raise SixlaneError(f"{what}: the kernel shows {shown}")


def exists(name: Name) -> bool:
    """Whether this kernel (and this namespace) has the setting."""
    return _path(name).exists()


def _path(name: Name) -> Path:
    parts = tuple(name.split("/" if "/" in name else ".")) if isinstance(name, str) else name
    if not parts or any(part in ("", ".", "..") or "/" in part for part in parts):
        raise ConfigError(f"{name!r} is no name of a sysctl", "as in net.ipv4.ip_forward")
    return _ROOT.joinpath(*parts)


def _text(path: Path) -> str:
    return "/".join(path.relative_to(_ROOT).parts)


def _error(error: OSError, what: str) -> KernelError:
    hint = ""
    if error.errno == errno.ENOENT:
        hint = "this kernel or namespace has no such setting (does the device exist?)"
    elif error.errno in (errno.EACCES, errno.EPERM):
        hint = "this needs root"
    return KernelError(error.errno or errno.EIO, what, hint)
