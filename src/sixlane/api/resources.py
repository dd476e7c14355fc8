# SPDX-License-Identifier: Apache-2.0
"""/v1/resources, and one collection for each kind."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from sixlane.agent import Agent, Applied, Edit, Transaction, edits
from sixlane.agent.problems import Conflict
from sixlane.api.answers import answer, applied_one, versioned
from sixlane.api.body import JSON, MERGE_PATCH, body_of, parse_json_object
from sixlane.api.describe import body, changed, found, found_versioned
from sixlane.api.parameters import DryRun, Name
from sixlane.api.preconditions import Guarded, Precondition, Preconditions, failed
from sixlane.model import KINDS, AnyResource, Key, ResourceError, parse_resource

Body = Annotated[bytes, Depends(body_of(JSON))]
Patch = Annotated[bytes, Depends(body_of(MERGE_PATCH))]


def collection_of(kind: str) -> str:
    """gateways for Gateway."""
    return f"{kind.lower()}s"


def routes(agent: Agent) -> APIRouter:
    router = APIRouter(tags=["resources"])

    @router.get("/v1/resources", operation_id="listResources", responses=found("Listing"))
    def list_resources() -> Response:
        """What is desired, of all kinds, and how it does."""
        return answer({"revision": agent.revision(), "items": agent.resources()})

    for kind in KINDS:
        _add_kind(router, agent, kind)
    return router


def _add_kind(router: APIRouter, agent: Agent, kind: str) -> None:
    place, one = f"/v1/{collection_of(kind)}", f"/v1/{collection_of(kind)}/{{name}}"
    view, listing = f"{kind}View", f"{kind}Listing"

    @router.get(place, operation_id=f"list{kind}s", responses=found(listing))
    def list_kind() -> Response:
        """All resources of this kind."""
        return answer({"revision": agent.revision(), "items": agent.resources(kind)})

    @router.get(one, operation_id=f"get{kind}", responses=found_versioned(view, 404))
    def get(request: Request, name: Name) -> Response:
        """One resource: what is desired, and how it does."""
        found = agent.resource(Key(kind, name))
        return versioned(request, found, found["metadata"]["resourceVersion"])

    @router.put(
        one,
        operation_id=f"put{kind}",
        responses=changed(409, 412, 413, 415, creates=True),
        openapi_extra=body(JSON, kind),
    )
    def put(
        name: Name,
        content: Body,
        precondition: Preconditions,
        dry_run: DryRun = False,
    ) -> Response:
        """Make it what is given: created, or changed, or found to be so already."""
        resource = parse_resource(parse_json_object(content))
        _check_place(resource, Key(kind, name))
        edit = edits.put(resource, expected(agent, resource.key, precondition))
        return apply(edit, precondition, dry_run)

    @router.patch(
        one,
        operation_id=f"patch{kind}",
        responses=changed(404, 409, 412, 413, 415),
        openapi_extra=body(MERGE_PATCH, "Patch"),
    )
    def patch(
        name: Name,
        content: Patch,
        precondition: Preconditions,
        dry_run: DryRun = False,
    ) -> Response:
        """Change what the patch holds (RFC 7396): null takes a key away, a list is replaced."""
        key, changes = Key(kind, name), parse_json_object(content)
        edit = edits.merge_patch(key, changes, expected(agent, key, precondition))
        return apply(edit, precondition, dry_run)

    @router.delete(
        one,
        operation_id=f"delete{kind}",
        responses=changed(404, 412),
    )
    def delete(name: Name, precondition: Preconditions, dry_run: DryRun = False) -> Response:
        """Take it away."""
        key = Key(kind, name)
        edit = edits.delete(key, expected(agent, key, precondition))
        return apply(edit, precondition, dry_run)

    def apply(edit: Edit, precondition: Precondition, dry_run: bool) -> Response:
        guarded = Guarded(edit, precondition, lambda now: now is not None)
        return apply_one(agent, guarded, dry_run, after=True)


def expected(agent: Agent, key: Key, precondition: Precondition) -> str | None:
    """The version that the resource must have, as far as If-Match names one."""
    return precondition.expected(lambda: agent.stored(key).version)


def apply_one(agent: Agent, guarded: Guarded, dry_run: bool, *, after: bool) -> Response:
    """Make one change, and answer what it did."""
    result = apply_guarded(agent, guarded, dry_run)
    created = guarded.was_there is False and not dry_run
    return applied_one(result, guarded.edit.key, created=created, after=after)


def apply_guarded(agent: Agent, guarded: Guarded, dry_run: bool) -> Applied:
    """Make one change. What If-Match or If-None-Match forbade is 412; the body's version, 409."""
    try:
        return agent.apply(Transaction([guarded.edit]), dry_run=dry_run)
    except Conflict as conflict:
        if guarded.precondition.given:
            raise failed(conflict.message, conflict.resource_version, conflict.hint) from None
        raise


def _check_place(resource: AnyResource, key: Key) -> None:
    if resource.key != key:
        path = ("kind",) if resource.kind != key.kind else ("metadata", "name")
        raise ResourceError(f"{resource.key} in the place of {key}", path, "they must be equal")
