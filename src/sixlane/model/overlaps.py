# SPDX-License-Identifier: Apache-2.0
"""Mappings that take a part of others' prefixes: allowed, and worth a warning (RFC 7757 section 5).

An address in such a part is mapped by the longest prefix of its own family, so what comes out may
not lead back to it.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise

from sixlane.model.eam import ROW, Eam, EamList
from sixlane.model.problem import path_text

_Row = tuple[bytes, int, int]  # address, length, index among all mappings


@lru_cache(maxsize=8)
def overlap_warnings(lists: tuple[EamList, ...]) -> tuple[str, ...]:
    """Of the mappings of all prefixes of a Gateway: one line a family that has such, for people.

    10,000 mappings take some 40 ms, once: it is asked at each look how a Gateway does.
    """
    rows = [row for eams in lists for row in ROW.iter_unpack(eams.packed)]
    lines = (
        _line("ipv4", _divided((row[1], row[2], at) for at, row in enumerate(rows)), lists),
        _line("ipv6", _divided((row[0], row[3], at) for at, row in enumerate(rows)), lists),
    )
    return tuple(line for line in lines if line)


def _divided(rows: Iterable[_Row]) -> list[tuple[int, int]]:
    """Each mapping of whose prefix others take a part, and the first of those; by its index.

    Prefixes are inside each other or apart. So in this order, what lies in a prefix stands right
    behind it, and its neighbour tells.
    """
    ordered = sorted(rows)
    return sorted(
        (outer[2], inner[2]) for outer, inner in pairwise(ordered) if _is_inside(inner, outer)
    )


def _is_inside(inner: _Row, outer: _Row) -> bool:
    whole, part = outer[1] // 8, outer[1] % 8
    if inner[0][:whole] != outer[0][:whole]:
        return False
    return not part or (inner[0][whole] ^ outer[0][whole]) >> 8 - part == 0


def _line(family: str, divided: Sequence[tuple[int, int]], lists: Sequence[EamList]) -> str | None:
    if not divided:
        return None
    (outer, outer_path), (inner, inner_path) = (_placed(at, lists) for at in divided[0])
    others = f"; {len(divided) - 1} more like it" if divided[1:] else ""
    return (
        f"{getattr(inner, family)} in {inner_path} is a part of {getattr(outer, family)} in "
        f"{outer_path}, and goes before it: addresses there may not map back{others}"
    )


def _placed(at: int, lists: Sequence[EamList]) -> tuple[Eam, str]:
    """A mapping by its index among all, and where it stands."""
    for index, eams in enumerate(lists):
        if at < len(eams):
            return eams[at], path_text(("spec", "prefixes", index, "eam", at))
        at -= len(eams)
    raise IndexError(at)
