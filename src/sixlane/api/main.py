# SPDX-License-Identifier: Apache-2.0
"""`sixlaned`: agent and API in one process."""

import faulthandler
import gc
import logging
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

import sixlane
from sixlane.agent import log
from sixlane.agent import settings as defaults
from sixlane.agent.lock import only_one, only_one_in
from sixlane.agent.settings import Settings
from sixlane.api.options import METRICS, HostPort, Options
from sixlane.api.systemd import Systemd
from sixlane.errors import ConfigError, KernelError, SixlaneError

_log = logging.getLogger("sixlane")
_LEVELS = ("debug", "info", "warning", "error")
_DIRECTORY = click.Path(path_type=Path, file_okay=False)

# Objects that were made and not freed when garbage is looked for, and how many such looks until
# older ones are looked at: of 10,000 services a million are kept, and none of them is garbage, nor
# is what an import makes.
_GARBAGE = (50_000, 20, 50)

_CAP_NET_ADMIN, _CAP_SYS_ADMIN, _CAP_BPF = 12, 21, 39


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "SIXLANED"}
)
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
@click.option(
    "--metrics",
    type=HostPort(),
    metavar="[HOST:PORT]",
    is_flag=False,
    flag_value=METRICS,
    help=f"Serve metrics for Prometheus over HTTP; without an address at {METRICS}.",
)
@click.option(
    "--dns64-unit",
    metavar="TEMPLATE",
    help="Run resolvers as units of systemd, such as sixlane-dns64@.service.",
)
@click.option(
    "--config",
    type=_DIRECTORY,
    help="Directory of resources to apply if none was ever applied.",
)
@click.option("--log-level", type=click.Choice(_LEVELS), default="info", show_default=True)
@click.version_option(sixlane.__version__)
def main(
    socket: Path,
    bpffs: Path,
    state_dir: Path,
    run_dir: Path,
    metrics: tuple[str, int] | None,
    dns64_unit: str | None,
    config: Path | None,
    log_level: str,
) -> None:
    """The agent of sixlane. Ending it leaves forwarding and DNS64 in place.

    It works in the network namespace in which it is started. Each option may also come from the
    environment: SIXLANED_METRICS for --metrics, and so on.
    """
    log.set_up(log_level)
    # On SIGABRT, with which systemd's watchdog ends what hangs: where each thread was.
    faulthandler.enable()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    settings = Settings(bpffs.absolute(), state_dir.absolute(), run_dir.absolute(), dns64_unit)
    try:
        _check_unit(settings)
        _serve(Options(socket.absolute(), settings, metrics, config))
    except SixlaneError as error:
        _fail(str(error))
    except Exception as error:
        _log.debug("a defect of sixlane", exc_info=True)
        what = f"{type(error).__name__}: {error}"
        _fail(f"{what}: a defect of sixlane (--log-level debug shows more)")


def _fail(why: str) -> NoReturn:
    """One line for whoever reads it: a person, or the journal."""
    if log.is_journal(sys.stderr):
        _log.critical(why)
    else:
        click.echo(f"sixlaned: {why}", err=True)
    sys.exit(1)


def _end(number: int, frame: FrameType | None) -> None:
    """Unwinds the stack from wherever it is: what is in force stays."""
    raise SystemExit(0)


def _serve(options: Options) -> None:
    systemd = Systemd.take()
    _check_privilege()
    for directory in (options.settings.run_dir, options.settings.state_dir):
        _make(directory)
    with only_one(options.settings.lock), only_one_in(options.settings.state_dir):
        gc.set_threshold(*_GARBAGE)
        # What takes time to import comes after what may refuse at once.
        from sixlane.api.daemon import serve

        serve(options, systemd)


def _check_unit(settings: Settings) -> None:
    """The unit names the directories as well."""
    usual = (settings.state_dir, settings.run_dir) == (defaults.STATE_DIR, defaults.RUN_DIR)
    if settings.dns64_unit is not None and not usual:
        raise ConfigError(
            f"--dns64-unit with {settings.run_dir} and {settings.state_dir}",
            f"the unit's directories are {defaults.RUN_DIR} and {defaults.STATE_DIR}",
        )


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
