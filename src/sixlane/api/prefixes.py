# SPDX-License-Identifier: Apache-2.0
"""The parts of a Gateway: its prefixes, and their explicit address mappings.

Their ETag is that of the whole Gateway.
"""

from collections.abc import Callable, Iterable

from fastapi import APIRouter, Request, Response

from sixlane.agent import Agent, Edit, edits
from sixlane.api.answers import versioned
from sixlane.api.body import JSON, MERGE_PATCH, parse_json_object
from sixlane.api.describe import body, changed, found_versioned
from sixlane.api.parameters import DryRun, Ipv4Address, Ipv4Length, Name, PrefixName
from sixlane.api.preconditions import Guarded, Precondition, Preconditions
from sixlane.api.resources import Body, Patch, apply_one, expected
from sixlane.model import AnyResource, Gateway, Key, ResourceError
from sixlane.model.resource import Model

_ALL = "/v1/gateways/{name}/prefixes"
_ONE = _ALL + "/{prefix}"
_EAMS = _ONE + "/eam"
_EAM = _EAMS + "/{ipv4}/{length}"

_REFUSALS = (404, 412, 413, 415)


def routes(agent: Agent) -> APIRouter:
    router = APIRouter(tags=["prefixes"])

    def apply(
        edit: Edit,
        precondition: Precondition,
        find: Callable[[Gateway], object],
        what: str,
        dry_run: bool,
    ) -> Response:
        whole = f"{what} in {edit.key}"
        guarded = Guarded(edit, precondition, lambda now: _is_there(now, find), whole)
        return apply_one(agent, guarded, dry_run, after=False)

    def stored(name: str) -> tuple[Gateway, str]:
        found = agent.stored(Key("Gateway", name))
        assert isinstance(found.resource, Gateway)
        return found.resource, found.version

    def listing(request: Request, parts: Iterable[Model], version: str) -> Response:
        data = {"resourceVersion": version, "items": [part.as_data() for part in parts]}
        return versioned(request, data, version)

    def expect(gateway: str, precondition: Precondition) -> str | None:
        return expected(agent, Key("Gateway", gateway), precondition)

    @router.get(
        _ALL,
        operation_id="listPrefixes",
        responses=found_versioned("PrefixListing", 404),
    )
    def list_prefixes(request: Request, name: Name) -> Response:
        """All prefixes of a Gateway."""
        gateway, version = stored(name)
        return listing(request, gateway.spec.prefixes, version)

    @router.get(_ONE, operation_id="getPrefix", responses=found_versioned("Prefix", 404))
    def get_prefix(request: Request, name: Name, prefix: PrefixName) -> Response:
        """One prefix."""
        gateway, version = stored(name)
        return versioned(request, edits.prefix_of(gateway, prefix).as_data(), version)

    @router.put(
        _ONE,
        operation_id="putPrefix",
        responses=changed(*_REFUSALS, creates=True),
        openapi_extra=body(JSON, "Prefix"),
    )
    def put_prefix(
        name: Name,
        prefix: PrefixName,
        content: Body,
        precondition: Preconditions,
        dry_run: DryRun = False,
    ) -> Response:
        """Make the prefix what is given; the others stay as they are."""
        data = parse_json_object(content)
        if edits.parse_prefix(data).name != prefix:
            raise _in_another_place(data["name"], prefix, "name")
        edit = edits.put_prefix(name, data, expect(name, precondition))
        return apply(edit, precondition, prefix_at(prefix), f"prefix {prefix}", dry_run)

    @router.patch(
        _ONE,
        operation_id="patchPrefix",
        responses=changed(*_REFUSALS),
        openapi_extra=body(MERGE_PATCH, "Patch"),
    )
    def patch_prefix(
        name: Name,
        prefix: PrefixName,
        content: Patch,
        precondition: Preconditions,
        dry_run: DryRun = False,
    ) -> Response:
        """Change what the patch holds (RFC 7396): null takes a key away, a list is replaced."""
        changes = parse_json_object(content)
        edit = edits.patch_prefix(name, prefix, changes, expect(name, precondition))
        return apply(edit, precondition, prefix_at(prefix), f"prefix {prefix}", dry_run)

    @router.delete(
        _ONE,
        operation_id="deletePrefix",
        responses=changed(404, 412),
    )
    def delete_prefix(
        name: Name,
        prefix: PrefixName,
        precondition: Preconditions,
        dry_run: DryRun = False,
    ) -> Response:
        """Take a prefix away. The last one stays, but where a Gateway balances only."""
        edit = edits.delete_prefix(name, prefix, expect(name, precondition))
        return apply(edit, precondition, prefix_at(prefix), f"prefix {prefix}", dry_run)

    @router.get(
        _EAMS,
        operation_id="listEams",
        responses=found_versioned("EamListing", 404),
    )
    def list_eams(request: Request, name: Name, prefix: PrefixName) -> Response:
        """All explicit address mappings of a prefix."""
        gateway, version = stored(name)
        return listing(request, edits.prefix_of(gateway, prefix).eam, version)

    @router.get(_EAM, operation_id="getEam", responses=found_versioned("Eam", 404))
    def get_eam(
        request: Request, name: Name, prefix: PrefixName, ipv4: Ipv4Address, length: Ipv4Length
    ) -> Response:
        """One mapping."""
        gateway, version = stored(name)
        found = edits.eam_of(edits.prefix_of(gateway, prefix), f"{ipv4}/{length}")
        return versioned(request, found.as_data(), version)

    @router.put(
        _EAM,
        operation_id="putEam",
        responses=changed(*_REFUSALS, creates=True),
        openapi_extra=body(JSON, "Eam"),
    )
    def put_eam(
        name: Name,
        prefix: PrefixName,
        ipv4: Ipv4Address,
        length: Ipv4Length,
        content: Body,
        precondition: Preconditions,
        dry_run: DryRun = False,
    ) -> Response:
        """Make the mapping of this IPv4 prefix what is given; the others stay as they are."""
        data = parse_json_object(content)
        given = str(edits.parse_eam(data).ipv4)
        if given != f"{ipv4}/{length}":
            raise _in_another_place(given, f"{ipv4}/{length}", "ipv4")
        edit = edits.put_eam(name, prefix, data, expect(name, precondition))
        return apply(edit, precondition, eam_at(prefix, given), f"mapping of {given}", dry_run)

    @router.delete(_EAM, operation_id="deleteEam", responses=changed(404, 412))
    def delete_eam(
        name: Name,
        prefix: PrefixName,
        ipv4: Ipv4Address,
        length: Ipv4Length,
        precondition: Preconditions,
        dry_run: DryRun = False,
    ) -> Response:
        """Take one mapping away."""
        given = f"{ipv4}/{length}"
        edit = edits.delete_eam(name, prefix, given, expect(name, precondition))
        return apply(edit, precondition, eam_at(prefix, given), f"mapping of {given}", dry_run)

    def prefix_at(prefix: str) -> Callable[[Gateway], object]:
        return lambda gateway: edits.prefix_of(gateway, prefix)

    def eam_at(prefix: str, ipv4: str) -> Callable[[Gateway], object]:
        return lambda gateway: edits.eam_of(edits.prefix_of(gateway, prefix), ipv4)

    return router


def _is_there(now: AnyResource | None, find: Callable[[Gateway], object]) -> bool:
    """`find` raises `NotFound` if not."""
    if not isinstance(now, Gateway):
        return False
    find(now)
    return True


def _in_another_place(given: str, place: str, key: str) -> ResourceError:
    return ResourceError(f"{given} in the place of {place}", (key,), "they must be equal")
