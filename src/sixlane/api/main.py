# SPDX-License-Identifier: Apache-2.0
"""`sixlaned`: agent and API in one process."""

import logging
import signal
import sys
from pathlib import Path
from types import FrameType

import click

import sixlane
from sixlane.agent import settings as defaults
from sixlane.agent.settings import Settings
from sixlane.errors import KernelError, SixlaneError

_log = logging.getLogger("sixlane")
_LEVELS = ("debug", "info", "warning", "error")
_DIRECTORY = click.Path(path_type=Path, file_okay=False)

_CAP_NET_ADMIN, _CAP_SYS_ADMIN, _CAP_BPF = 12, 21, 39


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--socket",
    type=click.Path(path_type=Path),
    default=defaults.SOCKET,
    show_default=True,
    help="Where the API listens.",
)
@click.option(
    "--bpffs",
    type=_DIRECTORY,
    default=defaults.BPFFS,
    show_default=True,
    help="Directory for pins, in a bpffs.",
)
@click.option(
    "--state-dir",
    type=_DIRECTORY,
    default=defaults.STATE_DIR,
    show_default=True,
    help="What must survive a reboot.",
)
@click.option(
    "--run-dir",
    type=_DIRECTORY,
    default=defaults.RUN_DIR,
    show_default=True,
    help="What need not.",
)
@click.option("--log-level", type=click.Choice(_LEVELS), default="info", show_default=True)
@click.version_option(sixlane.__version__)
def main(socket: Path, bpffs: Path, state_dir: Path, run_dir: Path, log_level: str) -> None:
    """The agent of sixlane. Ending it leaves forwarding and DNS64 in place.

    It works in the network namespace in which it is started.
    """
    logging.basicConfig(
        stream=sys.stderr,
        level=log_level.upper(),
        format="%(asctime)s %(levelname)s %(message)s",
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    settings = Settings(*(path.absolute() for path in (bpffs, state_dir, run_dir)))
    try:
        _serve(socket.absolute(), settings)
    except SixlaneError as error:
        click.echo(f"sixlaned: {error}", err=True)
        sys.exit(1)
    except Exception as error:
        _log.debug("a defect of sixlane", exc_info=True)
        what = f"{type(error).__name__}: {error}"
        click.echo(
            f"sixlaned: {what}: a defect of sixlane (--log-level debug shows more)", err=True
        )
        sys.exit(1)


def _end(number: int, frame: FrameType | None) -> None:
    """Unwinds the stack from wherever it is: what is in force stays."""
    raise SystemExit(0)


def _serve(path: Path, settings: Settings) -> None:
    _check_privilege()
    for directory in (settings.run_dir, settings.state_dir):
        _make(directory)

    from sixlane.agent.lock import only_one

    with only_one(settings.lock):
        # What takes time to import comes after what may refuse at once.
        import uvicorn

        from sixlane.agent import Agent
        from sixlane.api.app import make_app
        from sixlane.api.listen import listening

        agent = Agent.open(settings)
        try:
            with listening(path) as listener:
                config = uvicorn.Config(
                    make_app(agent),
                    lifespan="off",
                    log_config=None,
                    log_level="warning",
                    access_log=False,
                    timeout_graceful_shutdown=5,
                )
                _log.info("ready: the API listens on %s", path)
                uvicorn.Server(config).run(sockets=[listener])
        finally:
            agent.close()
            _log.info("ended; what is in force stays")


def _make(directory: Path) -> None:
    """named, which is not root, must be able to pass through."""
    try:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise KernelError(error.errno or 0, f"make directory {directory}") from error


def _check_privilege() -> None:
    status = Path("/proc/self/status").read_text()
    effective = next(
        int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:")
    )
    names = {_CAP_NET_ADMIN: "CAP_NET_ADMIN", _CAP_BPF: "CAP_BPF"}
    if effective >> _CAP_SYS_ADMIN & 1:
        del names[_CAP_BPF]
    missing = [name for number, name in names.items() if not effective >> number & 1]
    if missing:
        raise SixlaneError(f"no privilege: {' and '.join(missing)} missing", "run it as root")


if __name__ == "__main__":
    main()
