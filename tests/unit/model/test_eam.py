# SPDX-License-Identifier: Apache-2.0
"""Lists of explicit address mappings: quick and slow reading are one."""

from ipaddress import IPv4Network, IPv6Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sixlane.model import Eam, EamList

ONE = {"ipv4": "198.51.100.7/32", "ipv6": "2001:db8::7/128"}
TWO = {"ipv4": "198.51.100.8/31", "ipv6": "2001:db8:1::/120", "remote": True}


def test_it_reads_as_it_was_given() -> None:
    eams = EamList.of_data([ONE, TWO])
    assert list(eams) == [Eam.model_validate(ONE), Eam.model_validate(TWO)]
    assert eams.data == (ONE, TWO)
    assert eams == EamList.of([Eam.model_validate(ONE), Eam.model_validate(TWO)])
    assert eams[1:] == EamList.of_data([TWO])
    assert [sorted(lengths) for lengths in eams.lengths] == [[31, 32], [120, 128]]
    assert eams.served.starts.tolist() == [int(IPv4Network("198.51.100.7")[0])], "not the remote"


def test_a_length_may_be_left_out() -> None:
    eams = EamList.of_data([{"ipv4": "198.51.100.7", "ipv6": "2001:DB8:0::7"}])
    assert eams.data == (ONE,)


def test_one_in_the_place_of_another() -> None:
    eams = EamList.of_data([ONE, TWO])
    other = Eam(ipv4=IPv4Network("198.51.100.7"), ipv6=IPv6Network("2001:db8::9"))
    assert list(eams.with_eam(other)) == [other, eams[1]]
    assert list(eams.without(other.ipv4)) == [eams[1]]
    assert eams.with_eam(other).data[1] is eams.data[1]
    assert eams.find(other.ipv4) == eams[0]
    assert eams.find(IPv4Network("198.51.100.6/31")) is None
    with pytest.raises(KeyError):
        eams.without(IPv4Network("198.51.100.9"))


def test_a_prefix_that_stands_twice_is_missing_in_the_set() -> None:
    assert len(EamList.of_data([ONE, TWO]).prefixes) == 4
    assert len(EamList.of_data([ONE, {**TWO, "ipv6": ONE["ipv6"], "ipv4": "1.2.3.4"}]).prefixes) < 4


addresses4 = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.builds(lambda last: f"198.51.100.{last}", st.integers(0, 260)),
    st.sampled_from(("127.0.0.1", "0.0.0.0", "224.0.0.1", "010.1.1.1", "10.1", "1.2.3.4 ")),
)
addresses6 = st.one_of(
    st.ip_addresses(v=6).map(str),
    st.sampled_from(
        ("::", "::1", "::ffff:1.2.3.4", "::1.2.3.4", "fe80::1%eth0", "2001:DB8::", "1:0:0:2::")
    ),
)


def with_length(addresses: st.SearchStrategy[str], longest: int) -> st.SearchStrategy[str]:
    lengths = st.one_of(st.just(""), st.integers(0, longest + 1).map("/{}".format), st.just("/08"))
    return st.builds(lambda address, length: address + length, addresses, lengths)


items = st.fixed_dictionaries(
    {"ipv4": with_length(addresses4, 32), "ipv6": with_length(addresses6, 128)},
    optional={"remote": st.sampled_from((True, False, 1, "true", None)), "more": st.just(1)},
)


@given(items)
def test_the_quick_reader_says_what_the_slow_one_says(item: dict[str, Any]) -> None:
    try:
        slow = Eam.model_validate(item)
    except ValidationError:
        with pytest.raises((ValueError, KeyError, OSError)):
            EamList.of_data([item])
        return
    try:
        quick = EamList.of_data([item])
    except (ValueError, KeyError, OSError):
        return  # left to the slow one
    assert list(quick) == [slow]
    assert quick.data == EamList.of([slow]).data
