# SPDX-License-Identifier: Apache-2.0
"""What a process of the fuzzer does, on a CPU of its own."""

import os
from dataclasses import dataclass
from multiprocessing.queues import Queue

from tests.apart import leave_the_machine
from tests.diff.configurations import CONFIGURATIONS
from tests.fuzz.batches import configuration_of, packets_of
from tests.fuzz.called import check_called, packets_to_frontends, raise_called
from tests.fuzz.checking import Difference, check, smaller
from tests.fuzz.turning import check_turned, raise_turned
from tests.services import Balanced
from tests.world import World, raise_world

_EACH = 5
_TURNED = 100  # packets: each is made after the one before has come through


@dataclass(frozen=True)
class Found:
    """`packets`: to be kept, made smaller."""

    batch: int
    difference: Difference
    packets: tuple[bytes, ...]


Told = int | Found | str
"""How many packets agreed, what was found, or why a worker gave up."""


def work(seed: int, first: int, step: int, batches: int, cpu: int, told: "Queue[Told]") -> None:
    """Every `step`th batch from `first` on."""
    os.sched_setaffinity(0, {cpu})
    try:
        leave_the_machine()
        with raise_world() as world, raise_called() as called, raise_turned() as turned:
            of_services = _OfServices(called, turned)
            told.put(_batches(world, of_services, seed, range(first, batches, step), told))
    except BaseException as why:  # the parent has to hear of whatever it is
        told.put(f"{type(why).__name__}: {why}")


@dataclass(frozen=True)
class _OfServices:
    """Services by tunnels, and one that is translated: their batches take turns."""

    called: Balanced
    turned: Balanced

    def check(self, seed: int, batch: int, turn: int) -> tuple[int, Difference | None]:
        """And how many packets they were."""
        if turn % 2:
            return _TURNED, check_turned(self.turned, seed, batch, _TURNED)
        packets = packets_to_frontends(seed, batch)
        return len(packets), check_called(self.called, packets)


def _batches(
    world: World, of_services: _OfServices, seed: int, batches: range, told: "Queue[Told]"
) -> Told:
    """Of each `_EACH` batches, one is of packets to and from services."""
    in_force = None
    for turn, batch in enumerate(batches):
        if turn % _EACH == 0:
            count, difference = of_services.check(seed, batch, turn // _EACH)
            if difference is not None:
                return Found(batch, difference, ())  # the corpus is of translated packets
            told.put(count)
            continue
        number = configuration_of(batch)
        translator = CONFIGURATIONS[number]
        if number != in_force:
            world.configure(translator)
            in_force = number
        packets = packets_of(seed, batch)
        difference = check(world, translator, packets)
        if difference is None:
            told.put(len(packets))
            continue
        found = difference.packets
        if len(found) == 1:
            found = (smaller(world, translator, found[0], difference.entry),)
        return Found(batch, difference, found)
    return 0
