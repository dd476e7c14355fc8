# SPDX-License-Identifier: Apache-2.0
"""Packets kept in files: a small one of each kind, and those on which something once differed.

A line is the number of a configuration and a packet in hexadecimal; `#` begins a remark.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from sixlane.rfc.outcome import Drop, Forward, Outcome, Pass
from tests.diff.configurations import CONFIGURATIONS
from tests.diff.strategies import build_packet

DIRECTORY = Path(__file__).parents[1] / "diff/corpus"
PACKETS = DIRECTORY / "packets.txt"
FAILURES = DIRECTORY / "failures"

_SEEDS = 6_000
_LARGE_BYTES = 200
_PROTOCOLS = (1, 6, 17, 58)
_TYPES = tuple(bytes((one,)) for one in (0, 1, 2, 3, 4, 5, 8, 11, 12, 127, 128, 129))


@dataclass(frozen=True)
class Kept:
    configuration: int
    packet: bytes


def read() -> list[Kept]:
    """All that is kept."""
    return [
        kept
        for path in (PACKETS, *sorted(FAILURES.glob("*.txt")))
        if path.exists()
        for kept in _parsed(path.read_text())
    ]


def keep_failure(kept: Kept, remark: str) -> Path:
    """Writes a file of its own."""
    FAILURES.mkdir(exist_ok=True)
    name = sha256(kept.packet).hexdigest()[:12]
    path = FAILURES / f"{name}.txt"
    path.write_text(_text([kept], remark))
    return path


def collect() -> list[Kept]:
    """The smallest packet of each kind that the generators make."""
    smallest: dict[object, Kept] = {}
    for number, translator in enumerate(CONFIGURATIONS):
        for seed in range(_SEEDS):
            packet = build_packet(random.Random(seed), translator)
            outcome = translator.translate(packet)
            for kind in (_kind(packet, outcome), (number, _what(outcome))):
                found = smallest.get(kind)
                if not found or len(packet) < len(found.packet):
                    smallest[kind] = Kept(number, packet)
    return sorted(set(smallest.values()), key=lambda kept: (kept.configuration, kept.packet))


def write(all_kept: Iterable[Kept]) -> None:
    PACKETS.write_text(_text(all_kept, "made by python -m tests.fuzz --collect"))


def _what(outcome: Outcome) -> object:
    if isinstance(outcome, Forward):
        return outcome.direction
    if isinstance(outcome, Drop):
        return outcome.reason, outcome.error is not None
    return outcome.reason if isinstance(outcome, Pass) else "slow path"


def _kind(packet: bytes, outcome: Outcome) -> object:
    """What decides about a packet, roughly: outcome, protocol, fragment, size, what it quotes."""
    if len(packet) < 48:
        return _what(outcome), "short"
    version, protocol, upper, cut, plain = _header(packet)
    if len(packet) > _LARGE_BYTES:
        return _what(outcome), any(cut), "large"
    if protocol not in (1, 58) or any(cut):
        return _what(outcome), version, protocol, cut, plain
    quoted = packet[upper + 8 :]
    inner = _header(quoted)[1] if len(quoted) >= 20 else ()
    icmp_type = packet[upper : upper + 1]
    return _what(outcome), protocol, icmp_type if icmp_type in _TYPES else b"", inner


def _header(packet: bytes) -> tuple[int, int, int, tuple[bool, bool], bool]:
    """Version, upper protocol (0: another) and its offset, whether more fragments come and whether
    this is a later one, whether there is nothing else in the header."""
    if packet[0] >> 4 == 6 and len(packet) >= 48:
        if packet[6] == 44:
            cut = bool(packet[43] & 1), packet[42:44] > b"\0\7"
            return 6, _known(packet[40]), 48, cut, True
        return 6, _known(packet[6]), 40, (False, False), packet[6] not in (0, 43, 60)
    size = (packet[0] & 15) * 4
    place = int.from_bytes(packet[6:8])
    return 4, _known(packet[9]), size, (bool(place & 0x2000), place & 0x1FFF > 0), size == 20


def _known(protocol: int) -> int:
    return protocol if protocol in _PROTOCOLS else 0


def _text(all_kept: Iterable[Kept], remark: str) -> str:
    head = ["SPDX-License-Identifier: Apache-2.0", *remark.splitlines()]
    lines = [f"# {line}".rstrip() for line in head]
    lines += [f"{kept.configuration} {kept.packet.hex()}" for kept in all_kept]
    return "".join(f"{line}\n" for line in lines)


def _parsed(text: str) -> Iterator[Kept]:
    for line in text.splitlines():
        number, _, packet = line.partition("#")[0].strip().partition(" ")
        if number:
            yield Kept(int(number) % len(CONFIGURATIONS), bytes.fromhex(packet))
