# SPDX-License-Identifier: Apache-2.0
"""`sixlane trace`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sixlane.cli import completing, options
from sixlane.cli.command import Command
from sixlane.cli.output import Output
from sixlane.cli.session import Session, pass_session
from sixlane.errors import ConfigError

if TYPE_CHECKING:
    from sixlane.client.types import Trace

_MOST = 256
_LINK_BYTES = 14


@click.command(
    cls=Command,
    examples=[
        ('sixlane trace "2001:db8::1 -> 64:ff9b::192.31.196.10 tcp/443"', "in words"),
        ('sixlane trace "192.31.196.10:5000 -> 192.175.48.10 udp/53 ttl=1"', "with options"),
        ("sixlane trace --pcap client.pcap --count 3 --to-us", "the first three of a file"),
        ("sixlane trace --hex 4500001c... --device wan0", "bytes, as they came in by wan0"),
    ],
)
@click.argument("flow", required=False)
@click.option(
    "--pcap",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="Packets of a pcap or pcapng file.",
)
@click.option(
    "--count",
    type=click.IntRange(1, _MOST),
    default=10,
    show_default=True,
    metavar="N",
    help="How many of the file's packets.",
)
@click.option("--hex", "digits", metavar="BYTES", help="A packet or frame in hexadecimal.")
@click.option(
    "--device",
    metavar="DEVICE",
    shell_complete=completing.devices,
    help="That it comes in by; left out: by which the kernel would answer it.",
)
@click.option("--to-us", is_flag=True, help="As if each frame were addressed to this machine.")
@options.with_output
@pass_session
def trace(
    session: Session,
    flow: str | None,
    pcap: Path | None,
    count: int,
    digits: str | None,
    device: str | None,
    to_us: bool,
    out: Output,
) -> None:
    """Show what would become of a packet, step by step; nothing is sent, counted or changed.

    FLOW is "SOURCE -> DESTINATION PROTOCOL[/PORT] [OPTION=VALUE...]": either end may have a port,
    the protocol is tcp, udp, icmp (an echo request) or a number; options are ttl, tos, size (bytes
    of layer 3), df and id (IPv4), flags (of TCP, such as SA).

    The data path's own programs run on the packet over the tables in force.
    """
    if sum(one is not None for one in (flow, pcap, digits)) != 1:
        raise click.UsageError("one of FLOW, --pcap and --hex is needed")
    packets: list[dict[str, str]] = []
    if flow is not None:
        packets = [{"flow": flow}]
    elif digits is not None:
        packets = [_of_hex(digits, to_us)]
    elif pcap is not None:
        packets = _of_file(pcap, count, to_us)
    answers = session.client.trace(packets, device=device)
    if out.data({"items": answers}, answers):
        return
    for number, answer in enumerate(answers):
        out.lines(*([""] if number else []), *_lines(answer, out.wide))


def _lines(answer: "Trace", wide: bool) -> list[str]:
    first, *steps, last = answer["steps"]
    lines = [first, *(f"  {step}" for step in steps), last]
    if wide:
        lines += _dump("in", answer["before"])
        lines += _dump("out", answer["after"]) if answer["after"] else []
    return lines


def _dump(title: str, packet: Any) -> list[str]:
    """Bytes, sixteen a line."""
    data = bytes.fromhex(packet["hex"])
    rows = range(0, len(data), 16)
    return [f"{title}:", *(f"  {at:04x}  {data[at : at + 16].hex(' ', 2)}" for at in rows)]


def _of_hex(digits: str, to_us: bool) -> dict[str, str]:
    """Layer 3 if it begins with a version and a length that fit, else a frame."""
    text = "".join(digits.replace(":", "").split())
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise click.UsageError("--hex: not hexadecimal digits") from None
    v4 = data[:1] != b"" and data[0] >> 4 == 4 and int.from_bytes(data[2:4]) == len(data)
    v6 = data[:1] != b"" and data[0] >> 4 == 6 and 40 + int.from_bytes(data[4:6]) == len(data)
    return _asked(data, not (v4 or v6), to_us)


def _of_file(path: Path, count: int, to_us: bool) -> list[dict[str, str]]:
    from itertools import islice

    from sixlane.cli.pcap import read

    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    found = [_asked(one.data, one.is_frame, to_us) for one in islice(read(data), count)]
    if not found:
        raise click.UsageError("--pcap: there is no packet in the file")
    return found


def _asked(data: bytes, is_frame: bool, to_us: bool) -> dict[str, str]:
    if not is_frame:
        return {"packet": data.hex()}
    if to_us and data[12:14] in (b"\x08\x00", b"\x86\xdd"):
        return {"packet": data[_LINK_BYTES:].hex()}
    return {"frame": data.hex()}
