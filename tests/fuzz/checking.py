# SPDX-License-Identifier: Apache-2.0
"""Batches of packets through data path and reference.

Verdict and bytes are compared packet by packet, the counters once a batch: reading them takes
longer than all the rest. A batch in which something differs is run again, one by one.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sixlane.errors import KernelError
from sixlane.rfc.rfc7915 import Translator
from tests.diff.test_datapath import (
    Expected,
    _like,
    expected,
    identifications,
    is_too_short_for_a_test_run,
    plain_between,
    pool_picks,
)
from tests.fuzz.unknown import equal_but_for_the_sum, leads_nowhere, looks_unfinished
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
        for number, entry in enumerate(ENTRIES):
            between = plain_between(packet) if number else None
            if (
                between
            ):  # so that the second one meets addresses that are remembered, if they can be
                seen = world.send(between, entry)
                wanted[_reason(translator, between, seen, entry) or ""] += 1
            try:
                seen = world.send(packet, entry)
            except KernelError:
                agreed &= entry == "tc" and is_too_short_for_a_test_run(packet)
                continue
            reason = _reason(translator, packet, seen, entry)
            agreed &= reason is not None
            wanted[reason or ""] += 1
    counted = left_for(world.counted())
    if agreed and counted == wanted:
        return None
    return _one_by_one(world, translator, packets) or Difference(
        tuple(packets), "xdp", f"a batch counts {counted}, and should {dict(wanted)}"
    )


def differs(world: World, translator: Translator, packet: bytes, entry: Entry) -> str | None:
    """How, if it does."""
    between = plain_between(packet)
    if between and entry == ENTRIES[1]:
        world.run(between, entry)
    try:
        seen = world.run(packet, entry)
    except KernelError as why:
        if entry == "tc" and is_too_short_for_a_test_run(packet):
            return None
        return str(why)
    counted, reason = left_for(seen.reasons), _reason(translator, packet, seen, entry)
    if reason and counted == {reason: 1}:
        return None
    wanted = list(_wanted(translator, packet, seen))
    return f"seen {seen.verdict}, {counted}, {seen.packet.hex()}\nwanted {wanted}"


def sent(world: World, packet: bytes, entry: Entry) -> Seen | None:
    """What becomes of it. None: the kernel runs tc on nothing that short."""
    try:
        return world.send(packet, entry)
    except KernelError:
        if entry == "tc" and is_too_short_for_a_test_run(packet):
            return None
        raise


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


def left_for(counted: Mapping[str, int]) -> dict[str, int]:
    """Reasons that packets left for; beside them there are counters of errors and events."""
    return {
        name: count
        for name, count in counted.items()
        if not name.startswith(("icmp_error", "event"))
    }


def _reason(translator: Translator, packet: bytes, seen: Seen, entry: Entry) -> str | None:
    """Under which reason it must be counted, if verdict and bytes are as the reference says."""
    for wanted in _wanted(translator, packet, seen):
        if _like(wanted, seen, wanted.reason) == wanted:
            return wanted.reason
    if leads_nowhere(wanted.packet):
        if wanted.reason.startswith("forward"):
            return "drop_no_route"
        return wanted.reason if seen.verdict == "drop" else None
    answered = wanted.reason.startswith("drop") and seen.verdict == wanted.verdict == "redirect"
    if answered and entry == "tc" and looks_unfinished(packet):
        same = equal_but_for_the_sum(seen.packet, wanted.packet or b"")
        return wanted.reason if same else None
    return None


def _wanted(translator: Translator, packet: bytes, seen: Seen) -> Iterator[Expected]:
    """What the reference says, with whatever the data path may have drawn."""
    for number in identifications(seen):
        for pick in pool_picks(translator, seen):
            yield expected(translator.translate(packet, identification=number, pool_pick=pick))


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
