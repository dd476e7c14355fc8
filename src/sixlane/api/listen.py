# SPDX-License-Identifier: Apache-2.0
"""The API's socket, bound by us: uvicorn would leave it open to everybody."""

import contextlib
import grp
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sixlane.agent.settings import GROUP
from sixlane.errors import ConfigError, KernelError

_MODE = 0o660


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """A listening socket for root and the group `sixlane`; its file goes with the block.

    Raises `ConfigError` if another process listens there.
    """
    _clear(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        before = os.umask(0o777 & ~_MODE)
        try:
            listener.bind(str(path))
        except OSError as error:
            what = f"listen on {path}" + (f" ({error.args[0]})" if not error.errno else "")
            raise KernelError(error.errno or 0, what, "--socket names another place") from error
        finally:
            os.umask(before)
        try:
            with contextlib.suppress(KeyError):
                os.chown(path, -1, grp.getgrnam(GROUP).gr_gid)
            listener.listen(128)
            yield listener
        finally:
            path.unlink(missing_ok=True)


def _clear(path: Path) -> None:
    """Take away the file of a process that has ended."""
    if not path.is_socket():
        if path.exists():
            raise ConfigError(f"{path} is there, and is not a socket", "--socket names another")
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError:
            pass
    raise ConfigError(
        f"another process listens on {path}", "stop it first, or give --socket another place"
    )
