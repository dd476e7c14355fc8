# SPDX-License-Identifier: Apache-2.0
"""`sixlane-health`: checks backends for the agent, in a process of its own."""

import asyncio
import logging
import resource
import signal
import sys

import click

import sixlane
from sixlane.client import SOCKET, AsyncClient

_LEVELS = ("debug", "info", "warning", "error")
_WANTED_FILES = 65536
_SPARE_FILES = 64
_MOST_SOCKETS = 8192


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "SIXLANE_HEALTH"}
)
@click.option("--socket", default=SOCKET, show_default=True, help="Where the agent's API listens.")
@click.option("--log-level", type=click.Choice(_LEVELS), default="info", show_default=True)
@click.version_option(sixlane.__version__)
def main(socket: str, log_level: str) -> None:
    """Checks the backends of services as the agent asks for it, and tells it what came of that.

    It works in the network namespace in which it is started: the agent's. Ending it changes
    nothing: what is known of backends stays in force.
    """
    logging.basicConfig(
        stream=sys.stderr,
        level=log_level.upper(),
        format="level=%(levelname)s logger=%(name)s msg=%(message)r",
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("hpack").setLevel(logging.WARNING)
    asyncio.run(_run(socket, _sockets()))


async def _run(path: str, most_sockets: int) -> None:
    from sixlane.health.engine import Engine
    from sixlane.health.reports import Reports

    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with AsyncClient(path) as client:
        reports = Reports(client)
        engine = Engine(most_sockets, reports.on_change)
        work = loop.create_task(reports.run(engine))
        waiting = loop.create_task(ended.wait())
        try:
            await asyncio.wait([work, waiting], return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            for task in (work, waiting):
                task.cancel()
            await asyncio.gather(work, waiting, return_exceptions=True)
            await engine.close()


def _sockets() -> int:
    """As many as this process may have: it takes what is left to it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, min(_WANTED_FILES, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(1, min(_MOST_SOCKETS, wanted - _SPARE_FILES))


if __name__ == "__main__":
    main()
