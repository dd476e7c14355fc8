# SPDX-License-Identifier: Apache-2.0
"""What the agent and the machine are doing."""

from fastapi import APIRouter, Response

from sixlane.agent import Agent
from sixlane.api.answers import answer
from sixlane.api.describe import found, metrics_responses
from sixlane.api.metrics import CONTENT_TYPE, metrics_text


def routes(agent: Agent) -> APIRouter:
    router = APIRouter(tags=["system"])

    @router.get("/v1/status", operation_id="getStatus", responses=found("AgentStatus"))
    def status() -> Response:
        """What is in force, and what is out of order."""
        return answer(agent.status())

    @router.get("/v1/counters", operation_id="getCounters", responses=found("Counters"))
    def counters() -> Response:
        """Packets and bytes by reason, and by prefix and direction."""
        return answer(agent.counters())

    @router.get("/v1/doctor", operation_id="getDoctor", responses=found("Diagnosis"))
    def doctor() -> Response:
        """What this machine can do, what is in the way, and what it costs."""
        return answer(agent.doctor())

    @router.get("/v1/metrics", operation_id="getMetrics", responses=metrics_responses())
    def metrics() -> Response:
        """The numbers as Prometheus reads them."""
        return Response(metrics_text(agent), media_type=CONTENT_TYPE)

    @router.post("/v1/teardown", operation_id="tearDown", responses=found("TornDown"))
    def teardown() -> Response:
        """Remove everything from the machine, and restore what was changed."""
        lost = agent.teardown()
        return answer({"lost": lost})

    return router
