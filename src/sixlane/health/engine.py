# SPDX-License-Identifier: Apache-2.0
"""All checks at once in one event loop, each in a task of its own: none waits for another.

There are so many sockets and no more: where all are taken, checks start later, and are late, not
failed, as their time runs from when they have one. What this machine lacks says nothing about a
backend: such a check was not made, and changes no verdict.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from sixlane.health.check import Check, Failed, Kind, NotMade, Result, described
from sixlane.health.grpc import check_grpc
from sixlane.health.http import check_http, check_https
from sixlane.health.icmp import Pinger
from sixlane.health.schedule import due_behind, first_due, share_of
from sixlane.health.tcp import check_tcp
from sixlane.health.verdict import Verdict, judge

How = Callable[[Check], Awaitable[str]]

_LATE_S = 1.0


@dataclass
class Counts:
    """Since they were last told. `seconds`: of the answers that were well, together."""

    done: int = 0
    failed: int = 0
    late: int = 0
    not_made: int = 0
    seconds: float = 0.0

    def add(self, others: "Counts") -> None:
        for name, value in vars(others).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass
class Watched:
    """A check and all that is known from it. `at`: when it was last made, in seconds since 1970;
    times of the verdict are the event loop's."""

    check: Check
    verdict: Verdict
    last: Result | None = None
    at: float | None = None
    counts: Counts = field(default_factory=Counts)
    task: "asyncio.Task[None] | None" = None


class Told(NamedTuple):
    """What is to be told of one, as of now. `counts`: since it was told last; `since`:
    when the verdict began to hold, in seconds since 1970."""

    id: str
    verdict: Verdict
    last: Result
    at: float | None
    counts: Counts
    penalty: float
    since: float


class Engine:
    """`on_change()` is called when a verdict has changed. To be closed."""

    def __init__(
        self,
        most_sockets: int,
        on_change: Callable[[], None] = lambda: None,
        kinds: Mapping[Kind, How] | None = None,
    ) -> None:
        self._places = asyncio.Semaphore(most_sockets)
        self._on_change = on_change
        self._pinger = Pinger()
        self._kinds = kinds or {
            "tcp": check_tcp,
            "http": check_http,
            "https": check_https,
            "grpc": check_grpc,
            "icmp": self._pinger.check,
        }
        self._watched: dict[str, Watched] = {}
        self._untold: dict[str, None] = {}  # in the order in which they came to be

    async def close(self) -> None:
        tasks = [one.task for one in self._watched.values() if one.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._watched.clear()
        self._pinger.close()

    def __len__(self) -> int:
        return len(self._watched)

    def put(self, checks: Iterable[Check]) -> None:
        """New ones, and those that changed: these keep what is known of their backends."""
        for check in checks:
            there = self._watched.get(check.id)
            if there is None:
                verdict = Verdict(check.verdict, asyncio.get_running_loop().time())
                there = self._watched[check.id] = Watched(check, verdict)
            else:
                moved = there.check.interval_s != check.interval_s
                there.check = check
                if not moved:
                    continue
                if there.task:
                    there.task.cancel()
            there.task = asyncio.get_running_loop().create_task(self._run(there))

    def keep(self, ids: Iterable[str]) -> None:
        """No others than these."""
        self.remove(self._watched.keys() - set(ids))

    def remove(self, ids: Iterable[str]) -> None:
        for id in ids:
            gone = self._watched.pop(id, None)
            self._untold.pop(id, None)
            if gone and gone.task:
                gone.task.cancel()

    def tell_all(self) -> None:
        """Whoever is told has forgotten everything."""
        self._untold |= dict.fromkeys(
            id for id, one in self._watched.items() if one.last is not None
        )

    def take_untold(self, most: int) -> list[Told]:
        """What has come to be since it was last taken, those that wait longest first."""
        taken, now = [], asyncio.get_running_loop().time()
        for id in list(islice(self._untold, most)):
            del self._untold[id]
            one = self._watched[id]
            if one.last is not None:
                counts, one.counts = one.counts, Counts()
                penalty = one.verdict.penalty_at(now, one.check.rules.half_life_s)
                since = time.time() - (now - one.verdict.since)
                taken.append(Told(id, one.verdict, one.last, one.at, counts, penalty, since))
        return taken

    def put_back(self, told: Iterable[Told]) -> None:
        """They did not arrive: to be told again."""
        for one in told:
            there = self._watched.get(one.id)
            if there is not None:
                there.counts.add(one.counts)
                self._untold[one.id] = None

    async def _run(self, one: Watched) -> None:
        loop, share = asyncio.get_running_loop(), share_of(one.check.id)
        interval_s = one.check.interval_s
        unknown = one.verdict.word == "unknown" and one.last is None
        due = (first_due if unknown else due_behind)(loop.time(), share, interval_s)
        while True:
            await asyncio.sleep(due - loop.time())
            async with self._places:
                one.counts.late += loop.time() - due > _LATE_S
                await self._check(one)
            # A clock that woke us too early by a hair must not have us check twice.
            due = due_behind(max(loop.time(), due + interval_s / 2), share, interval_s)

    async def _check(self, one: Watched) -> None:
        check = one.check
        try:
            result = await self._made(check)
        except NotMade as error:
            one.counts.not_made += 1
            words = f"not checked: {error.words}"
            one.last = Result(one.verdict.word == "well", words)
            self._untold[check.id] = None
            return
        one.at = time.time()
        one.last = result
        one.counts.done += 1
        one.counts.failed += not result.is_well
        one.counts.seconds += result.latency_s or 0.0 if result.is_well else 0.0
        before, rules = one.verdict, one.check.rules
        now = asyncio.get_running_loop().time()
        one.verdict = judge(before, result.is_well, rules, now)
        self._untold[check.id] = None
        if one.verdict.word != before.word:
            self._on_change()

    async def _made(self, check: Check) -> Result:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(check.timeout_s):
                words = await self._kinds[check.kind](check)
        except TimeoutError:
            return Result(False, f"timeout after {check.timeout_s:g} s")
        except Failed as error:
            return Result(False, error.words, loop.time() - began if error.answered else None)
        except OSError as error:
            return Result(False, described(error))
        return Result(True, words, loop.time() - began)
