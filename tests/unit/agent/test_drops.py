# SPDX-License-Identifier: Apache-2.0
"""Events as listeners get them: in words, in order, and never more than they can hold."""

import threading
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest

from sixlane.agent.drops import DropReader, Drops, as_data, summary
from sixlane.datapath.events import DropEvent, Missed
from sixlane.datapath.layout import Reason

EVENT = DropEvent(
    time_ns=1_700_000_000_123_456_789,
    reason=Reason.DROP_TTL_EXPIRED,
    ifindex=1,
    entry="tc",
    l3_bytes=60,
    family=4,
    src=IPv4Address("192.31.196.10"),
    dst=IPv4Address("192.175.48.10"),
    protocol=17,
    ports=(40000, 53),
    icmp=None,
    fragment=False,
    head=b"\x45\x00",
)
NOTHING = Missed(0, 0)


def test_an_event_as_data() -> None:
    assert as_data(EVENT) == {
        "time": "2023-11-14T22:13:20.123456Z",
        "reason": "drop_ttl_expired",
        "device": "lo",
        "entry": "tc",
        "bytes": 60,
        "src": "192.31.196.10",
        "dst": "192.175.48.10",
        "protocol": "udp",
        "srcPort": 40000,
        "dstPort": 53,
        "head": "4500",
        "summary": "udp 192.31.196.10:40000 > 192.175.48.10:53, 60 bytes",
    }


V6: dict[str, Any] = {
    "family": 6,
    "src": IPv6Address("2001:db8::1"),
    "dst": IPv6Address("64:ff9b::808:808"),
}
UNREAD: dict[str, Any] = {"src": None, "dst": None, "protocol": None, "ports": None}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (V6, "udp [2001:db8::1]:40000 > [64:ff9b::808:808]:53, 60 bytes"),
        (
            V6 | {"protocol": 58, "ports": None, "icmp": (1, 4)},
            "icmpv6 type 1 code 4 2001:db8::1 > 64:ff9b::808:808, 60 bytes",
        ),
        (
            {"protocol": 200, "ports": None, "fragment": True},
            "200 192.31.196.10 > 192.175.48.10, 60 bytes, fragment",
        ),
        (UNREAD, "IPv4, not readable, 60 bytes"),
        (UNREAD | {"family": None}, "a frame, not readable, 60 bytes"),
    ],
)
def test_summaries(changes: dict[str, Any], text: str) -> None:
    assert summary(replace(EVENT, **changes)) == text


def test_what_could_not_be_read_is_null() -> None:
    data = as_data(replace(EVENT, **UNREAD, ifindex=2**31 - 1))
    assert (data["src"], data["dst"], data["protocol"]) == (None, None, None)
    assert "srcPort" not in data
    assert data["device"] == f"#{2**31 - 1}"


def test_a_reader_that_is_behind_is_told_what_it_missed() -> None:
    reader = DropReader()
    reader.put([{"n": n} for n in range(2_500)], Missed(limited=7, lost=1))
    got = []
    while told := reader.next(0):
        got.append(told)
    assert {"lost": 501, "limited": 7} in got
    events = [told["n"] for told in got if "n" in told]
    assert events == list(range(2_000)), "the oldest, in order"
    assert len(got) == 2_001


def test_waiting_ends_when_something_comes() -> None:
    reader = DropReader()
    assert reader.next(0) is None
    later = threading.Timer(0.05, lambda: reader.put([{"n": 1}], NOTHING))
    later.start()
    assert reader.next(30) == {"n": 1}
    later.join()


def test_listening_without_a_data_path_gets_nothing() -> None:
    drops = Drops()
    with drops.listen() as reader:
        assert reader.next(0) is None
    drops.withdraw()
