# SPDX-License-Identifier: Apache-2.0
"""What all commands of one call share: where the agent is, and the client for it."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sixlane.client import Client

DEFAULT_SOCKET = "/run/sixlane/api.sock"


class Session:
    """`client` is made when it is first asked for: importing HTTP takes time."""

    def __init__(self, socket: str) -> None:
        self.socket = socket

    @cached_property
    def client(self) -> "Client":
        from sixlane.client import Client

        return Client(self.socket)

    @property
    def run_dir(self) -> Path:
        """Where the agent's other files of that kind are."""
        return Path(self.socket).absolute().parent


def pass_session(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command gets the `Session` as its first argument."""
    return click.make_pass_decorator(Session)(command)


def session_of(context: click.Context) -> Session:
    """Also while a command line is being completed, when nothing has been invoked."""
    root = context.find_root()
    if isinstance(root.obj, Session):
        return root.obj
    return Session(str(root.params.get("socket") or DEFAULT_SOCKET))
