# SPDX-License-Identifier: Apache-2.0
"""Differences of texts: what `patch` would make of them is the new text."""

import re

from hypothesis import given
from hypothesis import strategies as st

from sixlane.cli.unified import unified

_TEXTS = st.lists(st.sampled_from("abcd"), max_size=25).map(
    lambda lines: "".join(f"{line}\n" for line in lines)
)


def patched(old: str, difference: list[str]) -> str:
    """The text after the difference, by the rules of unified diffs."""
    before, after, at = old.splitlines(), [], 0
    for line in difference[2:]:
        if line.startswith("@@"):
            found = re.fullmatch(r"@@ -(\d+)(?:,(\d+))? \+\d+(?:,\d+)? @@", line)
            assert found
            first = int(found[1]) - (found[2] != "0")
            after += before[at:first]
            at = first
        elif line.startswith("+"):
            after.append(line[1:])
        else:
            assert before[at] == line[1:]
            after += [line[1:]] if line.startswith(" ") else []
            at += 1
    return "".join(f"{line}\n" for line in [*after, *before[at:]])


@given(_TEXTS, _TEXTS)
def test_the_difference_makes_the_new_text_of_the_old(old: str, new: str) -> None:
    assert patched(old, unified(old, new, "old", "new")) == new


def test_equal_texts_have_none() -> None:
    assert unified("a\nb\n", "a\nb\n", "old", "new") == []


def test_it_is_counted_from_the_beginning_of_the_text() -> None:
    lines = [f"line {number}\n" for number in range(1, 101)]
    changed = [*lines[:49], "other\n", *lines[50:]]
    assert unified("".join(lines), "".join(changed), "old", "new") == [
        "--- old",
        "+++ new",
        "@@ -47,7 +47,7 @@",
        " line 47",
        " line 48",
        " line 49",
        "-line 50",
        "+other",
        " line 51",
        " line 52",
        " line 53",
    ]
