# SPDX-License-Identifier: Apache-2.0
"""Plain data into resources."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from sixlane.model.dns64 import Dns64
from sixlane.model.gateway import Gateway
from sixlane.model.network import Network
from sixlane.model.problem import ResourceError, from_pydantic, likely, shown
from sixlane.model.resource import API_VERSION, Key
from sixlane.model.service import Service

AnyResource = Gateway | Dns64 | Service | Network

KINDS: dict[str, type[AnyResource]] = {
    "Gateway": Gateway,
    "Dns64": Dns64,
    "Service": Service,
    "Network": Network,
}


def parse_resource(data: object, where: str = "", index: int = 0) -> AnyResource:
    """One resource. Raises `ResourceError`, which calls the resource's place `where`."""
    try:
        return _parse(data)
    except ResourceError as error:
        raise error.at(where, index) from None


def parse_resources(
    items: Sequence[object], where: Sequence[str] | None = None
) -> tuple[AnyResource, ...]:
    """Many, each checked by itself, and none named twice. `where`: what to call their places."""
    resources: list[AnyResource] = []
    first: dict[Key, str] = {}
    for index, item in enumerate(items):
        place = where[index] if where else ""
        resource = parse_resource(item, place, index)
        if resource.key in first:
            raise ResourceError(
                f"{resource.key} stands twice",
                ("metadata", "name"),
                f"already in {first[resource.key] or 'the same request'}",
                where=place,
                index=index,
            )
        first[resource.key] = place
        resources.append(resource)
    return tuple(resources)


def _parse(data: Any) -> AnyResource:
    if not isinstance(data, dict):
        raise ResourceError(
            f"{shown(data)} is not a resource",
            hint="a mapping with apiVersion, kind, metadata, spec",
        )
    version, kind = data.get("apiVersion"), data.get("kind")
    if version != API_VERSION:
        what = "apiVersion is missing" if version is None else f"unknown version {shown(version)}"
        path = () if version is None else ("apiVersion",)
        raise ResourceError(what, path, f"write apiVersion: {API_VERSION}")
    if kind is None:
        raise ResourceError("kind is missing", hint=likely(None, KINDS))
    if not isinstance(kind, str) or kind not in KINDS:
        raise ResourceError(f"unknown kind {shown(kind)}", ("kind",), likely(kind, KINDS))
    try:
        return KINDS[kind].model_validate(data)
    except ValidationError as error:
        raise from_pydantic(error) from None
