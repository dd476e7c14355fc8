# SPDX-License-Identifier: Apache-2.0
"""What a change did, and waiting until it is in force and well."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from sixlane.cli.ends import label
from sixlane.cli.output import Output
from sixlane.cli.views import condition, is_ready
from sixlane.errors import SixlaneError

if TYPE_CHECKING:
    from sixlane.client import Client
    from sixlane.client.types import Applied

_LOOK_EVERY_S = 0.25


def report(out: Output, applied: "Applied") -> None:
    """The answer of a change, in any format; of backends by themselves what became of each.
    Warnings on stderr."""
    warn(applied)
    backends = applied.get("backends", [])
    if out.data(applied, backends or applied["resources"]):
        return
    would = " (dry run)" if applied["dryRun"] else ""
    for backend in backends:
        what = f"backend {label(backend)} of {backend['service']}"
        out.lines(f"{what} {backend['outcome']}{would}")
    for one in applied["resources"] if not backends else ():
        out.lines(f"{one['kind']} {one['name']} {one['outcome']}{would}")
    if out.wide or applied["dryRun"]:
        out.lines(*(f"  {change}" for change in applied["changes"]))


def warn(applied: "Applied") -> None:
    """On stderr, as they are for people whatever the format is."""
    for warning in applied["warnings"]:
        click.secho(f"sixlane: warning: {warning}", fg="yellow", err=True)


def wait_ready(client: "Client", applied: "Applied", timeout_s: float) -> None:
    """Return when every resource that the change left is in force and well."""
    wanted = {
        (one["kind"], one["name"]) for one in applied["resources"] if one["outcome"] != "deleted"
    }

    def lacking() -> list[str]:
        views = client.resources()["items"]
        return [
            _why(view)
            for view in views
            if (view["kind"], view["metadata"]["name"]) in wanted and not is_ready(view)
        ]

    wait_until_none(lacking, timeout_s)


def wait_until_none(lacking: Callable[[], list[str]], timeout_s: float) -> None:
    """Ask again and again. Raises `SixlaneError` with what is still lacking in the end."""
    deadline = time.monotonic() + timeout_s
    while left := lacking():
        if time.monotonic() >= deadline:
            others = f" and {len(left) - 1} more" if len(left) > 1 else ""
            raise SixlaneError(
                f"not ready after {timeout_s:g} s: {left[0]}{others}", "see sixlane status"
            )
        time.sleep(_LOOK_EVERY_S)


def _why(view: Any) -> str:
    metadata, ready = view["metadata"], condition(view)
    what = f"{view['kind']} {metadata['name']}"
    observed = view.get("status", {}).get("observedGeneration")
    if observed != metadata["generation"]:
        what += f" generation {metadata['generation']} (in force: {observed})"
    return f"{what}: {ready['reason']}" + (f": {ready['message']}" if ready["message"] else "")
