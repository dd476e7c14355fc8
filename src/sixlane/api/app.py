# SPDX-License-Identifier: Apache-2.0
"""The API of one agent, put together."""

from fastapi import Depends, FastAPI

import sixlane
from sixlane.agent import Agent
from sixlane.api import (
    backends,
    health,
    health_checks,
    prefixes,
    problem,
    resources,
    sessions,
    streams,
    system,
    trace,
    transactions,
)
from sixlane.api.openapi import describe
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
    ):
        app.include_router(router)
    health.install(app, agent)
    describe(app)
    return app
