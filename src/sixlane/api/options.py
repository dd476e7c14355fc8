# SPDX-License-Identifier: Apache-2.0
"""What `sixlaned` is told on its command line."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from sixlane.agent.settings import Settings

METRICS = "127.0.0.1:9646"
"""46 and 64, and among the ports that exporters have."""


class HostPort(click.ParamType[tuple[str, int]]):
    """HOST:PORT, an IPv6 address in brackets: its parts."""

    name = "host:port"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, int]:
        host, _, port = str(value).rpartition(":")
        bare = host.removeprefix("[").removesuffix("]")
        bracketed = host == f"[{bare}]"
        if not bare or (":" in bare) != bracketed or not port.isdecimal() or int(port) > 65535:
            self.fail(f"{value!r} is not HOST:PORT, such as {METRICS} or [::1]:9646", param, ctx)
        return bare, int(port)


@dataclass(frozen=True)
class Options:
    """`metrics`: host and port for Prometheus, None for not at all. `config`: the directory of
    resources for the first start.
    """

    socket: Path
    settings: Settings
    metrics: tuple[str, int] | None = None
    config: Path | None = None
