# SPDX-License-Identifier: Apache-2.0
"""`sixlane eam`: explicit address mappings, one at a time."""

from typing import TYPE_CHECKING, Any

import click

from sixlane.cli import applied, completing, options, views
from sixlane.cli.command import Group
from sixlane.cli.fields import given
from sixlane.cli.gateway import the_gateway
from sixlane.cli.output import Output
from sixlane.cli.session import Session, pass_session
from sixlane.errors import ConfigError

if TYPE_CHECKING:
    from sixlane.client import Client

_ipv4 = click.argument("ipv4", metavar="IPV4", shell_complete=completing.mapped)
_of_prefix = click.option(
    "-p",
    "--prefix",
    metavar="NAME",
    shell_complete=completing.prefixes,
    help="The prefix that has it; found by itself if not given.",
)


@click.group(cls=Group)
def eam() -> None:
    """Show and change explicit address mappings (RFC 7757)."""


@eam.command("list")
@click.argument("prefix", required=False, shell_complete=completing.prefixes)
@options.gateway
@options.with_output
@pass_session
def list_(session: Session, prefix: str | None, gateway: str | None, out: Output) -> None:
    """Show all mappings, or those of one PREFIX (its name)."""
    chosen = the_gateway(session.client, gateway)
    found = _mappings(session.client, chosen, prefix)
    data = [{"prefixName": name, **one} for name, one in found]
    if not out.data(data, data):
        views.show_eams(out, found)


@eam.command()
@_ipv4
@_of_prefix
@options.gateway
@options.with_output
@pass_session
def get(session: Session, ipv4: str, prefix: str | None, gateway: str | None, out: Output) -> None:
    """Show the mapping of one IPv4 address or range."""
    chosen = the_gateway(session.client, gateway)
    name, one = _find(session.client, chosen, prefix, ipv4)
    if not out.data({"prefixName": name, **one}):
        views.show_eams(out, [(name, one)])


@eam.command(
    examples=[
        (
            "sixlane eam add legacy 192.0.2.80/32 2001:db8:1::80/128",
            "an IPv4 address for one node inside",
        ),
        (
            "sixlane eam add legacy 203.0.113.0/24 2001:db8:2::/120 --remote",
            "IPv6 addresses for nodes outside",
        ),
    ]
)
@click.argument("prefix", shell_complete=completing.prefixes)
@click.argument("ipv4", metavar="IPV4")
@click.argument("ipv6", metavar="IPV6")
@click.option("--remote", is_flag=True, help="The nodes are outside and have the IPv4 addresses.")
@options.gateway
@options.dry_run
@options.with_output
@pass_session
def add(
    session: Session,
    prefix: str,
    ipv4: str,
    ipv6: str,
    remote: bool,
    gateway: str | None,
    dry_run: bool,
    out: Output,
) -> None:
    """Add a mapping to a PREFIX (its name). There must be none of that IPv4 range yet."""
    data: dict[str, Any] = {"ipv4": _with_length(ipv4, 32), "ipv6": _with_length(ipv6, 128)}
    if remote:
        data["remote"] = True
    chosen = the_gateway(session.client, gateway)
    answer = session.client.put_eam(chosen, prefix, data, if_match="", dry_run=dry_run)
    applied.report(out, answer)


@eam.command("set")
@_ipv4
@click.option("--ipv6", metavar="IPV6", help="Another IPv6 side.")
@click.option("--remote/--local", default=None, help="Where the nodes are: outside, or inside.")
@_of_prefix
@options.gateway
@options.dry_run
@options.with_output
@pass_session
def set_(
    session: Session,
    ipv4: str,
    ipv6: str | None,
    remote: bool | None,
    prefix: str | None,
    gateway: str | None,
    dry_run: bool,
    out: Output,
) -> None:
    """Change what is given and leave the rest."""
    changes: dict[str, Any] = {}
    if ipv6 is not None:
        changes["ipv6"] = _with_length(ipv6, 128)
    if remote is not None:
        changes["remote"] = remote
    given(changes)
    chosen = the_gateway(session.client, gateway)
    name, one = _find(session.client, chosen, prefix, ipv4)
    answer = session.client.put_eam(chosen, name, {**one, **changes}, dry_run=dry_run)
    applied.report(out, answer)


@eam.command()
@_ipv4
@_of_prefix
@options.gateway
@options.dry_run
@options.with_output
@pass_session
def delete(
    session: Session,
    ipv4: str,
    prefix: str | None,
    gateway: str | None,
    dry_run: bool,
    out: Output,
) -> None:
    """Take the mapping of an IPv4 address or range away."""
    chosen = the_gateway(session.client, gateway)
    name, one = _find(session.client, chosen, prefix, ipv4)
    answer = session.client.delete_eam(chosen, name, one["ipv4"], dry_run=dry_run)
    applied.report(out, answer)


def _mappings(client: "Client", gateway: str, prefix: str | None) -> list[tuple[str, Any]]:
    """Pairs of the prefix's name and the mapping."""
    if prefix is not None:
        return [(prefix, one) for one in client.eams(gateway, prefix)["items"]]
    prefixes = client.prefixes(gateway)["items"]
    return [(one["name"], eam) for one in prefixes for eam in one.get("eam", ())]


def _find(client: "Client", gateway: str, prefix: str | None, ipv4: str) -> tuple[str, Any]:
    """The mapping and the prefix that has it. Raises `NotFound`."""
    from sixlane.client import NotFound

    wanted = _with_length(ipv4, 32)
    for name, one in _mappings(client, gateway, prefix):
        if one["ipv4"] == wanted:
            return name, one
    of = f"prefix {prefix} of " if prefix else ""
    raise NotFound(404, f"no mapping of {wanted} in {of}Gateway {gateway}", "sixlane eam list")


def _with_length(text: str, longest: int) -> str:
    """An address alone stands for itself only."""
    if not text:
        raise ConfigError("an empty address", "as in 192.0.2.80/32")
    return text if "/" in text else f"{text}/{longest}"
