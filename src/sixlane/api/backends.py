# SPDX-License-Identifier: Apache-2.0
"""The backends of a Service, one by one, and what services carry.

A backend is named by its address, and its port if it has one of its own. Its ETag is that of the
whole Service.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from sixlane.agent import Agent, Applied
from sixlane.agent.backend_edits import (
    BackendChange,
    BackendEdit,
    backend_of,
    label,
    naming_of,
    no_backend,
    parse_backend,
)
from sixlane.api.answers import answer, applied_one
from sixlane.api.body import JSON, MERGE_PATCH, parse_json_object
from sixlane.api.describe import body, changed, found
from sixlane.api.parameters import BackendAddress, BackendPort, DryRun, Name
from sixlane.api.preconditions import Guarded, Precondition, Preconditions
from sixlane.api.resources import Body, Patch, apply_guarded, expected
from sixlane.model import AnyResource, BackendList, Key, ResourceError, Service

_ALL = "/v1/services/{name}/backends"
_ONE = _ALL + "/{address}"
_ONE_WITH_PORT = _ONE + "/{port}"

_REFUSALS = (404, 412, 413, 415)


class Place:
    """Which backend a path names."""

    def __init__(self, address: str, port: int | None) -> None:
        self._address, self._port = address, port

    @property
    def naming(self) -> bytes:
        """Raises `ResourceError`."""
        return naming_of(self._address, self._port)

    def found(self, service: Service) -> bytes:
        """The same. What is no address is nobody's: raises `NotFound`."""
        try:
            return self.naming
        except ResourceError:
            raise no_backend(service, self._address) from None


def _by_address(address: BackendAddress) -> Place:
    return Place(address, None)


def _by_address_and_port(address: BackendAddress, port: BackendPort) -> Place:
    return Place(address, port)


def routes(agent: Agent) -> APIRouter:
    router = APIRouter(tags=["backends"])

    @router.get(_ALL, operation_id="listBackends", responses=found("BackendListing", 404))
    def list_backends(name: Name) -> Response:
        """All backends of a Service: as desired, and how each does."""
        return answer(agent.backends(name))

    @router.get(
        "/v1/services/{name}/counters",
        operation_id="getServiceCounters",
        responses=found("ServiceCounters", 404),
    )
    def get_counters(name: Name) -> Response:
        """What a Service carries, with each of its frontends and backends."""
        return answer(agent.service_counters(name))

    @router.get(
        "/v1/counters/services",
        operation_id="listServiceCounts",
        responses=found("ServiceCounts"),
    )
    def list_counts() -> Response:
        """What each Service in force carries."""
        return answer({"items": agent.service_counts()})

    _add_one(router, agent, _ONE, Annotated[Place, Depends(_by_address)], "")
    _add_one(
        router, agent, _ONE_WITH_PORT, Annotated[Place, Depends(_by_address_and_port)], "WithPort"
    )
    return router


def _add_one(router: APIRouter, agent: Agent, path: str, place: Any, suffix: str) -> None:
    """The calls of one backend; `place`: what its path is read by."""

    @router.get(path, operation_id=f"getBackend{suffix}", responses=found("BackendView", 404))
    def get_backend(name: Name, place: place) -> Response:
        """One backend."""
        stored = agent.stored(Key("Service", name)).resource
        assert isinstance(stored, Service)
        return answer(agent.backend(name, place.found(stored)))

    @router.put(
        path,
        operation_id=f"putBackend{suffix}",
        responses=changed(*_REFUSALS, creates=True),
        openapi_extra=body(JSON, "Backend"),
    )
    def put_backend(
        name: Name,
        place: place,
        content: Body,
        precondition: Preconditions,
        dry_run: DryRun = False,
    ) -> Response:
        """Make the backend what is given; the others stay as they are."""
        data = parse_json_object(content)
        given = BackendList.row_of(parse_backend(data))[: BackendList.NAMING]
        if given != place.naming:
            what = f"{label(given)} in the place of {label(place.naming)}"
            raise ResourceError(what, ("address",), "they must be equal")
        return _apply(agent, name, BackendChange("put", given, data), precondition, dry_run)

    @router.patch(
        path,
        operation_id=f"patchBackend{suffix}",
        responses=changed(*_REFUSALS),
        openapi_extra=body(MERGE_PATCH, "Patch"),
    )
    def patch_backend(
        name: Name,
        place: place,
        content: Patch,
        precondition: Preconditions,
        dry_run: DryRun = False,
    ) -> Response:
        """Change what the patch holds (RFC 7396), such as its weight or state; null takes a key
        away."""
        change = BackendChange("patch", place.naming, parse_json_object(content))
        return _apply(agent, name, change, precondition, dry_run)

    @router.delete(path, operation_id=f"deleteBackend{suffix}", responses=changed(404, 412))
    def delete_backend(
        name: Name, place: place, precondition: Preconditions, dry_run: DryRun = False
    ) -> Response:
        """Take the backend away, and its flows with it: drain it first, if they are to end well."""
        change = BackendChange("delete", place.naming)
        return _apply(agent, name, change, precondition, dry_run)


def _apply(
    agent: Agent, service: str, change: BackendChange, precondition: Precondition, dry_run: bool
) -> Response:
    def is_there(now: AnyResource | None) -> bool:
        return isinstance(now, Service) and bool(backend_of(now, change.naming))

    version = expected(agent, Key("Service", service), precondition)
    edit = BackendEdit(service, [change], version)
    what = f"backend {label(change.naming)} in {edit.edit.key}"
    guarded = Guarded(edit.edit, precondition, is_there, what)
    result = apply_guarded(agent, guarded, dry_run)
    return _answer(result, guarded, edit, created=not guarded.was_there and not dry_run)


def _answer(result: Applied, guarded: Guarded, edit: BackendEdit, *, created: bool) -> Response:
    return applied_one(
        result, guarded.edit.key, created=created, after=False, backends=edit.outcomes
    )
