# SPDX-License-Identifier: Apache-2.0
"""What backends see as source, where a `Service` changes addresses."""

from functools import lru_cache
from typing import Annotated

from sixlane.model.addresses import AnyNetwork, parse_routed_ranges, ranges_read_by
from sixlane.model.packed import overlapping
from sixlane.model.problem import path_text, wrong

MAX_POOL_ADDRESSES = 256


def parse_source_pool(value: object) -> tuple[AnyNetwork, ...]:
    """Thousands of services may have the same one: it is one object then."""
    if isinstance(value, list | tuple) and all(type(one) is str for one in value):
        return _of_texts(tuple(value))
    return _checked(parse_routed_ranges(value))


@lru_cache(maxsize=1024)
def _of_texts(texts: tuple[str, ...]) -> tuple[AnyNetwork, ...]:
    return _checked(parse_routed_ranges(texts))


def _checked(pool: tuple[AnyNetwork, ...]) -> tuple[AnyNetwork, ...]:
    for family in (4, 6):
        size = sum(one.num_addresses for one in pool if one.version == family)
        if size > MAX_POOL_ADDRESSES:
            raise wrong(f"{size} IPv{family} addresses", f"at most {MAX_POOL_ADDRESSES}")
    _refuse_overlaps(pool)
    return pool


def _refuse_overlaps(pool: tuple[AnyNetwork, ...]) -> None:
    """One address stands once."""
    found = overlapping(pool)
    if found:
        other, at = found
        hint = f"{pool[other]} in {path_text(('sourcePool', other))}"
        raise wrong(f"{pool[at]} stands twice", hint, (at,))


SourcePool = Annotated[tuple[AnyNetwork, ...], *ranges_read_by(parse_source_pool)]
