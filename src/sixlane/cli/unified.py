# SPDX-License-Identifier: Apache-2.0
"""Unified differences of texts that may be long and mostly the same."""

from collections.abc import Sequence
from difflib import unified_diff

_CONTEXT = 3


def unified(old: str, new: str, old_name: str, new_name: str) -> list[str]:
    """Lines as `diff -u` writes them; none if the texts are equal.

    What both begin and end with is cut off first: comparing costs by what lies between.
    """
    before, after = old.splitlines(), new.splitlines()
    head = _common(before, after)
    tail = _common(before[head:][::-1], after[head:][::-1])
    start = max(0, head - _CONTEXT)
    rest = max(0, tail - _CONTEXT)
    lines = unified_diff(
        before[start : len(before) - rest],
        after[start : len(after) - rest],
        old_name,
        new_name,
        n=_CONTEXT,
        lineterm="",
    )
    return [_moved(line, start) for line in lines]


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many lines both begin with."""
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count


def _moved(line: str, by: int) -> str:
    """`@@ -1,3 +1,4 @@` counted from the text's real beginning."""
    if not line.startswith("@@ "):
        return line
    _, old, new, _ = line.split()
    return f"@@ -{_shifted(old[1:], by)} +{_shifted(new[1:], by)} @@"


def _shifted(place: str, by: int) -> str:
    first, comma, count = place.partition(",")
    return f"{int(first) + by}{comma}{count}"
