# SPDX-License-Identifier: Apache-2.0
"""`sixlane prefix`: the translation prefixes of a Gateway, one at a time."""

from typing import Any

import click

from sixlane.cli import applied, completing, options, views
from sixlane.cli.command import Group
from sixlane.cli.fields import given, or_default, ranges
from sixlane.cli.gateway import the_gateway
from sixlane.cli.output import Output
from sixlane.cli.session import Session, pass_session

_name = click.argument("name", shell_complete=completing.prefixes)
_max_segment = click.option(
    "--max-segment-size",
    metavar="BYTES|auto|default",
    help="The MSS that TCP SYNs may offer.",
)
_sources = click.option(
    "--source-range",
    "sources",
    multiple=True,
    metavar="RANGE",
    help="IPv4 sources that are let in; all (the default), none, or repeatable.",
)


@click.group(cls=Group)
def prefix() -> None:
    """Show and change the translation prefixes of a Gateway."""


@prefix.command("list")
@options.gateway
@options.with_output
@pass_session
def list_(session: Session, gateway: str | None, out: Output) -> None:
    """Show all prefixes."""
    listing = session.client.prefixes(the_gateway(session.client, gateway))
    if not out.data(listing, listing["items"]):
        views.show_prefixes(out, listing["items"])


@prefix.command()
@_name
@options.gateway
@options.with_output
@pass_session
def get(session: Session, name: str, gateway: str | None, out: Output) -> None:
    """Show one prefix."""
    one = session.client.prefix(the_gateway(session.client, gateway), name)
    if not out.data(one):
        views.show_prefixes(out, [one])


@prefix.command(
    examples=[
        (
            "sixlane prefix add services 64:ff9b::/96 --ipv4 192.175.48.0/25"
            " --source-range 192.31.196.0/25",
            "serve half of a range, to some",
        )
    ]
)
@click.argument("name")
@click.argument("prefix")
@click.option(
    "--ipv4",
    multiple=True,
    metavar="RANGE",
    help="IPv4 addresses that stand for nodes inside. Repeatable.",
)
@_sources
@_max_segment
@options.gateway
@options.dry_run
@options.with_output
@pass_session
def add(
    session: Session,
    name: str,
    prefix: str,
    ipv4: tuple[str, ...],
    sources: tuple[str, ...],
    max_segment_size: str | None,
    gateway: str | None,
    dry_run: bool,
    out: Output,
) -> None:
    """Add a prefix. There must be none of that NAME yet."""
    data = {"name": name, "prefix": prefix, "ipv4": list(ipv4)}
    if sources and (let_in := ranges(sources, all=None, none=[])) is not None:
        data["loadBalancerSourceRanges"] = let_in
    if max_segment_size is not None:
        data["maxSegmentSize"] = or_default(max_segment_size, int)
    chosen = the_gateway(session.client, gateway)
    answer = session.client.put_prefix(chosen, data, if_match="", dry_run=dry_run)
    applied.report(out, answer)


@prefix.command(
    "set", examples=[("sixlane prefix set services --source-range all", "let everybody in")]
)
@_name
@click.option("--prefix", metavar="PREFIX", help="Another IPv6 prefix.")
@click.option(
    "--ipv4", multiple=True, metavar="RANGE", help="These replace all: none, or repeatable."
)
@_sources
@_max_segment
@options.gateway
@options.dry_run
@options.with_output
@pass_session
def set_(
    session: Session,
    name: str,
    prefix: str | None,
    ipv4: tuple[str, ...],
    sources: tuple[str, ...],
    max_segment_size: str | None,
    gateway: str | None,
    dry_run: bool,
    out: Output,
) -> None:
    """Change what is given and leave the rest."""
    patch: dict[str, Any] = {}
    if prefix is not None:
        patch["prefix"] = prefix
    if ipv4:
        patch["ipv4"] = ranges(ipv4, none=[])
    if sources:
        patch["loadBalancerSourceRanges"] = ranges(sources, all=None, none=[])
    if max_segment_size is not None:
        patch["maxSegmentSize"] = or_default(max_segment_size, int)
    given(patch)
    chosen = the_gateway(session.client, gateway)
    answer = session.client.patch_prefix(chosen, name, patch, dry_run=dry_run)
    applied.report(out, answer)


@prefix.command()
@_name
@options.gateway
@options.dry_run
@options.with_output
@pass_session
def delete(session: Session, name: str, gateway: str | None, dry_run: bool, out: Output) -> None:
    """Take a prefix away, with its mappings."""
    chosen = the_gateway(session.client, gateway)
    applied.report(out, session.client.delete_prefix(chosen, name, dry_run=dry_run))
