# SPDX-License-Identifier: Apache-2.0
"""`sixlane decap`: a backend's side of tunnels. No agent has to do with it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sixlane.cli.command import Group
from sixlane.cli.options import with_output
from sixlane.cli.output import Bad, Good, Output

if TYPE_CHECKING:
    from sixlane.decap import Status
    from sixlane.decap.plan import Way

_SMALLEST, _LARGEST = 88, 65495  # as of a Gateway's prefixes

_bpffs = click.option(
    "--bpffs",
    type=click.Path(path_type=Path, file_okay=False),
    default="/sys/fs/bpf/sixlane-decap",
    show_default=True,
    help="Where programs and tables are pinned, one directory for each network namespace.",
)


@click.group(cls=Group)
def decap() -> None:
    """Serve VIPs on a backend that gateways send to in tunnels.

    It runs on the backend, without an agent, and stays in force when the command has ended.
    """


@decap.command(
    examples=[
        (
            "sixlane decap up --device eth0 --vip 192.175.48.200 --vip 2001:db8:64::200",
            "serve two VIPs; again with others: change it in place",
        )
    ]
)
@click.option("--device", required=True, metavar="NAME", help="Where tunnels come in.")
@click.option(
    "--vip",
    "vips",
    multiple=True,
    required=True,
    metavar="ADDRESS",
    help="A service's address, which this backend answers for. Repeatable; these replace all.",
)
@click.option(
    "--address",
    "addresses",
    multiple=True,
    metavar="ADDRESS",
    help="An own address that tunnels end at, if not all of the device's. Repeatable.",
)
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="PREFIX",
    help="Where gateways' tunnels come from, as in their tunnelSources. Repeatable.  "
    "[default: 198.18.0.0/15, 100::/64]",
)
@click.option(
    "--entry",
    type=click.Choice(["auto", "tc", "xdp"]),
    default="auto",
    show_default=True,
    help="auto: native XDP on a NIC that has it, else tc.",
)
@click.option(
    "--mss",
    metavar="N",
    help="Largest segment that is offered to clients, or none: as it is.  "
    "[default: what has room for the tunnel, by the device's MTU]",
)
@_bpffs
def up(
    device: str,
    vips: tuple[str, ...],
    addresses: tuple[str, ...],
    sources: tuple[str, ...],
    entry: "Way",
    mss: str | None,
    bpffs: Path,
) -> None:
    """Take packets to VIPs out of their tunnels, and have the VIPs on lo.

    What was up before is changed in place. It says what it changes on the machine.
    """
    from sixlane import decap as backend

    wanted = backend.read_wanted(device, vips, addresses, sources, entry, _max_segment(mss))
    for line in backend.up(bpffs, wanted):
        click.echo(line)
    click.echo(f"up: {', '.join(map(str, wanted.vips))}")


@decap.command()
@_bpffs
def down(bpffs: Path) -> None:
    """Take it away, and restore what it changed."""
    from sixlane import decap as backend

    for line in backend.down(bpffs):
        click.echo(line)
    click.echo("down: no tunnels end here")


@decap.command()
@_bpffs
@with_output
@click.pass_context
def status(context: click.Context, bpffs: Path, out: Output) -> None:
    """Show what is served and what came of packets.

    The exit code is 1 if packets to a VIP do not get there: nothing is up, the device has gone, a
    VIP has been taken away.
    """
    from sixlane import decap as backend

    found = backend.status(bpffs)
    if not out.data(_document(found)):
        _show(out, found)
    if found is None or not found.well:
        context.exit(1)


def _max_segment(text: str | None) -> int | None:
    """0 for none."""
    if text is None:
        return None
    if text == "none":
        return 0
    if not (text.isascii() and text.isdigit() and _SMALLEST <= int(text) <= _LARGEST):
        raise click.BadParameter(
            f"{text} is neither none nor a number from {_SMALLEST} to {_LARGEST}",
            param_hint="'--mss'",
        )
    return int(text)


def _document(found: "Status | None") -> dict[str, Any]:
    if found is None:
        return {"up": False}
    contents = found.contents
    return {
        "up": True,
        "device": found.device or None,
        "entry": found.entry,
        "vips": [
            {"address": text, "present": text not in found.absent, "added": added}
            for text, added in _sorted_vips(found)
        ],
        "addresses": sorted(map(str, contents.addresses)),
        "sources": sorted(map(str, contents.sources)),
        "maxSegmentBytes": {
            f"ipv{version}": size or None for version, size in contents.max_segments.items()
        },
        "changed": dict(contents.originals),
        "counters": {
            name: {"packets": count.packets, "bytes": count.bytes}
            for name, count in found.counters.items()
        },
    }


def _show(out: Output, found: "Status | None") -> None:
    if found is None:
        out.lines("down: no tunnels end here")
        return
    contents = found.contents
    place = found.device or f"#{contents.ifindex}, which is gone"
    sizes = ", ".join(
        f"IPv{version} {size or 'as it is'}" for version, size in contents.max_segments.items()
    )
    facts = {
        "device": place,
        "entry": found.entry or "none: nothing of ours is attached",
        "tunnels to": ", ".join(sorted(map(str, contents.addresses))),
        "tunnels from": ", ".join(sorted(map(str, contents.sources))),
        "largest segments": sizes,
    }
    out.lines(*(f"{name:18}{value}" for name, value in facts.items()), "")
    rows = [
        (text, Bad("no device has it") if text in found.absent else Good("served"))
        for text, _ in _sorted_vips(found)
    ]
    out.table(("VIP", "STATE"), rows)
    out.table(
        ("COUNTER", "PACKETS", "BYTES"),
        [
            (name, count.packets, count.bytes)
            for name, count in found.counters.items()
            if out.wide or count.packets
        ],
    )


def _sorted_vips(found: "Status") -> list[tuple[str, bool]]:
    return sorted((str(vip), added) for vip, added in found.contents.vips.items())
