# SPDX-License-Identifier: Apache-2.0
"""One world for the tests of a module."""

from collections.abc import Iterator

import pytest

from tests.world import World, raise_world


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """The data path in a namespace; each test configures it for itself."""
    with raise_world() as raised:
        yield raised
