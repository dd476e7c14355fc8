# SPDX-License-Identifier: Apache-2.0
"""What stands in the URLs."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Path, Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BeforeValidator

from sixlane.api.problem import bad_request
from sixlane.model.problem import likely


def _true_or_false(value: object) -> object:
    """No other words: `?dryRun=on` must not be guessed at."""
    if isinstance(value, str):
        if value not in ("true", "false"):
            raise ValueError(f"{value[:60]!a} is neither true nor false")
        return value == "true"
    return value


DryRun = Annotated[
    bool,
    BeforeValidator(_true_or_false),
    Query(alias="dryRun", description="Say what would be done, and do nothing."),
]
Name = Annotated[str, Path(description="The resource's metadata.name.", examples=["edge"])]
PrefixName = Annotated[str, Path(description="The prefix's name.", examples=["pods"])]
Ipv4Address = Annotated[
    str,
    Path(description="First address of the mapping's IPv4 prefix.", examples=["192.175.48.8"]),
]
Ipv4Length = Annotated[
    int, Path(description="Length of the mapping's IPv4 prefix, in bits.", ge=1, le=32)
]
BackendAddress = Annotated[
    str, Path(description="The backend's address.", examples=["2001:db8:64:1::7"])
]
BackendPort = Annotated[int, Path(description="Its own port.", ge=1, le=65535, examples=[8080])]


def _query_parameters(dependant: Dependant) -> Iterator[str]:
    """Those of a route, and of what it depends on."""
    for parameter in dependant.query_params:
        yield parameter.alias
    for one in dependant.dependencies:
        yield from _query_parameters(one)


async def refuse_unknown(request: Request) -> None:
    """A dependency of every route: `?dryrun=true` must not do what it was meant to try."""
    route = request.scope["route"]
    assert isinstance(route, APIRoute)
    known = set(_query_parameters(route.dependant))
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name not in known:
            hint = likely(name, known) if known else "there are none here"
            raise bad_request(f"unknown parameter {name[:60]!a}", hint)
        if name in seen:
            raise bad_request(f"parameter {name} stands twice")
        seen.add(name)
