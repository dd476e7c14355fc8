# SPDX-License-Identifier: Apache-2.0
"""`sixlane diff`: what is desired now against what it would be."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from sixlane.cli import options, views
from sixlane.cli.command import Command
from sixlane.cli.output import Output
from sixlane.cli.session import Session, pass_session

if TYPE_CHECKING:
    from sixlane.client.types import Applied, Listing

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}
_Key = tuple[str, str]


@click.command(
    cls=Command,
    examples=[("sixlane diff -f edge.yaml || sixlane apply -f edge.yaml", "look, then do it")],
)
@options.files(required=True)
@options.prune
@options.with_output
@pass_session
@click.pass_context
def diff(
    context: click.Context, session: Session, files: tuple[str, ...], prune: bool, out: Output
) -> None:
    """Show what apply would change: in the resources, and on this machine.

    The exit code is 1 if there is a difference.
    """
    from sixlane.cli import applied, documents
    from sixlane.sources.files import read

    wanted = read(files)
    now = session.client.resources()
    answer = documents.put(session.client, wanted, prune=prune, dry_run=True)
    applied.warn(answer)
    if not out.data(answer, answer["resources"]):
        for line in _resource_lines(now, answer):
            click.secho(line, fg=_COLOURS.get(line[:1]))
        out.lines(*(f"would: {change}" for change in answer["changes"]))
    if answer["changes"] or any(one["outcome"] != "unchanged" for one in answer["resources"]):
        context.exit(1)


def _resource_lines(now: "Listing", answer: "Applied") -> Iterator[str]:
    from sixlane.cli.unified import unified

    before, after = _by_key(now["items"]), _by_key(answer["after"])
    for one in answer["resources"]:
        if one["outcome"] != "unchanged":
            key = (one["kind"], one["name"])
            old, new = _text(before.get(key)), _text(after.get(key))
            name = " ".join(key)
            yield from unified(old, new, f"{name}, now", f"{name}, {one['outcome']}")


def _by_key(items: Sequence[Any]) -> dict[_Key, Mapping[str, Any]]:
    """Without those that are deleted."""
    return {(item["kind"], item["metadata"]["name"]): item for item in items if "metadata" in item}


def _text(view: Mapping[str, Any] | None) -> str:
    from sixlane.sources.dump import dump

    return "" if view is None else dump(views.desired(view))
