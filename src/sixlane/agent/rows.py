# SPDX-License-Identifier: Apache-2.0
"""A resource as rows of the store: its own fields, and each prefix of a Gateway by itself.

A change to one prefix then writes one row, whatever the others hold. `OWN` names the row of the
resource's own fields; in it the names of the prefixes stand in the place of the prefixes.
"""

import json
from collections.abc import Mapping
from typing import Any

from sixlane.model import AnyResource, Gateway, Prefix

OWN = ""


def rows_of(resource: AnyResource) -> dict[str, str]:
    """All rows, by the name of the piece."""
    return {piece: body for piece, body in changed_rows(None, resource).items() if body is not None}


def changed_rows(before: AnyResource | None, after: AnyResource | None) -> dict[str, str | None]:
    """The rows that differ; None: the row goes. Costs by what differs."""
    rows: dict[str, str | None] = {}
    old = _prefixes(before)
    new = _prefixes(after)
    own = _own(after) if after is not None else None
    if before is None or own is None or own != _own(before):
        rows[OWN] = own
    for name in old.keys() - new.keys():
        rows[name] = None
    for name, prefix in new.items():
        if name not in old or (prefix is not old[name] and prefix != old[name]):
            rows[name] = prefix.model_dump_json(by_alias=True, exclude_unset=True)
    return rows


def data_of(rows: Mapping[str, str | None], present: AnyResource | None = None) -> Any:
    """A resource as the parser takes it, made of its rows.

    Where a row is None, the prefix of that name in `present` is the same; it stands in the data as
    it is, and the parser takes it over.
    """
    data = json.loads(rows[OWN] or "")
    if data["kind"] == "Gateway":
        there = _prefixes(present)
        data["spec"]["prefixes"] = [
            there[name] if (body := rows[name]) is None else json.loads(body)
            for name in data["spec"]["prefixes"]
        ]
    return data


def _own(resource: AnyResource) -> str:
    if not isinstance(resource, Gateway):
        return resource.model_dump_json(by_alias=True, exclude_unset=True)
    data = resource.model_dump(
        mode="json", by_alias=True, exclude_unset=True, exclude={"spec": {"prefixes"}}
    )
    data["spec"]["prefixes"] = [prefix.name for prefix in resource.spec.prefixes]
    return json.dumps(data, separators=(",", ":"))


def _prefixes(resource: AnyResource | None) -> dict[str, Prefix]:
    if not isinstance(resource, Gateway):
        return {}
    return {prefix.name: prefix for prefix in resource.spec.prefixes}
