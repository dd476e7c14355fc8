# SPDX-License-Identifier: Apache-2.0
"""One world with a service that translates, for the tests of a module: fixtures to be imported."""

from collections.abc import Iterator

import pytest

from tests.services import Balanced, raise_balanced
from tests.translated import TRANSLATOR, settle


@pytest.fixture(scope="module")
def raised() -> Iterator[Balanced]:
    with raise_balanced(TRANSLATOR) as balanced:
        yield balanced


@pytest.fixture
def lb(raised: Balanced) -> Balanced:
    """As if nothing had been sent yet."""
    settle(raised)
    return raised
