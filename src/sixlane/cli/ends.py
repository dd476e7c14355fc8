# SPDX-License-Identifier: Apache-2.0
"""Backends and frontends as they are written: an address, and a port that may be left out."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import click


class End(NamedTuple):
    """`address` as it was given: the agent says what is wrong with it."""

    address: str
    port: int | None

    def as_data(self) -> dict[str, Any]:
        return {"address": self.address} | ({} if self.port is None else {"port": self.port})


if TYPE_CHECKING:
    _EndType = click.ParamType[End]
    _FrontendType = click.ParamType[dict[str, Any]]
else:  # click before 8.4 has no types here
    _EndType = _FrontendType = click.ParamType


class BackendType(_EndType):
    """ADDRESS, 10.0.0.7:8080 or [2001:db8::7]:8080."""

    name = "backend"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> End:
        if isinstance(value, End):
            return value
        end = _split(str(value))
        if end is None:
            self.fail(f"{value} is neither ADDRESS nor ADDRESS:PORT", param, ctx)
        return end


class FrontendType(_FrontendType):
    """192.0.2.1:80, [2001:db8::1]:80 or 192.0.2.1:53/udp; the value is that of a resource."""

    name = "frontend"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        text, slash, protocol = str(value).partition("/")
        end = _split(text)
        if end is None or end.port is None:
            self.fail(f"{value} is not ADDRESS:PORT, as [2001:db8::1]:80", param, ctx)
        return end.as_data() | ({"protocol": protocol.upper()} if slash else {})


def label(one: Mapping[str, Any]) -> str:
    """A backend as it is written."""
    return with_port(one["address"], one["port"]) if one.get("port") else str(one["address"])


def frontend_label(one: Mapping[str, Any]) -> str:
    protocol = one.get("protocol", "TCP")
    return with_port(one["address"], one["port"]) + ("" if protocol == "TCP" else "/udp")


def with_port(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _split(text: str) -> End | None:
    if text.startswith("["):
        address, bracket, rest = text[1:].partition("]")
        colon, port = rest[:1], rest[1:]
        if not bracket or colon not in ("", ":"):
            return None
    elif text.count(":") == 1:
        address, colon, port = text.partition(":")
    else:
        return End(text, None)
    if not colon:
        return End(address, None)
    return End(address, int(port)) if port.isascii() and port.isdigit() and len(port) < 6 else None
