# SPDX-License-Identifier: Apache-2.0
"""Many checks at once: when they start, how many at a time, and that none waits for another."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixlane.health.check import Check, Failed, NotMade
from sixlane.health.engine import Engine
from sixlane.health.schedule import FIRST_WITHIN_S, due_behind, first_due, share_of
from tests.unit.health.servers import check_of, serving, silent

MANY = 3000


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


async def until(is_so: Callable[[], bool], patience_s: float = 30.0) -> None:
    async with asyncio.timeout(patience_s):
        while not is_so():
            await asyncio.sleep(0.01)


async def well(check: Check) -> str:
    return "well"


# ---- when ----


@given(st.text(min_size=1), st.floats(0, 1e6), st.sampled_from([1.0, 5.0, 3600.0]))
def test_a_check_is_due_once_an_interval(id: str, now: float, interval_s: float) -> None:
    share = share_of(id)
    assert 0 <= share < 1
    times = [now]
    for _ in range(4):
        times.append(due_behind(times[-1] + interval_s / 2 * (len(times) > 1), share, interval_s))
    assert 0 < times[1] - times[0] <= interval_s + 1e-6
    for before, after in pairwise(times[1:]):
        assert after - before == pytest.approx(interval_s, abs=1e-3)
    assert now <= first_due(now, share, interval_s) <= now + min(interval_s, FIRST_WITHIN_S)


def test_checks_are_spread_over_the_interval() -> None:
    """Of 10,000 in 20 parts of it each has 500, give or take six deviations of 21.8."""
    parts = Counter(int(share_of(f"web/{number}") * 20) for number in range(10_000))
    assert len(parts) == 20
    assert all(abs(number - 500) < 131 for number in parts.values())


# ---- at once ----


def test_thousands_of_a_local_server_are_checked() -> None:
    async def work() -> None:
        async with serving(silent) as port:
            engine = Engine(500)
            seldom: dict[str, Any] = {"interval_s": 60.0, "timeout_s": 20.0}
            engine.put(check_of(port, id=f"web/{one}", **seldom) for one in range(MANY))
            try:
                await until(lambda: len(engine._untold) == MANY)
                told = engine.take_untold(MANY)
            finally:
                await engine.close()
        assert {one.id for one in told} == {f"web/{one}" for one in range(MANY)}
        assert all(one.verdict.word == "well" for one in told)

    run(work())


def test_no_more_sockets_than_allowed() -> None:
    async def work() -> None:
        now, most = 0, 0

        async def slow(check: Check) -> str:
            nonlocal now, most
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.02)
            now -= 1
            return "well"

        engine = Engine(7, kinds={"tcp": slow})
        engine.put(check_of(9, id=f"web/{one}") for one in range(100))
        await until(lambda: len(engine._untold) == 100)
        await engine.close()
        assert most == 7

    run(work())


def test_who_does_not_answer_holds_up_nobody() -> None:
    async def work() -> None:
        async def some(check: Check) -> str:
            if check.id == "web/hangs":
                await asyncio.sleep(3600)
            return "well"

        engine = Engine(3, kinds={"tcp": some})
        engine.put([check_of(9, id="web/hangs", interval_s=60, timeout_s=60)])
        engine.put(check_of(9, id=f"web/{one}") for one in range(20))
        await until(lambda: all(engine._watched[f"web/{one}"].counts.done > 2 for one in range(20)))
        assert engine._watched["web/hangs"].counts.done == 0
        await engine.close()

    run(work())


# ---- what comes of it ----


async def checked(how: Callable[[Check], Awaitable[str]], **given: Any) -> Engine:
    engine = Engine(10, kinds={"tcp": how})
    engine.put([check_of(9, **given)])
    await until(lambda: bool(engine._untold))
    return engine


def test_what_this_machine_lacks_changes_no_verdict() -> None:
    async def lacking(check: Check) -> str:
        raise NotMade("too many open files")

    async def work() -> None:
        engine = await checked(lacking, verdict="well")
        await until(lambda: engine._watched["web/1"].counts.not_made > 3)
        (told,) = engine.take_untold(10)
        assert (told.verdict.word, told.last.words) == ("well", "not checked: too many open files")
        assert (told.counts.done, told.at) == (0, None)
        await engine.close()

    run(work())


def test_a_change_of_the_verdict_is_told_at_once() -> None:
    changes = 0

    def changed() -> None:
        nonlocal changes
        changes += 1

    async def work() -> None:
        is_well = True

        async def now_and_then(check: Check) -> str:
            if is_well:
                return "well"
            raise Failed("HTTP 503", answered=True)

        engine = Engine(10, changed, kinds={"tcp": now_and_then})
        engine.put([check_of(9, fall=2)])
        await until(lambda: changes == 1)
        is_well = False
        await until(lambda: changes == 2)
        (told,) = engine.take_untold(10)
        assert (told.verdict.word, told.last.words) == ("quarantined", "HTTP 503")
        assert told.last.latency_s is not None
        await engine.close()

    run(work())


def test_what_did_not_arrive_is_told_again() -> None:
    async def work() -> None:
        engine = await checked(well)
        await until(lambda: engine._watched["web/1"].counts.done >= 2)
        told = engine.take_untold(10)
        done = told[0].counts.done
        engine.put_back(told)
        (again,) = engine.take_untold(10)
        assert again.counts.done >= done
        assert engine.take_untold(10) == []
        engine.tell_all()
        assert [one.id for one in engine.take_untold(10)] == ["web/1"]
        await engine.close()

    run(work())


def test_a_check_that_changes_keeps_what_is_known() -> None:
    async def work() -> None:
        engine = await checked(well)
        before = engine._watched["web/1"].verdict
        engine.put([check_of(10, interval_s=3600.0)])
        one = engine._watched["web/1"]
        assert (one.verdict, one.check.port) == (before, 10)
        engine.keep(["web/2"])
        assert len(engine) == 0
        engine.put_back(engine.take_untold(10))
        await engine.close()

    run(work())


def test_one_that_is_gone_is_checked_no_more() -> None:
    async def work() -> None:
        seen = Counter[str]()

        async def note(check: Check) -> str:
            seen[check.id] += 1
            return "well"

        engine = Engine(10, kinds={"tcp": note})
        engine.put([check_of(9, id="web/1"), check_of(9, id="web/2")])
        await until(lambda: seen["web/1"] > 1)
        engine.remove(["web/1"])
        before, other = seen["web/1"], seen["web/2"]
        await until(lambda: seen["web/2"] > other + 3)
        assert seen["web/1"] == before
        await engine.close()

    run(work())
