# SPDX-License-Identifier: Apache-2.0
"""The API of one agent, put together."""

from typing import Any

from fastapi import Depends, FastAPI

import sixlane
from sixlane.agent import Agent
from sixlane.api import (
    backends,
    cni,
    health,
    health_checks,
    pods,
    prefixes,
    problem,
    resources,
    sessions,
    streams,
    system,
    trace,
    transactions,
)
from sixlane.api.parameters import refuse_unknown
from sixlane.api.streams import Streams


def make_app(agent: Agent, open_streams: Streams | None = None) -> FastAPI:
    """The application for one agent. `open_streams`: what has to be ended before its server."""
    app = FastAPI(
        title="sixlane",
        version=sixlane.__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(refuse_unknown)],
    )
    problem.install(app)
    open_streams = open_streams or Streams()
    for router in (
        resources.routes(agent),
        prefixes.routes(agent),
        backends.routes(agent),
        transactions.routes(agent),
        streams.routes(agent, open_streams),
        sessions.routes(agent, open_streams),
        health_checks.routes(agent, open_streams),
        system.routes(agent),
        trace.routes(agent),
        pods.routes(agent),
        cni.routes(pods.AgentsPods(agent)),
    ):
        app.include_router(router)
    health.install(app, agent)
    _describe(app)
    return app


def _describe(app: FastAPI) -> None:
    """Have the application answer `/openapi.json`. To make the shapes of all answers takes a tenth
    of a start, and hardly anybody asks."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            from sixlane.api.openapi import document

            app.openapi_schema = document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
