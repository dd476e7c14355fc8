# SPDX-License-Identifier: Apache-2.0
"""Labs that the tests of a module share."""

from collections.abc import Iterator

import pytest

from sixlane.lab import lab, raising, servers
from sixlane.lab.place import Place
from sixlane.lab.session import Session, Silent
from tests.netns.labs import ATTACHMENTS, place_for


@pytest.fixture(scope="module")
def hosts() -> Iterator[Session]:
    """All hosts and servers of the lab, with a gateway that is but a router."""
    with place_for("h") as place:
        raising.raise_hosts(place)
        servers.start_all(place)
        yield Session(place, Silent())


@pytest.fixture(scope="module", params=ATTACHMENTS)
def translating(request: pytest.FixtureRequest) -> Iterator[Session]:
    """The whole lab, once for each way to attach."""
    with place_for("g") as place:
        lab.raise_lab(place, attach=request.param)
        yield Session(place, Silent())


@pytest.fixture
def place() -> Iterator[Place]:
    """Room for a lab of the test's own."""
    with place_for("o") as place:
        yield place
