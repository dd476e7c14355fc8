# SPDX-License-Identifier: Apache-2.0
"""Sessions and bindings that change while they are read: what is told is one that there was."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Network
from typing import Any

import numpy as np
import pytest

from sixlane.datapath import layout, records, sessions
from sixlane.datapath.layout import BindingFlag, CountMark, SessionState
from sixlane.datapath.sessions import Wanted
from tests.records import NOW, Flow, Made, make

FLOWS = [Flow("2001:db8:64:1::7", 5001 + n, 2001 + n) for n in range(6)]
GONE = int(CountMark.GONE)


def ports(made: Made) -> list[int]:
    return [one.inside_port for block in made.records().sessions() for one in block]


def bound(made: Made) -> list[int]:
    return [one.inside_port for block in made.records().bindings() for one in block]


def meanwhile(monkeypatch: pytest.MonkeyPatch, change: Callable[[], None]) -> None:
    """Has the change happen after a block of records was copied, before it is looked at."""
    state_of = records.state_of

    def late(rows: Any) -> Any:
        change()
        return state_of(rows)

    monkeypatch.setattr(records, "state_of", late)


def test_a_stable_session_is_always_there(monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(FLOWS)

    def change() -> None:
        made.sessions[1].word += 1 << 20  # a later deadline: it is the same session
        made.sessions[2].word = 0
        made.sessions[2].serial += 1
        made.sessions[4].serial += 1

    meanwhile(monkeypatch, change)
    assert ports(made) == [5001, 5002, 5004, 5006]


def test_a_slot_that_changes_hands_is_not_half_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended, and made anew, between two looks at it."""
    made = make(FLOWS)

    def change() -> None:
        made.sessions[3].serial += 1
        made.sessions[3].inside_port = 9999

    meanwhile(monkeypatch, change)
    assert 5004 not in ports(made)


def test_a_session_that_is_just_being_made() -> None:
    """Its word is written last: whoever copies all of it just then may have the half of it."""
    rows = np.zeros(2, np.dtype(layout.Session))
    rows["word"][1] = NOW << 4 | SessionState.SESSION_OPEN

    class Shared:
        """The word is written when all is about to be copied."""

        def __getitem__(self, name: str) -> Any:
            return rows[name]

        def copy(self) -> Any:
            rows["word"][0] = rows["word"][1]
            return rows.copy()

    shared: Any = Shared()
    assert len(records.owned(shared)) == 1
    assert len(records.owned(shared)) == 2


def test_deadlines() -> None:
    made = make(FLOWS)
    for slot, until in ((0, NOW), (1, NOW + 1), (2, NOW - 1)):
        made.sessions[slot].word = until << 4 | SessionState.SESSION_OPEN
    assert ports(made) == [5002, 5004, 5005, 5006]
    assert bound(made) == [5002, 5004, 5005, 5006]


def test_slots_that_were_never_used_are_not_read() -> None:
    made = make(FLOWS, room=8)
    made.sessions[7].word = made.sessions[0].word
    assert len(ports(made)) == 6


def test_free_bindings_that_look_as_if_they_were_not() -> None:
    """A slot is given back with its count if another CPU made the same binding first."""
    made = make(FLOWS)
    place = (1 << 16) + 2001
    made.ports4[place] = 0
    assert 5001 not in bound(made)
    made.ports4[place] = 2  # another one has the port
    assert 5001 not in bound(made)
    made.ports4[place] = 1
    made.bindings[0].sessions = GONE
    assert 5001 not in bound(made)
    made.bindings[0].sessions = 1
    assert 5001 in bound(made)


def test_a_record_that_makes_no_sense_leads_nowhere() -> None:
    made = make(FLOWS)
    made.bindings[0].address = 65535
    made.bindings[1].protocol = 255
    made.sessions[2].protocol = 200
    made.sessions[3].binding = 0xFFFFFFFF
    assert ports(made) == [5001, 5002, 5004, 5005, 5006]
    assert bound(made) == [5003, 5005, 5006]  # 5004 has no session that can be known


def test_a_binding_is_static_if_it_says_so() -> None:
    """However many hold it."""
    made = make(FLOWS)
    made.bindings[0].sessions = 2
    made.bindings[1].flags = BindingFlag.BINDING_STATIC
    made.bindings[2].flags = BindingFlag.BINDING_OWN_PORT
    listed = [one for block in made.records().bindings() for one in block]
    assert [one.static for one in listed] == [False, True, False, False, False, False]
    assert [one.inside_port for one in made.records().static_bindings()] == [5002]


def test_names_of_what_is_gone() -> None:
    made = make(FLOWS)
    made.sessions[0].prefix = 9
    (block,) = made.records().sessions()
    assert block[0].prefix is None and block[1].prefix == "pods"


def test_limits_over_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "BLOCK", 2)
    found = make(FLOWS).records()
    for limit, most in ((1, 1), (2, 2), (3, 3), (6, 6), (7, 6), (None, 6)):
        assert sum(map(len, found.sessions(limit=limit))) == most
        assert sum(map(len, found.bindings(limit=limit))) == most
    assert found.count() == {("udp", "OPEN"): 6}


@pytest.mark.parametrize("length", [0, 1, 16, 63, 64, 65, 127, 128])
def test_prefixes_of_each_length(length: int) -> None:
    inside = IPv6Network(("2001:db8:64:1::7", length), strict=False)
    found = make(FLOWS).records()
    assert found.count(Wanted(inside=inside)) == {("udp", "OPEN"): 6}
    if length:
        other = IPv6Network((int(inside.network_address) ^ 1 << (128 - length), length))
        assert found.count(Wanted(inside=other)) == {}
        clients = [one for block in found.clients(Wanted(inside=other)) for one in block]
        assert len(clients) == (length > 64), "of a client, the first 64 bits are known"


def test_clients_of_another_address() -> None:
    found = make(FLOWS).records()
    for address, number in (("192.31.197.8", 1), ("192.31.197.9", 0), ("192.31.197.200", 0)):
        wanted = Wanted(pool=IPv4Address(address))
        assert len([one for block in found.clients(wanted) for one in block]) == number


def test_blocks_are_told_in_their_order() -> None:
    """Two lie in each word, and any of them may be none."""
    made = make(FLOWS)
    keys, values = made.memory.clients
    client = layout.Client.from_buffer_copy(values)
    client.blocks[:] = [(9 + 1) << 16 | 40 + 1, 0, (16 + 1) << 16, 20 + 1]
    client.block_words = 4
    made.memory = replace(made.memory, clients=(keys, bytes(client)))
    ((told,),) = made.records().clients()
    firsts = [64 * word for word in (9, 16, 20, 40)]
    assert told.blocks == tuple((first, first + 255) for first in firsts)
