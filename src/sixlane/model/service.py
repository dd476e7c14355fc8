# SPDX-License-Identifier: Apache-2.0
"""Kind `Service`: addresses and ports that many nodes answer on (a layer-4 load balancer)."""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from sixlane.model.addresses import Ranges
from sixlane.model.backends import BackendList
from sixlane.model.frontends import FrontendList
from sixlane.model.health import HealthCheck
from sixlane.model.packed import MAPPED
from sixlane.model.primes import (
    ENTRIES_A_BACKEND,
    LARGEST_TABLE,
    SMALLEST_TABLE,
    is_prime,
    prime_from,
    usual_size,
)
from sixlane.model.problem import ResourceError, wrong
from sixlane.model.resource import Model, Resource
from sixlane.model.segments import MAX_SEGMENT, MIN_SEGMENT, MaxSegment
from sixlane.model.source_pool import SourcePool
from sixlane.model.words import number_or

MAX_SOURCE_RANGES = 1000
LONGEST_AFFINITY_S = 14400  # what is remembered of flows can tell hours apart, not days

_OF_NAT = {
    "source": "source",
    "source_pool": "sourcePool",
    "max_segment_size": "maxSegmentSize",
}


class ServiceSpec(Model):
    """Who is balanced over whom, and how."""

    mode: Annotated[
        Literal["dsr", "nat"],
        Field(
            description="`dsr`: packets go to backends in a tunnel, and answers straight to the "
            "client; `nat`: both ways through here, with other addresses."
        ),
    ] = "dsr"
    frontends: FrontendList
    backends: Annotated[
        BackendList,
        Field(
            description="The nodes that flows are sent to; []: nobody answers yet.",
            json_schema_extra={"default": []},
        ),
    ] = BackendList()
    table_size: Annotated[
        int | None,
        Field(
            ge=SMALLEST_TABLE,
            le=LARGEST_TABLE,
            description="Of the Maglev table: a prime, at least 100 times the number of backends. "
            "Left out: one that has room for them.",
        ),
    ] = None
    session_affinity: Annotated[
        Literal["None", "ClientIP"],
        Field(description="`ClientIP`: all flows of a client go to one backend."),
    ] = "None"
    session_affinity_timeout_seconds: Annotated[
        int,
        Field(
            ge=1,
            le=LONGEST_AFFINITY_S,
            description="How long after its last packet; with `ClientIP` only.",
        ),
    ] = 10800
    load_balancer_source_ranges: Annotated[
        Ranges | None,
        Field(description="Sources that are let in, of both families; null: all; []: none."),
    ] = None
    when_all_down: Annotated[
        Literal["refuse", "terminating"],
        Field(
            description="With no backend that takes new flows: refuse them, or send them to such "
            "as are terminating or fail their checks."
        ),
    ] = "refuse"
    announce: Annotated[
        Literal["none", "l2", "route"],
        Field(
            description="How others find its addresses: by routes of theirs; by ARP and neighbour "
            "discovery, which are answered on the devices that have IPv4 or IPv6; by a route here, "
            "for a routing daemon. Addresses that the host has are left to it."
        ),
    ] = "none"
    source: Annotated[
        Literal["pool", "mapped"],
        Field(
            description="With `mode: nat` only: what backends see. An address of `sourcePool`; or "
            "the IPv4 client under the Gateway's prefix, where the way back leads through here."
        ),
    ] = "pool"
    source_pool: Annotated[
        SourcePool,
        Field(
            description="With `source: pool` only: at most 256 addresses of each family; one at "
            "least of each that backends have.",
            json_schema_extra={"default": []},
        ),
    ] = ()
    max_segment_size: Annotated[
        MaxSegment,
        *number_or("auto", MIN_SEGMENT, MAX_SEGMENT, or_null=True),
        Field(
            description="With `mode: nat` only: the MSS that TCP SYNs may offer, in bytes; auto: "
            "what fits the Gateway's devices. Left out: as it is, but auto with BIG TCP.",
            examples=[1360],
        ),
    ] = None
    health_check: Annotated[
        HealthCheck | None, Field(description="Left out: all backends count as well.")
    ] = None

    @property
    def ring_size(self) -> int:
        """Entries of its Maglev table."""
        return self.table_size or usual_size(len(self.backends))

    @model_validator(mode="after")
    def _check(self) -> "ServiceSpec":
        given = self.model_fields_set
        if self.table_size is not None:
            _check_table_size(self.table_size, len(self.backends))
        if "session_affinity_timeout_seconds" in given and self.session_affinity == "None":
            raise wrong(
                "a timeout of nothing, as sessionAffinity is None",
                "sessionAffinity: ClientIP, or without it",
                ("sessionAffinityTimeoutSeconds",),
            )
        ranges = self.load_balancer_source_ranges or ()
        if len(ranges) > MAX_SOURCE_RANGES:
            what = f"the list has {len(ranges)} entries"
            raise wrong(what, f"at most {MAX_SOURCE_RANGES}", ("loadBalancerSourceRanges",))
        self._refuse_itself()
        if self.mode == "dsr":
            self._check_dsr(given)
        elif self.source == "mapped":
            self._check_mapped()
        else:
            self._check_pool()
        return self

    def _refuse_itself(self) -> None:
        """A backend that is a frontend would get its own packets back."""
        own = {row[:16] for row in self.frontends.rows}
        for at, row in enumerate(self.backends.rows):
            if row[:16] in own:
                raise wrong(
                    f"{self.backends[at].address} is a frontend as well",
                    "another address of that node",
                    ("backends", at, "address"),
                )

    def _check_dsr(self, given: set[str]) -> None:
        for name, key in _OF_NAT.items():
            if name in given:
                hint = "mode: nat, or without it"
                raise wrong(f"{key} has no meaning with mode dsr", hint, (key,))
        at = self.backends.first_with_port
        if at is not None:
            raise wrong(
                "a backend has no port of its own with mode dsr",
                "the frontend's stays in the packet: leave it out, or mode: nat",
                ("backends", at, "port"),
            )

    def _check_mapped(self) -> None:
        if "source_pool" in self.model_fields_set:
            hint = "source: pool, or without it"
            raise wrong("sourcePool has no meaning with source mapped", hint, ("sourcePool",))
        hint = "source: pool takes any; mapped leads IPv4 clients to IPv6 backends"
        for at, row in enumerate(self.frontends.rows):
            if not row.startswith(MAPPED):
                what = f"{self.frontends[at].address} is IPv6, and its clients are mapped already"
                raise wrong(what, hint, ("frontends", at, "address"))
        for at, row in enumerate(self.backends.rows):
            if row.startswith(MAPPED):
                what = f"{self.backends[at].address} is IPv4, and clients are mapped to IPv6"
                raise wrong(what, hint, ("backends", at, "address"))

    def _check_pool(self) -> None:
        missing = self.backends.families - {one.version for one in self.source_pool}
        for family in sorted(missing):
            example = "10.1.0.8/30" if family == 4 else '"2001:db8:64:f::/120"'
            raise wrong(
                f"there are IPv{family} backends, and no IPv{family} address in sourcePool",
                f"what they see as source, as in sourcePool: [{example}]",
                ("sourcePool",),
            )


def _check_table_size(size: int, backends: int) -> None:
    least = ENTRIES_A_BACKEND * backends
    if size < least:
        raise wrong(
            f"{size} is too small for {backends} backends",
            f"{ENTRIES_A_BACKEND} entries each: at least {prime_from(least)}",
            ("tableSize",),
        )
    if not is_prime(size):
        raise wrong(f"{size} is not a prime", f"the next one is {prime_from(size)}", ("tableSize",))


class Service(Resource):
    """One of many."""

    kind: Literal["Service"]
    spec: ServiceSpec

    def with_backends(self, backends: BackendList) -> "Service":
        """All else is carried over as it is; only what has to do with backends is checked. Raises
        `ResourceError`."""
        spec = self.spec.model_copy(update={"backends": backends})
        try:
            backends.check_length()
            spec._check()  # type: ignore[operator]
        except PydanticCustomError as error:
            context = error.context or {}
            path = ("spec", *context["path"])
            raise ResourceError(context["what"], path, context["hint"]) from None
        return self.model_copy(update={"spec": spec})
