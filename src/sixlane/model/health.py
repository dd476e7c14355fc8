# SPDX-License-Identifier: Apache-2.0
"""How it is found out whether the backends of a `Service` are well."""

import re
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, model_validator

from sixlane.model.problem import shown, wrong
from sixlane.model.resource import Model

LONGEST_PATH = 1024
_STATUSES = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\]")
_PATH = re.compile(r"/[!-~]*")


class Statuses(NamedTuple):
    """First and last status of HTTP that is well."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}-{self.last}" if self.first != self.last else str(self.first)


def _parse_statuses(value: object) -> Statuses:
    if isinstance(value, Statuses):
        return value
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    found = _STATUSES.fullmatch(text) if isinstance(text, str) else None
    if not found:
        raise wrong(f"{shown(value)} is no range of statuses", 'as in "200-399" or 200')
    first, last = int(found[1]), int(found[2] or found[1])
    if first > last:
        raise wrong(f"{value} begins behind its end", f"did you mean {last}-{first}?")
    return Statuses(first, last)


def _check_host(host: str) -> str:
    if len(host) > 255 or not _HOST.fullmatch(host):
        raise wrong(f"{shown(host)} is no name of a host", "as in www.example.net")
    return host


def _check_path(path: str) -> str:
    if len(path) > LONGEST_PATH or not _PATH.fullmatch(path):
        hint = f"as in /healthz; at most {LONGEST_PATH} printable ASCII characters, no blanks"
        raise wrong(f"{shown(path)} is no path", hint)
    return path


_TEXT = Annotated[str, Field(pattern=f"^{_STATUSES.pattern}$", examples=["200-399"])]
_OF_TYPE = {
    # By the type: what has a meaning there beside what all have.
    "tcp": {"port"},
    "http": {"port", "path", "host", "expected_status"},
    "https": {"port", "path", "host", "expected_status"},
    "grpc": {"port", "host"},
    "icmp": set[str](),
}
_SPECIAL = {
    "port": "port",
    "path": "path",
    "host": "host",
    "expected_status": "expectedStatus",
}


class HealthCheck(Model):
    """Sent the way that traffic goes. A backend that fails gets no new flows until it is well."""

    type: Annotated[
        Literal["tcp", "http", "https", "grpc", "icmp"],
        Field(description="`tcp`: a connection opens; `icmp`: an echo is answered."),
    ]
    port: Annotated[
        int | None,
        Field(ge=1, le=65535, description="Left out: the one that the backend's flows go to."),
    ] = None
    path: Annotated[
        str,
        AfterValidator(_check_path),
        Field(
            description="With `http` and `https`: what is got.",
            examples=["/healthz"],
            json_schema_extra={"maxLength": LONGEST_PATH},
        ),
    ] = "/"
    host: Annotated[
        Annotated[str, AfterValidator(_check_host)] | None,
        Field(
            description="With `http`, `https` and `grpc`: the host that is asked for; left out: "
            "the frontend's address.",
            examples=["www.example.net"],
            json_schema_extra={"maxLength": 255},
        ),
    ] = None
    expected_status: Annotated[
        Statuses,
        PlainValidator(_parse_statuses, json_schema_input_type=_TEXT),
        PlainSerializer(str, return_type=str, when_used="json"),
        Field(
            description="With `http` and `https`: first and last status that is well.",
            json_schema_extra={"default": "200-399"},
        ),
    ] = Statuses(200, 399)
    interval_seconds: Annotated[
        int, Field(ge=1, le=3600, description="From one check to the next.")
    ] = 5
    timeout_seconds: Annotated[
        int,
        Field(ge=1, le=3600, description="How long an answer may take; at most the interval."),
    ] = 1
    rise: Annotated[int, Field(ge=1, le=100, description="So many well in a row: it is well.")] = 2
    fall: Annotated[
        int, Field(ge=1, le=100, description="So many failed in a row: it is quarantined.")
    ] = 3

    @model_validator(mode="after")
    def _check(self) -> "HealthCheck":
        for name in _SPECIAL:
            if name in self.model_fields_set and name not in _OF_TYPE[self.type]:
                key = _SPECIAL[name]
                types = ", ".join(one for one, names in _OF_TYPE.items() if name in names)
                raise wrong(f"{key} has no meaning with type {self.type}", f"of {types}", (key,))
        if self.timeout_seconds > self.interval_seconds:
            raise wrong(
                f"{self.timeout_seconds} is longer than the interval of {self.interval_seconds}",
                "a shorter timeoutSeconds, or a longer intervalSeconds",
                ("timeoutSeconds",),
            )
        return self
