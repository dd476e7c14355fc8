# SPDX-License-Identifier: Apache-2.0
"""Who waits for whom."""

import threading
from collections.abc import Callable

import pytest

from sixlane.agent.turns import Turns

_PATIENCE_S = 20.0


class Steps:
    """What happened in which order, in threads that wait for each other."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self._threads: list[threading.Thread] = []

    def start(self, job: Callable[[], None]) -> None:
        self._threads.append(threading.Thread(target=job))
        self._threads[-1].start()

    def join(self) -> list[str]:
        for thread in self._threads:
            thread.join(_PATIENCE_S)
            assert not thread.is_alive()
        return self.done


def test_different_things_at_once() -> None:
    turns = Turns()
    with turns.on("a"), turns.on("b"):  # would wait for ever
        pass


@pytest.mark.parametrize("alone", [False, True])
def test_one_waits(alone: bool) -> None:
    """For who is at work on the same, or before it is alone."""
    turns, steps = Turns(), Steps()

    def second() -> None:
        with turns.alone() if alone else turns.on("a"):
            steps.done.append("second")

    with turns.on("a"):
        steps.start(second)
        with turns.on_idle("a") as idle:
            assert not idle
        steps.done.append("first")
    assert steps.join() == ["first", "second"]
    with turns.on_idle("a") as idle:
        assert idle


def test_nobody_comes_while_one_is_alone() -> None:
    turns, steps = Turns(), Steps()

    def second() -> None:
        with turns.on("a"):
            steps.done.append("second")

    with turns.alone():
        steps.start(second)
        with turns.on_idle("b") as idle:
            assert not idle
        steps.done.append("alone")
    assert steps.join() == ["alone", "second"]


def test_a_turn_that_fails_ends() -> None:
    turns = Turns()
    for context in (turns.on("a"), turns.alone()):
        with pytest.raises(ValueError, match="no"), context:
            raise ValueError("no")
    with turns.alone():
        pass
