# SPDX-License-Identifier: Apache-2.0
"""The faults that `make mutants` plants can be planted; whether tests find them it says itself."""

from collections import Counter

import pytest

from tests.mutants.build import SOURCE, Unusable, plant, source_of
from tests.mutants.planted import MUTANTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_its_place_is_there_once(mutant: Mutant) -> None:
    text = (SOURCE / source_of(mutant)).read_text()
    assert plant(text, mutant) != text


def test_names_are_given_once() -> None:
    assert Counter(mutant.name for mutant in MUTANTS).most_common(1)[0][1] == 1


@pytest.mark.parametrize("text", ["", "old old"])
def test_a_place_that_is_not_there_once_is_an_error(text: str) -> None:
    with pytest.raises(Unusable):
        plant(text, Mutant("name", "file.h", "old", "new", "something"))
