# SPDX-License-Identifier: Apache-2.0
"""POST /v1/apply: a list of resources to put; what /v1/transactions does too."""

from fastapi import APIRouter, Request, Response

from sixlane.agent import Agent, Transaction, edits
from sixlane.api.answers import answer, applied
from sixlane.api.body import parse_json
from sixlane.api.parameters import DryRun
from sixlane.api.problem import bad_request
from sixlane.api.resources import Body
from sixlane.model import parse_resources


def routes(agent: Agent) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.post("/v1/apply")
    def apply(request: Request, content: Body, dry_run: DryRun = False) -> Response:
        items = parse_json(content)
        if not isinstance(items, list) or not items:
            raise bad_request("the body is not a list of resources")
        transaction = Transaction([edits.put(one) for one in parse_resources(items)])
        result = agent.apply(transaction, dry_run=dry_run)
        return answer(applied(result))

    return router
