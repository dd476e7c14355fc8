# SPDX-License-Identifier: Apache-2.0
"""Changes of the whole: many resources at once, the history, and the way back."""

from collections import Counter
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Response
from pydantic import Field, ValidationError, WithJsonSchema

from sixlane.agent import Agent, Transaction, edits
from sixlane.api.answers import answer, applied
from sixlane.api.body import JSON, parse_json_object
from sixlane.api.describe import body, changed, found, ref
from sixlane.api.parameters import DryRun
from sixlane.api.resources import Body
from sixlane.model import KINDS, Key, ResourceError, parse_resources
from sixlane.model.problem import from_pydantic
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
    prune: Annotated[
        bool, Field(description="Delete every resource that is not in `put`, too.")
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
        """Put and delete resources: all of it is in force then, in one flip, or nothing."""
        transaction = parse_transaction(parse_json_object(content))
        result = agent.apply(transaction, dry_run=dry_run)
        return answer(applied(result))

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


def parse_transaction(data: dict[str, Any]) -> Transaction:
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
    return Transaction(changes, asked.prune)


def _parsed(shape: type[_Shape], data: dict[str, Any]) -> _Shape:
    try:
        return shape.model_validate(data)
    except ValidationError as error:
        raise from_pydantic(error) from None
