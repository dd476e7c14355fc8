# SPDX-License-Identifier: Apache-2.0
"""`sixlane dns64`: the resolvers."""

from typing import Any

import click

from sixlane.cli import applied, options, views
from sixlane.cli.command import Group
from sixlane.cli.fields import API_VERSION, given, or_default, ranges
from sixlane.cli.output import Output
from sixlane.cli.session import Session, pass_session

_KIND = "Dns64"


def _fields(*, adding: bool) -> options.Decorator[Any]:
    """The options for its fields, for `add` and `set`."""
    many = "Repeatable." if adding else "Repeatable; these replace all."
    return options.several(
        click.option(
            "--listen",
            multiple=True,
            required=adding,
            metavar="ADDRESS",
            help=f"An address of this machine to listen on. {many}",
        ),
        click.option(
            "--client",
            "clients",
            multiple=True,
            required=adding,
            metavar="RANGE",
            help=f"Who may ask. {many}",
        ),
        click.option(
            "--prefix",
            "prefixes",
            multiple=True,
            required=adding,
            metavar="PREFIX",
            help=f"Makes AAAA records. {many}",
        ),
        click.option(
            "--forwarder",
            "forwarders",
            multiple=True,
            metavar="ADDRESS",
            help=f"A resolver to ask, or none: the DNS itself. {many}",
        ),
        click.option("--port", metavar="N", help="Where it listens; 53 if not given."),
        click.option(
            "--dnssec-validation",
            type=click.Choice(["auto", "no"]),
            help="Whether answers are validated; auto if not given.",
        ),
    )


@click.group(cls=Group)
def dns64() -> None:
    """Show and change DNS64 resolvers."""


@dns64.command("list")
@options.with_output
@pass_session
def list_(session: Session, out: Output) -> None:
    """Show all resolvers."""
    listing = session.client.resources(_KIND)
    if not out.data(listing, listing["items"]):
        views.show_dns64s(out, listing["items"])


@dns64.command()
@options.name(_KIND)
@options.with_output
@pass_session
def get(session: Session, name: str, out: Output) -> None:
    """Show one resolver."""
    view = session.client.get(_KIND, name)
    if not out.data(view):
        views.show_dns64s(out, [view])


@dns64.command(
    examples=[
        (
            "sixlane dns64 add cluster --listen 2001:db8:64::1 --client 2001:db8:64::/48"
            " --prefix 64:ff9b::/96",
            "a resolver for one network",
        )
    ]
)
@click.argument("name")
@_fields(adding=True)
@options.dry_run
@options.with_output
@pass_session
def add(session: Session, name: str, dry_run: bool, out: Output, **fields: Any) -> None:
    """Add a resolver. There must be none of that NAME yet."""
    resource = {
        "apiVersion": API_VERSION,
        "kind": _KIND,
        "metadata": {"name": name},
        "spec": {key: value for key, value in _spec(fields, []).items() if value is not None},
    }
    applied.report(out, session.client.put(resource, if_match="", dry_run=dry_run))


@dns64.command("set")
@options.name(_KIND)
@_fields(adding=False)
@options.dry_run
@options.with_output
@pass_session
def set_(session: Session, name: str, dry_run: bool, out: Output, **fields: Any) -> None:
    """Change what is given and leave the rest, also what a file said of a prefix that stays."""
    view = session.client.get(_KIND, name)
    patch = {"spec": given(_spec(fields, view["spec"]["prefixes"]))}
    version = view["metadata"]["resourceVersion"]
    answer = session.client.patch(_KIND, name, patch, if_match=version, dry_run=dry_run)
    applied.report(out, answer)


@dns64.command()
@options.name(_KIND)
@options.dry_run
@options.with_output
@pass_session
def delete(session: Session, name: str, dry_run: bool, out: Output) -> None:
    """Take a resolver away."""
    applied.report(out, session.client.delete(_KIND, name, dry_run=dry_run))


def _spec(fields: dict[str, Any], prefixes: list[Any]) -> dict[str, Any]:
    """What the options say, as part of a spec; `prefixes`: those that are there."""
    spec: dict[str, Any] = {key: list(fields[key]) for key in ("listen", "clients") if fields[key]}
    if fields["prefixes"]:
        there = {one["prefix"]: one for one in prefixes}
        spec["prefixes"] = [there.get(text, {"prefix": text}) for text in fields["prefixes"]]
    if fields["forwarders"]:
        spec["forwarders"] = ranges(fields["forwarders"], none=[])
    if fields["port"] is not None:
        spec["port"] = or_default(fields["port"], int)
    if fields["dnssec_validation"] is not None:
        spec["dnssecValidation"] = fields["dnssec_validation"]
    return spec
