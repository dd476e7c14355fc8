# SPDX-License-Identifier: Apache-2.0
"""Changes of single backends of a Service, as one `Edit` of it: a thousand cost little more than
one, and each has a result of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from sixlane.agent.edits import merged_patch
from sixlane.agent.problems import NotFound, not_found
from sixlane.agent.transaction import Edit, Outcome
from sixlane.model import AnyResource, Backend, BackendList, Key, ResourceError, Service
from sixlane.model.problem import Path, from_pydantic, shown

BackendOp = Literal["put", "patch", "delete"]

_TOLD = 10  # backends that are named where one is not there


@dataclass(frozen=True)
class BackendChange:
    """`data`: with `put` the backend, with `patch` a merge patch (RFC 7396) of it. `naming`: its
    address and port. `path`: leads to `data` from the top of what was sent."""

    op: BackendOp
    naming: bytes
    data: Any = None
    path: Path = ()


@dataclass(frozen=True)
class BackendOutcome:
    """What became of one change."""

    service: str
    naming: bytes
    outcome: Outcome

    def as_data(self) -> dict[str, Any]:
        return {"service": self.service, **named(self.naming), "outcome": self.outcome}


class BackendEdit:
    """Changes of a service's backends, made one after the other when the turn of `edit` comes.

    `outcomes`: what became of each, from then on.
    """

    def __init__(
        self, service: str, changes: Sequence[BackendChange], expected: str | None = None
    ) -> None:
        self._changes = changes
        self.outcomes: list[BackendOutcome] = []
        self.edit = Edit(Key("Service", service), self._change, expected)

    def _change(self, present: AnyResource | None) -> AnyResource:
        if not isinstance(present, Service):
            raise not_found(str(self.edit.key))
        self.outcomes = []
        backends = present.spec.backends
        rows = dict(zip(backends.namings, backends.rows, strict=True))
        data = dict(zip(rows, backends.data, strict=True))
        for one in self._changes:
            before = rows.get(one.naming)
            if before is None and one.op != "put":
                raise no_backend(present, one.naming)
            if one.op == "delete":
                del rows[one.naming], data[one.naming]
                outcome: Outcome = "deleted"
            else:
                backend = _wanted(one, data.get(one.naming))
                row = rows[one.naming] = BackendList.row_of(backend)
                data[one.naming] = backend.as_data()
                outcome = "created" if before is None else "changed"
                outcome = "unchanged" if row == before else outcome
            self.outcomes.append(BackendOutcome(present.name, one.naming, outcome))
        return present.with_backends(BackendList(data.values(), b"".join(rows.values())))


def backend_of(service: Service, naming: bytes) -> Backend:
    """Raises `NotFound`."""
    at = service.spec.backends.place(naming)
    if at is None:
        raise no_backend(service, naming)
    return service.spec.backends[at]


def no_backend(service: Service, naming: bytes | str) -> NotFound:
    """There is none of that address and port; of what is no address, as text."""
    there = sorted(map(label, service.spec.backends.namings))
    if len(there) > _TOLD:
        there = [*there[:_TOLD], f"and {len(there) - _TOLD} more"]
    hint = f"there are: {', '.join(there)}" if there else "there are none"
    name = label(naming) if isinstance(naming, bytes) else shown(naming)
    return NotFound(f"no backend {name} in {service.key}", hint)


def naming_of(address: str, port: int | None, path: Path = ()) -> bytes:
    """What names a backend. Raises `ResourceError`."""
    given = {"address": address} | ({} if port is None else {"port": port})
    return BackendList.row_of(parse_backend(given, path))[: BackendList.NAMING]


def named(naming: bytes) -> dict[str, Any]:
    """The keys of a backend that name it, as plain data."""
    fields = BackendList.fields_of(naming + bytes(BackendList.ROW.size - BackendList.NAMING))
    port = fields["port"]
    return {"address": str(fields["address"])} | ({"port": port} if port else {})


def label(naming: bytes) -> str:
    """What messages call it."""
    return BackendList.label(naming + bytes(BackendList.ROW.size - BackendList.NAMING))


def parse_backend(data: object, path: Path = ()) -> Backend:
    """Raises `ResourceError`, with paths that go on from `path`."""
    try:
        return Backend.model_validate(data)
    except ValidationError as error:
        problem = from_pydantic(error)
        raise ResourceError(problem.what, (*path, *problem.path), problem.hint) from None


def _wanted(change: BackendChange, present: dict[str, Any] | None) -> Backend:
    data = merged_patch(present, change.data) if change.op == "patch" else change.data
    backend = parse_backend(data, change.path)
    given = BackendList.row_of(backend)[: BackendList.NAMING]
    if given != change.naming:
        raise ResourceError(
            f"{label(given)} in the place of {label(change.naming)}",
            change.path,
            "a backend keeps its address and port; make another one",
        )
    return backend
