# SPDX-License-Identifier: Apache-2.0
"""What is wanted of a backend, read from the words of a command."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from pydantic_core import PydanticCustomError

from sixlane.decap.plan import Wanted, Way
from sixlane.errors import ConfigError
from sixlane.model.addresses import parse_network, parse_routed
from sixlane.model.load_balancer import TUNNEL_SOURCES

_Parsed = TypeVar("_Parsed")


def read_wanted(
    device: str,
    vips: Sequence[str],
    addresses: Sequence[str] = (),
    sources: Sequence[str] = (),
    entry: Way = "auto",
    max_segment: int | None = None,
) -> Wanted:
    """`sources`: none for those that gateways have unless they are told otherwise. ConfigError."""
    return Wanted(
        device,
        _read("--vip", vips, parse_routed),
        _read("--address", addresses, parse_routed),
        _read("--source", sources, parse_network) or tuple(TUNNEL_SOURCES.values()),
        entry,
        max_segment,
    )


def _read(
    option: str, texts: Sequence[str], parse: Callable[[object], _Parsed]
) -> tuple[_Parsed, ...]:
    """Each once."""
    found: dict[_Parsed, None] = {}
    for text in texts:
        try:
            found[parse(text)] = None
        except PydanticCustomError as error:
            told = error.context or {}
            raise ConfigError(f"{option}: {told.get('what')}", str(told.get("hint"))) from None
    return tuple(found)
