# SPDX-License-Identifier: Apache-2.0
"""Whoever checks, and an agent over fakes, by the API's socket."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sixlane.agent.health import Health
from sixlane.client import AsyncClient, Client, Problem
from sixlane.client.types import HealthResult
from sixlane.datapath.layout import BackendState
from sixlane.health.check import Check, Failed
from sixlane.health.engine import Engine
from sixlane.health.reports import Reports, take
from tests.unit.agent.fakes import World
from tests.unit.agent.serving import serving
from tests.unit.agent.test_health import ONE, TWO, naming, present, service

OFTEN = {"type": "tcp", "intervalSeconds": 1, "timeoutSeconds": 1, "rise": 1, "fall": 1}
RESULT: HealthResult = {
    "id": "web/00",
    "verdict": "well",
    "since": 1.5,
    "damped": False,
    "penalty": 0.0,
    "changes": 0,
    "well": True,
    "told": "HTTP 200",
    "latencySeconds": None,
    "at": None,
    "done": 0,
    "failed": 0,
    "notMade": 0,
    "seconds": 0.0,
}


@contextmanager
def agent(directory: Path, name: str = "one") -> Iterator[tuple[Health, Path]]:
    """One that has something to check."""
    (directory / name).mkdir()
    world, path = World(directory / name), directory / "api.sock"
    health = world.gateway.health
    of = service(ONE, TWO, check=OFTEN)
    unknown = {naming(of), naming(of, 1)}
    quarantined = present(of, *[BackendState.BACKEND_QUARANTINED] * 2)
    health.settle(of, unknown, None, quarantined, frozenset())
    with serving(world.agent, path):
        yield health, path
    world.close()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.02)


def verdicts(health: Health) -> list[str]:
    return [one.verdict for one in health.backends("web").values()]


def test_from_what_is_to_be_checked_to_the_verdict_and_another_agent(tmp_path: Path) -> None:
    down = {TWO}

    async def some(check: Check) -> str:
        if str(check.backend) in down:
            raise Failed("HTTP 503", answered=True)
        return "HTTP 200"

    async def work() -> None:
        async with AsyncClient(str(tmp_path / "api.sock")) as client:
            reports = Reports(client)
            engine = Engine(10, reports.on_change, kinds={"tcp": some})
            running = asyncio.create_task(reports.run(engine))
            try:
                with await asyncio.to_thread(lambda: entered(agent(tmp_path))) as (health, _):
                    await until(lambda: verdicts(health) == ["well", "quarantined"])
                    results = [one.result for one in health.backends("web").values()]
                    assert results == ["HTTP 200", "HTTP 503"]
                    assert health.is_running
                    await asyncio.to_thread(lambda: None)
                # Nobody is there: checks go on, and the next one is told everything.
                down.clear()
                await until(lambda: all(one.verdict.word == "well" for one in watched(engine)))
                with await asyncio.to_thread(lambda: entered(agent(tmp_path, "two"))) as (other, _):
                    await until(lambda: verdicts(other) == ["well", "well"])
                    other.remove("web")
                    await until(lambda: len(engine) == 0)
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                await engine.close()

    asyncio.run(work())


def watched(engine: Engine) -> list[Any]:
    return list(engine._watched.values())


@contextmanager
def _entered(of: Any, value: Any) -> Iterator[Any]:
    try:
        yield value
    finally:
        of.__exit__(None, None, None)


def entered(of: Any) -> Any:
    """A context that another thread has entered."""
    return _entered(of, of.__enter__())


def test_what_cannot_be_understood_is_left_out() -> None:
    async def work() -> None:
        engine, versions = Engine(1), list[str]()
        broken: Any = {"id": "web/1", "type": "tcp"}
        tasks: Any = {"version": "a-1", "whole": True, "tasks": [broken], "gone": []}
        take(tasks, engine, versions.append)
        assert (len(engine), versions) == (0, ["a-1"])
        await engine.close()

    asyncio.run(work())


@pytest.mark.parametrize(
    "wrong",
    [
        {"verdict": "fine"},
        {"since": -1},
        {"since": "now"},
        {"latencySeconds": 1e300},
        {"penalty": 1e9},
        {"done": -1},
        {"done": 1.5},
        {"done": 1 << 60},
        {"told": "x" * 201},
        {"id": "x" * 201},
        {"more": 1},
        {"well": 1},
    ],
    ids=lambda one: "-".join(one),
)
def test_hostile_results_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with agent(tmp_path) as (health, path):
        client = Client(str(path))
        version = client.health_tasks()["version"]
        (id, other) = [one["id"] for one in client.health_tasks()["tasks"]]
        result: Any = RESULT
        good: Any = {**result, "id": id}
        bad: Any = {**result, "id": other, **wrong}
        with pytest.raises(Problem) as caught:
            client.health_results(version, [good, bad])
        assert caught.value.status == 422
        assert verdicts(health) == ["unknown", "unknown"], "nothing half-taken"
        assert client.health_results(version, [good]) == {"known": True}
        assert verdicts(health) == ["well", "unknown"]
