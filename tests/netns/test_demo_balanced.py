# SPDX-License-Identifier: Apache-2.0
"""The demo's second act, for each way in which its gateways may be attached."""

from collections.abc import Iterator

import pytest

from sixlane.lab import balance
from sixlane.lab.session import Session, Silent
from sixlane.lab.steps import BALANCED_STEPS
from tests.netns.labs import ATTACHMENTS, needs_lab, place_for

pytestmark = needs_lab


@pytest.fixture(params=[pytest.param("tc", marks=pytest.mark.sweep), *ATTACHMENTS[1:]])
def balancing(request: pytest.FixtureRequest) -> Iterator[Session]:
    with place_for("b") as place:
        balance.raise_all(place, attach=request.param)
        yield Session(place, Silent())


def test_steps_of_the_demo(balancing: Session) -> None:
    """In one test, as steps end servers and agents and start others."""
    for step in BALANCED_STEPS:
        print(step.title, step.take(balancing).text)
