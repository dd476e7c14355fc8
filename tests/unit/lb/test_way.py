# SPDX-License-Identifier: Apache-2.0
"""What has to be done for the way of checks."""

import pytest

from sixlane.lb.way import TABLE, Seen, mark_of, plan_way
from sixlane.net.policy import PROTOCOL, Rule

RULES = tuple(
    Rule(version, 32765, TABLE, 1, False, 0x51500000, 0xFFF00000, PROTOCOL) for version in (4, 6)
)
OTHER = Rule(4, 32765, TABLE, 1, False, 0x51500000, 0xFFFFFFFF, PROTOCOL)
WHOLE = Seen(7, True, True, frozenset({4, 6}), RULES)
NOTHING = Seen()


@pytest.mark.parametrize(
    ("wanted", "seen", "steps"),
    [
        (False, NOTHING, ()),
        (True, NOTHING, ("raise",)),
        (True, WHOLE, ()),
        (False, WHOLE, ("remove",)),
        (True, Seen(7, True, False, frozenset({4, 6}), RULES), ("remove", "raise")),
        (True, Seen(7, True, True, frozenset({4}), RULES), ("remove", "raise")),
        (True, Seen(7, True, True, frozenset({4, 6}), RULES[:1]), ("remove", "raise")),
        (True, Seen(7, True, True, frozenset({4, 6}), (OTHER, RULES[1])), ("remove", "raise")),
        (True, Seen(7, True, True, frozenset({4, 6}), RULES * 2), ("remove", "raise")),
        (True, Seen(None, True), ("remove", "raise")),
        (False, Seen(None, True), ("remove",)),
        (False, Seen(rules=RULES[:1]), ("remove",)),
    ],
)
def test_what_is_to_be_done(wanted: bool, seen: Seen, steps: tuple[str, ...]) -> None:
    assert plan_way(wanted, seen) == steps


def test_a_mark_names_a_backend() -> None:
    assert mark_of(0xFFFFF) == 0x515FFFFF
