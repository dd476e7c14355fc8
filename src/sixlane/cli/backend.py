# SPDX-License-Identifier: Apache-2.0
"""`sixlane backend`: the nodes that answer for a service, one by one."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from sixlane.cli import applied, balanced, completing, looks, options
from sixlane.cli.command import Group
from sixlane.cli.ends import BackendType, End, label
from sixlane.cli.fields import seconds
from sixlane.cli.output import Output, Stream
from sixlane.cli.session import Session, pass_session
from sixlane.errors import SixlaneError

if TYPE_CHECKING:
    from sixlane.client import Client
    from sixlane.client.types import BackendChange, BackendView

_LOOK_EVERY_S = 1.0
_KNOWN_AFTER_S = 2.0  # flows are counted once a second: none of before the change then
_COLUMNS = (("TIME", 8), ("BACKEND", 39), ("STATE", 11), ("FLOWS", 0))

_service = click.argument("service", shell_complete=completing.services)
_backends = click.argument(
    "backends",
    metavar="BACKEND...",
    type=BackendType(),
    nargs=-1,
    required=True,
    shell_complete=completing.backends,
)


if TYPE_CHECKING:
    _ParamType = click.ParamType[float]
else:  # click before 8.4 has no types here
    _ParamType = click.ParamType


class _Duration(_ParamType):
    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            return seconds(str(value))
        except ValueError:
            self.fail(f"{value} is no time, as in 90s, 5m, 2h or 1d", param, ctx)


@click.group(cls=Group)
def backend() -> None:
    """Show and change the backends of a service.

    BACKEND is an address, or with a port of its own 10.0.0.7:8080 or [2001:db8::7]:8080. Several
    are changed together, or none of them.
    """


@backend.command("list")
@_service
@options.with_output
@pass_session
def list_(session: Session, service: str, out: Output) -> None:
    """Show all backends of a SERVICE.

    STATE is what is in force: active, terminating, maintenance or quarantined; SHARE that of new
    flows. FLOWS go on now; with session affinity and DSR they are clients. NEW, PACKETS and BYTES
    count from when the backend came.
    """
    listing = session.client.backends(service)
    if out.data(listing, listing["items"]):
        return
    balanced.show_backends(out, listing["items"])
    if not listing["items"]:
        out.lines("no backends: sixlane backend add SERVICE BACKEND")


@backend.command(
    examples=[("sixlane backend add web 2001:db8:64:1::7 --weight 2", "twice as many flows")]
)
@_service
@click.argument("backends", metavar="BACKEND...", type=BackendType(), nargs=-1, required=True)
@click.option("--weight", type=int, metavar="N", help="Its share beside the others; default 1.")
@click.option(
    "--state",
    type=click.Choice(["active", "terminating", "maintenance"]),
    help="Whether it gets flows; default active.",
)
@options.dry_run
@options.with_output
@pass_session
def add(
    session: Session,
    service: str,
    backends: tuple[End, ...],
    weight: int | None,
    state: str | None,
    dry_run: bool,
    out: Output,
) -> None:
    """Add backends to a SERVICE; those that are there become what is given."""
    more = {
        key: value for key, value in (("weight", weight), ("state", state)) if value is not None
    }
    _change(session.client, out, "put", service, backends, more, dry_run)


@backend.command(examples=[("sixlane backend remove web 2001:db8:64:1::7", "drain it first")])
@_service
@_backends
@options.dry_run
@options.with_output
@pass_session
def remove(
    session: Session, service: str, backends: tuple[End, ...], dry_run: bool, out: Output
) -> None:
    """Take backends away from a SERVICE, and their flows with them."""
    _change(session.client, out, "delete", service, backends, {}, dry_run)


@backend.command(
    examples=[
        (
            "sixlane backend drain web 2001:db8:64:1::7 --wait",
            "return when its last flow has ended",
        ),
        ("sixlane backend drain web 2001:db8:64:1::7 --deadline 5m", "what is left then, ends"),
    ]
)
@_service
@_backends
@click.option(
    "--deadline",
    type=_Duration(),
    metavar="TIME",
    help="End flows that are left after 90s, 5m, 2h or 1d.",
)
@click.option("--wait", is_flag=True, help="Show the flows that remain, until there are none.")
@click.option(
    "--timeout",
    type=_Duration(),
    metavar="TIME",
    help="How long --wait waits; it fails if flows remain then.",
)
@options.dry_run
@options.with_output
@pass_session
def drain(
    session: Session,
    service: str,
    backends: tuple[End, ...],
    deadline: float | None,
    wait: bool,
    timeout: float | None,
    dry_run: bool,
    out: Output,
) -> None:
    """Give backends of a SERVICE no new flows; those that are there go on.

    With --deadline they end by then, whatever they do. Without it the backend stays so until
    undrain, or until it is removed.
    """
    if wait and dry_run:
        raise click.UsageError("either --wait or --dry-run")
    if timeout is not None and not wait:
        raise click.UsageError("--timeout is for --wait")
    until = None
    if deadline is not None:
        until = (datetime.now(UTC) + timedelta(seconds=deadline)).isoformat(timespec="milliseconds")
    patch = {"state": "terminating", "drainUntil": until}
    named = _change(session.client, out, "patch", service, backends, patch, dry_run, quiet=wait)
    if wait:
        _wait(session.client, out, service, named, timeout)


@backend.command()
@_service
@_backends
@options.dry_run
@options.with_output
@pass_session
def undrain(
    session: Session, service: str, backends: tuple[End, ...], dry_run: bool, out: Output
) -> None:
    """Give backends of a SERVICE new flows again, by their weights."""
    patch = {"state": None, "drainUntil": None}
    _change(session.client, out, "patch", service, backends, patch, dry_run)


@backend.command(
    examples=[("sixlane backend weight web 2001:db8:64:1::7 3", "flows that are stay")]
)
@_service
@click.argument("backend", type=BackendType(), shell_complete=completing.backends)
@click.argument("weight", type=int)
@options.dry_run
@options.with_output
@pass_session
def weight(
    session: Session, service: str, backend: End, weight: int, dry_run: bool, out: Output
) -> None:
    """Set the share of new flows that a BACKEND gets, beside the weights of the others; 0: none."""
    _change(session.client, out, "patch", service, [backend], {"weight": weight}, dry_run)


@backend.command(
    examples=[("sixlane backend top web --sort flows", "until interrupted, once a second")]
)
@_service
@balanced.in_which_order
@looks.how_often
@looks.how_many
@options.with_output
@pass_session
def top(
    session: Session,
    service: str,
    sort: str,
    interval: float,
    count: int | None,
    lines: int,
    out: Output,
) -> None:
    """Show what goes to each backend of a SERVICE now: packets, bits and new flows a second."""

    def look() -> dict[str, Any]:
        counters = session.client.service_counters(service)
        return {label(one): one for one in counters["backends"]}

    for last, now, passed in looks.pairs(look, interval, count):
        rows = [
            {"backend": name, "state": one["state"]} | balanced.rates(last.get(name), one, passed)
            for name, one in now.items()
        ]
        looks.clear_screen(out)
        _show_top(out, list(balanced.in_order(rows, sort))[:lines])


def _show_top(out: Output, rows: list[dict[str, Any]]) -> None:
    if out.data({"items": rows}, rows):
        return
    out.table(
        ("BACKEND", "STATE", *balanced.RATE_COLUMNS),
        [
            (row["backend"], balanced.state_cell(row["state"]), *balanced.rate_cells(row))
            for row in rows
        ],
    )
    if not rows:
        out.lines("no backends in force")


def _change(
    client: "Client",
    out: Output,
    op: Any,
    service: str,
    backends: Sequence[End],
    more: dict[str, Any],
    dry_run: bool,
    *,
    quiet: bool = False,
) -> set[str]:
    """All of them in one transaction; returns what they are called. `quiet`: nothing is shown."""
    changes: list[BackendChange] = [
        {"op": op, "service": service, "backend": one.as_data() | more} for one in backends
    ]
    answer = client.transaction(backends=changes, dry_run=dry_run)
    if quiet:
        applied.warn(answer)
    else:
        applied.report(out, answer)
    return {label(one) for one in answer["backends"]}


def _wait(
    client: "Client", out: Output, service: str, named: set[str], timeout_s: float | None
) -> None:
    """Show the flows that are left whenever that changes. Raises `SixlaneError` if some are in the
    end."""
    stream, shown = Stream(out, _COLUMNS), dict[str, tuple[str, int]]()
    started = time.monotonic()
    while True:
        passed = time.monotonic() - started
        there = [one for one in client.backends(service)["items"] if label(one) in named]
        left = {label(one): _left(service, one) for one in there}
        for name, seen in left.items():
            if shown.get(name) != seen:
                data = {"backend": name, "state": seen[0], "activeFlows": seen[1]}
                stream.row((time.strftime("%H:%M:%S"), name, *seen), data)
        shown = left
        flows = sum(number for _, number in left.values())
        if not flows and passed >= _KNOWN_AFTER_S:
            return
        if timeout_s is not None and passed >= timeout_s:
            raise SixlaneError(
                f"{flows} flows remain after {timeout_s:g} s",
                "they go on; --deadline ends them, undrain takes it back",
            )
        time.sleep(_LOOK_EVERY_S)


def _left(service: str, one: "BackendView") -> tuple[str, int]:
    """State and flows."""
    status = one["status"]
    if status is None:
        raise SixlaneError(f"Service {service} is not in force", "see sixlane status")
    return status["state"], status["activeFlows"]
