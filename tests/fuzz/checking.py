# SPDX-License-Identifier: Apache-2.0
"""Batches of packets through data path and reference.

Verdict and bytes are compared packet by packet, the counters once a batch: reading them takes
longer than all the rest. A batch in which something differs is run again, one by one.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sixlane.errors import KernelError
from sixlane.rfc.rfc7915 import Translator
from tests.diff.test_datapath import (
    _like,
    compare,
    expected,
    has_no_route,
    identifications,
    is_too_short_for_a_test_run,
)
from tests.world import Entry, Seen, World

ENTRIES: tuple[Entry, ...] = ("xdp", "tc")


@dataclass(frozen=True)
class Difference:
    """`packets`: the one, or the batch whose packets do not differ one by one. `told`: how."""

    packets: tuple[bytes, ...]
    entry: Entry
    told: str


def check(world: World, translator: Translator, packets: Sequence[bytes]) -> Difference | None:
    """Both entries, each packet. `translator` is what the world was configured with."""
    world.counted()
    wanted: Counter[str] = Counter()
    agreed = True
    for packet in packets:
        for entry in ENTRIES:
            try:
                seen = world.send(packet, entry)
            except KernelError:
                agreed &= entry == "tc" and is_too_short_for_a_test_run(packet)
                continue
            reason = _reason(translator, packet, seen)
            agreed &= reason is not None
            wanted[reason or ""] += 1
    counted = {
        name: count
        for name, count in world.counted().items()
        if not name.startswith(("icmp_error", "event"))
    }
    if agreed and counted == wanted:
        return None
    return _one_by_one(world, translator, packets) or Difference(
        tuple(packets), "xdp", f"a batch counts {counted}, and should {dict(wanted)}"
    )


def differs(world: World, translator: Translator, packet: bytes, entry: Entry) -> str | None:
    """How, if it does."""
    try:
        compare(world, translator, packet, entry)
    except AssertionError as why:
        return str(why) or "counted under more than one reason, or none"
    return None


def smaller(world: World, translator: Translator, packet: bytes, entry: Entry) -> bytes:
    """A shorter and emptier packet that still differs: no more than a few hundred trials."""
    for size in (len(packet) // 2, 256, 64, 16, 4, 1):
        while 0 < size < len(packet) and differs(world, translator, packet[:-size], entry):
            packet = packet[:-size]
    for block in (128, 16, 1):
        for at in range(0, min(len(packet), 128 * block), block):
            zeros = bytes(len(packet[at : at + block]))
            emptied = packet[:at] + zeros + packet[at + block :]
            if emptied != packet and differs(world, translator, emptied, entry):
                packet = emptied
    return packet


def _reason(translator: Translator, packet: bytes, seen: Seen) -> str | None:
    """Under which reason it must be counted, if verdict and bytes are as the reference says."""
    for number in identifications(seen):
        wanted = expected(translator.translate(packet, identification=number))
        if _like(wanted, seen, wanted.reason) == wanted:
            return wanted.reason
    return "drop_no_route" if has_no_route(wanted.packet) else None


def _one_by_one(
    world: World, translator: Translator, packets: Sequence[bytes]
) -> Difference | None:
    world.counted()
    for packet in packets:
        for entry in ENTRIES:
            told = differs(world, translator, packet, entry)
            if told:
                return Difference((packet,), entry, told)
    return None
