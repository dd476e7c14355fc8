# SPDX-License-Identifier: Apache-2.0
"""What systemd hands to a service and wants to hear of it: sd_listen_fds(3), sd_notify(3).

Without systemd, and with a process that only inherited the variables, all of it is silent.
"""

import os
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass

from sixlane.errors import ConfigError

_FIRST_FD = 3
_VARIABLES = (
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
)


@dataclass(frozen=True)
class Systemd:
    """`fds`: listening sockets that it opened. `watchdog_s`: beats must not be further apart."""

    fds: tuple[int, ...] = ()
    notify_socket: str | None = None
    watchdog_s: float | None = None

    @classmethod
    def take(cls, environment: MutableMapping[str, str] = os.environ) -> "Systemd":
        """What the environment says. The variables are removed, and the sockets closed on exec:
        programs that we start must not take them for theirs.
        """
        given = {name: environment.pop(name, "") for name in _VARIABLES}
        fds: tuple[int, ...] = ()
        if given["LISTEN_PID"] == str(os.getpid()):
            fds = tuple(range(_FIRST_FD, _FIRST_FD + int(given["LISTEN_FDS"] or 0)))
        for fd in fds:
            os.set_inheritable(fd, False)
        watched = given["WATCHDOG_PID"] in ("", str(os.getpid())) and given["WATCHDOG_USEC"]
        return cls(
            fds,
            given["NOTIFY_SOCKET"] or None,
            int(given["WATCHDOG_USEC"]) / 1e6 if watched else None,
        )

    def notify(self, **state: object) -> None:
        """Tell systemd: `notify(READY=1, STATUS="revision 7")`.

        It may be away, as when PID 1 executes itself anew: no reason to fail.
        """
        if self.notify_socket is None:
            return
        address = self.notify_socket
        if address.startswith("@"):  # an abstract socket
            address = "\0" + address[1:]
        message = "\n".join(f"{key}={value}" for key, value in state.items())
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            try:
                sender.sendto(message.encode(), address)
            except OSError:
                return

    def listener(self) -> socket.socket | None:
        """The API's socket, if systemd opened it (`sixlaned.socket`).

        Raises `ConfigError` for anything but one listening unix socket: networks are none of its.
        """
        if not self.fds:
            return None
        if len(self.fds) > 1:
            raise ConfigError(
                f"systemd hands over {len(self.fds)} sockets", "sixlaned.socket needs but one"
            )
        found = socket.socket(fileno=self.fds[0])
        accepts = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if (found.family, found.type, accepts) != (socket.AF_UNIX, socket.SOCK_STREAM, 1):
            found.close()
            raise ConfigError(
                "the socket that systemd hands over is no listening unix socket",
                "ListenStream=/run/sixlane/api.sock in sixlaned.socket",
            )
        return found
