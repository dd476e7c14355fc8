# SPDX-License-Identifier: Apache-2.0
"""The changes that can be asked for, each as an `Edit`: of resources, of pieces of a Gateway."""

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from sixlane.agent.problems import not_found
from sixlane.agent.transaction import Edit
from sixlane.model import (
    AnyResource,
    Eam,
    Gateway,
    Key,
    Prefix,
    ResourceError,
    parse_resource,
)
from sixlane.model.addresses import parse_ipv4_network
from sixlane.model.problem import from_pydantic, shown


def put(resource: AnyResource, expected: str | None = None) -> Edit:
    """Have this, whatever was there. Without `expected`, the resource's own resourceVersion is."""
    if expected is None:
        expected = resource.metadata.resource_version
    return Edit(resource.key, lambda _: resource, expected)


def delete(key: Key, expected: str | None = None, missing_ok: bool = False) -> Edit:
    """Have it no more."""

    def change(present: AnyResource | None) -> None:
        if present is None and not missing_ok:
            raise not_found(str(key))

    return Edit(key, change, expected)


def merge_patch(key: Key, patch: dict[str, Any], expected: str | None = None) -> Edit:
    """RFC 7396 over the resource's data; what comes of it is checked like any resource."""

    def change(present: AnyResource | None) -> AnyResource:
        if present is None:
            raise not_found(str(key))
        merged = parse_resource(merged_patch(present.as_data(), patch))
        if merged.key != key:
            raise ResourceError(
                f"the patch makes {merged.key} of {key}", hint="kind and name stay; make a new one"
            )
        return merged

    metadata = patch.get("metadata")
    if expected is None and isinstance(metadata, dict):
        version = metadata.get("resourceVersion")
        expected = version if isinstance(version, str) else None
    return Edit(key, change, expected)


def put_prefix(gateway: str, data: object, expected: str | None = None) -> Edit:
    """A prefix in the place of that of the same name, or behind the others."""
    prefix = parse_prefix(data)
    return _edit(gateway, lambda present: present.with_prefix(prefix), expected)


def patch_prefix(
    gateway: str, name: str, patch: dict[str, Any], expected: str | None = None
) -> Edit:
    """RFC 7396 over one prefix."""

    def change(present: Gateway) -> Gateway:
        merged = parse_prefix(merged_patch(prefix_of(present, name).as_data(), patch))
        if merged.name != name:
            raise ResourceError(
                f"the patch makes prefix {merged.name} of {name}", ("name",), "a prefix keeps it"
            )
        return present.with_prefix(merged)

    return _edit(gateway, change, expected)


def delete_prefix(gateway: str, name: str, expected: str | None = None) -> Edit:
    def change(present: Gateway) -> Gateway:
        prefix_of(present, name)
        return present.without_prefix(name)

    return _edit(gateway, change, expected)


def put_eam(gateway: str, prefix: str, data: object, expected: str | None = None) -> Edit:
    """A mapping in the place of that of the same IPv4 prefix, or behind the others."""
    eam = parse_eam(data)
    return _edit(
        gateway,
        lambda present: present.with_prefix(prefix_of(present, prefix).with_eam(eam)),
        expected,
    )


def delete_eam(gateway: str, prefix: str, ipv4: str, expected: str | None = None) -> Edit:
    """`ipv4`: the mapping's IPv4 prefix, as in 192.0.2.0/30."""

    def change(present: Gateway) -> Gateway:
        old = prefix_of(present, prefix)
        return present.with_prefix(old.without_eam(eam_of(old, ipv4).ipv4))

    return _edit(gateway, change, expected)


def prefix_of(gateway: Gateway, name: str) -> Prefix:
    """Raises `NotFound`."""
    for prefix in gateway.spec.prefixes:
        if prefix.name == name:
            return prefix
    raise not_found(f"prefix {name} in {gateway.key}", (one.name for one in gateway.spec.prefixes))


def eam_of(prefix: Prefix, ipv4: str) -> Eam:
    """The mapping of an IPv4 prefix. Raises `NotFound`."""
    try:
        network = parse_ipv4_network(ipv4)
    except ValueError:
        raise ResourceError(
            f"{shown(ipv4)} is not an IPv4 range", hint="as in 192.175.48.0/30"
        ) from None
    eam = prefix.eam.find(network)
    if eam is None:
        raise not_found(f"mapping of {network} in prefix {prefix.name}")
    return eam


def parse_prefix(data: object) -> Prefix:
    """Raises `ResourceError`, with paths that start in the prefix."""
    try:
        return Prefix.model_validate(data)
    except ValidationError as error:
        raise from_pydantic(error) from None


def parse_eam(data: object) -> Eam:
    """Raises `ResourceError`, with paths that start in the mapping."""
    try:
        return Eam.model_validate(data)
    except ValidationError as error:
        raise from_pydantic(error) from None


def merged_patch(target: object, patch: object) -> Any:
    """RFC 7396 section 2: what `patch` makes of `target`."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merged_patch(merged.get(name), value)
    return merged


def _edit(gateway: str, change: Callable[[Gateway], Gateway], expected: str | None) -> Edit:
    key = Key("Gateway", gateway)

    def whole(present: AnyResource | None) -> AnyResource:
        if not isinstance(present, Gateway):
            raise not_found(str(key))
        return change(present)

    return Edit(key, whole, expected)
