# SPDX-License-Identifier: Apache-2.0
"""`sixlane bigtcp`: how large the packets are that devices are handed, and make."""

from typing import TYPE_CHECKING

import click

from sixlane.cli import options
from sixlane.cli.command import Group
from sixlane.cli.output import Output
from sixlane.cli.session import Session, pass_session

if TYPE_CHECKING:
    from sixlane.client.types import BigTcpDevice, BigTcpReasons

_COLUMNS = ("DEVICE", "IN", "POD", "GSO", "GRO", "GSO4", "GRO4", "MAXIMUM", "WHY")
_WIDE = ("CONTAINER", "IPV6-MTU", "NETNS")
_SHORT = 13  # of an id, as container runtimes show it


@click.group(cls=Group)
def bigtcp() -> None:
    """Show packets of TCP beyond 64 KiB, on uplinks and devices of pods."""


@bigtcp.command(
    "status",
    examples=[
        ("sixlane bigtcp status", "after bigTcp of a Network was changed"),
        ("sixlane bigtcp status -o ndjson", "one line a device"),
    ],
)
@options.with_output
@pass_session
def status(session: Session, out: Output) -> None:
    """Show what each device has, as it is now, and why.

    Sizes are those of packets with their headers, in bytes: GSO of those that a device is handed,
    GRO of those that are made of what it received; GSO4 and GRO4 are those of IPv4, GSO and GRO
    those of IPv6. A pod has a device on the node, and its other end. MAXIMUM is what the driver can
    do.
    """
    devices = session.client.big_tcp()
    if out.data({"items": devices}, devices):
        return
    if not devices:
        out.lines("no Network has uplinks or pods here")
        return
    wide = _WIDE if out.wide else ()
    out.table((*_COLUMNS, *wide), [_row(one, out.wide) for one in devices])


def _row(one: "BigTcpDevice", wide: bool) -> list[object]:
    container = one["containerId"]
    named = f"{one['namespace']}/{one['name']}" if one["name"] else container and container[:_SHORT]
    sizes = (one["gso"], one["gro"], one["gsoIpv4"], one["groIpv4"])
    cells: list[object] = [
        one["device"],
        "pod" if one["netns"] else "node",
        named or "-",
        *("-" if size is None else size for size in sizes),
        one["maximum"],
        _why(one["why"]),
    ]
    more = [container or "-", one["ipv6Mtu"] or "-", one["netns"] or "-"]
    return [*cells, *more] if wide else cells


def _why(why: "BigTcpReasons") -> str:
    if why["ipv6"] == why["ipv4"]:
        return why["ipv6"]
    return f"IPv6 {why['ipv6']}; IPv4 {why['ipv4']}"
