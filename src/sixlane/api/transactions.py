# SPDX-License-Identifier: Apache-2.0
"""Changes of the whole: many resources at once, the history, and the way back."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Response
from pydantic import Field, ValidationError, WithJsonSchema

from sixlane.agent import Agent, Edit, Transaction, edits
from sixlane.agent.backend_edits import (
    BackendChange,
    BackendEdit,
    BackendOutcome,
    parse_backend,
)
from sixlane.api.answers import answer, applied
from sixlane.api.body import JSON, parse_json_object
from sixlane.api.describe import body, changed, found, ref
from sixlane.api.parameters import DryRun
from sixlane.api.resources import Body
from sixlane.model import KINDS, BackendList, Key, ResourceError, parse_resources
from sixlane.model.problem import Path, from_pydantic, shown
from sixlane.model.resource import Model

_Shape = TypeVar("_Shape", bound=Model)


class Reference(Model):
    """A resource that is there."""

    kind: Annotated[str, Field(examples=["Gateway"])]
    name: Annotated[str, Field(examples=["edge"])]
    resource_version: Annotated[
        str | None, Field(description="If given, it must be the present one.", examples=["17"])
    ] = None

    @property
    def key(self) -> Key:
        return Key(self.kind, self.name)


class BackendChangeBody(Model):
    """A change of one backend of a Service."""

    op: Annotated[
        Literal["put", "patch", "delete"],
        Field(description="`patch`: as RFC 7396 has it; null takes a key away."),
    ]
    service: Annotated[str, Field(examples=["web"])]
    backend: Annotated[
        dict[str, Any],
        Field(
            description="With its address, and its port if it has one of its own: they name it. "
            "With `put` the backend, with `patch` what is to change, with `delete` no more.",
            examples=[{"address": "2001:db8:64:1::7", "weight": 3}],
        ),
        WithJsonSchema({"anyOf": [ref("Backend"), ref("Patch")]}),
    ]
    resource_version: Annotated[
        str | None, Field(description="Of the Service; if given, it must be the present one.")
    ] = None


class TransactionBody(Model):
    """Many changes at once."""

    put: Annotated[
        tuple[Any, ...],
        Field(strict=False, description="Resources that shall be as they are here."),
        WithJsonSchema({"type": "array", "items": {"oneOf": [ref(kind) for kind in KINDS]}}),
    ] = ()
    delete: Annotated[
        tuple[Reference, ...], Field(strict=False, description="Resources that shall be no more.")
    ] = ()
    backends: Annotated[
        tuple[BackendChangeBody, ...],
        Field(
            strict=False,
            max_length=100_000,
            description="Backends that are to change, in this order; behind `put` and `delete`.",
        ),
    ] = ()
    prune: Annotated[
        bool,
        Field(description="Delete every resource that is not in `put` or `backends`, too."),
    ] = False


class RollbackBody(Model):
    """Where to go back to."""

    revision: Annotated[
        int | None, Field(ge=0, description="null, or left out: the one before the present one.")
    ] = None


def routes(agent: Agent) -> APIRouter:
    router = APIRouter(tags=["transactions"])

    @router.post(
        "/v1/transactions",
        operation_id="transact",
        responses=changed(404, 409, 413, 415),
        openapi_extra=body(JSON, "TransactionBody"),
    )
    def transact(content: Body, dry_run: DryRun = False) -> Response:
        """Put and delete resources, change backends: all of it is in force then, or nothing."""
        transaction, backends = parse_transaction(parse_json_object(content))
        result = agent.apply(transaction, dry_run=dry_run)
        return answer(applied(result, backends=backends.outcomes()))

    @router.get("/v1/history", operation_id="listHistory", responses=found("History"))
    def history() -> Response:
        """The last changes of the whole, newest first."""
        return answer({"revision": agent.revision(), "items": agent.history()})

    @router.post(
        "/v1/rollback",
        operation_id="rollback",
        responses=changed(404, 413, 415),
        openapi_extra=body(JSON, "RollbackBody"),
    )
    def rollback(content: Body, dry_run: DryRun = False) -> Response:
        """Have all resources as they were in a revision. That makes a new one."""
        asked = _parsed(RollbackBody, parse_json_object(content))
        result = agent.rollback(asked.revision, dry_run=dry_run)
        return answer(applied(result))

    return router


class BackendEdits:
    """The changes of backends in a transaction, those of a service together."""

    def __init__(self, asked: Sequence[BackendChangeBody]) -> None:
        """Raises `ResourceError`."""
        self._places: list[tuple[str, int]] = []  # of each: its service, and which one of its
        changes: dict[str, list[BackendChange]] = {}
        versions: dict[str, str] = {}
        for at, one in enumerate(asked):
            of_service = changes.setdefault(one.service, [])
            self._places.append((one.service, len(of_service)))
            of_service.append(_backend_change(one, ("backends", at, "backend")))
            version = one.resource_version
            if version is not None and versions.setdefault(one.service, version) != version:
                what = f"two versions of Service {one.service}"
                path = ("backends", at, "resourceVersion")
                raise ResourceError(what, path, "one of them, or none")
        self._edits = {
            service: BackendEdit(service, of_service, versions.get(service))
            for service, of_service in changes.items()
        }

    def edits(self) -> list[Edit]:
        return [one.edit for one in self._edits.values()]

    def outcomes(self) -> list[BackendOutcome]:
        """As they were asked for; once all is made."""
        return [self._edits[service].outcomes[at] for service, at in self._places]


def _backend_change(asked: BackendChangeBody, path: Path) -> BackendChange:
    data = dict(asked.backend)
    given = parse_backend({key: data[key] for key in ("address", "port") if key in data}, path)
    naming = BackendList.row_of(given)[: BackendList.NAMING]
    more = data.keys() - {"address", "port"}
    if asked.op == "delete" and more:
        key = min(more)
        raise ResourceError(f"{shown(key)} of what is deleted", (*path, key), "leave it out")
    return BackendChange(asked.op, naming, data, path)


def parse_transaction(data: dict[str, Any]) -> tuple[Transaction, BackendEdits]:
    """Raises `ResourceError`; its index is that in `put`."""
    asked = _parsed(TransactionBody, data)
    put = parse_resources(asked.put)
    named = Counter([*(one.key for one in put), *(one.key for one in asked.delete)])
    twice = next((key for key, times in named.items() if times > 1), None)
    if twice is not None:
        raise ResourceError(f"{twice} stands twice", ("delete",), "put it, or delete it")
    # What is put comes first: problems then carry its index.
    changes = [edits.put(one) for one in put]
    changes += [edits.delete(one.key, one.resource_version) for one in asked.delete]
    backends = BackendEdits(asked.backends)
    return Transaction([*changes, *backends.edits()], asked.prune), backends


def _parsed(shape: type[_Shape], data: dict[str, Any]) -> _Shape:
    try:
        return shape.model_validate(data)
    except ValidationError as error:
        raise from_pydantic(error) from None
