# SPDX-License-Identifier: Apache-2.0
"""`sixlane get` and `sixlane export`: resources as they are, and as `apply` accepts them."""

from typing import TYPE_CHECKING, Any

import click

from sixlane.cli import options, views
from sixlane.cli.command import Command
from sixlane.cli.output import Output, Stream
from sixlane.cli.session import Session, pass_session

if TYPE_CHECKING:
    from sixlane.client import Client

_EVENT_COLUMNS = (
    ("EVENT", 7),
    ("KIND", 7),
    ("NAME", 20),
    ("GENERATION", 14),
    ("READY", 7),
    ("REASON", 0),
)


@click.command(
    cls=Command,
    examples=[
        ("sixlane get", "all resources"),
        ("sixlane get gateway edge -o yaml", "one of them, with its status"),
        ("sixlane get --watch -o ndjson", "each change, as it happens"),
    ],
)
@options.optional_kind
@options.name(required=False)
@click.option("-w", "--watch", is_flag=True, help="Go on, and tell each change.")
@options.with_output
@pass_session
def get(session: Session, kind: str | None, name: str | None, watch: bool, out: Output) -> None:
    """Show resources and how they do: all, those of a KIND, or one (KIND NAME, or KIND/NAME)."""
    if watch:
        _watch(session.client, kind, name, out)
    elif name is None:
        listing = session.client.resources(kind)
        if not out.data(listing, listing["items"]):
            _TABLES.get(kind, views.show_resources)(out, listing["items"])
    else:
        view = session.client.get(str(kind), name)
        if not out.data(view):
            _TABLES.get(kind, views.show_resources)(out, [view])


_TABLES: dict[str | None, Any] = {
    "Gateway": views.show_gateways,
    "Dns64": views.show_dns64s,
    "Service": views.show_services,
    "Network": views.show_networks,
}


def _watch(client: "Client", kind: str | None, name: str | None, out: Output) -> None:
    stream = Stream(out, _EVENT_COLUMNS)
    with client.watch() as events:
        for event in events:
            view: Any = event.get("resource")
            if view is None or kind not in (None, view["kind"]):
                continue
            if name in (None, view["metadata"]["name"]):
                row = [event["type"], *views.row(view, wide=out.wide)]
                stream.row(row[: len(_EVENT_COLUMNS)], event)


@click.command(
    cls=Command,
    examples=[
        ("sixlane export > edge.yaml", "keep what is desired"),
        ("sixlane export gateway edge", "one resource"),
    ],
)
@options.optional_kind
@options.name(required=False)
@pass_session
def export(session: Session, kind: str | None, name: str | None) -> None:
    """Print resources as YAML that apply accepts; applying it changes nothing."""
    from sixlane.sources.dump import dump

    if name is None:
        found = session.client.resources(kind)["items"]
    else:
        found = [session.client.get(str(kind), name)]
    click.echo("---\n".join(dump(views.desired(view)) for view in found), nl=False)
