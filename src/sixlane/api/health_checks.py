# SPDX-License-Identifier: Apache-2.0
"""What `sixlane-health` asks and tells: which backends to check, and what came of it."""

from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Query, Response
from pydantic import Field, ValidationError

from sixlane.agent import Agent
from sixlane.agent.health import Report
from sixlane.api.answers import answer
from sixlane.api.body import JSON, parse_json_object
from sixlane.api.describe import body, found
from sixlane.api.resources import Body
from sixlane.api.streams import Streams
from sixlane.model.problem import from_pydantic
from sixlane.model.resource import Model

_LOOK_S = 0.5  # how long one who waits may take to see that the server ends

_Seconds = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0, lt=1 << 53)]


class ResultBody(Model):
    """What is known of one backend. Times are in seconds since 1970.

    `verdict`: what holds, since `since`. `well`, `told`, `latencySeconds`, `at`: of the last check.
    `done`, `failed`, `notMade`: checks since the last report; `seconds`: of their answers.
    """

    id: Annotated[str, Field(max_length=200)]
    verdict: Literal["unknown", "well", "quarantined"]
    since: _Seconds
    damped: bool
    penalty: Annotated[float, Field(ge=0, le=1000)]
    changes: _Count
    well: bool
    told: Annotated[str, Field(max_length=200)]
    latency_seconds: _Seconds | None
    at: _Seconds | None
    done: _Count
    failed: _Count
    not_made: _Count
    seconds: _Seconds

    @property
    def report(self) -> Report:
        return Report(
            self.id,
            self.verdict,
            self.since,
            self.damped,
            self.penalty,
            self.changes,
            self.well,
            self.told,
            self.latency_seconds,
            self.at,
            self.done,
            self.failed,
            self.not_made,
            self.seconds,
        )


class ResultsBody(Model):
    """What came of the checks of a version of the tasks."""

    version: Annotated[str, Field(max_length=64)]
    results: Annotated[tuple[ResultBody, ...], Field(strict=False, max_length=20000)] = ()


def routes(agent: Agent, streams: Streams) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get(
        "/v1/health/tasks", operation_id="getHealthTasks", responses=found("HealthTasks", 503)
    )
    async def tasks(
        after: Annotated[
            str, Query(max_length=64, description="The version that is known; left out: none.")
        ] = "",
        wait: Annotated[
            float,
            Query(ge=0, le=60, description="For something behind that version, in seconds."),
        ] = 0,
    ) -> Response:
        """Which backends are to be checked: all, or what has changed behind a version."""
        with streams.place():
            told = await to_thread.run_sync(
                _wait, agent, streams, after, wait, limiter=streams.threads
            )
        return answer(told)

    @router.post(
        "/v1/health/results",
        operation_id="postHealthResults",
        responses=found("HealthTaken", 413, 415, 422),
        openapi_extra=body(JSON, "ResultsBody"),
    )
    def results(content: Body) -> Response:
        """What came of checks; also without any, which says that somebody is there."""
        try:
            told = ResultsBody.model_validate(parse_json_object(content))
        except ValidationError as error:
            raise from_pydantic(error) from None
        known = agent.take_health(told.version, [one.report for one in told.results])
        return answer({"known": known})

    return router


def _wait(agent: Agent, streams: Streams, after: str, wait: float) -> dict[str, Any]:
    while True:
        told = agent.health_tasks(after, min(wait, _LOOK_S))
        wait -= _LOOK_S
        if told["version"] != after or wait <= 0 or streams.ending:
            return told
