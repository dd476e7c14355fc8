# SPDX-License-Identifier: Apache-2.0
"""What would become of a packet."""

from typing import Annotated, Self

from fastapi import APIRouter, Response
from pydantic import Field, ValidationError, model_validator

from sixlane.agent import Agent
from sixlane.api.answers import answer
from sixlane.api.body import JSON, parse_json_object
from sixlane.api.describe import body, found
from sixlane.api.resources import Body
from sixlane.model.problem import from_pydantic
from sixlane.model.resource import Model

_MOST = 256
_MOST_DIGITS = 2 * 9_216


class TracePacket(Model):
    """A packet, given in one of three ways."""

    flow: Annotated[
        str | None,
        Field(
            max_length=300,
            description="In words.",
            examples=["2001:db8::1 -> 64:ff9b::192.31.196.10 tcp/443"],
        ),
    ] = None
    packet: Annotated[
        str | None, Field(max_length=_MOST_DIGITS, description="Layer 3, in hexadecimal.")
    ] = None
    frame: Annotated[
        str | None,
        Field(max_length=_MOST_DIGITS, description="With its link header, in hexadecimal."),
    ] = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(one is not None for one in (self.flow, self.packet, self.frame)) != 1:
            raise ValueError("one of flow, packet and frame")
        return self


class TraceBody(Model):
    """What is asked."""

    packets: Annotated[tuple[TracePacket, ...], Field(strict=False, min_length=1, max_length=_MOST)]
    device: Annotated[
        str | None,
        Field(
            max_length=64,
            description="That they come in by; null: by which the kernel would answer each.",
        ),
    ] = None


def routes(agent: Agent) -> APIRouter:
    router = APIRouter(tags=["system"])

    @router.post(
        "/v1/trace",
        operation_id="trace",
        responses=found("Traces", 413, 415, 422, 501),
        openapi_extra=body(JSON, "TraceBody"),
    )
    def trace(content: Body) -> Response:
        """What would become of packets, step by step; nothing is sent, counted or changed.

        The data path's own programs run on each packet over the tables in force.
        """
        try:
            asked = TraceBody.model_validate(parse_json_object(content))
        except ValidationError as error:
            raise from_pydantic(error) from None
        packets = [one.model_dump(exclude_none=True) for one in asked.packets]
        return answer({"items": agent.trace(packets, asked.device)})

    return router
