# SPDX-License-Identifier: Apache-2.0
"""`sixlane gateway`: the Gateway itself; its prefixes and mappings have words of their own."""

from typing import TYPE_CHECKING, Any

import click

from sixlane.cli import applied, completing, options, views
from sixlane.cli.command import Group
from sixlane.cli.fields import API_VERSION, given, or_default, ranges
from sixlane.cli.output import Output
from sixlane.cli.session import Session, pass_session
from sixlane.errors import ConfigError

if TYPE_CHECKING:
    from sixlane.client import Client

_KIND = "Gateway"


def the_gateway(client: "Client", name: str | None) -> str:
    """The name given, or that of the only Gateway. Raises `NotFound` if there is none."""
    from sixlane.client import NotFound

    if name is not None:
        return name
    names = [one["metadata"]["name"] for one in client.resources(_KIND)["items"]]
    if len(names) == 1:
        return str(names[0])
    if names:
        raise ConfigError(f"which Gateway? there are {', '.join(names)}", "say --gateway NAME")
    raise NotFound(404, "there is no Gateway yet", "sixlane gateway add, or apply a file")


def _fields(*, adding: bool) -> options.Decorator[Any]:
    """The options for its own fields, for `add` and `set`."""
    return options.several(
        click.option(
            "--device",
            "devices",
            multiple=True,
            required=adding,
            metavar="DEV[:ATTACH]",
            help="Translate what comes in there; ATTACH is auto, xdp, xdp-generic or tc. "
            + ("Repeatable." if adding else "Repeatable; these replace all."),
        ),
        click.option(
            "--lowest-ipv6-mtu",
            metavar="BYTES",
            help="IPv4 packets that may be cut are made no larger than this in IPv6.",
        ),
        click.option("--tos", metavar="N|copy", help="The TOS of IPv4 packets."),
        click.option("--traffic-class", metavar="N|copy", help="That of IPv6 packets."),
        click.option(
            "--udp-zero-checksum",
            metavar="drop|compute",
            help="IPv4 datagrams without a UDP checksum.",
        ),
        click.option(
            "--hairpin",
            metavar="simple|intrinsic|off",
            help="From inside to inside by IPv4 addresses.",
        ),
        click.option(
            "--icmp-error-rate", metavar="N", help="ICMP errors a second; 0: none; or unlimited."
        ),
        click.option("--icmp-source-ipv4", metavar="ADDRESS", help="Where they come from."),
        click.option("--icmp-source-ipv6", metavar="ADDRESS", help="The same, for IPv6."),
        click.option(
            "--icmp-pool",
            "pool",
            multiple=True,
            metavar="RANGE",
            help="Sources for errors from routers without an IPv4 address. "
            + ("Repeatable." if adding else "These replace all: none, or repeatable."),
        ),
        click.option(
            "--icmp-origin/--no-icmp-origin",
            "origin",
            default=None,
            help="Tell such a router's IPv6 address in the error, or not.",
        ),
    )


@click.group(cls=Group)
def gateway() -> None:
    """Show and change the Gateway: devices, MTU, ICMP errors."""


@gateway.command("list")
@options.with_output
@pass_session
def list_(session: Session, out: Output) -> None:
    """Show all Gateways."""
    listing = session.client.resources(_KIND)
    if not out.data(listing, listing["items"]):
        views.show_gateways(out, listing["items"])


@gateway.command()
@options.name(_KIND, required=False)
@options.with_output
@pass_session
def get(session: Session, name: str | None, out: Output) -> None:
    """Show one; NAME is not needed if there is but one."""
    view = session.client.get(_KIND, the_gateway(session.client, name))
    if not out.data(view):
        views.show_gateways(out, [view])


@gateway.command(
    examples=[
        (
            "sixlane gateway add edge --device wan0 --device lan0:tc"
            " --prefix services 64:ff9b::/96 --ipv4 192.175.48.0/25",
            "two devices and the first prefix",
        )
    ]
)
@click.argument("name")
@_fields(adding=True)
@click.option(
    "--prefix",
    nargs=2,
    required=True,
    metavar="NAME PREFIX",
    help="Its first prefix; see sixlane prefix add for more.",
)
@click.option(
    "--ipv4", multiple=True, metavar="RANGE", help="IPv4 addresses of nodes inside. Repeatable."
)
@options.dry_run
@options.with_output
@pass_session
def add(
    session: Session,
    name: str,
    prefix: tuple[str, str],
    ipv4: tuple[str, ...],
    dry_run: bool,
    out: Output,
    **fields: Any,
) -> None:
    """Make a Gateway. It must not be there yet."""
    first = {"name": prefix[0], "prefix": prefix[1], "ipv4": list(ipv4)}
    resource = {
        "apiVersion": API_VERSION,
        "kind": _KIND,
        "metadata": {"name": name},
        "spec": {**_spec(fields), "prefixes": [first]},
    }
    applied.report(out, session.client.put(resource, if_match="", dry_run=dry_run))


@gateway.command(
    "set",
    examples=[
        ("sixlane gateway set --device wan0 --device lan0:xdp", "these devices, no others"),
        ("sixlane gateway set --icmp-error-rate default", "as if it had never been set"),
    ],
)
@options.name(_KIND, required=False)
@_fields(adding=False)
@options.dry_run
@options.with_output
@pass_session
def set_(session: Session, name: str | None, dry_run: bool, out: Output, **fields: Any) -> None:
    """Change what is given and leave the rest; the value default takes a field away."""
    patch = {"spec": given(_spec(fields))}
    chosen = the_gateway(session.client, name)
    applied.report(out, session.client.patch(_KIND, chosen, patch, dry_run=dry_run))


@gateway.command()
@click.argument("name", shell_complete=completing.names_of(_KIND))
@options.dry_run
@options.with_output
@pass_session
def delete(session: Session, name: str, dry_run: bool, out: Output) -> None:
    """Take a Gateway away, with all its prefixes: nothing is translated any more."""
    applied.report(out, session.client.delete(_KIND, name, dry_run=dry_run))


def _spec(fields: dict[str, Any]) -> dict[str, Any]:
    """What the options say, as part of a spec."""
    spec: dict[str, Any] = {}
    if fields["devices"]:
        spec["devices"] = [_device(text) for text in fields["devices"]]
    if fields["lowest_ipv6_mtu"] is not None:
        spec["lowestIPv6MTU"] = or_default(fields["lowest_ipv6_mtu"], int)
    if fields["icmp_error_rate"] is not None:
        rate = or_default(fields["icmp_error_rate"], int)
        spec["icmpErrors"] = None if rate is None else {"rate": rate}
    for option, key in _WORDS.items():
        if fields[option] is not None:
            spec[key] = or_default(fields[option], int)
    source = {
        family: or_default(fields[f"icmp_source_{family}"], str)
        for family in ("ipv4", "ipv6")
        if fields[f"icmp_source_{family}"] is not None
    }
    if source:
        spec["icmpSource"] = source
    pool: dict[str, Any] = {}
    if fields["pool"]:
        pool["ipv4"] = ranges(fields["pool"], none=[])
    if fields["origin"] is not None:
        pool["origin"] = fields["origin"]
    if pool:
        spec["icmpPool"] = pool
    return spec


_WORDS = {
    "tos": "tos",
    "traffic_class": "trafficClass",
    "udp_zero_checksum": "udpZeroChecksum",
    "hairpin": "hairpin",
}


def _device(text: str) -> dict[str, str]:
    name, colon, attach = text.partition(":")
    return {"name": name, "attach": attach} if colon else {"name": name}
