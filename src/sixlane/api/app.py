# SPDX-License-Identifier: Apache-2.0
"""The API's resources, each a few lines over the agent."""

import json
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool

import sixlane
from sixlane.agent import Agent, Applied, Transaction, edits
from sixlane.api import health, problem
from sixlane.model import Key, parse_resources

MAX_BODY_BYTES = 64 * 1024 * 1024

_APPLY_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "array", "items": {"type": "object"}}}},
    }
}
_TRANSACTION_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}


def make_app(agent: Agent) -> FastAPI:
    """The application for one agent."""
    app = FastAPI(title="sixlane", version=sixlane.__version__, docs_url=None, redoc_url=None)
    problem.install(app)
    health.install(app, agent)

    @app.post("/v1/apply", openapi_extra=_APPLY_BODY)
    async def apply(request: Request, dryRun: bool = False) -> dict[str, Any]:  # noqa: N803
        """Put a list of resources in force and store them: all, or none."""
        body = await _body(request)
        return await run_in_threadpool(_apply, agent, body, dryRun)

    @app.get("/v1/resources")
    def resources() -> dict[str, Any]:
        """What is desired, in the form that apply takes."""
        return {"revision": agent.revision(), "items": agent.resources()}

    @app.post("/v1/transactions", openapi_extra=_TRANSACTION_BODY)
    async def transactions(request: Request, dryRun: bool = False) -> dict[str, Any]:  # noqa: N803
        """Put and delete resources: all of it, or nothing."""
        body = await _body(request)
        return await run_in_threadpool(_transact, agent, body, dryRun)

    @app.get("/v1/status")
    def status() -> dict[str, Any]:
        """What is in force, and what is out of order."""
        return agent.status()

    @app.get("/v1/counters")
    def counters() -> dict[str, Any]:
        """Packets and bytes by reason, and by prefix and direction."""
        return agent.counters()

    @app.post("/v1/teardown")
    def teardown() -> dict[str, Any]:
        """Remove everything and restore what was changed."""
        return {"lost": agent.teardown()}

    return app


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, f"more than {MAX_BODY_BYTES >> 20} MB")
    return bytes(body)


def _transact(agent: Agent, body: bytes, dry_run: bool) -> dict[str, Any]:
    asked = _json(body)
    if not isinstance(asked, dict):
        raise HTTPException(400, "the body is not a transaction")
    put = [edits.put(one) for one in parse_resources(asked.get("put", []))]
    delete = [edits.delete(Key(one["kind"], one["name"])) for one in asked.get("delete", [])]
    transaction = Transaction([*put, *delete], bool(asked.get("prune", False)))
    return _applied(agent.apply(transaction, dry_run=dry_run))


def _apply(agent: Agent, body: bytes, dry_run: bool) -> dict[str, Any]:
    items = _json(body)
    if not isinstance(items, list) or not items:
        raise HTTPException(400, "the body is not a list of resources")
    transaction = Transaction([edits.put(one) for one in parse_resources(items)])
    return _applied(agent.apply(transaction, dry_run=dry_run))


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise HTTPException(400, "the body is not JSON") from None


def _applied(applied: Applied) -> dict[str, Any]:
    return {
        "revision": applied.revision,
        "dryRun": applied.dry_run,
        "resources": [
            {"kind": key.kind, "name": key.name, "outcome": outcome}
            for key, outcome in applied.outcomes.items()
        ],
        "changes": applied.changes,
    }
