# SPDX-License-Identifier: Apache-2.0
"""`sixlane doctor`, with an agent or without."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sixlane.cli import options
from sixlane.cli.command import Command
from sixlane.cli.output import Bad, Good, Output
from sixlane.cli.session import Session, pass_session

if TYPE_CHECKING:
    from sixlane.client import Client


@click.command(
    cls=Command,
    examples=[("sixlane doctor -o json | jq '.checks[] | select(.status != \"ok\")'", "the rest")],
)
@options.directories
@options.with_output
@pass_session
@click.pass_context
def doctor(
    context: click.Context,
    session: Session,
    bpffs: Path,
    state_dir: Path,
    run_dir: Path | None,
    out: Output,
) -> None:
    """Say what this machine can do, what is in the way, what it costs, and how to mend it.

    The agent looks; if none runs, this command does it by itself. Nothing is changed.
    What is as it should be is listed with -o wide only.
    The exit code is 1 if something does not work.
    """
    directories = options.Directories(bpffs, state_dir, run_dir or session.run_dir)
    report = examine(session.client, directories)
    if not out.data(report, report["checks"]):
        _show(out, report["checks"])
    if any(one["status"] == "problem" for one in report["checks"]):
        context.exit(1)


def examine(client: "Client", directories: options.Directories) -> dict[str, Any]:
    """The agent's report, or our own if none runs."""
    from sixlane.client import Unreachable

    try:
        return client.doctor()
    except Unreachable as unreachable:
        if not unreachable.absent:
            raise
        from sixlane.agent.doctor.alone import diagnose_without_agent

        return dict(directories.alone(unreachable, diagnose_without_agent))


_WORST_LAST = ("missing", "warning", "problem")
_COLOURS = {"problem": "red"}


def _show(out: Output, checks: list[dict[str, Any]]) -> None:
    """What is not as it should be, the worst last, where a terminal shows it."""
    if out.wide:
        rows = [(_status(one["status"]), one["name"], one["what"]) for one in checks]
        out.table(("STATUS", "CHECK", "FOUND"), rows)
    found = [one for one in checks if one["status"] != "ok"]
    for one in sorted(found, key=lambda one: _WORST_LAST.index(one["status"])):
        out.heading(f"{one['status']}: {one['what']}", _COLOURS.get(one["status"]))
        out.lines(f"  costs: {one['costs']}")
        if one["hint"]:
            out.lines(f"  mend:  {one['hint']}")
    well = f"{len(checks) - len(found)} of {len(checks)} checks are ok"
    out.heading(well if out.wide else f"{well} (-o wide lists them)")


def _status(status: str) -> str:
    """Only what does not work is red."""
    return {"ok": Good(status), "problem": Bad(status)}.get(status, status)
