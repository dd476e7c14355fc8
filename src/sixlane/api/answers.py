# SPDX-License-Identifier: Apache-2.0
"""The agent's results as JSON."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import Request, Response

from sixlane.agent import Applied
from sixlane.agent.backend_edits import BackendOutcome
from sixlane.api.body import JSON
from sixlane.api.preconditions import etag, is_known
from sixlane.model import Key


def answer(data: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON as it is: large lists would take FastAPI seconds to look through."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return Response(text, status, dict(headers or {}), JSON)


def versioned(request: Request, data: object, resource_version: str) -> Response:
    """With an ETag; 304 without the data if the asker has it already."""
    headers = {"ETag": etag(resource_version)}
    if is_known(request, resource_version):
        return Response(status_code=304, headers=headers)
    return answer(data, headers=headers)


def applied(
    result: Applied, *, after: bool = False, backends: Iterable[BackendOutcome] = ()
) -> dict[str, Any]:
    """What a change did. `after`: with the resources as they are then, as in every dry run;
    `backends`: what became of each that was named by itself."""
    data: dict[str, Any] = {
        "revision": result.revision,
        "dryRun": result.dry_run,
        "resources": [_touched(result, key) for key in result.outcomes],
        "changes": result.changes,
        "warnings": result.warnings,
    }
    outcomes = [one.as_data() for one in backends]
    if outcomes:
        data["backends"] = outcomes
    if after or result.dry_run:
        data["after"] = [_after(key, result.views.get(key)) for key in result.outcomes]
    return data


def applied_one(
    result: Applied,
    key: Key,
    *,
    created: bool,
    after: bool,
    backends: Iterable[BackendOutcome] = (),
) -> Response:
    """The answer to a change of one resource or a part of it; with the resource's ETag."""
    headers = {"ETag": etag(result.versions[key][1])} if key in result.versions else {}
    data = applied(result, after=after, backends=backends)
    return answer(data, 201 if created else 200, headers)


def _touched(result: Applied, key: Key) -> dict[str, Any]:
    data: dict[str, Any] = {
        "kind": key.kind,
        "name": key.name,
        "outcome": result.outcomes[key],
    }
    if key in result.versions:
        data["generation"], data["resourceVersion"] = result.versions[key]
    return data


def _after(key: Key, view: dict[str, Any] | None) -> dict[str, Any]:
    return view if view is not None else {"kind": key.kind, "name": key.name, "deleted": True}
