# SPDX-License-Identifier: Apache-2.0
"""The nodes that do the work of a `Service`."""

import re
from datetime import UTC, datetime, timedelta
from functools import cached_property
from struct import Struct
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer, PlainValidator, model_validator

from sixlane.model.addresses import Routed
from sixlane.model.packed import MAPPED, packed_address, read_routed, unpacked_address
from sixlane.model.problem import shown, wrong
from sixlane.model.resource import Model
from sixlane.model.rowlist import RowList

MAX_BACKENDS = 1000
MAX_WEIGHT = 1000
STATES = ("active", "terminating", "maintenance")
_STATE_NUMBERS = {name: number for number, name in enumerate(STATES)}
_KEYS = {"address", "port", "weight", "state"}
NEVER = (1 << 63) - 1
"""Instead of a time."""
_EPOCH, _TICK = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _parse_time(value: object) -> datetime | None:
    """RFC 3339."""
    if value is None or (isinstance(value, datetime) and value.tzinfo):
        return value
    hint = "date, time and zone as in 2026-05-04T12:00:00Z"
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise wrong(f"{shown(value)} is no time", hint)
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise wrong(f"{shown(value)} is no time", hint) from None


def _time_as_text(value: datetime | None) -> str | None:
    return value.isoformat().replace("+00:00", "Z") if value else None


class Backend(Model):
    """A node that flows are sent to."""

    address: Annotated[Routed, Field(description="Of either family, whatever the frontends have.")]
    port: Annotated[
        int | None,
        Field(
            ge=1,
            le=65535,
            description="With `mode: nat` only. Left out: that of the frontend.",
        ),
    ] = None
    weight: Annotated[
        int,
        Field(
            ge=0,
            le=MAX_WEIGHT,
            description="Its share of new flows, beside the weights of the others; 0: none.",
        ),
    ] = 1
    state: Annotated[
        Literal["active", "terminating", "maintenance"],
        Field(
            description="`terminating`: no new flows, and those that are there go on; "
            "`maintenance`: it takes no part for a time, and keeps its weight."
        ),
    ] = "active"
    drain_until: Annotated[
        datetime | None,
        PlainValidator(
            _parse_time,
            json_schema_input_type=Annotated[
                str,
                Field(
                    pattern=f"^{_TIME.pattern}$".replace(r"\d", "[0-9]"),
                    examples=["2026-05-04T12:00:00Z"],
                ),
            ]
            | None,
        ),
        PlainSerializer(_time_as_text, when_used="json"),
        Field(description="With `terminating` only: when the flows that are left end (RFC 3339)."),
    ] = None

    @model_validator(mode="after")
    def _check(self) -> "Backend":
        if self.drain_until is not None and self.state != "terminating":
            what = f"drainUntil, and the state is {self.state}"
            raise wrong(what, "state: terminating has a time to end", ("drainUntil",))
        return self


class BackendList(RowList[Backend]):
    """`ROW`: address (16 bytes), port or 0, weight, index of the state in `STATES`, when its flows
    end (microseconds since 1970; the largest number: never)."""

    ITEM = Backend
    ROW = Struct("!16sHHBq")
    NAMING = 18
    LIMITS = (0, MAX_BACKENDS)

    @classmethod
    def read(cls, item: Any) -> tuple[dict[str, Any], bytes]:
        if type(item) is not dict or not item.keys() <= _KEYS:
            raise ValueError(item)
        text, address = read_routed(item["address"])
        port, weight = item.get("port", 1), item.get("weight", 1)
        if type(port) is not int or type(weight) is not int:
            raise ValueError(item)
        if not 0 < port <= 65535 or not 0 <= weight <= MAX_WEIGHT:
            raise ValueError(item)
        if "port" not in item:
            port = 0
        state = item.get("state", "active")
        if type(state) is not str:
            raise ValueError(item)
        row = cls.ROW.pack(address, port, weight, _STATE_NUMBERS[state], NEVER)
        return {**item, "address": text}, row

    @classmethod
    def row_of(cls, item: Backend) -> bytes:
        return cls.ROW.pack(
            packed_address(item.address),
            item.port or 0,
            item.weight,
            _STATE_NUMBERS[item.state],
            NEVER if item.drain_until is None else (item.drain_until - _EPOCH) // _TICK,
        )

    @classmethod
    def fields_of(cls, row: bytes) -> dict[str, Any]:
        address, port, weight, state, drain_until = cls.ROW.unpack(row)
        return {
            "address": unpacked_address(address),
            "port": port or None,
            "weight": weight,
            "state": STATES[state],
            "drain_until": None if drain_until == NEVER else _EPOCH + drain_until * _TICK,
        }

    @classmethod
    def label(cls, row: bytes) -> str:
        fields = cls.fields_of(row)
        return f"{fields['address']}" + (f" port {fields['port']}" if fields["port"] else "")

    @cached_property
    def namings(self) -> tuple[bytes, ...]:
        """What tells each from the others: address and port."""
        return tuple([row[: self.NAMING] for row in self.rows])

    def check_length(self) -> None:
        """Raises what a validator does."""
        if len(self) > MAX_BACKENDS:
            what = f"the list has {len(self)} entries"
            raise wrong(what, f"at most {MAX_BACKENDS}", ("backends",))

    @cached_property
    def families(self) -> frozenset[Literal[4, 6]]:
        return frozenset([4 if row.startswith(MAPPED) else 6 for row in self.rows])

    @cached_property
    def first_with_port(self) -> int | None:
        """The index of the first that has a port of its own."""
        return next((at for at, row in enumerate(self.rows) if row[16:18] != b"\0\0"), None)
