# SPDX-License-Identifier: Apache-2.0
"""All slots once a round, a part each step."""

import threading
from ipaddress import IPv6Address
from typing import Any

import pytest

from sixlane.agent import sweeper
from sixlane.agent.sweeper import CHUNK, ROUND_S, STEP_S, Sweep, Sweeper
from sixlane.datapath import NOTHING_SWEPT, Probe, Swept
from sixlane.errors import KernelError


class Slots:
    """Remembers which slots were swept."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.swept: list[tuple[int, int]] = []

    def session_slots(self) -> int:
        return self.slots

    def is_stateful(self) -> bool:
        return self.slots > 0

    def sweep_sessions(self, first: int, count: int) -> Swept:
        self.swept.append((first, count))
        return NOTHING_SWEPT

    def sweep_syns(self) -> list[bytes]:
        return []


def no_send(packet: bytes) -> None:
    raise AssertionError(f"sent {packet.hex()}")


class Clock:
    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


def steps(slots: Slots, seconds: float, step_s: float = STEP_S) -> None:
    clock = Clock()
    sweep = Sweep(slots, no_send, clock)
    for _ in range(round(seconds / step_s)):
        assert sweep.step()
        clock.s += step_s


@pytest.mark.parametrize("number", [1, 7, 4096, 100_003, 4_000_000])
def test_each_slot_once_a_round(number: int) -> None:
    slots = Slots(number)
    steps(slots, ROUND_S)
    seen: set[int] = set()
    for first, count in slots.swept:
        assert 0 < count <= CHUNK and first + count <= number
        seen.update((first, first + count))
    assert {0, number} <= seen
    total = sum(count for _, count in slots.swept)
    assert number <= total <= number + ROUND_S / STEP_S


def test_small_steps() -> None:
    slots = Slots(4_000_000)
    steps(slots, STEP_S)
    assert sum(count for _, count in slots.swept) == 100_000
    assert [first for first, _ in slots.swept[:3]] == [0, CHUNK, 2 * CHUNK]


def test_late_steps_are_made_up_for_but_never_twice() -> None:
    slots = Slots(1000)
    steps(slots, 60, step_s=20)
    assert sum(count for _, count in slots.swept) == 25 + 1000 + 1000


def test_the_end_moves() -> None:
    """Slots that were never used are not looked at; another pool4 may have fewer."""
    clock, slots = Clock(), Slots(0)
    sweep = Sweep(slots, no_send, clock)
    assert not sweep.step() and slots.swept == []
    slots.slots = 80
    clock.s += 5
    assert sweep.step() and slots.swept == [(0, 40)]
    slots.slots = 20
    clock.s += 5
    assert sweep.step() and slots.swept == [(0, 40), (0, 10)]


def test_a_failure_is_told_once_and_no_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sweeper, "_IDLE_S", 0.001)
    tried = threading.Semaphore(0)

    class Broken(Slots):
        def sweep_sessions(self, first: int, count: int) -> Swept:
            tried.release()
            raise KernelError(1, "call the program sweep_sessions")

    running = Sweeper(Broken(10))
    for _ in range(3):
        assert tried.acquire(timeout=10)
    running.close()
    told: list[Any] = [one for one in caplog.records if one.name == "sixlane.sweeper"]
    assert [one.message for one in told] == ["cannot sweep"]


class Due(Slots):
    """Has something to send at each look."""

    def sweep_sessions(self, first: int, count: int) -> Swept:
        return Swept(0, [Probe(IPv6Address("64:ff9b::1"), 443, IPv6Address("2001:db8::7"), 5001)])

    def sweep_syns(self) -> list[bytes]:
        return [SYN]


SYN = bytes.fromhex("45000028000040004006000001020304c01fc508") + bytes(20)


def test_what_is_due_is_sent() -> None:
    sent: list[bytes] = []
    assert Sweep(Due(10), sent.append).step()
    assert [packet[0] >> 4 for packet in sent] == [4, 6]
    assert sent[0][28:] == SYN and sent[0][16:20] == SYN[12:16]


def test_whoever_cannot_be_reached_keeps_nobody_from_being_swept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def no_way(packet: bytes) -> None:
        raise KernelError(101, "send a packet to 1.2.3.4")

    sweep = Sweep(Due(10), no_way)
    for _ in range(3):
        assert sweep.step()
    assert [one.message for one in caplog.records] == ["not sent, as maybe others"]
