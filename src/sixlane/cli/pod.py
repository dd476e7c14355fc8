# SPDX-License-Identifier: Apache-2.0
"""`sixlane pod`: the pods of this node."""

from typing import TYPE_CHECKING

import click

from sixlane.cli import options
from sixlane.cli.command import Group
from sixlane.cli.output import Output, mark
from sixlane.cli.session import Session, pass_session

if TYPE_CHECKING:
    from sixlane.client.types import Pod

_COLUMNS = ("CONTAINER", "INTERFACE", "POD", "ADDRESSES", "DEVICE", "READY")
_WIDE = ("POOL", "EGRESS", "HOST-DEVICE", "MTU", "NETNS")
_SHORT = 13  # of an id, as container runtimes show it


@click.group(cls=Group)
def pod() -> None:
    """Show the pods of this node."""


@pod.command("list", examples=[("sixlane pod list -o wide", "also the devices on the node")])
@options.with_output
@pass_session
def list_(session: Session, out: Output) -> None:
    """Show what each pod has that the CNI plugin has asked for.

    READY is no while its device is being made. EGRESS is the address that stands for an IPv4
    address of its own.
    """
    pods = session.client.pods()
    if out.data({"items": pods}, pods):
        return
    wide = _WIDE if out.wide else ()
    out.table((*_COLUMNS, *wide), [_row(one, out.wide) for one in pods])
    if not pods:
        out.lines("no pods")


def _row(one: "Pod", wide: bool) -> list[object]:
    cells: list[object] = [
        one["containerId"] if wide else one["containerId"][:_SHORT],
        one["ifname"],
        f"{one['namespace']}/{one['name']}" if one["name"] else "-",
        ", ".join(one["addresses"]),
        one["device"],
        mark("yes" if one["ready"] else "no", one["ready"]),
    ]
    more = [one["pool"], one["egress"] or "-", one["hostDevice"], one["mtu"], one["netns"]]
    return [*cells, *more] if wide else cells
