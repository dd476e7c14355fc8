# SPDX-License-Identifier: Apache-2.0
"""Which packets of pods go past the host's stack, by its policy rules."""

import pytest

from sixlane.agent.pod_way import way_beside
from sixlane.datapath.pods import By
from sixlane.net.policy import PROTOCOL, Rule

MAIN = Rule(6, 32766, 254, 1, True)


@pytest.mark.parametrize(
    ("rule", "by"),
    [
        (Rule(4, 100, 7, 1, False), By.REDIRECTS),  # by its source: the kernel is asked for that
        (Rule(6, 100, 7, 1, False, 7, 0xFF), By.STACK_OUT),
        (Rule(6, 100, 7, 1, False, 0, 0xFF), By.STACK_OUT),  # of all that has no mark
        (Rule(4, 1, 64, 1, False, 64, 0xFF, PROTOCOL), By.REDIRECTS),  # our own
    ],
)
def test_rules(rule: Rule, by: By) -> None:
    way = way_beside([MAIN, rule])
    assert way.by == by
    assert bool(way.why) == bool(by)
    if by:
        assert way.why.endswith(": policy rule 100 (IPv6) looks at marks")
