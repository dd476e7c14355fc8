# SPDX-License-Identifier: Apache-2.0
"""The health process and the agent: what to check comes by a long poll, what came of it goes back.

The agent may be away as long as it likes: checks go on, and it is told everything when it is back.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from sixlane.client import AsyncClient, Problem, Unreachable
from sixlane.client.types import HealthResult, HealthTasks
from sixlane.errors import SixlaneError
from sixlane.health.check import Check
from sixlane.health.engine import Engine, Told

_log = logging.getLogger("sixlane.health")

_WAIT_S = 20.0
_REPORT_S = 2.0
_SOON_S = 0.02  # what changes together is told together
_PAUSE_S = 1.0
_MOST_RESULTS = 5000


class Reports:
    """Between an engine and the agent behind a client."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._version = ""
        self._changed = asyncio.Event()
        self._reached: bool | None = None

    def on_change(self) -> None:
        """A verdict has changed: the agent is told at once."""
        self._changed.set()

    async def run(self, engine: Engine) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._again_and_again(lambda: self._ask(engine)))
            group.create_task(self._again_and_again(lambda: self._tell(engine)))

    async def _again_and_again(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except (Unreachable, Problem, SixlaneError) as error:
                if self._reached is not False:
                    _log.warning("not in touch with the agent, checks go on: %s", error)
                self._reached = False
                await asyncio.sleep(_PAUSE_S)

    async def _ask(self, engine: Engine) -> None:
        wait = _WAIT_S if self._version else 0
        take(await self._client.health_tasks(self._version, wait=wait), engine, self._note)
        if not self._reached:
            _log.info("in touch with the agent: %d checks", len(engine))
        self._reached = True

    def _note(self, version: str) -> None:
        self._version = version

    async def _tell(self, engine: Engine) -> None:
        try:
            async with asyncio.timeout(_REPORT_S):
                await self._changed.wait()
            await asyncio.sleep(_SOON_S)
        except TimeoutError:
            pass
        self._changed.clear()
        if not self._version:
            return
        while True:
            told = engine.take_untold(_MOST_RESULTS)
            try:
                answer = await self._client.health_results(self._version, map(result_of, told))
            except BaseException:
                engine.put_back(told)
                raise
            if not answer["known"]:  # another agent than the one that gave the tasks
                engine.put_back(told)
                self._version = ""
                return
            if len(told) < _MOST_RESULTS:
                return


def take(tasks: HealthTasks, engine: Engine, note: Callable[[str], None]) -> None:
    """Has the engine check what the agent asks for. What cannot be read is left out."""
    checks = []
    for task in tasks["tasks"]:
        try:
            checks.append(Check.read(task))
        except (KeyError, ValueError, TypeError) as error:
            _log.error("a check that cannot be understood: %s", error)
    note(tasks["version"])
    if tasks["whole"]:
        engine.keep(check.id for check in checks)
        engine.put(checks)
        engine.tell_all()
    else:
        engine.remove(tasks["gone"])
        engine.put(checks)


def result_of(told: Told) -> HealthResult:
    verdict, counts = told.verdict, told.counts
    return {
        "id": told.id,
        "verdict": verdict.word,
        "since": round(told.since, 3),
        "damped": verdict.damped,
        "penalty": round(told.penalty, 3),
        "changes": verdict.changes,
        "well": told.last.is_well,
        "told": told.last.words,
        "latencySeconds": told.last.latency_s,
        "at": told.at,
        "done": counts.done,
        "failed": counts.failed,
        "notMade": counts.not_made,
        "seconds": counts.seconds,
    }
