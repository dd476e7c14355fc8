# SPDX-License-Identifier: Apache-2.0
"""A short run of the fuzzer: the corpus, and some of its mutants. `make fuzz` is a long one."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests import needs
from tests.diff.configurations import CONFIGURATIONS
from tests.fuzz import corpus
from tests.fuzz.batches import configuration_of, packets_of
from tests.fuzz.checking import check, smaller
from tests.packets import ip4, udp
from tests.world import World, raise_world

pytestmark = [pytest.mark.diff, needs.root]

NUMBERS = pytest.mark.parametrize("number", range(len(CONFIGURATIONS)))
BATCHES = 5  # of 200 packets, for each configuration


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with raise_world() as raised:
        yield raised


@NUMBERS
def test_corpus(world: World, number: int) -> None:
    translator = CONFIGURATIONS[number]
    packets = [kept.packet for kept in corpus.read() if kept.configuration == number]
    assert packets
    world.configure(translator)
    assert check(world, translator, packets) is None


@NUMBERS
def test_mutants(world: World, number: int) -> None:
    translator = CONFIGURATIONS[number]
    world.configure(translator)
    chosen = (batch for batch in range(10_000) if configuration_of(batch) == number)
    for batch, _ in zip(chosen, range(BATCHES), strict=False):
        difference = check(world, translator, packets_of(2, batch))
        assert difference is None, f"batch {batch}: {difference}"


def test_a_difference_is_found_and_made_smaller(world: World) -> None:
    """The reference is told of another MTU than the data path: 1,300 bytes differ, 100 do not."""
    translator = CONFIGURATIONS[0]
    world.configure(translator)
    told = replace(translator, lowest_ipv6_mtu=1400)
    good, bad = (bytes(ip4(flags="") / udp(size)) for size in (100, 1300))
    assert check(world, told, [good, good]) is None
    difference = check(world, told, [good, bad, good])
    assert difference is not None
    assert difference.packets == (bad,)
    small = smaller(world, told, bad, "tc")
    assert sum(byte != 0 for byte in small) < sum(byte != 0 for byte in bad) / 2


def test_a_packet_that_is_not_counted_is_found(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verdicts and bytes are right, and a counter is not."""
    translator = CONFIGURATIONS[0]
    world.configure(translator)
    packet = bytes(ip4() / udp(100))
    monkeypatch.setattr(world, "counted", dict)
    difference = check(world, translator, [packet])
    assert difference is not None


def test_batches_repeat() -> None:
    assert packets_of(3, 7) == packets_of(3, 7)
    assert packets_of(3, 7) != packets_of(3, 8) != packets_of(4, 7)
