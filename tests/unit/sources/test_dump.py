# SPDX-License-Identifier: Apache-2.0
"""What is written as YAML is read as what it was, by 1.2's rules and by 1.1's."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sixlane.sources import yaml12
from sixlane.sources.dump import dump

_WORDS = ["1e3", "0o17", "0x1f", "1:2", "yes", "~", "null", "2001-01-01", "-", "=", "2001:db8::"]
_TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn", "Co"), max_codepoint=0xFFFF))
_DATA = st.recursive(
    _TEXT | st.sampled_from(_WORDS) | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
)


def read(text: str) -> Any:
    (data,) = yaml12.documents(text)
    return data


@given(st.dictionaries(st.text("abc", min_size=1), _DATA, min_size=1, max_size=4))
def test_it_reads_back_equal(data: dict[str, Any]) -> None:
    assert read(dump(data)) == data
    assert yaml.safe_load(dump(data)) == data


@pytest.mark.parametrize("name", _WORDS)
def test_text_that_looks_like_something_else_stands_in_quotes(name: str) -> None:
    assert dump({"name": name}) == f"name: '{name}'\n"


def test_addresses_are_as_people_write_them() -> None:
    data = {"prefix": "64:ff9b::/96", "ipv4": ["192.175.48.0/25"], "mtu": 1280}
    assert dump(data) == "prefix: 64:ff9b::/96\nipv4:\n- 192.175.48.0/25\nmtu: 1280\n"


def test_the_same_list_twice_is_written_twice() -> None:
    ranges = ["192.0.2.0/24"]
    assert "&" not in dump({"one": ranges, "two": ranges})
