# SPDX-License-Identifier: Apache-2.0
"""`sixlane capture`."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from sixlane.cli import completing, options
from sixlane.cli.command import Command
from sixlane.cli.output import Bad, Output, Stream
from sixlane.cli.session import Session, pass_session
from sixlane.errors import ConfigError

if TYPE_CHECKING:
    from sixlane.client.types import Packet

_COLUMNS = (("TIME", 15), ("DEVICE", 15), ("RESULT", 28), ("PACKET", 0))
_FRAME_BYTES = 2048

Show = Callable[["Packet"], None]


@click.command(
    cls=Command,
    examples=[
        ("sixlane capture tcp port 443", "a line for each packet, and what became of it"),
        (
            "sixlane capture -w edge.pcapng host 192.31.196.10",
            "for Wireshark: in and out",
        ),
        ("sixlane capture --only dropped -w - | tcpdump -n -r -", "what is dropped, by tcpdump"),
    ],
)
@click.argument("filter", nargs=-1)
@click.option(
    "-w",
    "--write",
    metavar="FILE",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Write pcapng there; -: to standard output.",
)
@click.option(
    "--device",
    metavar="DEVICE",
    shell_complete=completing.devices,
    help="That packets came in by.",
)
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(["sent", "dropped", "passed"]),
    help="What became of them. Repeatable.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, 3600, min_open=True),
    default=60.0,
    show_default=True,
    metavar="N",
    help="End after this time.",
)
@click.option(
    "--packets",
    type=click.IntRange(1, 10_000_000),
    default=10_000,
    show_default=True,
    metavar="N",
    help="End after N packets.",
)
@click.option(
    "--bytes",
    "size",
    type=click.IntRange(1, 1 << 34),
    default=100 << 20,
    show_default=True,
    metavar="N",
    help="End after N bytes of frames.",
)
@click.option(
    "--snap",
    type=click.IntRange(64, _FRAME_BYTES),
    default=_FRAME_BYTES,
    show_default=True,
    metavar="N",
    help="Bytes kept of each frame.",
)
@click.option(
    "--rate",
    type=click.IntRange(1, 1_000_000),
    default=10_000,
    show_default=True,
    metavar="N",
    help="At most N packets a second, of all CPUs.",
)
@options.with_output
@pass_session
def capture(
    session: Session,
    filter: tuple[str, ...],
    write: Path | None,
    device: str | None,
    only: tuple[str, ...],
    seconds: float,
    packets: int,
    size: int,
    snap: int,
    rate: int,
    out: Output,
) -> None:
    """Show packets as XDP and tc get them, as they send them, and why each fared so.

    FILTER is tcpdump's (man 7 pcap-filter); a packet is shown if it matches as it came or as it
    left. In pcapng, each frame has its device, direction, and what became of it as a comment.

    Programs that capture take the place of the usual ones meanwhile; no packet is lost by that.
    What is over the rate is not captured, and told of at the end.
    """
    stream = session.client.capture(
        filter=" ".join(filter),
        device=device,
        only=only,
        seconds=seconds,
        packets=packets,
        size=size,
        snap=snap,
        rate=rate,
    )
    shown, limited, lost = 0, 0, 0
    try:
        with stream, _shown(write, out) as show:
            for packet in stream:
                if "before" in packet:
                    show(packet)
                    shown += 1
                else:
                    limited += packet["limited"]
                    lost += packet["lost"]
    except KeyboardInterrupt:
        pass
    click.echo(f"{shown} packets, {limited} more over the rate, {lost} more lost", err=True)


@contextmanager
def _shown(write: Path | None, out: Output) -> Iterator[Show]:
    if write is None:
        stream = Stream(out, _COLUMNS)
        yield lambda packet: _line(stream, packet)
    elif str(write) == "-":
        yield _writer(sys.stdout.buffer)
    else:
        try:
            file = write.open("wb")
        except OSError as error:
            raise ConfigError(f"cannot write {write}: {error.strerror}") from None
        with file:
            yield _writer(file)


def _line(stream: Stream, packet: "Packet") -> None:
    from datetime import datetime

    moment = datetime.fromisoformat(packet["time"]).astimezone().strftime("%H:%M:%S.%f")
    reason = result(packet)
    what = packet["before"]["summary"]
    if packet["after"]:
        what += f"  =>  {packet['after']['summary']}"
    cell = Bad(reason) if packet["outcome"] == "dropped" else reason
    stream.row([moment, packet["device"], cell, what], packet)


def _writer(file: BinaryIO) -> Show:
    import sixlane
    from sixlane.cli.pcapng import Writer, time_ns

    writer = Writer(file, f"sixlane {sixlane.__version__}")

    def write(packet: "Packet") -> None:
        when, after = time_ns(packet["time"]), packet["after"]
        for frame, outbound in ((packet["before"], False), (after, True)):
            if frame is not None:
                side = "out" if outbound else "in"
                writer.packet(
                    f"{packet['device']} {packet['entry']} {side}",
                    when,
                    bytes.fromhex(frame["hex"]),
                    frame["bytes"],
                    outbound=outbound,
                    comment=result(packet),
                )
        writer.flush()

    return write


def result(packet: "Packet | dict[str, Any]") -> str:
    """ "dropped: ttl_expired, icmp_error_sent", with a session "sent: 64, pool4 192.0.2.1:4000"."""
    names = [
        reason.removeprefix("forward_").removeprefix("drop_").removeprefix("pass_")
        for reason in packet["reasons"]
    ]
    pool4 = f", pool4 {packet['pool4']}" if packet.get("pool4") else ""
    return f"{packet['outcome']}: {', '.join(names)}{pool4}"
